"""Name the workload of each execution by rules, and measure its exposure: when it had a statement open.

A workload is a named group of sessions. The settings define it by rules; a statement that matches no rule forms a
workload of its own, named by its digest. Without rules each user is a workload, and a statement without a user is
named by its digest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from fnmatch import translate

import numpy as np
import pandas as pd

from aurora_analysis import engines
from aurora_analysis.analysis.series import Array, Mask, seconds
from aurora_analysis.window import Window

COLUMNS = [
    "started_at",
    "ended_at",
    "instance",
    "digest",
    "user",
    "host",
    "database",
    "database_is_inferred",
    "application",
    "tags",
    "thread_id",
]
"""Columns of the table slow_queries that `exposures` needs."""

EXPOSURE_COLUMNS = ["workload", "instance", "digest", "thread_id", "start", "end"]
"""Columns of a frame of runs."""

Rules = Mapping[str, Sequence[Mapping[str, Sequence[str]]]]
"""Workload → its rules, each a mapping of field → globs, as `config.groups` reads them.

One rule must match in all of its fields; the first workload that matches counts. A rule on the database without one on
the session or the statement (`IDENTIFYING`) matches only where the log names the session's database: an inferred
database alone attributes nothing.
"""

IDENTIFYING = ("user", "host", "digest", "application", "tags")
"""Fields that identify a session or a statement by itself."""


def workload_names(
    slow_queries: pd.DataFrame, rules: Rules | None = None, instances: pd.DataFrame | None = None
) -> pd.Series:
    """Name the workload of each execution.

    Parameters
    ----------
    slow_queries : DataFrame
        Executions: rows of the table slow_queries, or of open_transactions.
    rules : mapping, optional
        Workload → rules. Default: by user, or by digest where the log has no user.
    instances : DataFrame, optional
        Rows of the table instances. Needed for rules on `endpoint`: every execution on an instance that the custom
        endpoint may lead to matches, because no log records the endpoint of a connection.

    Returns
    -------
    Series of str
        The workload, aligned with `slow_queries`.
    """
    digest, user = slow_queries["digest"], slow_queries["user"]
    if not rules:
        return user.where(user.notna() & (user != ""), digest).rename("workload")
    fields = {field for alternatives in rules.values() for rule in alternatives for field in rule}
    values = {field: _values(slow_queries, field, instances) for field in sorted(fields)}
    name = digest.astype(object)
    for workload in reversed([*rules]):
        matches = [_all_match(values, rule) & ~_by_inference(slow_queries, rule) for rule in rules[workload]]
        name = name.mask(np.logical_or.reduce(matches), workload)
    return name.rename("workload")


def _values(slow_queries: pd.DataFrame, field: str, instances: pd.DataFrame | None) -> pd.Series:
    """Values of a rule's field for each execution; several values are separated by a comma and a space."""
    column = field.split(".")[0]
    if column == "application" and column not in slow_queries:
        column = field = "client"  # the name of the same in samples of sessions
    if column != "endpoint" and column not in slow_queries:
        return pd.Series(None, index=slow_queries.index, dtype=object)
    if field.startswith("tags."):
        return slow_queries["tags"].map(lambda text: json.loads(text).get(field[5:]), na_action="ignore")
    if field != "endpoint":
        return slow_queries[field]
    if instances is None or instances.empty:
        return pd.Series(None, index=slow_queries.index, dtype=object)
    seen = instances[["time", "instance", "custom_endpoints"]].sort_values("time", kind="stable")
    runs = slow_queries[["started_at", "instance"]].reset_index().sort_values("started_at", kind="stable")
    nearest = pd.merge_asof(
        runs, seen, left_on="started_at", right_on="time", by="instance", direction="nearest"
    )
    return nearest.set_index("index")["custom_endpoints"].reindex(slow_queries.index)


def _all_match(values: Mapping[str, pd.Series], rule: Mapping[str, Sequence[str]]) -> Mask:
    """Flag executions that match a rule; a missing value matches nothing."""
    return np.asarray(
        np.logical_and.reduce([matches_globs(values[field], globs) for field, globs in rule.items()])
    )


