"""Recorded holds of a read view: the undo that each left, minute by minute, next to the writer's latency.

The history list length is what a held view does to the writer, so it is the exposure here. Only growth while a read view
was held counts. Episodes in which writes outran purge are left out: there the writes may slow the writer as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from aurora_analysis.analysis.effect_level import OUTCOMES
from aurora_analysis.analysis.reader_impact.design import HISTORY, LOAD, Design, Inputs, design
from aurora_analysis.analysis.series import Array, Mask
from aurora_analysis.analysis.undo_log import growth_episodes
from aurora_analysis.analysis.undo_log.episodes import base

HELD_LEAST = 0.5
"""An episode counts if a read view was held in at least this share of its growing minutes [0 to 1]."""

HOLDS = "held read views"
"""Name of the exposure."""


@dataclass(frozen=True)
class Recorded:
    """The writer's minutes, and the holds among them.

    Attributes
    ----------
    design : Design
        Latency, load and the writer's jobs by minute; its only exposure is `HOLDS`, from a hold's start to its peak.
    excess : numpy.ndarray, shape (minutes,)
        History list above its base because of a held view [transactions]; 0 outside the holds.
    episodes : DataFrame
        Episodes in which a view was held; see `growth_episodes`.
    oldest_view : DataFrame
        Which run held the oldest view at each sample; see `attribute_oldest_view`.
    commits : Series
        The writer's commits per second (UTC) [1/s].
    base : float
        History list length while nothing holds purge [transactions].
    """

    design: Design
    excess: Array
    episodes: pd.DataFrame
    oldest_view: pd.DataFrame
    commits: pd.Series
    base: float

    @property
    def longest_hold_s(self) -> float:
        """Longest time from the start of a hold to its peak [s]; 0 without a hold."""
        held = (self.episodes["peak_at"] - self.episodes["start"]).dt.total_seconds()
        return float(held.max()) if len(held) else 0.0

    def of_days(self, days: Mask) -> Recorded:
        """Leave out the holds and the commits of some days.

        Parameters
        ----------
        days : numpy.ndarray, shape (days,)
            Whether each day of the grid is kept.

        Returns
        -------
        Recorded
            The same minutes, but those of holds on other days are without a latency.
        """
        grid = self.design.grid
        kept = days[grid.day]
        at = grid.times.get_indexer(pd.DatetimeIndex(self.episodes["start"]), method="nearest")
        mine = days[grid.day[at]]
        hidden = _inside(grid.times, self.episodes[~mine]) | (_inside(grid.times, self.episodes) & ~kept)
        logs = self.design.logs.mask(pd.Series(hidden, grid.times), axis=0)
        exposed, view_age = (
            np.where(hidden[:, None], 0.0, of) for of in (self.design.exposed, self.design.view_age)
        )
        others = grid.times[~kept]
        return replace(
            self,
            design=replace(self.design, logs=logs, exposed=exposed, view_age=view_age),
            excess=np.where(hidden, 0.0, self.excess),
            episodes=self.episodes[mine],
            oldest_view=self.oldest_view.assign(
                run=self.oldest_view["run"].mask(_minute_of(self.oldest_view).isin(others))
            ),
            commits=self.commits[~_minute_of(self.commits).isin(others)],
        )


@dataclass(frozen=True)
class Observed:
    """The window's evidence on the writer and its undo history.

    Attributes
    ----------
    metrics : DataFrame
        The writer's metrics (`WRITER_METRICS`) by minute, one column each (UTC).
    commits : Series
        The writer's commits per second (UTC) [1/s].
    oldest_view : DataFrame
        Which run held the oldest view at each sample; see `attribute_oldest_view`.
    jobs : DataFrame
        Runs of the writer's own jobs: `workload`, `start`, `end` (UTC).
    writers : DataFrame, optional
        One row for each time an instance became writer: `start` (UTC), `writer`.
    timezone : str
        Time zone of weekdays and hours.
    """

    metrics: pd.DataFrame
    commits: pd.Series
    oldest_view: pd.DataFrame
    jobs: pd.DataFrame
    writers: pd.DataFrame | None = None
    timezone: str = "UTC"


def recorded(observed: Observed) -> Recorded | str:
    """Find the holds in a window and lay the undo that they left on its minutes.

    Parameters
    ----------
    observed : Observed
        The window.

    Returns
    -------
    Recorded or str
        The holds; or why there is none, as the second half of a sentence. Minutes of an episode in which writes
        outran purge have no latency.
    """
    minutes = observed.metrics.resample("min").mean() if len(observed.metrics) else observed.metrics
    latencies = [name for name in OUTCOMES if name in minutes and minutes[name].notna().any()]
    lacking = [name for name in (LOAD, HISTORY) if name not in minutes or minutes[name].isna().all()]
    if not latencies or lacking or observed.commits.dropna().empty:
        return f"the window has no {', no '.join(lacking or ['commit or latency metric'])}"
    history = minutes[HISTORY].dropna()
    episodes = growth_episodes(history)
    held = np.array(
        [_held(observed.oldest_view, *ends) for ends in zip(episodes["start"], episodes["peak_at"])]
    )
    mine, outrun = episodes[held >= HELD_LEAST], episodes[held < HELD_LEAST]
    if mine.empty:
        return "no read view was held long enough for the history list to grow"
    spans = mine.assign(workload=HOLDS, end=mine["peak_at"])
    built = design(
        Inputs(
            latency=minutes[latencies].dropna(how="all"),
            load=minutes[LOAD],
            runs=spans[["workload", "start", "end"]],
            writer_jobs=observed.jobs,
            history_list_length=minutes[HISTORY],
            writers=observed.writers,
            timezone=observed.timezone,
        )
    )
    times, rest = built.grid.times, base(history)
    lengths = minutes[HISTORY].reindex(times).to_numpy(dtype=float)
    inside = _inside(times, mine)
    # A minute of a hold without a length cannot be used; outside the holds there is no excess.
    unknown = (inside & np.isnan(lengths)) | _inside(times, outrun)
    return Recorded(
        design=replace(built, logs=built.logs.mask(pd.Series(unknown, times), axis=0)),
        excess=np.where(inside, np.clip(np.nan_to_num(lengths) - rest, 0, None), 0.0),
        episodes=mine,
        oldest_view=observed.oldest_view,
        commits=observed.commits,
        base=rest,
    )


def _minute_of(samples: pd.Series | pd.DataFrame) -> pd.DatetimeIndex:
    """Minute of each sample."""
    return pd.DatetimeIndex(samples.index).floor("min")


def _held(oldest_view: pd.DataFrame, start: pd.Timestamp, peak: pd.Timestamp) -> float:
    """Share of an episode's growing samples at which a view was held, by a known session or not."""
    states = oldest_view.loc[start:peak, "state"]
    return float((states != "none").mean()) if len(states) else 0.0


def _inside(times: pd.DatetimeIndex, spans: pd.DataFrame) -> Mask:
    """Minutes that lie in any of the spans, `start` to `end`."""
    found = np.zeros(len(times), dtype=bool)
    for start, end in zip(spans["start"], spans["end"]):
        found |= (times >= start.floor("min")) & (times <= end)
    return found
