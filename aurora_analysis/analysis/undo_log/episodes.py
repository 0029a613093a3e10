"""Did undo history grow faster than purge, why, and which session held the read view?

InnoDB keeps the old versions of rows for as long as any read view may need them. The history list counts the
committed transactions whose undo waits for purge; purge may go up to the start of the oldest open read view, on
the writer or on any Aurora reader, for they share one undo log. `read_views` infers whose view that was.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from aurora_analysis.analysis.series import Array, period_s, stretches, without_gaps
from aurora_analysis.analysis.sparkline import Sparkline, sparklines
from aurora_analysis.analysis.undo_log.holders import (
    NONE,
    UNKNOWN,
    committed,
    holders,
    read_view_start,
)
from aurora_analysis.analysis.verdict import Severity, Verdict
from aurora_analysis.analysis.workloads.rules import IDLE
from aurora_analysis.window import Window

__all__ = [
    "around_highest",
    "by_holder",
    "committed",
    "episode_holders",
    "growth_episodes",
    "holders",
    "holds",
    "notable_growth",
    "purge_state",
    "read_view_start",
    "verdicts",
]

EPISODE_COLUMNS = [
    "start",
    "peak_at",
    "end",
    "start_length",
    "peak_length",
    "end_length",
    "growth_per_s",
    "drain_per_s",
    "complete",
]


def growth_episodes(history: pd.Series, *, least: float | None = None) -> pd.DataFrame:
    """The spans in which the history list grew, and drained again. Answers: when, how far, how fast?

    `history` is the history list over time [transactions]. An episode rises by at least `least` above the trough
    before it, and ends where nine tenths of the rise are gone, at a gap, or with the data. `start` and `end`
    (exclusive) bound it; `growth_per_s` and `drain_per_s` are mean rates [transactions/s] up to and from the peak;
    `complete` is False where a gap or the window cuts it.
    """
    threshold = notable_growth(history) if least is None else least
    rows = [
        _episode(part, *span) for part in without_gaps(history) for span in _spans(part.to_numpy(), threshold)
    ]
    return pd.DataFrame(rows, columns=EPISODE_COLUMNS).astype({"complete": bool})


def at_a_glance(history: pd.Series, window: Window) -> list[Sparkline]:
    """The history list over the window, as a sparkline."""
    named = {"seat": "writer", "measure": "history list length"}
    rows = history.rename("value").rename_axis("time").reset_index().assign(**named)
    return sparklines("undo_log", rows, {named["measure"]: "transactions"}, window)


def around_highest(history: pd.Series, window: Window, *, hours: float = 24.0) -> Window:
    """The part of the window around its longest history list: so many hours, or all of a shorter window."""
    length = timedelta(hours=hours)
    if window.duration <= length or history.dropna().empty:
        return Window(window.start, min(window.end, window.start + length))
    longest = pd.DatetimeIndex(history.index)[int(history.argmax())].to_pydatetime()
    start = min(max(longest - length / 2, window.start), window.end - length)
    return Window(start, start + length)


def notable_growth(
    history: pd.Series,
    *,
    times_base: float = 10.0,  # purge keeps within a few times its base; ten times is no ordinary wave
    always: float = 100_000.0,  # "generally acceptable": Amazon Aurora user guide, major version upgrades
) -> float:
    """The rise that makes an episode [transactions]: relative to this system's base and noise, at most `always`."""
    if history.empty:
        return always
    noise = 20 * float(history.diff().abs().median())
    return float(min(max(times_base * base(history), noise, 1.0), always))


def base(history: pd.Series) -> float:
    """The history list of a purge that keeps up: its lower decile [transactions]."""
    return float(history.quantile(0.1))


def _episode(part: pd.Series, start: int, peak: int, end: int) -> tuple[object, ...]:
    times, lengths = part.index, part.to_numpy()
    complete = start > 0 and end < len(part)
    last = min(end, len(part) - 1)
    rise = (lengths[peak] - lengths[start]) / max((times[peak] - times[start]).total_seconds(), 1e-6)
    drained = (times[last] - times[peak]).total_seconds()
    drain = (lengths[peak] - lengths[last]) / drained if drained > 0 else np.nan
    until = times[last] + pd.Timedelta(seconds=period_s(times)) if end == len(part) else times[end]
    return (
        times[start],
        times[peak],
        until,
        lengths[start],
        lengths[peak],
        lengths[last],
        rise,
        drain,
        complete,
    )


def _spans(lengths: Array, least: float) -> Iterator[tuple[int, int, int]]:
    """Start, peak and end of each rise of at least `least`; the end is where a tenth of it is left."""
    trough, at = 0, 0
    while at < len(lengths):
        if lengths[at] < lengths[trough]:
            trough = at
        if lengths[at] - lengths[trough] < least:
            at += 1
            continue
        start = _onset(lengths, trough, at, least)
        peak, end = _peak_and_end(lengths, start, at)
        yield start, peak, end
        trough = at = end


