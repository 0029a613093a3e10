"""Which workloads ran, and when each had a statement open: its exposure.

A workload is a named group of sessions. The settings name it by rules, and a statement that belongs to none is its
own, by its digest. Without rules it is a user; where the log tells no user, it is the statement's digest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from fnmatch import translate

import numpy as np
import pandas as pd

from aurora_analysis.analysis.series import Array, Mask, seconds
from aurora_analysis.engines.mysql import flavour
from aurora_analysis.window import Window

COLUMNS = ["started_at", "ended_at", "instance", "digest", "user", "host", "database", "tags", "thread_id"]
"""What exposures need of the slow queries."""

EXPOSURE_COLUMNS = ["workload", "instance", "digest", "thread_id", "start", "end"]


Rules = Mapping[str, Sequence[Mapping[str, Sequence[str]]]]
"""Workload → its rules, of which one must fit: field → globs, as `config.groups` reads them. The first workload counts."""


def named(
    slow_queries: pd.DataFrame, rules: Rules | None = None, instances: pd.DataFrame | None = None
) -> pd.Series:
    """The workload of each execution. Answers: whose was it?

    `instances` (as the store gives them) are needed where a rule asks for an endpoint: what ran on an instance to
    which that custom endpoint may lead fits, for no log tells by which endpoint it came.
    """
    digest, user = slow_queries["digest"], slow_queries["user"]
    if not rules:
        return user.where(user.notna() & (user != ""), digest).rename("workload")
    asked = {field for alternatives in rules.values() for rule in alternatives for field in rule}
    values = {field: _values(slow_queries, field, instances) for field in sorted(asked)}
    name = digest.astype(object)
    for workload in reversed([*rules]):
        fits = [_all_fit(values, rule) for rule in rules[workload]]
        name = name.mask(np.logical_or.reduce(fits), workload)
    return name.rename("workload")


def _values(slow_queries: pd.DataFrame, field: str, instances: pd.DataFrame | None) -> pd.Series:
    """What a rule's field means for each execution; several values are parted by a comma and a space."""
    column = field.split(".")[0]
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


def _all_fit(values: Mapping[str, pd.Series], rule: Mapping[str, Sequence[str]]) -> Mask:
    """Which executions fit a rule; what is missing fits nothing."""
    return np.logical_and.reduce([fits(values[field], globs) for field, globs in rule.items()])


def fits(values: pd.Series, globs: Sequence[str]) -> Mask:
    """Which values fit one of the globs; of several values in one (`a, b`) one must."""
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
    """The runs of each workload: one row an execution of at least `shortest_s`, by start.

    Answers: when did whose statement run, and where? `workload, instance, digest, thread_id, start, end` (UTC).
    """
    lasted = (slow_queries["ended_at"] - slow_queries["started_at"]).dt.total_seconds()
    long = slow_queries[lasted >= shortest_s]
    long = long.astype(dict.fromkeys(long.select_dtypes("category"), str))
    return (
        long.assign(workload=named(long, rules, instances))
        .rename(columns={"started_at": "start", "ended_at": "end"})[EXPOSURE_COLUMNS]
        .sort_values(["start", "end", "instance", "thread_id"], kind="stable")
        .reset_index(drop=True)
    )


IDLE = "(no statement)"
"""Stands for the digest of a transaction that holds a view, or has written, while no statement of it runs."""


