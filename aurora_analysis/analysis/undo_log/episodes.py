"""Episodes in which the history list grew: their bounds, the state of purge, and the spans that a read view blocked.

InnoDB keeps the old versions of rows for as long as any read view may need them. The history list length counts the
committed transactions whose undo waits for purge (CloudWatch: RollbackSegmentHistoryListLength). Purge may advance to
the start of the oldest open read view on the writer or on any Aurora reader, because they share one undo log.
`holders` infers which session held that view.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import pandas as pd

from aurora_analysis.analysis.series import Array, period_s, stretches, without_gaps
from aurora_analysis.analysis.sparkline import Sparkline, sparklines
from aurora_analysis.analysis.undo_log.samples import NONE, UNKNOWN
from aurora_analysis.analysis.workloads import IDLE
from aurora_analysis.window import Window

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
    """Find the spans in which the history list grew and drained again.

    Parameters
    ----------
    history : Series
        History list length over time (UTC) [transactions].
    least : float, optional
        Smallest rise above the preceding trough that counts as an episode [transactions]. Default: `notable_growth`.

    Returns
    -------
    DataFrame
        One row per episode, in order of time. `start` and `end` (exclusive) bound it; `peak_at` is when it was longest;
        `start_length`, `peak_length` and `end_length` are history list lengths [transactions]; `growth_per_s` and
        `drain_per_s` are mean rates up to and from the peak [transactions/s]; `complete` is False if a gap or the window
        cuts the episode. An episode ends when nine tenths of the rise are gone, at a gap, or with the data.
    """
    threshold = notable_growth(history) if least is None else least
    rows = [
        _episode(part, *span) for part in without_gaps(history) for span in _spans(part.to_numpy(), threshold)
    ]
    return pd.DataFrame(rows, columns=EPISODE_COLUMNS).astype({"complete": bool})


def at_a_glance(history: pd.Series, window: Window) -> list[Sparkline]:
    """Draw what waits for cleanup over the window as a sparkline.

    Parameters
    ----------
    history : Series
        History list length, or age of the xmin horizon, over time (UTC) [transactions]; its name is the label.
    window : Window
        The window to draw.

    Returns
    -------
    list of Sparkline
        One sparkline; none if there are too few samples.
    """
    measure = "xmin horizon age" if history.name == "xmin_horizon_age" else "history list length"
    named = {"role": "writer", "measure": measure}
    rows = history.rename("value").rename_axis("time").reset_index().assign(**named)
    return sparklines("undo_log", rows, {named["measure"]: "transactions"}, window)


def around_highest(history: pd.Series, window: Window, *, hours: float = 24.0) -> Window:
    """Cut the part of the window around its longest history list.

    Parameters
    ----------
    history : Series
        History list length over time (UTC) [transactions].
    window : Window
        The window to cut from.
    hours : float, default 24
        Length of the part [h].

    Returns
    -------
    Window
        A part of that length inside the window, or the whole window if it is shorter.
    """
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
    """Choose the smallest rise that makes an episode [transactions].

    Parameters
    ----------
    history : Series
        History list length over time (UTC) [transactions].
    times_base : float, default 10
        The rise as a multiple of `base`.
    always : float, default 100,000
        Upper limit of the result [transactions].

    Returns
    -------
    float
        `times_base` times the base, or 20 times the median step if that is larger, at most `always`.
    """
    if history.empty:
        return always
    noise = 20 * float(history.diff().abs().median())
    return float(min(max(times_base * base(history), noise, 1.0), always))


def base(history: pd.Series) -> float:
    """Estimate the history list while purge keeps up: the lower decile [transactions].

    Parameters
    ----------
    history : Series
        History list length over time [transactions].

    Returns
    -------
    float
        The lower decile [transactions].
    """
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
    """Yield start, peak and end of each rise of at least `least`; a tenth of the rise is left at the end."""
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
    """Find where the rise to `at` began: the last low before it, not a lower one hours earlier."""
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
    """Classify purge in each episode as `blocked` or `outrun`.

    Blocked: the boundary, up to which purge is allowed, stands still for at least half of the growth. Outrun: the
    boundary moves, and purge trails it.

    Parameters
    ----------
    boundary : Series
        Transaction number up to which purge is allowed, over time (CloudWatch: PurgeBoundary).
    finished : Series
        Transaction number up to which purge has finished, over time (CloudWatch: PurgeFinishedPoint).
    episodes : DataFrame
        Result of `growth_episodes`.

    Returns
    -------
    DataFrame
        One row per episode: `start`, `end`, `state` (`blocked`, `outrun`, or `unknown` without a boundary),
        `still_share`, the share of samples at which the boundary stood still [0 to 1], and `backlog`, the farthest that
        purge trailed the boundary during the growth [transaction numbers].
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
    """Median step of the boundary between samples when nothing holds it; 0 if it never moved."""
    steps = boundary.diff()
    return float(steps[steps > 0].median()) if (steps > 0).any() else 0.0


