"""Design of the regression: the inputs, validated and laid on one grid of minutes.

A `Design` is built once, from `Inputs`; effects, sensitivity, quantile effects, event alignment and placebos all
follow from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from aurora_analysis.analysis.effect_level import OUTCOMES
from aurora_analysis.analysis.reader_impact import controls, regressors
from aurora_analysis.analysis.reader_impact.controls import Grid
from aurora_analysis.analysis.reader_impact.projection import Floats
from aurora_analysis.analysis.series import Array, Integers, Mask
from aurora_analysis.analysis.workloads.exposure import Exposure
from aurora_analysis.errors import Error

LOAD = "dml_throughput"
HISTORY = "history_list_length"
WRITER_METRICS = [*OUTCOMES, LOAD, HISTORY]
"""The writer's metrics that `ordinary_days` uses."""

RUN_COLUMNS = ["workload", "start", "end"]

NAMED = 3
"""Most readers that a sentence names."""

FAILOVER_MASK = (5, 15)
"""Minutes before and after a failover that are not used."""


@dataclass(frozen=True)
class Inputs:
    """Tidy frames of one window, from which the design is built.

    Attributes
    ----------
    latency : pandas.DataFrame
        One column per metric [ms], one row per minute (index UTC; NaN = missing).
    load : pandas.Series
        The writer's write throughput on the same minutes [1/s].
    runs : pandas.DataFrame
        The reader workloads' runs, one row each: `workload`, `start`, `end` (UTC).
    unknown : pandas.DataFrame, optional
        Spans (same columns) in which a workload's exposure is unknown. These minutes are left out of its
        regression instead of counting as unexposed.
    writer_jobs : pandas.DataFrame, optional
        Runs of the writer's own jobs (same columns).
    history_list_length : pandas.Series, optional
        History list length by minute [transactions]; shows how fast purge drains.
    writers : pandas.DataFrame, optional
        One row for each time an instance became writer: `start` (UTC), `writer`.
    timezone : str
        Time zone of days and weekends.
    blind_readers : pandas.DataFrame, optional
        When readers existed whose statements no source shows: `reader`, `start`, `end` (UTC).
    held : pandas.DataFrame, optional
        History that each workload's read views hold back, by minute (`dose_response.held_history`) [transactions].
    """

    latency: pd.DataFrame
    load: pd.Series
    runs: pd.DataFrame
    unknown: pd.DataFrame | None = None
    writer_jobs: pd.DataFrame | None = None
    history_list_length: pd.Series | None = None
    writers: pd.DataFrame | None = None
    timezone: str = "UTC"
    blind_readers: pd.DataFrame | None = None
    held: pd.DataFrame | None = None


@dataclass(frozen=True)
class Design:
    """The inputs on one grid of minutes.

    Attributes
    ----------
    grid : Grid
        The minutes.
    logs : pandas.DataFrame
        Log latency by minute, one column per metric.
    load : numpy.ndarray, shape (minutes,)
        The writer's write throughput [1/s].
    writer_jobs : dict of str to numpy.ndarray
        Share of each minute in which each of the writer's own jobs was running [0 to 1].
    writer_terms : numpy.ndarray, shape (minutes, writers - 1)
        One step column for each writer after the first.
    purge_speed : float
        Purge speed when nothing blocks purge [mean write rates].
    workloads : list of str
        Names of the columns of `exposed`.
    exposed : numpy.ndarray, shape (minutes, workloads)
        Share of each minute in which each workload was running [0 to 1].
    view_age : numpy.ndarray, shape (minutes, workloads)
        Age of each workload's oldest run at the end of each minute [min]; 0 without one.
    unknown : numpy.ndarray, shape (minutes, workloads)
        Minutes in which a workload's exposure is unknown.
    real : int
        The first `real` columns are observed workloads and may be controls for each other; the rest are placebos.
    leading_effects : tuple of int
        Workloads that are controls in every other workload's model.
    load_held : bool
        Whether the writer's load is a control: an effect at equal load, or one that includes a change of load.
    blind_readers : dict of str to numpy.ndarray
        Share of each minute in which readers existed whose statements no source shows [0 to 1]; one entry at most, by
        the name that a refusal prints.
    held : numpy.ndarray, shape (minutes, real), optional
        History that each workload's read views hold back [transactions]; NaN where unknown.
    """

    grid: Grid
    logs: pd.DataFrame
    load: Array
    writer_jobs: dict[str, Array]
    writer_terms: Array
    purge_speed: float
    workloads: list[str]
    exposed: Array
    view_age: Floats
    unknown: Mask
    real: int
    leading_effects: tuple[int, ...] = ()
    load_held: bool = True
    blind_readers: dict[str, Array] = field(default_factory=dict)
    held: Array | None = None

    def columns(self, workloads: Sequence[int] | Integers, valid: Mask) -> Array:
        """Regressors of some workloads on the valid minutes, with the controls not removed.

        Parameters
        ----------
        workloads : sequence of int
            The workloads.
        valid : numpy.ndarray, shape (minutes,)
            Which minutes are rows of the result.

        Returns
        -------
        numpy.ndarray, shape (valid minutes, regressors.COLUMNS · workloads)
            Result of `regressors.columns`.
        """
        exposed, view_age = self.exposed[:, workloads], self.view_age[:, workloads]
        return regressors.columns(exposed, view_age, self.load, self.purge_speed, valid)

    def companions(self) -> dict[str, Array]:
        """Possible confounders of a workload, by the name that a refusal prints: the writer's jobs and readers without a source.

        Returns
        -------
        dict of str to numpy.ndarray, shape (minutes,)
            Share of each minute [0 to 1].
        """
        return {f"writer job {name}": job for name, job in self.writer_jobs.items()} | self.blind_readers


