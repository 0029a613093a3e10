"""Name the statement behind each blocker, for how long it blocked purge, and how long the history list became."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from aurora_analysis.analysis.advice import Held, by_idle_time, shorter_views
from aurora_analysis.analysis.costliest import costliest, owner
from aurora_analysis.analysis.undo_log.episodes import growth_by_blocker
from aurora_analysis.analysis.verdict import Verdict, duration, large
from aurora_analysis.analysis.workloads import IDLE
from aurora_analysis.engines.certainty import Certainty, certainty
from aurora_analysis.window import Window


@dataclass(frozen=True)
class Background:
    """The observations that a headline and an action need beside the verdict.

    Parameters
    ----------
    spans : DataFrame
        Result of `blocking_spans`.
    runs : DataFrame
        The runs given to `blocking_spans`: `workload, instance, digest, thread_id, start, end` (UTC).
    roles : Series
        The role of each run's instance when it began, aligned with `runs`.
    fingerprints : DataFrame
        Texts of the statements: `digest, fingerprint`.
    base : float
        Usual history list length [transactions].
    window : Window
        The window of the verdicts.
    timezone : str
        Time zone of the verdicts' times.
    """

    spans: pd.DataFrame
    runs: pd.DataFrame
    roles: pd.Series
    fingerprints: pd.DataFrame
    base: float
    window: Window
    timezone: str = "UTC"


def with_statements(verdicts: Sequence[Verdict], background: Background, limit: float) -> list[Verdict]:
    """Add to each verdict on a blocker the statement that cost most, absolute numbers, and an action from them.

    Parameters
    ----------
    verdicts : sequence of Verdict
        Result of `verdicts`.
    background : Background
        Spans, runs and texts.
    limit : float
        History list length that is acceptable [transactions].

    Returns
    -------
    list of Verdict
        In the same order; verdicts without a known blocker are unchanged.
    """
    blockers = growth_by_blocker(background.spans)
    held = blockers[blockers["state"] == "held"].to_dict("records")
    by_subject = {f"{row['workload']} on {row['instance']}": row for row in held}
    return [
        _with_statement(one, by_subject[one.subject], background, limit)
        if one.subject in by_subject and one.level == "blocked"
        else one
        for one in verdicts
    ]


def _with_statement(
    verdict: Verdict, row: Mapping[Hashable, Any], background: Background, limit: float
) -> Verdict:
    runs = background.runs
    mine = runs[(runs["workload"] == row["workload"]) & (runs["instance"] == row["instance"])]
    same = mine[mine["digest"] == row["digest"]]
    statement = costliest(same, background.fingerprints, background.window, background.timezone)
    seconds = (mine["end"] - mine["start"]).dt.total_seconds()
    if statement:
        statement["share"] = round(float(seconds[same.index].sum() / max(seconds.sum(), 1e-9)), 4)
    headline = (
        f"{owner(row['workload'], statement)} on {row['instance']} blocked purge for {duration(row['held_s'])}; the "
        f"history list reached {large(row['peak_length'])} transactions"
    )
    sure = float(verdict.numbers.get("confidence") or 1)
    if certainty(sure) is not Certainty.CERTAIN:
        headline = f"Probably ({sure:.2f}) {headline}"
    action = verdict.action
    if statement and row["digest"] != IDLE and row["held_s"] > 0:
        views = Held(
            text=str(statement["text"]),
            longest_s=float(statement["longest_s"] or 0),
            per_hour=3600 * row["growth"] / row["held_s"],
            base=background.base,
            peak=row["peak_length"],
            on_writer=(background.roles[same.index] == "writer").any(),
        )
        action = by_idle_time(shorter_views(views, limit), "read view", row["idle_share"])
    return replace(verdict, statement=statement, headline=headline, action=action)
