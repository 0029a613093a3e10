"""Agreement of the attributed holders with a planted truth, weighted by history list growth. For tests only."""

from __future__ import annotations

import numpy as np
import pandas as pd

from aurora_analysis import Store
from aurora_analysis.analysis import workloads
from aurora_analysis.analysis.undo_log import holders, implied_start


def truth(trials: pd.DataFrame, runs: pd.DataFrame, within_s: float = 10.0) -> pd.DataFrame:
    """Planted views: `start, end, run`; the run's label is missing if the view is in no log.

    `trials` are rows of the table trials, `runs` the exposures; a run belongs to a view if workload and start agree.
    """
    views = trials[trials["holds_view"].astype(bool) & trials["started_at"].notna()].sort_values("started_at")
    known = runs.rename_axis("run").reset_index().sort_values("start")[["run", "workload", "start"]]
    found = pd.merge_asof(
        views[["workload", "started_at", "ended_at"]],
        known.astype({"run": float}),
        left_on="started_at",
        right_on="start",
        by="workload",
        direction="nearest",
        tolerance=pd.Timedelta(seconds=within_s),
    )
    return found.drop(columns="start").rename(columns={"started_at": "start", "ended_at": "end"})


def agreement(
    oldest_view: pd.DataFrame, views: pd.DataFrame, period_s: float, unresolved_s: float = 0.0
) -> dict[str, float]:
    """Precision and recall of the attributed holders, and recall of `unknown`, weighted by history list growth.

    `oldest_view` is the result of `undo_log.attribute_oldest_view`, `views` that of `truth`. Only growth under a view at
    least five samples old counts: a younger view cannot be identified. Growth in the last `unresolved_s` of a view is
    left out as well: the log does not show more exactly when the view ended.
    """
    ends = views["end"] - pd.Timedelta(seconds=unresolved_s)
    whose, since = _oldest(oldest_view.index, views.assign(end=ends))
    age = (oldest_view.index - since).total_seconds() / period_s
    smooth = oldest_view["length"].rolling(3, center=True, min_periods=1).median()
    growth = np.where(age >= 5, np.clip(np.gradient(smooth), 0, None), 0)
    named = oldest_view["run"].to_numpy(dtype=float, na_value=np.nan)
    logged, unlogged = np.isfinite(whose), np.isnan(whose) & since.notna()
    right = growth[named == whose].sum()
    return {
        "precision": right / growth[np.isfinite(named)].sum(),
        "recall": right / growth[logged].sum(),
        "unknown recall": growth[unlogged & (oldest_view["state"] == "unknown")].sum()
        / max(growth[unlogged].sum(), 1),
    }


def _oldest(times: pd.DatetimeIndex, views: pd.DataFrame) -> tuple[np.ndarray, pd.DatetimeIndex]:
    """The run and the start of the oldest open view at each time."""
    whose, since = np.full(len(times), np.nan), np.full(len(times), "NaT", dtype="datetime64[us]")
    for view in views.sort_values("start", ascending=False).itertuples():
        inside = (times >= view.start) & (times < view.end)
        whose[inside], since[inside] = view.run, view.start.to_datetime64()
    return whose, pd.DatetimeIndex(since).tz_localize("UTC")


SHORTEST_RUN_S = 5.0


def judged(store: Store, unresolved_s: float = 0.0) -> dict[str, float]:
    """Agreement of the attributed holders with the recorded truth; see `agreement`."""
    held, runs = attributed(store)
    views = truth(store.read("trials", cluster="lab"), runs)
    return agreement(held, views, period_s=1.0, unresolved_s=unresolved_s)


def attributed(store: Store) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The notebook's attribution of each second, and the runs it chose from."""
    window = store.span("lab")
    history = store.metric("history_list_length", window, cluster="lab")
    committed = implied_start.committed(store.metric("commit_throughput", window, cluster="lab"))
    slow = store.read("slow_queries", window, cluster="lab", overlapping=True)
    runs = workloads.exposures(slow, shortest_s=SHORTEST_RUN_S)
    return holders.attribute_oldest_view(history, committed, runs), runs


def harmless_share(store: Store) -> float:
    """Share of the growth attributed to workloads that hold no view."""
    held, runs = attributed(store)
    trials = store.read("trials", cluster="lab")
    harmless = trials.loc[~trials["holds_view"].astype(bool), "workload"].unique()
    whose = runs["workload"].reindex(held["run"].astype(float)).to_numpy(dtype=object)
    return float(held["growth"][pd.Series(whose, held.index).isin(harmless)].sum() / held["growth"].sum())


def by_state(held: pd.DataFrame) -> dict[str, float]:
    """Shares of the growth under a view that are `held` and `unknown`."""
    growth = held[held["state"] != "none"].groupby("state")["growth"].sum()
    return (growth / growth.sum()).to_dict()


def with_samples(store: Store) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The same as `attributed`, with the transactions of the live samples."""
    window = store.span("lab")
    held, runs = attributed(store)
    live = store.read("open_transactions", window, cluster="lab")
    seen = workloads.live_runs(live, instances=store.instances(window, cluster="lab"))
    lasted = (seen["end"] - seen["start"]).dt.total_seconds()
    known = workloads.with_live_runs(runs, seen[lasted >= SHORTEST_RUN_S])
    history = store.metric("history_list_length", window, cluster="lab")
    committed = implied_start.committed(store.metric("commit_throughput", window, cluster="lab"))
    return holders.attribute_oldest_view(history, committed, known), known


def unknown_shares(store: Store) -> tuple[float, float]:
    """Unknown share of the growth under a view: from logs alone, and with live samples."""
    by_log, with_live = attributed(store)[0], with_samples(store)[0]
    return by_state(by_log).get("unknown", 0.0), by_state(with_live).get("unknown", 0.0)
