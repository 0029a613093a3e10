"""What the estimator is given, checked and laid on one grid of minutes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from aurora_analysis.analysis.reader_impact import controls, regressors
from aurora_analysis.analysis.reader_impact.controls import Array, Grid, Mask
from aurora_analysis.errors import Error


@dataclass(frozen=True)
class Study:
    """The input on one grid of minutes: `logs` of latency by metric, `open` the share of each minute by workload.

    `unknown` tells the minutes of which nobody can say whether the workload was open. The first `real` workloads
    may stand beside another one; the rest are placebos. `suspects` stand beside every other one.
    """

    grid: Grid
    logs: pd.DataFrame
    load: Array
    jobs: dict[str, Array]
    spans: Array
    drain: float
    workloads: list[str]
    open: Array
    unknown: Mask
    real: int
    suspects: list[int] = field(default_factory=list)


def study(
    latency: pd.DataFrame,
    load: pd.Series,
    exposures: pd.DataFrame,
    *,
    unknown: pd.DataFrame | None = None,
    writer_jobs: pd.DataFrame | None = None,
    history_list_length: pd.Series | None = None,
    roles: pd.DataFrame | None = None,
    timezone: str = "UTC",
) -> Study:
    """The input of `reader_impact.estimate`, which says what each argument means; one clear error where it errs."""
    _check_latency(latency)
    _check_series(load, "load")
    _check_runs(exposures, "exposures")
    times = pd.date_range(latency.index.min(), latency.index.max(), freq="min")
    throughput = _throughput(load, latency.index, times)
    grid = controls.grid(times, throughput, timezone)
    spans, known = _writer_spans(grid, roles)
    usable = latency.astype(float).reindex(times)
    usable = usable.where((usable > 0) & (usable < np.inf)).loc[known].reindex(times)
    by_name = {str(name): runs for name, runs in exposures.groupby("workload", sort=True, observed=True)}
    open_ = stack([regressors.open_share(runs, grid) for runs in by_name.values()], len(times))
    return Study(
        grid=grid,
        logs=pd.DataFrame(np.log(usable)),
        load=throughput.to_numpy(dtype=float),
        jobs=_jobs(grid, writer_jobs),
        spans=spans,
        drain=_drain(history_list_length, throughput),
        workloads=list(by_name),
        open=open_,
        unknown=_unknown(grid, list(by_name), unknown) & (open_ == 0),
        real=len(by_name),
    )


def stack(columns: list[Array], rows: int) -> Array:
    """The columns side by side, of so many rows even where there is none."""
    return np.column_stack(columns) if columns else np.zeros((rows, 0))


def _check_latency(latency: pd.DataFrame) -> None:
    if not isinstance(latency, pd.DataFrame) or not len(latency.columns):
        raise Error(
            "latency must be a DataFrame with one column a metric: to_frame('commit_latency') makes one."
        )
    twice = latency.columns[latency.columns.duplicated()]
    if len(twice):
        raise Error(f"latency has the column {twice[0]} twice: keep one column a metric.")
    _check_minutes(latency, "latency")
    for name, column in latency.items():
        _check_numbers(column, f"{name} of latency")
        if (column < 0).any():
            raise Error(f"{name} has negative latencies: leave what is missing out, or NaN.")


def _check_series(series: pd.Series, name: str) -> None:
    if not isinstance(series, pd.Series):
        raise Error(f"{name} must be a Series: squeeze() makes one of a frame of one column.")
    _check_minutes(series, name)
    _check_numbers(series, name)


def _check_minutes(series: pd.DataFrame | pd.Series, name: str) -> None:
    index = series.index
    if not isinstance(index, pd.DatetimeIndex) or index.tz is None:
        raise Error(f"The index of {name} has no time zone: give UTC times (tz_localize('UTC')).")
    if index.has_duplicates:
        raise Error(f"{name} has the minute {index[index.duplicated()][0]} twice: keep one row a minute.")
    if not len(index) or index.hasnans or (index != index.floor("min")).any():
        raise Error(f"{name} is not by the minute: resample it to whole minutes, at least one.")


def _check_numbers(series: pd.Series, name: str) -> None:
    if not pd.api.types.is_numeric_dtype(series):
        raise Error(f"{name} is no number but {series.dtype}: astype(float) makes it one.")


def _throughput(load: pd.Series, wanted: pd.Index, times: pd.DatetimeIndex) -> pd.Series:
    """The load of each minute; what is infinite is missing."""
    finite = load.astype(float).where(lambda series: series < np.inf).dropna()
    if not wanted.isin(finite.index).any():
        raise Error("latency and load have no minute in common: read both for the same window.")
    if (load < 0).any() or not finite.reindex(wanted).max() > 0:
        raise Error("load must be the writer's write throughput: not negative, and above 0 at some time.")
    return finite.reindex(times)


def _check_runs(runs: pd.DataFrame, name: str) -> None:
    missing = [column for column in ("workload", "start", "end") if column not in runs]
    if missing:
        raise Error(f"{name} has no column {missing[0]}: one row a run is expected, workload, start, end.")
    for column in ("start", "end"):
        if not isinstance(runs[column].dtype, pd.DatetimeTZDtype) and len(runs):
            raise Error(f"{column} of {name} has no time zone: give UTC times.")
    if runs[["workload", "start", "end"]].isna().any(axis=None):
        raise Error(f"{name} lacks a workload, start or end: give a run that is still open the window's end.")
    if len(runs) and (runs["end"] < runs["start"]).any():
        wrong = runs[runs["end"] < runs["start"]].iloc[0]
        raise Error(
            f"A run of {wrong['workload']} in {name} ends before its start {wrong['start']}: swap them?"
        )


def _writer_spans(grid: Grid, roles: pd.DataFrame | None) -> tuple[Array, Mask]:
    """One column for each writer after the first, and the minutes that are not within a failover."""
    known = np.ones(len(grid.times), dtype=bool)
    if roles is None or len(roles) < 2:
        return np.zeros((len(known), 0)), known
    if not {"start", "writer"} <= set(roles) or not isinstance(roles["start"].dtype, pd.DatetimeTZDtype):
        raise Error(
            "roles must have columns start (UTC) and writer: one row for each time somebody became writer."
        )
    ordered = roles.sort_values("start")
    ordered = ordered[ordered["writer"] != ordered["writer"].shift()]
    minute = np.arange(len(known))
    moves = grid.minutes(ordered["start"])[1:]
    for move in moves:
        known &= (minute < move - 5) | (minute >= move + 15)
    inside = moves[(moves > 0) & (moves < len(known))]
    return (minute[:, None] >= inside).astype(float), known


def _jobs(grid: Grid, writer_jobs: pd.DataFrame | None) -> dict[str, Array]:
    """The share of each minute in which each of the writer's own jobs was open."""
    if writer_jobs is None:
        return {}
    _check_runs(writer_jobs, "writer_jobs")
    found = {
        str(name): regressors.open_share(runs, grid)
        for name, runs in writer_jobs.groupby("workload", sort=True, observed=True)
    }
    return {name: share for name, share in found.items() if share.any()}


def _drain(history: pd.Series | None, throughput: pd.Series) -> float:
    if history is not None:
        _check_series(history, "history_list_length")
    return regressors.drain(history, throughput)


def _unknown(grid: Grid, workloads: list[str], spans: pd.DataFrame | None) -> Mask:
    """The minutes that the spans touch, by workload."""
    found = np.zeros((len(grid.times), len(workloads)), dtype=bool)
    if spans is not None:
        _check_runs(spans, "unknown")
        for n, name in enumerate(workloads):
            mine = spans[spans["workload"].astype(str) == name]
            if len(mine):
                found[:, n] = regressors.open_share(mine, grid) > 0
    return found
