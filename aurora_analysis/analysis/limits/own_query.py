"""Review the cluster's own longest reader query: what it does at its usual hour, and what other ways to run it would do."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import pandas as pd

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
    "history list [transactions]": "length",
    "writer slower by [%]": "slowdown_pct",
    "over the objective [min]": "minutes_over",
    "drained after [min]": "drain_min",
}
"""Column of the table → field of the outcome."""

NONE = "No logged statement ran on a reader in this window, so there is none to review."


@dataclass(frozen=True)
class OwnReview:
    """The review of the statement that had the longest run on a reader.

    Attributes
    ----------
    remarks : Remarks
        Which statement, what it does at its usual hour, and the command that reviews another one.
    table : DataFrame
        As planned and each alternative: start, and each figure with its 95 % prediction interval, as text.
    """

    remarks: Remarks
    table: pd.DataFrame


def own_review(answer: Answer, runs: pd.DataFrame, data: Observations) -> OwnReview:
    """Review the statement with the longest run on a reader, at the hour at which it usually begins.

    Parameters
    ----------
    answer : Answer
        What is known of the cluster (`limits.answer`).
    runs : DataFrame
        Runs on all instances: `workload, instance, digest, start, end` (UTC).
    data : Observations
        The window of one cluster.

    Returns
    -------
    OwnReview
        Without rows if no statement ran on a reader, or if nothing can be predicted.
    """
    on_readers = (data.roles(runs, time="start") == "reader") if len(runs) else pd.Series(dtype=bool)
    named = runs["digest"].notna() & ~runs["digest"].isin(["", IDLE])
    mine = runs[on_readers & named]
    if mine.empty:
        return OwnReview(Remarks(NONE), pd.DataFrame())
    longest = mine.assign(lasted=mine["end"] - mine["start"]).sort_values("lasted", kind="stable").iloc[-1]
    same = mine[(mine["digest"] == longest["digest"]) & (mine["workload"] == longest["workload"])]
    minutes = (longest["end"] - longest["start"]).total_seconds() / 60
    timezone, objective = answer.options.timezone, answer.options.objective_pct
    start = usual_start(same["start"], timezone)
    found = review(answer, Request(minutes, start, objective))
    text = statement_text(str(longest["digest"]), data.fingerprints)
    day, minute = divmod(int(start), 1440)
    usual = f"{WEEKDAYS[day]} {minute // 60:02d}:{minute % 60:02d}"
    who = (
        f"The longest run on a reader took {duration(60 * minutes)}: {longest['workload']} on {longest['instance']}, "
        f"statement {longest['digest']}, {text}. It usually begins about {usual} {timezone}."
    )
    command = (
        f"To review another query: aurora-analysis review --cluster {data.cluster} --hold {max(1, round(minutes))}m "
        f'--at "{usual[:3]} {usual[-5:]}"'
    )
    return OwnReview(Remarks(who, f"{found.headline}.", *found.sentences, command), _table(found))


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


def _table(found: Review) -> pd.DataFrame:
    if found.as_planned is None:
        return pd.DataFrame()
    rows = [found.as_planned, *found.alternatives]
    return pd.DataFrame([_row(one) for one in rows]).set_index("way to run it")


def _row(one: Alternative) -> dict[str, str]:
    figures = {column: _cell(getattr(one.outcome, name)) for column, name in COLUMNS.items()}
    return {"way to run it": one.name, "start": one.start, **figures, "verdict": one.level, "how": one.how}


def _cell(found: Interval) -> str:
    """A figure with its interval in brackets; a dash if it is not predicted."""
    if found.value != found.value:
        return "–"
    value, low, high = (_number(one) for one in (found.value, found.low, found.high))
    return value if low == high else f"{value} [{low}, {high}]"


def _number(value: float) -> str:
    return three_digits(max(value, 0.0), 2) if isfinite(value) else "beyond a day"
