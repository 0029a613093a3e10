"""Find exposure that no log line with a duration shows: sessions in live samples, and queries that were ended early.

A log records the duration of a statement that finished. An idle transaction or an open cursor writes none, and neither does a
statement that recovery, a timeout or an operator ended: its log line has the end only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import pandas as pd

from aurora_analysis.analysis.workloads.rules import (
    COLUMNS,
    EXPOSURE_COLUMNS,
    Rules,
    workload_names,
)

ENDED_EARLY = r"(?:canceling statement|terminating connection) due to "
"""Beginning of the server's message about a statement or a session that ended early (PostgreSQL)."""

RECENT = pd.Timedelta("1min")
"""A sampled transaction is the one that ended if its last sample is at most this much older than the end."""

LONGEST = {True: pd.Timedelta("1min"), False: pd.Timedelta("1h")}
"""Time before an early end in which a workload may have been open if it has no other run to compare with: shorter if the limit of
a statement's time or of its wait for a lock ended it (True), because an application sets these to seconds."""

MOSTLY = 0.5
"""Share of a sampled transaction that a logged statement must fill to be the transaction's statement [0 to 1]."""

AT_LEAST = pd.Timedelta("1s")
"""Exposure before an early end whose start is unknown: the statement ran at that moment."""

ENDED_COLUMNS = ["workload", "instance", "thread_id", "digest", "end", "start", "is_conflict", "is_limit"]
"""Columns of `Unlogged.ended`; `start` is missing where no sample shows it."""


def _no_rows(columns: list[str]) -> pd.DataFrame:
    types = dict.fromkeys(("start", "end"), "datetime64[us, UTC]")
    return pd.DataFrame(columns=columns).astype({name: types.get(name, "object") for name in columns})


@dataclass(frozen=True)
class Unlogged:
    """Exposure beside the logged runs.

    Parameters
    ----------
    runs : DataFrame
        `workload, instance, digest, thread_id, start, end` (UTC) of sampled transactions and of statements that ended early.
    unknown : DataFrame
        `workload, start, end` (UTC): spans before an early end in which the workload may have been open.
    ended : DataFrame
        One row per statement or session that ended early: `ENDED_COLUMNS`.
    only_live : tuple of str
        Workloads that only live samples show.
    """

    runs: pd.DataFrame = field(default_factory=lambda: _no_rows(EXPOSURE_COLUMNS))
    unknown: pd.DataFrame = field(default_factory=lambda: _no_rows(["workload", "start", "end"]))
    ended: pd.DataFrame = field(default_factory=lambda: _no_rows(ENDED_COLUMNS))
    only_live: tuple[str, ...] = ()


def unlogged(
    logged: pd.DataFrame,
    sampled: pd.DataFrame,
    events: pd.DataFrame,
    rules: Rules | None = None,
    instances: pd.DataFrame | None = None,
) -> Unlogged:
    """Find the exposure that no logged duration shows.

    Parameters
    ----------
    logged : DataFrame
        Runs from the log (`exposures`).
    sampled : DataFrame
        Runs from live samples (`live_runs`) on the same instances.
    events : DataFrame
        Rows of the table events of the same instances.
    rules : mapping, optional
        Workload → rules. Default: by user, or by digest where the log has no user.
    instances : DataFrame, optional
        Rows of the table instances, for rules on `endpoint`.

    Returns
    -------
    Unlogged
        A sampled transaction is left out if logged statements of the same connection fill most of it.
    """
    alone = sampled[_logged_share(sampled, logged) < MOSTLY]
    ended = _with_starts(_ended_early(events, rules, instances), sampled)
    until = alone["end"].copy()
    for row in ended.dropna(subset="start").itertuples():
        is_same = (alone["instance"] == row.instance) & (alone["thread_id"] == row.thread_id)
        until = until.mask(is_same & (alone["start"] == row.start), row.end)
    is_sampled = pd.MultiIndex.from_frame(ended[["instance", "thread_id", "start"]]).isin(
        pd.MultiIndex.from_frame(alone[["instance", "thread_id", "start"]])
    )
    rest = ended[~is_sampled]
    known = rest.assign(start=rest["start"].fillna(rest["end"] - AT_LEAST))[EXPOSURE_COLUMNS]
    parts = [part for part in (alone.assign(end=until), known) if len(part)]
    names = {*alone["workload"]} - {*logged["workload"]}
    return Unlogged(
        runs=pd.concat(parts, ignore_index=True) if parts else _no_rows(EXPOSURE_COLUMNS),
        unknown=_maybe_open(ended[ended["start"].isna()], pd.concat([logged, sampled], ignore_index=True)),
        ended=ended,
        only_live=tuple(sorted(str(name) for name in names)),
    )


def _logged_share(sampled: pd.DataFrame, logged: pd.DataFrame) -> pd.Series:
    """Share of each sampled transaction that logged statements of the same connection fill [0 to 1]."""
    both = sampled.reset_index().merge(logged, on=["instance", "thread_id"], suffixes=("", "_logged"))
    start, end = both[["start", "start_logged"]].max(axis=1), both[["end", "end_logged"]].min(axis=1)
    filled = (end - start).dt.total_seconds().clip(lower=0.0).groupby(both["index"]).sum()
    lasted = (sampled["end"] - sampled["start"]).dt.total_seconds().clip(lower=AT_LEAST.total_seconds())
    return filled.reindex(sampled.index, fill_value=0.0) / lasted