def _onset(lengths: Array, trough: int, at: int, least: float) -> int:
    """Where the rise to `at` began: the last low before it, not a lower one hours earlier."""
    low = trough + int(np.flatnonzero(lengths[trough:at] <= lengths[trough] + least / 2)[-1])
    while low > trough and lengths[low - 1] < lengths[low]:
        low -= 1
    return low


def _peak_and_end(lengths: Array, start: int, at: int) -> tuple[int, int]:
    peak = at
    for end in range(at, len(lengths)):
        if lengths[end] > lengths[peak]:
            peak = end
        if lengths[end] <= lengths[start] + 0.1 * (lengths[peak] - lengths[start]):
            return peak, end
    return peak, len(lengths)


PURGE_COLUMNS = ["start", "end", "state", "still_share", "backlog"]


def purge_state(boundary: pd.Series, finished: pd.Series, episodes: pd.DataFrame) -> pd.DataFrame:
    """Whether purge was `blocked` or `outrun` in each episode. Answers: was it not allowed, or too slow?

    Blocked: the boundary (up to which purge is allowed) stands still for at least half of the growth. Outrun: it
    moves, and purge trails it. `still_share` is the share of the samples at which it stood still [0 to 1],
    `backlog` the most that purge trailed it during the growth [transaction numbers]. Both are series of
    transaction numbers (CloudWatch PurgeBoundary and PurgeFinishedPoint); where they are missing the state is
    `unknown`.
    """
    typical = _typical_advance(boundary)
    rows = [
        (start, end, *_purge(boundary[start:peak], (boundary - finished)[start:peak], typical))
        for start, peak, end in episodes[["start", "peak_at", "end"]].itertuples(index=False)
    ]
    return pd.DataFrame(rows, columns=PURGE_COLUMNS)


def _purge(boundary: pd.Series, backlog: pd.Series, typical: float) -> tuple[str, float, float]:
    steps = boundary.diff().dropna()
    if len(steps) < 2:
        return "unknown", np.nan, np.nan
    still = float((steps <= 0.1 * typical).mean())
    return ("blocked" if still >= 0.5 else "outrun"), still, float(backlog.max())


def _typical_advance(boundary: pd.Series) -> float:
    """By how much the boundary moves from sample to sample when nothing holds it; 0 where it never moved."""
    steps = boundary.diff()
    return float(steps[steps > 0].median()) if (steps > 0).any() else 0.0


HOLD_COLUMNS = [
    "start",
    "end",
    "state",
    "workload",
    "instance",
    "digest",
    "thread_id",
    "since",
    "growth",
    "peak_length",
]


def holds(held: pd.DataFrame, runs: pd.DataFrame, purge: pd.DataFrame) -> pd.DataFrame:
    """The spans in which one view held purge, episode by episode. Answers: who held it from when to when?

    `held` is the frame of `holders`, `runs` what was given to it (`workload, instance, digest, thread_id`), `purge`
    the frame of `purge_state`. `state` is `held`, `unknown`, or `outrun` where the boundary moved, so that no view
    held it; `since` is the run's start, or the implied one where no run is known; `growth` and `peak_length` are in
    transactions.
    """
    spans = pd.DataFrame(_spans_held(held), columns=SPAN_COLUMNS)
    inside = _state_of_purge(spans, purge)
    spans = spans.assign(state=spans["state"].mask(inside == "outrun", "outrun"))[inside.notna()]
    run = spans["run"].mask(spans["state"] != "held").astype("Int64")
    columns = ["workload", "instance", "digest", "thread_id", "start"]
    known = runs[columns].astype({"thread_id": "Int64"}).rename(columns={"start": "began"}).reindex(run)
    spans = spans.join(known.set_index(spans.index))
    return spans.assign(since=spans["began"].fillna(spans["since"]))[HOLD_COLUMNS].reset_index(drop=True)


SPAN_COLUMNS = ["start", "end", "state", "run", "since", "growth", "peak_length"]


def _spans_held(held: pd.DataFrame) -> Iterator[tuple[object, ...]]:
    who = held["run"].fillna(UNKNOWN).to_numpy(dtype=int)
    for first, last in stretches(np.where(held["state"] == "none", NONE, who)):
        span = held.iloc[first:last]
        if span["state"].iloc[0] != "none":
            end = span.index[-1] + pd.Timedelta(seconds=period_s(held.index))
            told = span["state"].iloc[0], span["run"].iloc[0], span["since"].median()
            yield span.index[0], end, *told, span["growth"].sum(), span["length"].max()