def seen_holding(
    open_transactions: pd.DataFrame,
    rules: Rules | None = None,
    *,
    instances: pd.DataFrame | None = None,
    shortest_s: float = 0.0,
) -> pd.DataFrame:
    """The transactions that were seen live to hold a read view, as runs like `exposures`.

    Answers: who could have held up purge, also where no log tells of it? One that has written counts too where
    `instances` (as the store gives them) say MariaDB: there it holds up purge without a view (tried on 10.11), on
    MySQL, and so on Aurora, it does not (tried on 5.7.29 and 9.7.4). One row a stretch of samples in which a
    transaction did so. At READ COMMITTED a view lasts for a statement only, so such a stretch begins where it was first
    seen; else it begins with the transaction. Rules that ask for a tag or a database fit none: no sample tells.
    """
    wrote = (open_transactions["rows_modified"] > 0) & _is_mariadb(instances)
    holding = open_transactions["has_read_view"].eq(True) | wrote
    names = ["instance", "thread_id", "started_at"]
    rows = (
        open_transactions.assign(
            digest=open_transactions["digest"].fillna(IDLE), holding=holding, wrote=wrote
        )
        .pipe(lambda frame: frame.assign(workload=named(frame, rules)))
        .sort_values([*names, "time"], kind="stable")
    )
    changes = (rows["holding"] != rows.groupby(names)["holding"].shift()).cumsum().rename("stretch")
    runs = (
        rows[rows["holding"]]
        .assign(per_statement=rows["isolation_level"].eq("READ COMMITTED"))
        .groupby([*names, changes], as_index=False)
        .agg(
            workload=("workload", "first"),
            digest=("digest", "first"),
            per_statement=("per_statement", "first"),
            wrote=("wrote", "any"),
            first=("time", "min"),
            end=("time", "max"),
        )
    )
    from_first_seen = runs["per_statement"] & ~runs["wrote"].astype(bool)
    runs = runs.assign(start=runs["started_at"].mask(from_first_seen, runs["first"]))
    lasted = (runs["end"] - runs["start"]).dt.total_seconds()
    return runs.loc[lasted >= shortest_s, EXPOSURE_COLUMNS].reset_index(drop=True)


def _is_mariadb(instances: pd.DataFrame | None) -> bool:
    versions = () if instances is None else instances["engine_version"].dropna()
    return any(flavour.of_version(version) == "mariadb" for version in versions)


def with_seen(runs: pd.DataFrame, seen: pd.DataFrame) -> pd.DataFrame:
    """The runs that logs tell of, and those that were seen live and are in no log.

    A transaction of the same connection that was open at the same time as a logged run is that run.
    """
    both = seen.reset_index().merge(runs, on=["instance", "thread_id"], suffixes=("", "_logged"))
    logged = both[(both["start"] < both["end_logged"]) & (both["end"] > both["start_logged"])]["index"]
    unlogged = seen[~seen.index.isin(logged)]
    parts = [part for part in (runs, unlogged) if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else runs


def exposure_share(runs: pd.DataFrame, times: pd.DatetimeIndex, period_s: float) -> pd.DataFrame:
    """The share of each period in which a workload had at least one statement open [0 to 1].

    One row a period (index: its start, UTC), one column a workload; runs at the same time count once.
    """
    start = seconds(times)
    shares = {
        workload: (_open_until(mine, start + period_s) - _open_until(mine, start)) / period_s
        for workload, mine in runs.groupby("workload")
    }
    return pd.DataFrame(shares, index=times)


def exposed_hours(runs: pd.DataFrame, window: Window) -> pd.Series:
    """How long each workload had a statement open inside the window [hours], by workload."""
    edges = seconds(pd.DatetimeIndex([window.start, window.end]))
    hours = {
        workload: np.diff(_open_until(mine, edges))[0] / 3600 for workload, mine in runs.groupby("workload")
    }
    return pd.Series(hours, name="exposed_hours", dtype=float).rename_axis("workload")


def inside(runs: pd.DataFrame, window: Window) -> pd.DataFrame:
    """The runs of which some part lies in the window."""
    return runs[(runs["end"] > window.start) & (runs["start"] < window.end)]


def _open_until(runs: pd.DataFrame, moments: Array) -> Array:
    """For how long up to each moment at least one of the runs was open [s]."""
    starts, ends = _merged(seconds(runs["start"]), seconds(runs["end"]))
    knots = np.column_stack([starts, ends]).ravel()
    lasted = ends - starts
    before = np.cumsum(lasted) - lasted
    return np.interp(moments, knots, np.column_stack([before, before + lasted]).ravel())


def _merged(starts: Array, ends: Array) -> tuple[Array, Array]:
    """Overlapping runs as one."""
    order = np.argsort(starts, kind="stable")
    starts, reached = starts[order], np.maximum.accumulate(ends[order])
    first = np.concatenate([[True], starts[1:] > reached[:-1]])
    last = np.concatenate([first[1:], [True]])
    return starts[first], reached[last]