def _by_inference(slow_queries: pd.DataFrame, rule: Mapping[str, Sequence[str]]) -> Mask:
    """Flag executions whose database is inferred, if the rule relies on the database alone."""
    relies = "database" in rule and not any(field.split(".")[0] in IDENTIFYING for field in rule)
    if not relies or "database_is_inferred" not in slow_queries:
        return np.zeros(len(slow_queries), dtype=bool)
    return slow_queries["database_is_inferred"].eq(True).to_numpy(dtype=bool)


def matches_globs(values: pd.Series, globs: Sequence[str]) -> Mask:
    """Flag values that match one of the globs.

    Parameters
    ----------
    values : Series
        Text values; a value may list several, separated by a comma and a space; one of them must match.
    globs : sequence of str
        Case-sensitive patterns (`fnmatch`).

    Returns
    -------
    ndarray of bool, shape (n,)
        False for missing values.
    """
    pattern = re.compile("|".join(translate(glob) for glob in globs))
    known = {
        value: any(pattern.match(one) for one in str(value).split(", ")) for value in values.dropna().unique()
    }
    return values.map(known).eq(True).to_numpy(dtype=bool)


def exposures(
    slow_queries: pd.DataFrame,
    rules: Rules | None = None,
    *,
    instances: pd.DataFrame | None = None,
    shortest_s: float = 0.0,
) -> pd.DataFrame:
    """List the runs of each workload, one row per execution, ordered by start.

    Parameters
    ----------
    slow_queries : DataFrame
        Rows of the table slow_queries, with `COLUMNS`.
    rules : mapping, optional
        Workload → rules. Default: by user, or by digest where the log has no user.
    instances : DataFrame, optional
        Rows of the table instances, for rules on `endpoint`.
    shortest_s : float, default 0
        Leave out shorter executions [s].

    Returns
    -------
    DataFrame
        `workload, instance, digest, thread_id, start, end` (UTC).
    """
    lasted = (slow_queries["ended_at"] - slow_queries["started_at"]).dt.total_seconds()
    long = slow_queries[lasted >= shortest_s]
    long = long.astype(dict.fromkeys(long.select_dtypes("category"), str))
    return (
        long.assign(workload=workload_names(long, rules, instances))
        .rename(columns={"started_at": "start", "ended_at": "end"})[EXPOSURE_COLUMNS]
        .sort_values(["start", "end", "instance", "thread_id"], kind="stable")
        .reset_index(drop=True)
    )


IDLE = "(no statement)"
"""Digest of a transaction that holds a view, or has written, while it runs no statement."""


def live_runs(
    open_transactions: pd.DataFrame,
    rules: Rules | None = None,
    *,
    instances: pd.DataFrame | None = None,
    shortest_s: float = 0.0,
) -> pd.DataFrame:
    """List the transactions that held a read view in live samples, as runs like `exposures`.

    They include sessions that appear in no log. On MariaDB a transaction that has written counts too: there it holds up
    purge without a view (verified on 10.11). On MySQL, and so on Aurora, it does not (verified on 5.7.29 and 9.7.4).

    Parameters
    ----------
    open_transactions : DataFrame
        Rows of the table open_transactions.
    rules : mapping, optional
        Workload → rules. Rules on a tag match nothing, and on MySQL rules on a database neither: samples do not record them.
    instances : DataFrame, optional
        Rows of the table instances; their `engine_version` identifies MariaDB.
    shortest_s : float, default 0
        Leave out shorter runs [s].

    Returns
    -------
    DataFrame
        `workload, instance, digest, thread_id, start, end` (UTC), one row per stretch of samples in which a transaction
        held a view. `digest` is the statement that most samples of the stretch show; `IDLE` if most of them show none. At
        READ COMMITTED a view lasts for one statement, so a stretch begins with its first sample; otherwise it begins with
        the transaction.
    """
    wrote = (open_transactions["rows_modified"] > 0) & _writing_blocks_purge(instances)
    holding = open_transactions["has_read_view"].eq(True) | wrote
    names = ["instance", "thread_id", "started_at"]
    rows = (
        open_transactions.assign(
            digest=open_transactions["digest"].fillna(IDLE), holding=holding, wrote=wrote
        )
        .pipe(lambda frame: frame.assign(workload=workload_names(frame, rules)))
        .sort_values([*names, "time"], kind="stable")
    )
    changes = (rows["holding"] != rows.groupby(names)["holding"].shift()).cumsum().rename("stretch")
    held = rows[rows["holding"]].assign(
        per_statement=rows["isolation_level"].eq("READ COMMITTED"),
        stretch=changes,
    )
    runs = held.groupby([*names, "stretch"], as_index=False).agg(
        workload=("workload", "first"),
        per_statement=("per_statement", "first"),
        wrote=("wrote", "any"),
        first=("time", "min"),
        end=("time", "max"),
    )
    runs = runs.assign(digest=runs["stretch"].map(most_sampled(held["digest"], held["stretch"])))
    from_first_seen = runs["per_statement"] & ~runs["wrote"].astype(bool)
    runs = runs.assign(start=runs["started_at"].mask(from_first_seen, runs["first"]))
    lasted = (runs["end"] - runs["start"]).dt.total_seconds()
    return runs.loc[lasted >= shortest_s, EXPOSURE_COLUMNS].reset_index(drop=True)


