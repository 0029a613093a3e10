"""Name the statement behind each verdict on latency: the one whose time grew most, or the one that took most time."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from aurora_analysis import histogram
from aurora_analysis.analysis.costliest import on_instances, with_worst
from aurora_analysis.analysis.latency.samples import Sample
from aurora_analysis.analysis.verdict import Verdict
from aurora_analysis.store.observations import Observations

LACKING = "no execution on this instance reached the log or a histogram"


def with_statements(
    verdicts: Sequence[Verdict], now: Sample, before: Sample, data: Observations, timezone: str
) -> list[Verdict]:
    """Add to each verdict on an instance the statement that cost most there.

    Parameters
    ----------
    verdicts : sequence of Verdict
        The result of `verdicts`.
    now, before : Sample
        The window and the previous one.
    data : Observations
        The window, for the runs and the texts.
    timezone : str
        Time zone of the last run.

    Returns
    -------
    list of Verdict
        In the same order. On an instance that became slower it is the statement whose time grew most against the
        previous window, otherwise the one that took most time.
    """
    seconds, earlier = _seconds(now), _seconds(before)
    grown = seconds.sub(earlier.reindex(seconds.index), fill_value=0.0)
    slower = {one.subject for one in verdicts if one.level == "slower"}
    most, rose = _worst(seconds), _worst(grown[grown > 0])
    worst = most | {instance: digest for instance, digest in rose.items() if instance in slower}
    found = on_instances(data, worst.items(), timezone)
    statements = {instance: found[instance, digest] for instance, digest in worst.items()}
    counted = set(now.counted["instance"])
    return [
        with_worst(one, statements, _basis(one, rose, one.subject in counted), LACKING) for one in verdicts
    ]


def _basis(verdict: Verdict, rose: dict[str, str], is_counted: bool) -> str:
    time = "time on this instance" if is_counted else "time in this instance's log"
    if verdict.level == "slower" and verdict.subject in rose:
        return f"is the one whose {time} grew most against the previous window"
    return f"is the one with the most {time}"


def _seconds(sample: Sample) -> pd.Series:
    """Time of each statement on each instance [s]: counted by histograms where they hold all, else logged."""
    counted = sample.counted
    logged = sample.executions
    logged = logged[~logged["instance"].isin(counted["instance"].unique())]
    columns = ["instance", "digest", "bucket", "count"]
    rows = pd.concat([counted[columns], logged[columns]]).astype({"instance": str, "digest": str})
    seconds = histogram.middle(rows["bucket"]) * rows["count"] / 1000
    found: pd.Series = seconds.groupby([rows["instance"], rows["digest"]]).sum()
    return found[found.index.get_level_values("digest") != ""]


def _worst(seconds: pd.Series) -> dict[str, str]:
    """Digest with the largest value on each instance."""
    ordered = seconds.sort_values(ascending=False, kind="stable").reset_index()
    first = ordered.drop_duplicates("instance")
    return dict(zip(first["instance"], first["digest"]))