def design(inputs: Inputs) -> Design:
    """Validate the inputs and lay them on one grid of minutes.

    Parameters
    ----------
    inputs : Inputs
        Latency, load and runs of one window.

    Returns
    -------
    Design
        The argument of `effects`, `sensitivity`, `quantile_effects` and `event_aligned`.

    Raises
    ------
    Error
        If an input has the wrong shape, type or time zone; the message names the input and the fix.
    """
    _check_latency(inputs.latency)
    _check_series(inputs.load, "load")
    _check_runs(inputs.runs, "runs")
    times = pd.date_range(inputs.latency.index.min(), inputs.latency.index.max(), freq="min")
    throughput = _throughput(inputs.load, inputs.latency.index, times)
    grid = controls.grid(times, throughput, inputs.timezone)
    writer_terms, usable = _writer_terms(grid, inputs.writers)
    by_name = {str(name): runs for name, runs in inputs.runs.groupby("workload", sort=True, observed=True)}
    exposed = stack([regressors.exposed_share(runs, grid) for runs in by_name.values()], len(times))
    ages = stack([regressors.oldest_run_age(runs, grid) for runs in by_name.values()], len(times))
    return Design(
        grid=grid,
        logs=_logs(inputs.latency, times, usable),
        load=throughput.to_numpy(dtype=float),
        writer_jobs=_writer_jobs(grid, inputs.writer_jobs),
        writer_terms=writer_terms,
        purge_speed=_purge_speed(inputs.history_list_length, throughput),
        workloads=list(by_name),
        exposed=exposed,
        view_age=ages.astype(np.float32),
        unknown=_unknown(grid, list(by_name), inputs.unknown) & (exposed == 0),
        real=len(by_name),
        blind_readers=_blind_readers(grid, inputs.blind_readers),
        held=_held(grid, list(by_name), inputs.held),
    )


def ordinary_days(
    metrics: pd.DataFrame,
    exposure: Exposure,
    writer_jobs: pd.DataFrame,
    *,
    writers: pd.DataFrame | None = None,
    timezone: str = "UTC",
    held: pd.DataFrame | None = None,
) -> Design:
    """Build the design of a window's ordinary days from the writer's metrics and the readers' exposure.

    Parameters
    ----------
    metrics : pandas.DataFrame
        The writer's latencies, `LOAD` and `HISTORY` over time, one column each; averaged by minute here.
    exposure : Exposure
        When each workload ran on the readers, and when that is unknown.
    writer_jobs : pandas.DataFrame
        Runs of the writer's own jobs: `workload`, `start`, `end` (UTC).
    writers : pandas.DataFrame, optional
        One row for each time an instance became writer: `start` (UTC), `writer`.
    timezone : str
        Time zone of days and weekends.
    held : pandas.DataFrame, optional
        History that each workload's read views hold back, by minute (`dose_response.held_history`) [transactions].

    Returns
    -------
    Design
        A design without workloads, whose tables have no rows, if load, latency or runs are missing.

    Raises
    ------
    Error
        If an input has the wrong shape, type or time zone.
    """
    minutes = metrics.resample("min").mean() if len(metrics) else metrics
    latencies = [name for name in minutes if name not in (LOAD, HISTORY)]
    if exposure.runs.empty or not latencies or LOAD not in minutes:
        return empty_design()
    return design(
        Inputs(
            latency=minutes[latencies].dropna(how="all"),
            load=minutes[LOAD],
            runs=exposure.runs,
            unknown=exposure.unknown,
            writer_jobs=writer_jobs,
            history_list_length=minutes.get(HISTORY),
            writers=writers,
            timezone=timezone,
            blind_readers=exposure.blind,
            held=held,
        )
    )


