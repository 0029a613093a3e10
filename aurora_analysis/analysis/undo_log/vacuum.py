"""Find whether vacuum was blocked or outrun on PostgreSQL, and by whom: the data frames and the page's tables.

The frames have the shape of InnoDB's: the age of the xmin horizon plays the history list's part, and the horizon that of
the purge boundary.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from aurora_analysis import engines
from aurora_analysis.analysis import workloads
from aurora_analysis.analysis.series import Mask, seconds, stretches
from aurora_analysis.analysis.undo_log import horizon as horizons
from aurora_analysis.analysis.undo_log.dead_rows import by_table
from aurora_analysis.analysis.undo_log.episodes import (
    PURGE_COLUMNS,
    base,
    blocking_spans,
    growth_episodes,
    notable_growth,
)
from aurora_analysis.analysis.undo_log.holders import Attribution
from aurora_analysis.analysis.undo_log.horizon import KINDS, Horizon, Sessions
from aurora_analysis.analysis.undo_log.idle_readers import idle_since, reader_of
from aurora_analysis.analysis.workloads import EXPOSURE_COLUMNS, IDLE
from aurora_analysis.store.observations import Observations

RELATION_COLUMNS = ["dead_rows", "vacuum_at", "vacuumed_s_ago"]
"""Columns of the table `relations` that show whether a table is overdue for vacuum."""


@dataclass(frozen=True)
class Vacuum:
    """The window's evidence on vacuum.

    Attributes
    ----------
    horizon : Horizon
        The xmin horizon over time.
    episodes : DataFrame
        Spans in which its age grew; see `growth_episodes`.
    states : DataFrame
        State of vacuum in each of them, in the columns of `purge_state`; `backlog` are the most dead rows [rows].
    runs : DataFrame
        Logged statements, snapshots in live samples, and a row for each span whose holder is known by its kind only.
    attribution : Attribution
        Which run held the horizon at each sample.
    spans : DataFrame
        Spans in which one of them blocked vacuum; see `blocking_spans`.
    sureness : DataFrame
        By name of the blocker: `confidence`, and no rival.
    dead_rows : Series
        Dead rows of the writer's tables over time (UTC) [rows].
    trailing : DataFrame
        Tables that were overdue for vacuum while nothing held the horizon: `time`, `database`, `relation`, `dead_rows`.
    tables_known : float
        Share of the horizon's samples at which it is known whether a table is overdue [0 to 1].
    base : float
        Usual age of the horizon: what the shortest run that counts would cause, or more [transactions].
    tables : DataFrame
        Dead rows of each of the writer's tables; see `dead_rows.by_table`.
    """

    horizon: Horizon
    episodes: pd.DataFrame
    states: pd.DataFrame
    runs: pd.DataFrame
    attribution: Attribution
    spans: pd.DataFrame
    sureness: pd.DataFrame
    dead_rows: pd.Series
    trailing: pd.DataFrame
    tables_known: float
    base: float
    tables: pd.DataFrame


def horizon(data: Observations) -> Horizon:
    """Read the xmin horizon of a window.

    Parameters
    ----------
    data : Observations
        The window of one cluster.

    Returns
    -------
    Horizon
        Without rows if no source has it.
    """
    return horizons.horizon(data.metrics(horizons.METRICS), data.table("vacuums"))


def attribution(data: Observations, found: Horizon, runs: pd.DataFrame) -> Attribution:
    """Attribute the horizon to the runs of a window.

    Parameters
    ----------
    data : Observations
        The window of one cluster.
    found : Horizon
        Result of `horizon`.
    runs : DataFrame
        `workload, instance, digest, thread_id, start, end` (UTC).

    Returns
    -------
    Attribution
        Result of `horizon.attribution`.
    """
    relations = data.table("relations")
    observed = relations[relations["role"] != "reader"] if "role" in relations else relations
    sessions = Sessions(
        data.table("open_transactions"),
        data.table("read_views"),
        frozenset(str(name) for name in observed["database"].dropna().unique()),
        engines.module(data.engine, "cleanup").holds,
    )
    roles = data.roles(runs, time="start") if len(runs) else pd.Series(dtype=object)
    return horizons.attribution(found, sessions, runs.assign(role=roles))


def vacuum(data: Observations, groups: workloads.Groups, shortest_s: float) -> Vacuum:
    """Find whether and by whom vacuum was blocked in a window.

    Parameters
    ----------
    data : Observations
        The window of one cluster.
    groups : Groups
        Rules that name workloads and jobs (`config.groups`).
    shortest_s : float
        Leave out shorter statements, which hold no snapshot for long [s].

    Returns
    -------
    Vacuum
        The frames of the answer.
    """
    found = horizon(data)
    known = _runs(data, groups, shortest_s)
    usual = max(base(found.age), shortest_s * _rate(found)) if len(found.age) else np.nan
    least = max(notable_growth(found.age), shortest_s * _rate(found)) if len(found.age) else None
    episodes = growth_episodes(found.age, least=least)
    attributed, runs = _with_kinds(attribution(data, found, known), known, idle_since(data))
    dead_rows = data.metric("dead_rows")
    states = _states(found, episodes, dead_rows)
    spans = blocking_spans(attributed.oldest_view, runs, states)
    trailing, tables_known = _trailing(data, attributed.oldest_view)
    return Vacuum(
        horizon=found,
        episodes=episodes,
        states=states,
        runs=runs,
        attribution=attributed,
        spans=spans,
        sureness=_sureness(spans, attributed.oldest_view, runs),
        dead_rows=dead_rows,
        trailing=trailing,
        tables_known=tables_known,
        base=usual,
        tables=by_table(data),
    )


def _rate(found: Horizon) -> float:
    """Return the transaction ids handed out per second; 0 without a clock."""
    known = found.clock.dropna()
    lasted = np.ptp(seconds(known.index)) if len(known) > 1 else 0.0
    return float((known.iloc[-1] - known.iloc[0]) / lasted) if lasted else 0.0


def _runs(data: Observations, groups: workloads.Groups, shortest_s: float) -> pd.DataFrame:
    """Return the logged statements of all instances, then the snapshots in live samples."""
    rules = {**groups.workloads, **groups.jobs}
    slow_queries = data.table(
        "slow_queries", columns=workloads.COLUMNS, at_least={"query_time_s": shortest_s}, overlapping=True
    )
    logged = workloads.exposures(slow_queries, rules, instances=data.instances)
    sampled = snapshots(data.table("open_transactions"), rules, data.instances)
    parts = [part for part in (logged, sampled) if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else logged


def snapshots(
    open_transactions: pd.DataFrame, rules: workloads.Rules, instances: pd.DataFrame
) -> pd.DataFrame:
    """List the snapshots that sessions held in live samples, as runs.

    Parameters
    ----------
    open_transactions : DataFrame
        Rows of the table open_transactions.
    rules : mapping
        Workload → rules.
    instances : DataFrame
        Rows of the table instances.

    Returns
    -------
    DataFrame
        One row per session and transaction id that it needed. The first snapshot of a transaction begins with it, a later one
        (READ COMMITTED) with its first sample. `digest` is the statement that most samples show.
    """
    rows = open_transactions.dropna(subset="oldest_xid")
    rows = rows.assign(digest=rows["digest"].fillna(IDLE)).sort_values("time", kind="stable")
    rows = rows.assign(workload=workloads.workload_names(rows, rules, instances))
    session = ["instance", "thread_id", "started_at"]
    by_snapshot = rows.groupby([*session, "oldest_xid"], as_index=False, sort=False)
    found = by_snapshot.agg(workload=("workload", "first"), first=("time", "min"), end=("time", "max"))
    found = found.assign(digest=workloads.most_sampled(rows["digest"], by_snapshot.ngroup()))
    is_first = ~found.duplicated(session)
    return found.assign(start=found["started_at"].where(is_first, found["first"]))[EXPOSURE_COLUMNS]


def _with_kinds(
    found: Attribution, runs: pd.DataFrame, idle: pd.DataFrame
) -> tuple[Attribution, pd.DataFrame]:
    """Give each span for which only the holder's kind is known its own run, named `(a session of a reader)` or similar."""
    view = found.oldest_view.copy()
    unnamed = (view["state"].eq("unknown") & view["kind"].notna()).to_numpy()
    label, _ = pd.factorize(view["kind"].fillna("") + " of " + view["instance"].fillna(""))
    rows, at = [], (int(runs.index.max()) + 1 if len(runs) else 0)
    for first, last in stretches(np.where(unnamed, label, -1)):
        if not unnamed[first]:
            continue
        own = view.iloc[first:last]
        began = own["since"].median()
        start = own.index[0] if pd.isna(began) else began
        name = f"({own['kind'].iloc[0]})"
        instance = own["instance"].iloc[0]
        if pd.isna(instance) and own["kind"].iloc[0] == KINDS["xmin_age_readers"]:
            instance = reader_of(idle, pd.DatetimeIndex(own.index), pd.Timestamp(start))
        rows.append((name, instance, IDLE, pd.NA, start, own.index[-1]))
        view.loc[own.index, "state"] = "held"
        view.loc[own.index, "run"] = at + len(rows) - 1
    if not rows:
        return found, runs
    extra = pd.DataFrame(rows, columns=EXPOSURE_COLUMNS, index=range(at, at + len(rows)))
    both = [part for part in (runs, extra) if len(part)]
    return replace(found, oldest_view=view), pd.concat(both)


