"""Compare a window's latency with the previous window and with earlier weeks."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from aurora_analysis.analysis.latency import shifts
from aurora_analysis.analysis.latency.samples import Sample
from aurora_analysis.analysis.latency.verdicts import Comparison
from aurora_analysis.analysis.latency.weeks import against_weeks


def compare(now: Sample, before: Sample, cuts: pd.DataFrame, weeks: Iterable[Sample] = ()) -> Comparison:
    """Compare a window with the previous one and with earlier weeks.

    Parameters
    ----------
    now, before : Sample
        The window and the previous one.
    cuts : DataFrame
        The result of `cut`.
    weeks : iterable of Sample
        The same weekdays and hours of earlier weeks; each is read once.

    Returns
    -------
    Comparison
        The argument of `verdicts`.
    """
    limits = cuts.set_index("instance").to_dict("index")
    statement_rates = now.statement_rate, before.statement_rate
    return Comparison(
        executions=now.executions,
        cuts=cuts,
        shifts=shifts.judged(now, before, limits),
        rates=shifts.rate_shift(now.executions, before.executions, now.window, statement_rates),
        responses=shifts.response(before, limits),
        weeks=against_weeks(now, weeks, limits),
    )