def _state_of_purge(spans: pd.DataFrame, purge: pd.DataFrame) -> pd.Series:
    """The state of purge in the episode that a span's middle lies in; missing outside of all."""
    state = pd.Series(pd.NA, index=spans.index, dtype=object)
    for start, end, name in purge[["start", "end", "state"]].itertuples(index=False):
        state = state.mask(_inside(spans, start, end), name)
    return state


def _inside(spans: pd.DataFrame, start: pd.Timestamp, end: pd.Timestamp) -> pd.Series:
    middle = spans["start"] + (spans["end"] - spans["start"]) / 2
    return (middle >= start) & (middle < end)


HOLDER_COLUMNS = [
    "state",
    "workload",
    "instance",
    "digest",
    "statements",
    "spans",
    "held_s",
    "growth",
    "peak_length",
    "thread_id",
    "since",
    "share",
]


def by_holder(spans: pd.DataFrame) -> pd.DataFrame:
    """How much of the growth each holder held, most first. Answers: which session, statement and instance was it?

    `spans` is the frame of `holds`. One row a workload and instance, and one for what is unknown or outrun; `share` is
    of all growth in episodes [0 to 1], `digest`, `thread_id` and `since` are those of the span that grew most, and
    `statements` are the different ones that held.
    """
    total = spans["growth"].sum()
    rows = [
        (*name, *_held_by_one(mine), mine["growth"].sum() / total if total > 0 else 0.0)
        for name, mine in spans.groupby(HOLDER_COLUMNS[:3], dropna=False)
    ]
    return pd.DataFrame(rows, columns=HOLDER_COLUMNS).sort_values(
        "growth", ascending=False, ignore_index=True
    )


def _held_by_one(spans: pd.DataFrame) -> tuple[object, ...]:
    most = spans.sort_values("growth").iloc[-1]
    return (
        most["digest"],
        spans["digest"].nunique(),
        len(spans),
        (spans["end"] - spans["start"]).dt.total_seconds().sum(),
        spans["growth"].sum(),
        spans["peak_length"].max(),
        most["thread_id"],
        most["since"],
    )


def episode_holders(episodes: pd.DataFrame, spans: pd.DataFrame) -> pd.DataFrame:
    """The holder of most of each episode's growth, beside the episode. Answers: whose episode was it?

    Adds `state, workload, instance, thread_id, since` of the span that grew most and `share`, its part of the
    episode's growth [0 to 1]; missing where nothing could be told.
    """
    columns = ["state", "workload", "instance", "thread_id", "since", "share"]
    bounds = episodes[["start", "end"]].itertuples(index=False)
    rows = [_most(spans[_inside(spans, start, end)]) for start, end in bounds]
    return episodes.join(pd.DataFrame(rows, columns=columns, index=episodes.index))


def _most(spans: pd.DataFrame) -> tuple[object, ...]:
    total = spans["growth"].sum()
    if total <= 0:
        return (pd.NA, pd.NA, pd.NA, pd.NA, pd.NaT, np.nan)
    most = spans.sort_values("growth").iloc[-1]
    return (*most[["state", "workload", "instance", "thread_id", "since"]], most["growth"] / total)


ACTIONS = {
    "held": (
        "Shorten its statements or its transaction; on a reader, set aurora_read_replica_read_committed in its "
        "session, or extract from a clone or a snapshot export instead."
    ),
    "idle": "Let its client commit before it idles (autocommit on), or end transactions that idle for long.",
    "unknown": (
        "While it lasts, ask every instance for its open transactions (information_schema.innodb_trx); look for "
        "clients that turn autocommit off and then idle."
    ),
    "outrun": "Look at purge itself: innodb_purge_threads, and what writes so much at that time.",
}


def verdicts(
    window: Window,
    history: pd.Series,
    episodes: pd.DataFrame,
    spans: pd.DataFrame,
    *,
    watch: float = 100_000.0,  # "generally acceptable" up to here: Aurora user guide, major version upgrades
    act: float = 1_000_000.0,  # the upgrade precheck warns from here: Aurora user guide, upgrade prechecks
    coverage_needed: float = 0.8,  # the project's rule: below, the rest of the window may have been otherwise
    share_needed: float = 0.05,  # a holder of less growth that stayed below `watch` is not worth a line
) -> list[Verdict]:
    """One verdict a holder, most growth first; `blocked`, `outrun`, `unknown`, or one `healthy`.

    `history` is the history list over the window, `episodes` the frame of `growth_episodes`, `spans` that of `holds`.
    A system whose history list is short takes notice earlier: an episode is always worth watching where its peak
    is ten times the base.
    """
    coverage = (
        window.coverage(pd.DatetimeIndex(history.index), period_s(history.index)) if len(history) > 1 else 0.0
    )
    found = by_holder(spans)
    told = found[(found["share"] >= share_needed) | (found["peak_length"] >= watch)]
    verdicts = [_verdict(row, base(history), coverage, watch, act) for row in told.to_dict("records")]
    if len(episodes) and not verdicts:
        verdicts.append(_untold(episodes, coverage))
    if coverage < coverage_needed:
        verdicts.append(_uncovered(coverage, coverage_needed))
    return verdicts or [_healthy(history, coverage)]


