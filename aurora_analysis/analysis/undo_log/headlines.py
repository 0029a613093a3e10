"""Name the statement behind each blocker, for how long it blocked purge, and how long the history list became."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from aurora_analysis.analysis.costliest import costliest, owner
from aurora_analysis.analysis.undo_log.episodes import growth_by_blocker
from aurora_analysis.analysis.verdict import Verdict, duration, large
from aurora_analysis.window import Window


def with_statements(
    verdicts: Sequence[Verdict],
    spans: pd.DataFrame,
    runs: pd.DataFrame,
    fingerprints: pd.DataFrame,
    window: Window,
) -> list[Verdict]:
    """Add to each verdict on a blocker the statement whose read view cost most, and absolute numbers to its headline.

    Parameters
    ----------
    verdicts : sequence of Verdict
        Result of `verdicts`.
    spans : DataFrame
        Result of `blocking_spans`.
    runs : DataFrame
        The runs given to `blocking_spans`: `workload, instance, digest, thread_id, start, end` (UTC).
    fingerprints : DataFrame
        Texts of the statements: `digest, fingerprint`.
    window : Window
        The window of the verdicts.

    Returns
    -------
    list of Verdict
        In the same order; verdicts without a known blocker are unchanged.
    """
    blockers = growth_by_blocker(spans)
    held = blockers[blockers["state"] == "held"].to_dict("records")
    by_subject = {f"{row['workload']} on {row['instance']}": row for row in held}
    found = []
    for verdict in verdicts:
        row = by_subject.get(verdict.subject)
        if row is None:
            found.append(verdict)
            continue
        same = [runs[name] == row[name] for name in ("workload", "instance", "digest")]
        statement = costliest(runs[same[0] & same[1] & same[2]], fingerprints, window)
        mine = runs[same[0] & same[1]]
        seconds = (mine["end"] - mine["start"]).dt.total_seconds()
        statement |= {"share": float(seconds[same[2]].sum() / seconds.sum())} if statement else {}
        headline = (
            f"{owner(row['workload'], statement)} on {row['instance']} blocked purge for {duration(row['held_s'])}; the "
            f"history list reached {large(row['peak_length'])} transactions"
        )
        found.append(replace(verdict, statement=statement, headline=headline))
    return found