class Sampled(Protocol):
    """The part of `exposure.Tables` that `with_tried` uses."""

    @property
    def slow_queries(self) -> pd.DataFrame:
        """Executions of all instances, with `role`."""

    @property
    def open_transactions(self) -> pd.DataFrame:
        """Sampled transactions of all instances, with `role`."""


def with_tried(
    runs: pd.DataFrame, trials: pd.DataFrame, tables: Sampled, rules: Rules | None = None
) -> pd.DataFrame:
    """Add a trial's own record of when a workload ran, where no other source has a run of it.

    Such a workload writes no duration and holds no snapshot: an idle transaction, or short queries.

    Parameters
    ----------
    runs : DataFrame
        Runs on the readers.
    trials : DataFrame
        Blocks of randomised trials.
    tables : Sampled
        What log and samples show of all instances, because a trial does not record where a workload ran.
    rules : mapping, optional
        Workload → rules.

    Returns
    -------
    DataFrame
        The runs, then those of trials, without a digest: a trial does not record statements. A workload that was observed
        on the writer only is none of the readers'.
    """
    ran = trials[trials["assigned"].eq(True) & trials["started_at"].notna() & trials["ended_at"].notna()]
    ran = ran[~ran["workload"].isin(runs["workload"])]
    if ran.empty:
        return runs
    where = [_observed(rows, rules) for rows in (tables.slow_queries, tables.open_transactions) if len(rows)]
    places = pd.concat(where or [_observed(tables.slow_queries[:0], rules)])
    on_reader = places[places["role"] != "writer"].drop_duplicates("workload").set_index("workload")
    ran = ran[ran["workload"].isin(on_reader.index) | ~ran["workload"].isin(places["workload"])]
    tried = ran.assign(
        instance=ran["workload"].map(on_reader["instance"]).astype(object),
        digest="",
        thread_id=pd.array([pd.NA] * len(ran), dtype="Int64"),
        start=ran["started_at"],
        end=ran["ended_at"],
    )[EXPOSURE_COLUMNS]
    parts = [part for part in (runs, tried) if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else runs


def _observed(rows: pd.DataFrame, rules: Rules | None) -> pd.DataFrame:
    """Return `workload`, `instance` and `role` of each execution or sampled transaction."""
    names = workload_names(rows.astype(dict.fromkeys(rows.select_dtypes("category"), str)), rules)
    return pd.DataFrame(
        {"workload": names.astype(object), "instance": rows["instance"], "role": rows["role"]}
    )


def _ended_early(events: pd.DataFrame, rules: Rules | None, instances: pd.DataFrame | None) -> pd.DataFrame:
    """Statements and sessions that the log says were ended, with their workload."""
    message = events["message"].astype(str)
    rows = events[message.str.match(ENDED_EARLY)].reset_index(drop=True)
    text = rows["message"].astype(str)
    if rows.empty:
        return _no_rows(ENDED_COLUMNS)
    part = {name: text.str.extract(rf", {name} ([^,]+)", expand=False) for name in _NAMED}
    executions = pd.DataFrame(dict.fromkeys(COLUMNS), index=rows.index, dtype=object).assign(
        started_at=rows["time"],
        ended_at=rows["time"],
        instance=rows["instance"].astype(object),
        digest=part["statement"],
        user=part["user"],
        database=part["database"],
        database_is_inferred=False,
        application=part["application"],
        thread_id=pd.to_numeric(part["process"]).astype("Int64"),
    )
    return executions.assign(
        workload=workload_names(executions, rules, instances),
        end=rows["time"],
        start=pd.Series(pd.NaT, rows.index, dtype="datetime64[us, UTC]"),
        is_conflict=text.str.contains("due to conflict with recovery", regex=False),
        is_limit=text.str.contains("due to (?:statement|lock) timeout"),
    ).dropna(subset="workload")[ENDED_COLUMNS]


_NAMED = ("process", "user", "database", "application", "statement")


def _with_starts(ended: pd.DataFrame, sampled: pd.DataFrame) -> pd.DataFrame:
    """Add the start of the sampled transaction that each early end belongs to."""
    keys = ["instance", "thread_id"]
    both = ended.drop(columns="start").rename_axis("event").reset_index()
    both = both.merge(sampled[[*keys, "start", "end"]], on=keys, suffixes=("", "_sampled"))
    near = (both["start"] <= both["end"]) & (both["end_sampled"] >= both["end"] - RECENT)
    starts = both[near].groupby("event")["start"].max()
    return ended.assign(start=starts.reindex(ended.index))


def _maybe_open(ended: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Spans before an early end without a known start: as long as the workload's longest run, after the connection's last one."""
    spans = []
    lasted = (runs["end"] - runs["start"]).groupby(runs["workload"]).max()
    columns = ["workload", "instance", "thread_id", "end", "is_limit"]
    for workload, instance, thread, end, is_limit in ended[columns].itertuples(index=False, name=None):
        is_own = (runs["instance"] == instance) & (runs["thread_id"] == thread)
        before = runs.loc[is_own & (runs["end"] <= end), "end"].max()
        earliest = end - lasted.get(workload, LONGEST[is_limit])
        spans.append((workload, earliest if pd.isna(before) else max(before, earliest), end))
    found = pd.DataFrame(spans, columns=["workload", "start", "end"])
    return found if spans else _no_rows(["workload", "start", "end"])
