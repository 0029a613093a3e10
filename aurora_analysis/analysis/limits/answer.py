"""Answer for one window of one cluster: how long may a query run on a reader before it slows the writer?"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from aurora_analysis import engines
from aurora_analysis.analysis import undo_log, workloads
from aurora_analysis.analysis.limits import dose
from aurora_analysis.analysis.limits.effect_curve import Curve, Refusal, effect_curves
from aurora_analysis.analysis.limits.growth import Growth, growth
from aurora_analysis.analysis.limits.longest_hold import (
    COLUMNS,
    SUGGESTION_COLUMNS,
    longest_holds,
    suggested_limits,
)
from aurora_analysis.analysis.limits.recorded import Observed, Recorded, recorded
from aurora_analysis.analysis.limits.verdicts import TOPIC, not_known, noun_of, verdict
from aurora_analysis.analysis.reader_impact.design import WRITER_METRICS
from aurora_analysis.analysis.reader_impact.refusals import DAYS_NEEDED
from aurora_analysis.analysis.sparkline import POINTS_NEEDED, Sparkline, rounded
from aurora_analysis.analysis.verdict import Verdict
from aurora_analysis.engines.vocabulary import Words
from aurora_analysis.store.observations import Observations

METRICS = ("queue_latency", "commit_latency")
"""The latencies whose limits are stated: the statements that a long history list hurts most, and commits."""


@dataclass(frozen=True)
class Options:
    """Options of `answer`.

    Parameters
    ----------
    timezone : str
        Time zone of weekdays and hours.
    shortest_run_s : float
        Leave out shorter statements, which hold no read view for long [s].
    lookback_days : int
        Learn from at least this many days, up to the window's end.
    objective_pct : float
        Slowdown of the writer that is not to be exceeded [%].
    """

    timezone: str = "UTC"
    shortest_run_s: float = 10.0
    lookback_days: int = 14
    objective_pct: float = 10.0


@dataclass(frozen=True)
class Answer:
    """The longest hold of a read view, and the evidence for it.

    Parameters
    ----------
    verdicts : list of Verdict
        One per latency of `METRICS` that has values.
    holds : DataFrame
        Longest holds by hour of the week, of the latency with the shortest one; see `longest_holds`.
    suggested : DataFrame
        A `max_execution_time` for each hour; see `suggested_limits`.
    options : Options
        The options.
    recorded : Recorded, optional
        The holds in the window; None if there is none.
    growth : Growth, optional
        How fast the history list grows and drains; None if unknown.
    curve : Curve, optional
        Latency over the history list, of the latency of `holds`; None if not identified.
    reason, settled_by : str
        Why there is no limit, and what would settle it; empty if there is one.
    words : Words
        The engine's words for cleanup.
    """

    verdicts: list[Verdict]
    holds: pd.DataFrame
    suggested: pd.DataFrame
    options: Options
    recorded: Recorded | None = None
    growth: Growth | None = None
    curve: Curve | None = None
    reason: str = ""
    settled_by: str = ""
    words: Words = engines.words(engines.DEFAULT)

    def at_a_glance(self) -> list[Sparkline]:
        """Draw the longest hold through the week as a sparkline, with its prediction interval as a band.

        Returns
        -------
        list of Sparkline
            One sparkline; none if there is no limit.
        """
        mine = self.holds[self.holds["slowdown_pct"] == self.options.objective_pct]
        columns = mine[["minutes", "low_minutes", "high_minutes"]].astype(float).replace(np.inf, np.nan)
        pairs = columns.groupby(
            np.arange(len(columns)) // 2
        ).mean()  # two hours a point, as for a week of a metric
        if pairs["minutes"].notna().sum() < POINTS_NEEDED:
            return []
        course, low, high = ([rounded(value) for value in pairs[name]] for name in columns)
        what = "any statement" if self.words.cleanup == "vacuum" else noun_of(str(mine["metric"].iloc[0]))
        measure = f"longest allowed reader query ({what} at most {self.options.objective_pct:g} % slower; Monday to Sunday)"
        return [
            Sparkline(
                TOPIC, "writer", measure, "min", course, low, high, mean=rounded(pairs["minutes"].mean())
            )
        ]


def answer(data: Observations, groups: workloads.Groups, options: Options = Options()) -> Answer:  # frozen
    """Estimate how long a read view may be held on any reader at each hour of the week.

    Parameters
    ----------
    data : Observations
        The window of one cluster (`observe`).
    groups : Groups
        Rules that name workloads and jobs (`config.groups`).
    options : Options, optional
        Time zone, lengths and objective.

    Returns
    -------
    Answer
        The limits with their intervals. An `unknown` or `cannot tell` verdict with its reason if they are not known.
    """
    compared = data.at_least(options.lookback_days)
    if data.words.cleanup == "vacuum":
        return _of_dose(compared, groups, options)
    commits = compared.metric("commit_throughput")
    days = pd.DatetimeIndex(commits.dropna().index).normalize().nunique()
    if days < DAYS_NEEDED:
        return refused(
            f"the window has commit rates of {days} day{'s' * (days != 1)}, and {DAYS_NEEDED} are needed to separate hours and "
            "weekdays",
            options,
        )
    undo = undo_log.answer(compared, groups, undo_log.Options(options.shortest_run_s))
    tables = workloads.Tables.read(compared, shortest_s=options.shortest_run_s)
    jobs = workloads.jobs(
        tables.on_writer(),
        groups.jobs,
        groups.daily,
        timezone=options.timezone,
        shortest_s=options.shortest_run_s,
    )
    return from_observed(
        Observed(
            compared.metrics(WRITER_METRICS),
            commits,
            undo.oldest_view,
            jobs,
            compared.writers,
            options.timezone,
        ),
        options,
    )


def _of_dose(data: Observations, groups: workloads.Groups, options: Options) -> Answer:
    """The limits on PostgreSQL, from the dose identity."""
    undo = undo_log.answer(data, groups, undo_log.Options(options.shortest_run_s))
    found = dose.dose(data, undo, options.timezone)
    if isinstance(found, str):
        return refused(found, options, dose.SETTLED_BY, words=data.words)
    limits = _limited(found.recorded, found.growth, (found.curves, []), options, data.words)
    return replace(
        limits, suggested=limits.suggested.rename(columns={"max_execution_time": data.words.time_limit})
    )


def from_observed(observed: Observed, options: Options = Options()) -> Answer:  # frozen
    """Estimate the limits from what a window shows.

    Parameters
    ----------
    observed : Observed
        The writer's metrics and the oldest views.
    options : Options, optional
        Time zone and objective.

    Returns
    -------
    Answer
        The limits, or the reason why they are not known.
    """
    found = recorded(observed)
    if isinstance(found, str):
        return refused(found, options)
    return from_recorded(found, options)


def from_recorded(found: Recorded, options: Options = Options()) -> Answer:  # frozen
    """Estimate the limits from recorded holds.

    Parameters
    ----------
    found : Recorded
        The holds.
    options : Options, optional
        Time zone and objective.

    Returns
    -------
    Answer
        The limits, or the reason why they are not known.
    """
    grown = growth(found, options.timezone)
    if isinstance(grown, str):
        return refused(grown, options)
    fitted = [one for one in effect_curves(found) if one.metric in METRICS]
    curves = [one for one in fitted if isinstance(one, Curve)]
    refusals = [one for one in fitted if isinstance(one, Refusal)]
    if not curves:
        first = (
            refusals[0]
            if refusals
            else Refusal("", "the window has no commit latency", "fetch CommitLatency")
        )
        nothing_known = refused(first.reason, options, first.settled_by, level=first.level)
        return replace(nothing_known, recorded=found, growth=grown)
    return _limited(found, grown, (curves, refusals), options, engines.words(engines.DEFAULT))


def _limited(
    found: Recorded,
    grown: Growth,
    fitted: tuple[list[Curve], list[Refusal]],
    options: Options,
    words: Words,
) -> Answer:
    """The limits by the curves, and the refusals beside them."""
    curves, refusals = fitted
    objectives = tuple(sorted({5.0, 10.0, options.objective_pct}))
    tables = {one.metric: longest_holds(grown, one, found.longest_hold_s, objectives) for one in curves}
    verdicts = [verdict(tables[one.metric], found, options, words) for one in curves]
    strictest = min(curves, key=lambda one: tables[one.metric]["low_minutes"].min())
    holds = tables[strictest.metric]
    return Answer(
        verdicts=[
            *verdicts,
            *(not_known(one.reason, one.settled_by, one.metric, level=one.level) for one in refusals),
        ],
        holds=holds,
        suggested=suggested_limits(holds, options.objective_pct, found.longest_hold_s),
        options=options,
        recorded=found,
        growth=grown,
        curve=strictest,
        words=words,
    )


WAIT = "record at least two weeks with views held at different hours (fetch, or aurora-analysis watch)"


def refused(
    reason: str,
    options: Options,
    settled_by: str = WAIT,
    *,
    level: str = "unknown",
    words: Words | None = None,
) -> Answer:
    """Answer that there is no limit, and why.

    Parameters
    ----------
    reason : str
        The reason, as the second half of a sentence.
    options : Options
        The options.
    settled_by : str
        What would settle it.
    level : str
        `unknown` if there is too little data, `cannot tell` if they cannot identify the effect.
    words : Words, optional
        The engine's words for cleanup. Default: those of MySQL.

    Returns
    -------
    Answer
        A single verdict of that level, and empty tables.
    """
    words = words or engines.words(engines.DEFAULT)
    return Answer(
        verdicts=[not_known(reason, settled_by, level=level, words=words)],
        holds=pd.DataFrame(columns=COLUMNS),
        suggested=pd.DataFrame(columns=[*SUGGESTION_COLUMNS[:-1], words.time_limit]),
        options=options,
        reason=reason,
        settled_by=settled_by,
        words=words,
    )