def most_sampled(digests: pd.Series, runs: pd.Series) -> pd.Series:
    """Name each sampled run by the statement that most of its samples show.

    Parameters
    ----------
    digests : Series of str
        The statement that each sample shows; `IDLE` if it shows none.
    runs : Series
        The run that each sample belongs to, with the same index.

    Returns
    -------
    Series of str
        By run; `IDLE` if most samples show no statement.
    """
    stated = digests.ne(IDLE)
    shown = pd.DataFrame({"run": runs, "digest": digests})[stated]
    counted = shown.groupby(["run", "digest"]).size().sort_values(kind="stable").reset_index()
    most = counted.groupby("run")["digest"].last()
    idle = (~stated).groupby(runs).mean()
    return most.reindex(idle.index).where(idle <= 0.5, IDLE)


def _writing_blocks_purge(instances: pd.DataFrame | None) -> bool:
    if instances is None:
        return False
    servers = instances.dropna(subset=["engine_version"])
    names = (
        servers["engine"].fillna(engines.DEFAULT) if "engine" in servers else [engines.DEFAULT] * len(servers)
    )
    return any(
        engines.module(name, "cleanup").writing_blocks(version)
        for name, version in set(zip(names, servers["engine_version"]))
    )


def with_live_runs(runs: pd.DataFrame, live: pd.DataFrame) -> pd.DataFrame:
    """Add the runs of live samples that are in no log.

    A sampled transaction that overlaps a logged run of the same connection is that run.

    Parameters
    ----------
    runs : DataFrame
        Logged runs, as `exposures` returns them.
    live : DataFrame
        Runs of live samples, as `live_runs` returns them.

    Returns
    -------
    DataFrame
        All logged runs, then the live runs that are in no log.
    """
    both = live.reset_index().merge(runs, on=["instance", "thread_id"], suffixes=("", "_logged"))
    logged = both[(both["start"] < both["end_logged"]) & (both["end"] > both["start_logged"])]["index"]
    unlogged = live[~live.index.isin(logged)]
    parts = [part for part in (runs, unlogged) if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else runs


def distinct(runs: pd.DataFrame) -> pd.DataFrame:
    """Join runs of one connection that overlap: a log and live samples may both have a run.

    Parameters
    ----------
    runs : DataFrame
        Runs with `instance`, `thread_id`, `start` and `end` (UTC).

    Returns
    -------
    DataFrame
        The first run of each overlap, until the end of the last. A run without a thread stays as it is.
    """
    ordered = runs.sort_values(["instance", "thread_id", "start"], kind="stable")
    if ordered.empty:
        return ordered
    connection = ordered.groupby(["instance", "thread_id"], dropna=False, sort=False).ngroup()
    reached = ordered.groupby(connection)["end"].cummax().shift()
    same = connection.eq(connection.shift()) & ordered["thread_id"].notna() & (ordered["start"] < reached)
    run = (~same).cumsum()
    return ordered[~same].assign(end=ordered.groupby(run)["end"].max().to_numpy())


def exposure_share(runs: pd.DataFrame, times: pd.DatetimeIndex, period_s: float) -> pd.DataFrame:
    """Measure the share of each period in which a workload had at least one statement open [0 to 1].

    Parameters
    ----------
    runs : DataFrame
        Runs with `workload, start, end` (UTC).
    times : DatetimeIndex
        Start of each period (UTC).
    period_s : float
        Length of a period [s].

    Returns
    -------
    DataFrame, shape (periods, workloads)
        Simultaneous runs count once.
    """
    start = seconds(times)
    shares = {
        workload: (_open_until(mine, start + period_s) - _open_until(mine, start)) / period_s
        for workload, mine in runs.groupby("workload")
    }
    return pd.DataFrame(shares, index=times)


def exposed_hours(runs: pd.DataFrame, window: Window) -> pd.Series:
    """Measure how long each workload had a statement open inside the window [h].

    Parameters
    ----------
    runs : DataFrame
        Runs with `workload, start, end` (UTC).
    window : Window
        The window to measure in.

    Returns
    -------
    Series of float
        Hours by workload; simultaneous runs count once.
    """
    edges = seconds(pd.DatetimeIndex([window.start, window.end]))
    hours = {
        workload: np.diff(_open_until(mine, edges))[0] / 3600 for workload, mine in runs.groupby("workload")
    }
    return pd.Series(hours, name="exposed_hours", dtype=float).rename_axis("workload")


def idle_share(runs: pd.DataFrame, window: Window) -> pd.Series:
    """Measure the share of each workload's open time in the window in which it ran no statement [0 to 1].

    Parameters
    ----------
    runs : DataFrame
        Runs with `workload, digest, start, end` (UTC).
    window : Window
        The window to measure in.

    Returns
    -------
    Series of float
        Shares by workload.
    """
    runs = clipped(runs, window)
    lasted_s = (runs["end"] - runs["start"]).dt.total_seconds().clip(lower=0.0)
    idle_s = lasted_s.where(runs["digest"] == IDLE, 0.0)
    return idle_s.groupby(runs["workload"]).sum() / lasted_s.groupby(runs["workload"]).sum()


def overlapping(runs: pd.DataFrame, window: Window) -> pd.DataFrame:
    """Select the runs that overlap the window.

    Parameters
    ----------
    runs : DataFrame
        Runs with `start` and `end` (UTC).
    window : Window
        The window.

    Returns
    -------
    DataFrame
        The selected rows, unchanged.
    """
    return runs[(runs["end"] > window.start) & (runs["start"] < window.end)]


def clipped(runs: pd.DataFrame, window: Window) -> pd.DataFrame:
    """Select the runs that overlap the window, and cut them at its ends.

    Parameters
    ----------
    runs : DataFrame
        Runs with `start` and `end` (UTC).
    window : Window
        The window.

    Returns
    -------
    DataFrame
        The selected rows with the parts of their times that lie in the window.
    """
    inside, opens, closes = overlapping(runs, window), pd.Timestamp(window.start), pd.Timestamp(window.end)
    return inside.assign(
        start=inside["start"].where(inside["start"] > opens, opens),
        end=inside["end"].where(inside["end"] < closes, closes),
    )


def _open_until(runs: pd.DataFrame, moments: Array) -> Array:
    """Time up to each moment in which at least one run was open [s]."""
    starts, ends = _merged(seconds(runs["start"]), seconds(runs["end"]))
    knots = np.column_stack([starts, ends]).ravel()
    lasted = ends - starts
    before = np.cumsum(lasted) - lasted
    return np.interp(moments, knots, np.column_stack([before, before + lasted]).ravel())


def _merged(starts: Array, ends: Array) -> tuple[Array, Array]:
    """Merge overlapping runs."""
    order = np.argsort(starts, kind="stable")
    starts, reached = starts[order], np.maximum.accumulate(ends[order])
    first = np.concatenate([[True], starts[1:] > reached[:-1]])
    last = np.concatenate([first[1:], [True]])
    return starts[first], reached[last]
