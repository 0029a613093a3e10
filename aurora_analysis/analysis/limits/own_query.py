"""Review the longest reader query that blocked purge: what it does at its usual hour, and what other ways to run it do."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import pandas as pd

from aurora_analysis.analysis import undo_log
from aurora_analysis.analysis.costliest import statement_text
from aurora_analysis.analysis.limits.answer import Answer
from aurora_analysis.analysis.limits.rates import WEEKDAYS
from aurora_analysis.analysis.limits.replay import Interval
from aurora_analysis.analysis.limits.review import Alternative, Request, Review, review
from aurora_analysis.analysis.verdict import Remarks, duration, three_digits
from aurora_analysis.analysis.workloads import IDLE
from aurora_analysis.store.observations import Observations
from aurora_analysis.window import zone

COLUMNS = {
    "{}": "length",
    "slower by [%]": "slowdown_pct",
    "over the objective [min]": "minutes_over",
    "drained after [min]": "drain_min",
}
"""Column of the table → field of the outcome."""

WAITING = {"purge": "longest history list", "vacuum": "most dead rows"}
"""Noun that the first column counts, by the engine's word for cleanup."""

NONE = (
    "No logged statement on a reader is known to have blocked {} in this window, so there is none to review."
)


@dataclass(frozen=True)
class OwnReview:
    """The review of the longest statement on a reader that blocked purge.

    Attributes
    ----------
    remarks : Remarks
        Which statement, what it does at its usual hour, and the command that reviews another one.
    table : DataFrame
        As planned and each alternative: start, and each figure with its 95 % prediction interval, as text.
    """

    remarks: Remarks
    table: pd.DataFrame


def own_review(answer: Answer, undo: undo_log.Answer, data: Observations) -> OwnReview:
    """Review the longest statement on a reader that blocked purge, at the hour at which it usually begins.

    Only a statement that held the oldest read view is reviewed: others may be as long and hold no view of InnoDB.

    Parameters
    ----------
    answer : Answer
        What is known of the cluster (`limits.answer`).
    undo : undo_log.Answer
        Runs, and the spans in which each blocked purge.
    data : Observations
        The window of one cluster.

    Returns
    -------
    OwnReview
        Without rows if no statement on a reader blocked purge, or if nothing can be predicted.
    """
    mine = blocking_runs(undo, data)
    if mine.empty:
        return OwnReview(Remarks(NONE.format(answer.words.cleanup)), pd.DataFrame())
    longest = mine.sort_values(["lasted", "growth"], kind="stable").iloc[-1]
    same = mine[(mine["digest"] == longest["digest"]) & (mine["workload"] == longest["workload"])]
    minutes, timezone = longest["lasted"].total_seconds() / 60, answer.options.timezone
    start = usual_start(same["start"], timezone)
    found = review(answer, Request(minutes, start, answer.options.objective_pct))
    day, minute = divmod(int(start), 1440)
    usual = f"{WEEKDAYS[day]} {minute // 60:02d}:{minute % 60:02d}"
    who = (
        f"The longest run on a reader that blocked {answer.words.cleanup} took {duration(60 * minutes)}: {longest['workload']} on "
        f"{longest['instance']}, statement {longest['digest']} "
        f"({statement_text(str(longest['digest']), data.fingerprints)}). It usually begins about {usual} {timezone}."
    )
    command = (
        f"To review another query: aurora-analysis review --cluster {data.cluster} --hold {max(1, round(minutes))}m "
        f'--at "{usual[:3]} {usual[-5:]}"'
    )
    answered = " ".join([f"{found.headline}.", *found.sentences])
    return OwnReview(Remarks(who, answered, _unlike_the_mean(same), command), _table(found, answer))


def _unlike_the_mean(runs: pd.DataFrame) -> str:
    """State how the review differs from the effect that the page on reader impact has of the same workload."""
    mean, several = duration(runs["lasted"].dt.total_seconds().mean()), "s" * (len(runs) != 1)
    return (
        f"The review is about this one run. The effect of {runs['workload'].iloc[0]} on the page reader_impact is another "
        f"quantity: the mean over every minute in which it ran, at any hour. This window has {len(runs)} run{several}, of "
        f"{mean} on average."
    )


def blocking_runs(undo: undo_log.Answer, data: Observations) -> pd.DataFrame:
    """Select the runs on readers of the statements that the page names as blockers of purge.

    Parameters
    ----------
    undo : undo_log.Answer
        Runs, spans, and verdicts, which name a blocker only if it is sure enough.
    data : Observations
        The window, for the roles.

    Returns
    -------
    DataFrame
        Rows of `undo.runs` with `lasted`, and the `growth` of their statement in all [transactions].
    """
    keys = ["workload", "instance", "digest"]
    spans = undo.spans[(undo.spans["state"] == "held") & ~undo.spans["digest"].isin(["", IDLE])]
    grown = spans.groupby(keys, as_index=False)["growth"].sum()
    named = {one.subject for one in undo.verdicts if one.level == "blocked"}
    grown = grown[(grown["growth"] > 0) & (grown["workload"] + " on " + grown["instance"]).isin(named)]
    if undo.runs.empty or grown.empty:
        return undo.runs.iloc[:0]
    mine = undo.runs[data.roles(undo.runs, time="start") == "reader"].merge(grown, on=keys)
    return mine.assign(lasted=mine["end"] - mine["start"])


def usual_start(starts: pd.Series, timezone: str) -> float:
    """Find the local minute of the week at which runs usually begin.

    Parameters
    ----------
    starts : Series
        Starts of the runs (UTC), at least one.
    timezone : str
        The reader's time zone.

    Returns
    -------
    float
        Minutes since Monday 00:00: in the most frequent hour, on the weekday that most often has a run in it.
    """
    local = pd.DatetimeIndex(starts).tz_convert(zone(timezone))
    hour = int(pd.Series(local.hour).mode().iloc[0])
    then = local[local.hour == hour]
    weekday = int(pd.Series(then.day_of_week).mode().iloc[0])
    minute = int(pd.Series(then[then.day_of_week == weekday].minute).median())
    return float(1440 * weekday + 60 * hour + minute)


def _table(found: Review, answer: Answer) -> pd.DataFrame:
    if found.as_planned is None:
        return pd.DataFrame()
    rows = [found.as_planned, *found.alternatives]
    return pd.DataFrame([_row(one, answer) for one in rows]).set_index("way to run it")


def _row(one: Alternative, answer: Answer) -> dict[str, str]:
    timezone = answer.options.timezone
    figures = {
        column.format(WAITING[answer.words.cleanup]): _cell(getattr(one.outcome, name))
        for column, name in COLUMNS.items()
    }
    start = one.start.removesuffix(f" {timezone}")
    return {
        "way to run it": one.name,
        "verdict": one.level,
        **figures,
        f"start [{timezone}]": start,
        "how": one.how,
    }


def _cell(found: Interval) -> str:
    """A figure with its interval in brackets; a dash if it is not predicted."""
    if found.value != found.value:
        return "–"
    value, low, high = (_number(one) for one in (found.value, found.low, found.high))
    return value if low == high else f"{value} [{low}, {high}]"


def _number(value: float) -> str:
    return three_digits(max(value, 0.0), 2) if isfinite(value) else "beyond a day"
