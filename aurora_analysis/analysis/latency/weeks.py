"""Estimate the week-to-week variation of latency from the weeks in the store."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping

import numpy as np
import pandas as pd
from scipy import special

from aurora_analysis.analysis.latency.samples import Limits, Sample, figures
from aurora_analysis.analysis.workload_change.weekly_variation import WEEKS_NEEDED

COLUMNS = [
    "instance",
    "of",
    "quantile",
    "earlier_weeks",
    "from_usual_pct",
    "low_pct",
    "high_pct",
    "spread_pct",
]
"""Columns of `against_weeks`."""


def against_weeks(
    now: Sample, weeks: Iterable[Sample], cuts: Mapping[Hashable, Limits], *, confidence: float = 0.95
) -> pd.DataFrame:
    """Compare each figure of the window with those of earlier weeks.

    Parameters
    ----------
    now : Sample
        The window.
    weeks : iterable of Sample
        The same weekdays and hours of earlier weeks.
    cuts : mapping of str to mapping
        Rows of `cut` by instance.
    confidence : float
        Coverage of the prediction interval [0 to 1].

    Returns
    -------
    DataFrame
        One row per figure that an earlier week has, with `COLUMNS`: `from_usual_pct` is the difference to the mean of
        earlier weeks [%]; an ordinary week lies between `low_pct` and `high_pct` [%] (a prediction interval with
        Student's t); `spread_pct` is the standard deviation between weeks [%]. These three are NaN with fewer than
        `WEEKS_NEEDED` weeks: so few do not show how much ordinary weeks differ.
    """
    key = ["instance", "of", "quantile"]
    totals = [instance for instance in now.statement_rate.index if now.statements(instance) > 0]
    mine = figures(now, cuts, totals)
    earlier = pd.concat([figures(week, cuts, totals) for week in weeks] or [mine.iloc[:0]])
    logs = earlier["value"].where(earlier["value"] > 0).astype(float).transform(np.log)
    known = logs.groupby([earlier[name] for name in key]).agg(["count", "mean", "std"]).reset_index()
    found = mine.merge(known, on=key)
    found["std"] = found["std"].where(found["count"] + 1 >= WEEKS_NEEDED)
    reach = (
        special.stdtrit(found["count"] - 1, (1 + confidence) / 2)
        * found["std"]
        * np.sqrt(1 + 1 / found["count"])
    )
    percents = {
        "from_usual_pct": np.log(found["value"]) - found["mean"],
        "low_pct": -reach,
        "high_pct": reach,
        "spread_pct": found["std"],
    }
    moved = found.assign(**{name: 100 * np.expm1(logs) for name, logs in percents.items()})
    return moved.rename(columns={"count": "earlier_weeks"}).dropna(subset=["from_usual_pct"])[COLUMNS]


def weeks_note(weeks: pd.DataFrame) -> str:
    """Return whether earlier weeks show what is ordinary; if not, why and what to do.

    Parameters
    ----------
    weeks : DataFrame
        The result of `against_weeks`.

    Returns
    -------
    str
        One sentence.
    """
    known = int(weeks["earlier_weeks"].max()) if len(weeks) else 0
    needed = WEEKS_NEEDED - 1
    if known >= needed:
        return f"{known} earlier weeks show how much ordinary weeks differ."
    has = f"has {known} of the {needed} earlier weeks" if known else f"has none of the {needed} earlier weeks"
    return (
        f"How much ordinary weeks differ is unknown: the store {has} that are needed. "
        f"Fetch {needed - known} more, or ingest their slow logs (aurora-analysis fetch, ingest)."
    )