SPAN_COLUMNS = [
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


def blocking_spans(oldest_view: pd.DataFrame, runs: pd.DataFrame, purge: pd.DataFrame) -> pd.DataFrame:
    """Find the spans in which one read view blocked purge, episode by episode.

    Parameters
    ----------
    oldest_view : DataFrame
        Result of `attribute_oldest_view`.
    runs : DataFrame
        The runs given to `attribute_oldest_view`, with `workload, instance, digest, thread_id, start`.
    purge : DataFrame
        Result of `purge_state`.

    Returns
    -------
    DataFrame
        One row per span: `start`, `end` (exclusive), `workload, instance, digest, thread_id` of the run, and
        `state`: `held`, `unknown`, or `outrun` if the boundary moved, so that no view blocked purge. `since` is the
        run's start, or the implied start of the view if no run is identified; `growth` and `peak_length` are in
        transactions.
    """
    spans = pd.DataFrame(_attributed_spans(oldest_view), columns=ATTRIBUTED_COLUMNS)
    inside = _state_of_purge(spans, purge)
    spans = spans.assign(state=spans["state"].mask(inside == "outrun", "outrun"))[inside.notna()]
    run = spans["run"].mask(spans["state"] != "held").astype("Int64")
    columns = ["workload", "instance", "digest", "thread_id", "start"]
    known = (
        runs[columns]
        .astype({"thread_id": "Int64"})
        .rename(columns={"start": "began"})
        .reindex(run.to_numpy(dtype=float, na_value=np.nan))
    )
    spans = spans.join(known.set_index(spans.index))
    return spans.assign(since=spans["began"].fillna(spans["since"]))[SPAN_COLUMNS].reset_index(drop=True)


ATTRIBUTED_COLUMNS = ["start", "end", "state", "run", "since", "growth", "peak_length"]


def _attributed_spans(oldest_view: pd.DataFrame) -> Iterator[tuple[object, ...]]:
    run = oldest_view["run"].fillna(UNKNOWN).to_numpy(dtype=int)
    for first, last in stretches(np.where(oldest_view["state"] == "none", NONE, run)):
        span = oldest_view.iloc[first:last]
        if span["state"].iloc[0] != "none":
            end = span.index[-1] + pd.Timedelta(seconds=period_s(oldest_view.index))
            view = span["state"].iloc[0], span["run"].iloc[0], span["since"].median()
            yield span.index[0], end, *view, span["growth"].sum(), span["length"].max()


def _state_of_purge(spans: pd.DataFrame, purge: pd.DataFrame) -> pd.Series:
    """State of purge in the episode that contains a span's middle; missing outside all episodes."""
    state = pd.Series(pd.NA, index=spans.index, dtype=object)
    for start, end, name in purge[["start", "end", "state"]].itertuples(index=False):
        state = state.mask(_inside(spans, start, end), name)
    return state


def _inside(spans: pd.DataFrame, start: pd.Timestamp, end: pd.Timestamp) -> pd.Series:
    middle = spans["start"] + (spans["end"] - spans["start"]) / 2
    return (middle >= start) & (middle < end)


BLOCKER_COLUMNS = [
    "state",
    "workload",
    "instance",
    "digest",
    "statements",
    "spans",
    "held_s",
    "idle_share",
    "growth",
    "peak_length",
    "thread_id",
    "since",
    "share",
]


def growth_by_blocker(spans: pd.DataFrame) -> pd.DataFrame:
    """Sum the growth that each blocker caused, largest first.

    Parameters
    ----------
    spans : DataFrame
        Result of `blocking_spans`.

    Returns
    -------
    DataFrame
        One row per workload and instance, and one each for unknown and outrun: `growth` [transactions], `share` of
        all growth in episodes [0 to 1], number of `spans`, `held_s` (their total length [s]), `idle_share`, the part of it in
        which no statement ran [0 to 1], `peak_length` [transactions], and the number of different `statements`. `digest`, `thread_id` and `since` are those of the
        span with the most growth.
    """
    total = spans["growth"].sum()
    rows = [
        (*name, *_blocked_by_one(own), own["growth"].sum() / total if total > 0 else 0.0)
        for name, own in spans.groupby(BLOCKER_COLUMNS[:3], dropna=False)
    ]
    return pd.DataFrame(rows, columns=BLOCKER_COLUMNS).sort_values(
        "growth", ascending=False, ignore_index=True
    )


def _blocked_by_one(spans: pd.DataFrame) -> tuple[object, ...]:
    most = spans.sort_values("growth").iloc[-1]
    held_s = (spans["end"] - spans["start"]).dt.total_seconds()
    is_known = spans["digest"].notna().all()
    return (
        most["digest"],
        spans["digest"].nunique(),
        len(spans),
        held_s.sum(),
        held_s[spans["digest"] == IDLE].sum() / held_s.sum() if is_known else np.nan,
        spans["growth"].sum(),
        spans["peak_length"].max(),
        most["thread_id"],
        most["since"],
    )


def episode_blockers(episodes: pd.DataFrame, spans: pd.DataFrame) -> pd.DataFrame:
    """Name the blocker of most of each episode's growth.

    Parameters
    ----------
    episodes : DataFrame
        Result of `growth_episodes`.
    spans : DataFrame
        Result of `blocking_spans`.

    Returns
    -------
    DataFrame
        The episodes with `state, workload, instance, thread_id, since` of the span with the most growth, and `share`, its
        part of the episode's growth [0 to 1]; missing if no span lies in the episode.
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