def _states(found: Horizon, episodes: pd.DataFrame, dead_rows: pd.Series) -> pd.DataFrame:
    """Return the share of samples at which the horizon stood still, and the most dead rows: whatever lets the age grow blocks vacuum."""
    still = pd.Series(horizons.stood_still(found), found.age.index) if len(found.age) > 1 else pd.Series()
    rows = [
        (
            start,
            end,
            "blocked",
            float(still[start:peak].iloc[1:].mean()) if len(still[start:peak]) > 1 else np.nan,
            dead_rows[start:end].max(),
        )
        for start, peak, end in episodes[["start", "peak_at", "end"]].itertuples(index=False)
    ]
    return pd.DataFrame(rows, columns=PURGE_COLUMNS)


def _sureness(spans: pd.DataFrame, view: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Return the confidence in each blocker's name, weighted by growth."""
    held = view[view["run"].notna()]
    whose = runs.reindex(held["run"].to_numpy(dtype=float))
    names = (whose["workload"].astype(str) + " on " + whose["instance"].astype(str)).to_numpy()
    weight = held["growth"] + 1e-9
    sums = (
        pd.DataFrame({"weight": weight, "sure": weight * held["confidence"].fillna(1.0)}).groupby(names).sum()
    )
    confidence = (sums["sure"] / sums["weight"]).astype(float)
    return pd.DataFrame({"confidence": confidence, "rival": "", "rival_confidence": 0.0})


def _trailing(data: Observations, view: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    """Return the tables that were overdue while nothing held the horizon, and the share of samples at which that is known."""
    columns = ["time", "database", "relation", "dead_rows"]
    rows = data.table("relations").reindex(columns=[*columns, *RELATION_COLUMNS[1:]])
    known = rows.dropna(subset=RELATION_COLUMNS)
    if known.empty or view.empty:
        return known[columns], 0.0
    cleanup = engines.module(data.engine, "cleanup")
    overdue = [cleanup.is_overdue(*values) for values in known[RELATION_COLUMNS].itertuples(index=False)]
    blocked = _held_at(view, pd.DatetimeIndex(known["time"]))
    states = [cleanup.state_of(bool(held), late) for held, late in zip(blocked, overdue)]
    sampled = known["time"].nunique() / max(len(view), 1)
    return known.loc[np.array(states) == "outrun", columns], min(1.0, float(sampled))


def _held_at(view: pd.DataFrame, times: pd.DatetimeIndex) -> Mask:
    """Return whether something held the horizon at the sample before each time."""
    place = np.clip(view.index.searchsorted(times, side="right") - 1, 0, None)
    return np.asarray(view["state"].ne("none").to_numpy()[place], dtype=bool)


def relations(data: Observations) -> pd.DataFrame:
    """Summarise the writer's tables in live samples, most dead rows first.

    Parameters
    ----------
    data : Observations
        The window of one cluster.

    Returns
    -------
    DataFrame
        By `database` and `relation`: the most `dead_rows` [rows] and when (`at`, UTC), `rows_changed` and `vacuums` in the
        window, the lowest `hot_share` [0 to 1], and the growth of the table [MB]. Without rows where the store has none.
    """
    rows = data.table("relations").sort_values("time", kind="stable")
    found = [
        (
            *name,
            own["dead_rows"].max(),
            own["time"].iloc[int(own["dead_rows"].astype(float).argmax())],
            own["rows_changed"].max() - own["rows_changed"].min(),
            own["vacuums"].max() - own["vacuums"].min(),
            own["hot_share"].min(),
            (own["bytes"].iloc[-1] - own["bytes"].iloc[0]) / 1e6,
        )
        for name, own in rows.dropna(subset="dead_rows").groupby(["database", "relation"], observed=True)
    ]
    columns = ["database", "relation", "dead_rows", "at", "rows_changed", "vacuums", "hot_share", "growth_mb"]
    return pd.DataFrame(found, columns=columns).sort_values("dead_rows", ascending=False, ignore_index=True)


def vacuums(data: Observations) -> pd.DataFrame:
    """Summarise autovacuum's reports by table, most rows left first.

    Parameters
    ----------
    data : Observations
        The window of one cluster.

    Returns
    -------
    DataFrame
        By `database` and `table`: the number of `vacuums`, rows `removed`, those that `removed_nothing` although dead rows were
        there, the most rows left (`dead_not_removable`), the number of different `cutoffs`, and the greatest age of one
        (`cutoff_age` [transactions]). Many reports with one cutoff mean that one snapshot held it. Without rows where the store has
        none.
    """
    rows = data.table("vacuums")
    rows = rows.assign(
        nothing=(rows["removed"] == 0) & (rows["dead_not_removable"] > 0),
        age=rows["next_xid"] - rows["cutoff"],
    )
    return (
        rows.groupby(["database", "table"], dropna=False, observed=True)
        .agg(
            vacuums=("time", "size"),
            removed=("removed", "sum"),
            removed_nothing=("nothing", "sum"),
            dead_not_removable=("dead_not_removable", "max"),
            cutoffs=("cutoff", "nunique"),
            cutoff_age=("age", "max"),
        )
        .reset_index()
        .sort_values("dead_not_removable", ascending=False, ignore_index=True)
    )