def empty_design() -> Design:
    """Design without minutes and workloads: every table that follows from it has no rows.

    Returns
    -------
    Design
        All arrays have length 0.
    """
    times = pd.DatetimeIndex([], tz="UTC")
    none = np.zeros(0, dtype=np.int64)
    return Design(
        grid=Grid(times, clock=none, weekend=none.astype(bool), day=none, cut=0),
        logs=pd.DataFrame(index=times),
        load=np.zeros(0),
        writer_jobs={},
        writer_terms=np.zeros((0, 0)),
        purge_speed=regressors.PURGE_SPEED,
        workloads=[],
        exposed=np.zeros((0, 0)),
        view_age=np.zeros((0, 0)),
        unknown=np.zeros((0, 0), dtype=bool),
        real=0,
    )


def stack(columns: list[Array], rows: int) -> Array:
    """Put columns side by side; with no column, a matrix of `rows` rows and no columns.

    Parameters
    ----------
    columns : list of numpy.ndarray, shape (rows,)
        The columns.
    rows : int
        Number of rows if there is no column.

    Returns
    -------
    numpy.ndarray, shape (rows, columns)
        The matrix.
    """
    return np.column_stack(columns) if columns else np.zeros((rows, 0))


def _logs(latency: pd.DataFrame, times: pd.DatetimeIndex, usable: Mask) -> pd.DataFrame:
    """Log latency; zero, infinity and the minutes around a failover are missing."""
    values = latency.astype(float).reindex(times)
    positive = values.where((values > 0) & (values < np.inf))
    return pd.DataFrame(np.log(positive.loc[usable].reindex(times)))


def _check_latency(latency: pd.DataFrame) -> None:
    if not isinstance(latency, pd.DataFrame) or not len(latency.columns):
        raise Error(
            "latency must be a DataFrame with one column per metric: to_frame('commit_latency') makes one."
        )
    twice = latency.columns[latency.columns.duplicated()]
    if len(twice):
        raise Error(f"latency has the column {twice[0]} twice: keep one column per metric.")
    _check_minutes(latency, "latency")
    for name, column in latency.items():
        _check_numbers(column, f"{name} of latency")
        if (column < 0).any():
            raise Error(f"{name} has negative latencies: drop missing values, or set them to NaN.")


def _check_series(series: pd.Series, name: str) -> None:
    if not isinstance(series, pd.Series):
        raise Error(f"{name} must be a Series: squeeze() turns a frame of one column into one.")
    _check_minutes(series, name)
    _check_numbers(series, name)


def _check_minutes(series: pd.DataFrame | pd.Series, name: str) -> None:
    index = series.index
    if not isinstance(index, pd.DatetimeIndex) or index.tz is None:
        raise Error(f"The index of {name} has no time zone: use UTC times (tz_localize('UTC')).")
    if index.has_duplicates:
        raise Error(f"{name} has the minute {index[index.duplicated()][0]} twice: keep one row per minute.")
    if not len(index) or index.hasnans or (index != index.floor("min")).any():
        raise Error(f"{name} is not by the minute: resample it to whole minutes, at least one.")


def _check_numbers(series: pd.Series, name: str) -> None:
    if not pd.api.types.is_numeric_dtype(series):
        raise Error(f"{name} is not numeric but {series.dtype}: convert it with astype(float).")


def _throughput(load: pd.Series, wanted: pd.Index, times: pd.DatetimeIndex) -> pd.Series:
    """Load of each minute; infinite values are missing."""
    finite = load.astype(float).where(lambda series: series < np.inf).dropna()
    if not wanted.isin(finite.index).any():
        raise Error("latency and load have no minute in common: read both for the same window.")
    if (load < 0).any() or not finite.reindex(wanted).max() > 0:
        raise Error("load must be the writer's write throughput: never negative, and above 0 at some time.")
    return finite.reindex(times)