def _verdict(row: dict[Hashable, Any], base: float, coverage: float, watch: float, act: float) -> Verdict:
    grown = (
        f"the history list grew by {row['growth']:,.0f} transactions, {row['share']:.0%} of its growth, "
        f"up to {row['peak_length']:,.0f}"
    )
    lasted = f"{_times(row['spans'])}, {_duration(row['held_s'])} in all"
    numbers = {
        "growth": round(row["growth"]),
        "growth_share": round(row["share"], 4),
        "peak_length": round(row["peak_length"]),
        "spans": row["spans"],
        "held_s": round(row["held_s"]),
        "coverage": round(coverage, 4),
    }
    subject, level, severity, sentence = _wording(
        row, grown, lasted, _severity(row["peak_length"], base, watch, act)
    )
    sentence += f" {coverage:.0%} of the window was observed."
    evidence = "inferred: when the oldest read view must have begun, beside the starts of what is known"
    if row["digest"] == IDLE:
        evidence = "seen live: its transaction was open, with a view or a write, while no statement of it ran"
    action = ACTIONS["idle" if row["digest"] == IDLE else row["state"]]
    return Verdict("undo_log", subject, level, severity, sentence, numbers, evidence, action)


def _wording(
    row: dict[Hashable, Any], grown: str, lasted: str, severity: Severity
) -> tuple[str, str, Severity, str]:
    """Subject, level, severity and sentence of a holder."""
    since = f"{row['since']:%Y-%m-%d %H:%M:%S} UTC"
    if row["state"] == "outrun":
        sentence = f"Purge was allowed to go on but could not keep up {lasted}: {grown}."
        return "purge", "outrun", severity, sentence
    if row["state"] == "unknown":
        sentence = (
            f"Nothing known explains why purge fell behind {lasted}, while {grown}. If a read view held it, the "
            f"one that cost most began at about {since}: an idle transaction is the usual cause."
        )
        return "sessions in no log", "unknown", "unknown", sentence
    what = "no statement: it was idle" if row["digest"] == IDLE else f"statement {row['digest']}"
    others = f" (of {row['statements']} different ones)" if row["statements"] > 1 else ""
    sentence = (
        f"{row['workload']} on {row['instance']} held the oldest read view {lasted}, while {grown}. The run that "
        f"cost most: thread {row['thread_id']:.0f}, {what}{others}, since {since}."
    )
    return f"{row['workload']} on {row['instance']}", "blocked", severity, sentence


def _severity(peak: float, base: float, watch: float, act: float) -> Severity:
    if peak >= act:
        return "act"
    return "watch" if peak >= watch or peak >= 10 * base else "ok"


def _untold(episodes: pd.DataFrame, coverage: float) -> Verdict:
    sentence = (
        f"The history list grew {_times(len(episodes))}, up to {episodes['peak_length'].max():,.0f} transactions; who "
        "held purge cannot be told without a count of the writer's transactions."
    )
    action = "Fetch CommitThroughput, or sample the transaction counter, for this window."
    numbers = {"episodes": len(episodes), "coverage": round(coverage, 4)}
    return Verdict(
        "undo_log", "purge", "unknown", "unknown", sentence, numbers, "the table of episodes", action
    )


def _uncovered(coverage: float, needed: float) -> Verdict:
    sentence = (
        f"Only {coverage:.0%} of the window has a history list length ({needed:.0%} is needed): the rest of it may "
        "have been otherwise."
    )
    action = "Fetch the history list length for the whole window; the coverage table shows what is missing."
    numbers = {"coverage": round(coverage, 4)}
    return Verdict(
        "undo_log", "coverage", "unknown", "unknown", sentence, numbers, "the coverage table", action
    )


def _healthy(history: pd.Series, coverage: float) -> Verdict:
    sentence = (
        f"Purge kept up: the history list stayed between {history.min():,.0f} and {history.max():,.0f} transactions. "
        f"{coverage:.0%} of the window was observed."
    )
    numbers = {"longest": round(float(history.max())), "coverage": round(coverage, 4)}
    return Verdict(
        "undo_log",
        "purge",
        "healthy",
        "ok",
        sentence,
        numbers,
        "the history list over time",
        "Nothing to do.",
    )


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _duration(seconds: float) -> str:
    """A length of time as people say it.

    >>> _duration(45), _duration(11_400)
    ('45 s', '3 h 10 min')
    """
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if seconds < 120:
        return f"{seconds:.0f} s"
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