def _check_runs(runs: pd.DataFrame, name: str) -> None:
    missing = [column for column in RUN_COLUMNS if column not in runs]
    if missing:
        raise Error(f"{name} has no column {missing[0]}: it needs one row per run: workload, start, end.")
    for column in ("start", "end"):
        if not isinstance(runs[column].dtype, pd.DatetimeTZDtype) and len(runs):
            raise Error(f"{column} of {name} has no time zone: use UTC times.")
    if runs[RUN_COLUMNS].isna().any(axis=None):
        raise Error(f"{name} lacks a workload, start or end: end a run in progress at the end of the window.")
    if len(runs) and (runs["end"] < runs["start"]).any():
        wrong = runs[runs["end"] < runs["start"]].iloc[0]
        raise Error(
            f"A run of {wrong['workload']} in {name} ends before its start {wrong['start']}: swap them?"
        )


def _writer_terms(grid: Grid, writers: pd.DataFrame | None) -> tuple[Array, Mask]:
    """One step column for each writer after the first, and the minutes outside failovers."""
    usable = np.ones(len(grid.times), dtype=bool)
    if writers is None or len(writers) < 2:
        return np.zeros((len(usable), 0)), usable
    if not {"start", "writer"} <= set(writers) or not isinstance(writers["start"].dtype, pd.DatetimeTZDtype):
        raise Error(
            "writers must have columns start (UTC) and writer: "
            "one row for each time an instance became writer."
        )
    ordered = writers.sort_values("start")
    ordered = ordered[ordered["writer"] != ordered["writer"].shift()]
    minute = np.arange(len(usable))
    failovers = grid.minutes(ordered["start"])[1:]
    before, after = FAILOVER_MASK
    for moment in failovers:
        usable &= (minute < moment - before) | (minute >= moment + after)
    inside = failovers[(failovers > 0) & (failovers < len(usable))]
    return (minute[:, None] >= inside).astype(float), usable


def _writer_jobs(grid: Grid, runs: pd.DataFrame | None) -> dict[str, Array]:
    """Share of each minute in which each of the writer's own jobs was running."""
    if runs is None:
        return {}
    _check_runs(runs, "writer_jobs")
    found = {
        str(name): regressors.exposed_share(mine, grid)
        for name, mine in runs.groupby("workload", sort=True, observed=True)
    }
    return {name: share for name, share in found.items() if share.any()}


def _blind_readers(grid: Grid, spans: pd.DataFrame | None) -> dict[str, Array]:
    """Share of each minute in which at least one of these readers existed, by all of their names."""
    if spans is None or spans.empty:
        return {}
    present = regressors.exposed_share(spans.rename(columns={"reader": "workload"}), grid)
    names = sorted({*spans["reader"]})
    listed = ", ".join(names[:NAMED]) + f" and {len(names) - NAMED} more" * (len(names) > NAMED)
    return {f"the presence of reader{'s' * (len(names) > 1)} {listed}": present} if present.any() else {}


def _held(grid: Grid, workloads: list[str], held: pd.DataFrame | None) -> Array | None:
    """History held by minute and workload; a workload that is not listed holds none."""
    if held is None or held.empty:
        return None
    _check_minutes(held, "held")
    columns = held.reindex(columns=workloads, fill_value=0.0)
    return columns.where(held.notna().any(axis=1), np.nan).reindex(grid.times).to_numpy(dtype=float)


def _purge_speed(history_list_length: pd.Series | None, throughput: pd.Series) -> float:
    if history_list_length is not None:
        _check_series(history_list_length, "history_list_length")
    return regressors.purge_speed(history_list_length, throughput)


def _unknown(grid: Grid, workloads: list[str], spans: pd.DataFrame | None) -> Mask:
    """Minutes that the spans touch, by workload."""
    found = np.zeros((len(grid.times), len(workloads)), dtype=bool)
    if spans is not None:
        _check_runs(spans, "unknown")
        for n, name in enumerate(workloads):
            mine = spans[spans["workload"].astype(str) == name]
            if len(mine):
                found[:, n] = regressors.exposed_share(mine, grid) > 0
    return found
