"""Decide when each workload was open: from the slow log, else from db load, else unknown.

The slow log records single executions. Where it is missing, Performance Insights records how many sessions of a user,
host, database or digest were active, but lists only the busiest members; an unlisted member may have been open unless
the rest of the load is close to zero. Db load cannot distinguish one long statement from many short ones; it is ignored for a
workload whose load is equally high while its log shows nothing open. A minute that neither source covers is `unknown`,
which is not the same as a minute without the workload.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import pandas as pd

from aurora_analysis.analysis.series import Array, Mask, seconds, stretches
from aurora_analysis.analysis.workloads import presence
from aurora_analysis.analysis.workloads import rules as workloads
from aurora_analysis.analysis.workloads.rules import Rules
from aurora_analysis.analysis.workloads.unlogged import Unlogged, unlogged
from aurora_analysis.window import Window

Rule = Mapping[str, Sequence[str]]

DIMENSIONS = {
    "user": "user",
    "host": "host",
    "database": "database",
    "digest": "sql",
    "application": "application",
}
"""Rule field → db load dimension. A rule may use one of these, because db load has one dimension per row, and
`instance` in addition."""

DB_LOAD: dict[str, Any] = {
    "where": {"dimension": [*DIMENSIONS.values()]},
    "columns": ["period_s", "instance", "dimension", "member", "active_sessions"],
}
"""Arguments with which to read the rows of db_load that this module needs."""

REST = "(other)"
"""The db load member that sums all unlisted members."""

OPEN_SESSIONS = 0.5
"""A workload counts as open in a period in which it had at least this many active sessions on average."""

UNLISTED_SESSIONS = 0.1
"""If all unlisted members together have fewer sessions than this, an unlisted workload counts as idle."""

MOSTLY = 0.5
"""A workload's load counts as open statements if the log, where it exists too, shows one open in at least this share of
the minutes that the load calls open [0 to 1]."""

LOST_MOST = 0.01
"""A log that lost a larger share of its bytes cannot show that nothing ran [0 to 1]."""

ROTATION = pd.Timedelta("24h")
"""Ingested files are covered from their first entry to their last, and rotate at least daily: a shorter hole between two
files was quiet."""

SPAN_COLUMNS = ["workload", "start", "end"]

SOURCE_COLUMNS = ["instance", "reader_hours", "log", "load", "unknown"]


class Observed(Protocol):
    """The part of `Observations` that `Tables.read` uses."""

    @property
    def window(self) -> Window:
        """The window observed."""

    @property
    def coverage(self) -> pd.DataFrame:
        """Rows and points that each fetch or ingest received."""

    @property
    def instances(self) -> pd.DataFrame:
        """Each instance as observed in the window."""

    def table(
        self,
        name: str,
        *,
        columns: Sequence[str] = (),
        where: Mapping[str, Any] | None = None,
        at_least: Mapping[str, float] | None = None,
        overlapping: bool = False,
    ) -> pd.DataFrame:
        """Return the window's rows of a table.

        Parameters
        ----------
        name : str
        columns, where, at_least, overlapping
            As in `Observations.table`.

        Returns
        -------
        pandas.DataFrame
        """


@dataclass(frozen=True)
class Tables:
    """The tables of one window that exposure is computed from.

    Parameters
    ----------
    slow_queries : DataFrame
        Rows of slow_queries that overlap the window, with `workloads.COLUMNS`; `on_readers` and `on_writer` also need
        `role`.
    db_load : DataFrame
        Rows of db_load, read with `DB_LOAD`; `on_writer` also needs `role`.
    coverage : DataFrame
        Rows of coverage.
    instances : DataFrame
        Rows of instances.
    window : Window
        The window.
    published : DataFrame, optional
        Rows of metrics, read with `presence.PUBLISHED`: which instances existed when.
    open_transactions : DataFrame, optional
        Rows of open_transactions: sessions in live samples.
    events : DataFrame, optional
        Rows of events: statements that ended early have no duration in the log.
    """

    slow_queries: pd.DataFrame
    db_load: pd.DataFrame
    coverage: pd.DataFrame
    instances: pd.DataFrame
    window: Window
    published: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=["time", "period_s", "instance"])
    )
    open_transactions: pd.DataFrame = field(default_factory=pd.DataFrame)
    events: pd.DataFrame = field(default_factory=pd.DataFrame)

    @classmethod
    def read(cls, data: Observed, *, shortest_s: float = 0.0) -> Tables:
        """Read the tables of one window of one cluster.

        Parameters
        ----------
        data : Observations
            Result of `observe`.
        shortest_s : float, default 0
            Leave out shorter executions [s].

        Returns
        -------
        Tables
            The tables, with a column `role`.
        """
        slow_queries = data.table(
            "slow_queries",
            columns=workloads.COLUMNS,
            at_least={"query_time_s": shortest_s} if shortest_s > 0 else None,
            overlapping=True,
        )
        db_load, published = data.table("db_load", **DB_LOAD), data.table("metrics", **presence.PUBLISHED)
        return cls(
            slow_queries,
            db_load,
            data.coverage,
            data.instances,
            data.window,
            published,
            data.table("open_transactions"),
            data.table("events"),
        )

    def on_readers(self) -> Tables:
        """Leave out what ran on the writer; load is kept whole, because `exposure` selects each reader's minutes.

        Returns
        -------
        Tables
            The tables for `exposure(…, role="reader")`.
        """
        names = ("slow_queries", "open_transactions", "events")
        kept = {name: getattr(self, name) for name in names if len(getattr(self, name))}
        return replace(self, **{name: rows[rows["role"] != "writer"] for name, rows in kept.items()})

    def on_writer(self) -> Tables:
        """Keep only the writer's logged executions and load.

        Returns
        -------
        Tables
            The tables for `writer_jobs.jobs`.
        """
        mine = {name: getattr(self, name) for name in ("slow_queries", "db_load")}
        rows = {name: rows[rows["role"] == "writer"] for name, rows in mine.items()}
        return replace(self, open_transactions=pd.DataFrame(), events=pd.DataFrame(), **rows)


@dataclass(frozen=True)
class Exposure:
    """Times at which each workload was open or unknown, and the source of each.

    Parameters
    ----------
    runs : DataFrame
        `workload, instance, digest, thread_id, start, end` (UTC), as `workloads.exposures` returns them. Runs inferred
        from db load have no digest and no thread.
    unknown : DataFrame
        `workload, start, end` (UTC): spans in which no source shows whether the workload was open.
    sources : DataFrame
        One row per reader: `instance`, `reader_hours` (how long it was a reader in the window [h]), and the shares of
        these hours that are covered by its `log`, else by its `load`, else `unknown` [0 to 1].
    blind : DataFrame, optional
        `reader, start, end` (UTC): when a reader existed that no source covers, if it did not exist all the time.
    unlogged : Unlogged, optional
        The part of `runs` and `unknown` that comes from live samples and from statements that ended early.
    """

    runs: pd.DataFrame
    unknown: pd.DataFrame
    sources: pd.DataFrame
    blind: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=list(presence.TYPES)).astype(presence.TYPES)
    )
    unlogged: Unlogged = field(default_factory=Unlogged)

    def unobserved(self) -> list[str]:
        """List the readers that neither log nor load covers at any time.

        Returns
        -------
        list of str
            Instance names.
        """
        return list(self.sources.loc[self.sources["unknown"] == 1, "instance"])


def exposure(
    tables: Tables, rules: Rules | None = None, *, shortest_s: float = 0.0, role: str = "reader"
) -> Exposure:
    """Decide when each workload was open on the readers, and when that is unknown.

    A reader that no source covers makes no minute unknown; `Exposure.unobserved` lists it.

    Parameters
    ----------
    tables : Tables
        The tables of the window; for readers, `tables.on_readers()`.
    rules : mapping, optional
        Workload → rules. Default: by user, or by digest where the log has no user.
    shortest_s : float, default 0
        Leave out shorter executions [s].
    role : {"reader", "writer"}
        The role of the instances to look at.

    Returns
    -------
    Exposure
        Runs, unknown spans and sources.
    """
    logged = workloads.exposures(
        tables.slow_queries, rules, instances=tables.instances, shortest_s=shortest_s
    )
    minutes = _minutes(tables.coverage, tables.window)
    readers = [
        _reader(str(name), rows, role, tables, minutes) for name, rows in tables.instances.groupby("instance")
    ]
    observed = [reader for reader in readers if (reader.logged | reader.loaded).any()]
    beside = _unlogged(tables, logged, rules, shortest_s)
    in_log = _together([logged, beside.runs[~beside.runs["workload"].isin(beside.only_live)]])
    by_log = dict(iter(logged.groupby(["workload", "instance"])))
    sessions = {
        name: [
            (reader, reader.sessions(alternatives, _open(by_log.get((name, reader.instance)), minutes)))
            for reader in observed
        ]
        for name, alternatives in _alternatives(rules, in_log, observed).items()
    }
    runs = [_runs(name, *one, minutes) for name, by_reader in sessions.items() for one in by_reader]
    whole = _together([logged, *runs, beside.runs])
    unknown = [_unknown(name, sessions[name], minutes) for name in sorted({*whole["workload"]} & {*sessions})]
    unknown += [beside.unknown, *_unsampled(beside.only_live, tables.coverage, minutes)]
    no_span = _spans(minutes[:0] == 0, minutes).assign(workload="")[SPAN_COLUMNS]
    sources = pd.DataFrame(
        [reader.source() for reader in readers if reader.reads.any()], columns=SOURCE_COLUMNS
    )
    found = Exposure(whole, _together([no_span, *unknown]), sources, unlogged=beside)
    return replace(
        found, blind=presence.changing(found.unobserved(), tables.published, tables.instances, minutes)
    )


def _unlogged(tables: Tables, logged: pd.DataFrame, rules: Rules | None, shortest_s: float) -> Unlogged:
    """Runs beside the log: sampled transactions that held a view, and statements that ended early."""
    if tables.open_transactions.empty and tables.events.empty:
        return Unlogged()
    sampled = logged[:0]
    if len(tables.open_transactions):
        sampled = workloads.live_runs(
            tables.open_transactions, rules, instances=tables.instances, shortest_s=shortest_s
        )
    events = tables.events if len(tables.events) else pd.DataFrame(columns=["time", "instance", "message"])
    return unlogged(logged, sampled, events, rules, tables.instances)


def _unsampled(
    names: Sequence[str], coverage: pd.DataFrame, minutes: pd.DatetimeIndex
) -> Iterable[pd.DataFrame]:
    """Spans without live samples, in which it is unknown whether a workload was open that only they show."""
    if not names:
        return []
    sampled = np.zeros(len(minutes), dtype=bool)
    spans = coverage.loc[coverage["table"].eq("metrics") & coverage["unit"].eq("samples"), ["time", "end"]]
    for start, end in spans.itertuples(index=False):
        sampled[minutes.searchsorted(start.floor("min")) : minutes.searchsorted(end)] = True
    return [_spans(~sampled, minutes).assign(workload=name)[SPAN_COLUMNS] for name in names]


def _minutes(coverage: pd.DataFrame, window: Window) -> pd.DatetimeIndex:
    """Minutes of the window between the first and the last coverage of any table."""
    covered = [(coverage["time"].min(), coverage["end"].max())] if len(coverage) else []
    bounds = [window.intersection(Window(*(edge.to_pydatetime() for edge in span))) for span in covered]
    part = next(filter(None, bounds), window)
    return pd.date_range(
        pd.Timestamp(part.start).floor("min"), part.end, freq="min", inclusive="left"
    ).as_unit("us")


def _together(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Concatenate the rows, ordered by start; without rows, the empty first frame."""
    kept = [frame for frame in frames if len(frame)]
    return pd.concat(kept).sort_values("start", kind="stable", ignore_index=True) if kept else frames[0]


@dataclass(frozen=True)
class _Reader:
    """An instance minute by minute: whether it has the role, and whether its log is complete.

    `members` holds the active sessions of each member by dimension; NaN means not listed or not observed. `rest` is the
    part of the whole load that no listed member of a dimension accounts for.
    """

    instance: str
    reads: Mask
    logged: Mask
    members: dict[str, pd.DataFrame] = field(default_factory=dict)
    rest: dict[str, Array] = field(default_factory=dict)

    @property
    def loaded(self) -> Mask:
        """Minutes that only the load covers."""
        observed = [np.isfinite(rest) for rest in self.rest.values()]
        return np.asarray(
            np.logical_or.reduce([np.zeros_like(self.reads), *observed]) & self.reads & ~self.logged
        )

    def sessions(self, alternatives: Sequence[Rule], open_by_log: Mask) -> Array:
        """Active sessions of a workload in minutes without a log; NaN if it is unknown whether it was open."""
        found = np.stack([self._sessions(rule) for rule in alternatives])
        most = np.max(np.nan_to_num(found), axis=0)
        busy = most >= OPEN_SESSIONS
        both_cover = busy & self.reads & self.logged
        long = (both_cover & open_by_log).sum() >= MOSTLY * both_cover.sum()
        known = np.where(busy, long, np.isfinite(found).all(axis=0))
        return np.where(self.reads & ~self.logged, np.where(known, most, np.nan), 0.0)

    def _sessions(self, rule: Rule) -> Array:
        fields = [name for name in rule if name != "instance"]
        dimension = DIMENSIONS.get(fields[0]) if len(fields) == 1 else None
        if (
            "instance" in rule
            and not workloads.matches_globs(pd.Series([self.instance]), rule["instance"])[0]
        ):
            return np.zeros(len(self.reads))
        if dimension not in self.members:
            return np.full(len(self.reads), np.nan)
        listed = self.members[dimension]
        mine = listed.loc[:, workloads.matches_globs(listed.columns.to_series(), rule[fields[0]])]
        summed = mine.sum(axis=1, min_count=1).to_numpy()
        nothing = np.isnan(summed) & (self.rest[dimension] < UNLISTED_SESSIONS)
        return np.where(nothing, 0.0, summed)

    def source(self) -> tuple[object, ...]:
        shares = [(mask & self.reads).sum() / self.reads.sum() for mask in (self.logged, self.loaded)]
        return (self.instance, self.reads.sum() / 60, *shares, 1 - sum(shares))


def _reader(name: str, states: pd.DataFrame, role: str, tables: Tables, minutes: pd.DatetimeIndex) -> _Reader:
    ordered = states.sort_values("time", kind="stable")
    term = np.clip(ordered["time"].searchsorted(minutes, side="right") - 1, 0, None)
    logs_all = ordered["slow_query_log"].ne(False) & ~(ordered["log_slow_rate_limit"] > 1)
    logs_all &= ordered["log_output"].isna() | ordered["log_output"].str.contains("FILE")
    reads = ordered["role"].eq(role).to_numpy(dtype=bool)[term]
    logged = _logged(tables.coverage, name, minutes) & logs_all.to_numpy(dtype=bool)[term]
    if not (reads & ~logged).any():
        return _Reader(name, reads, logged)
    return _Reader(name, reads, logged, *_load(tables.db_load[tables.db_load["instance"] == name], minutes))


def _logged(coverage: pd.DataFrame, instance: str, minutes: pd.DatetimeIndex) -> Mask:
    """Minutes that the instance's slow log covers."""
    mine = coverage["instance"].isna() | (coverage["instance"] == instance)
    whole = coverage["received"].notna() & ~(coverage["lost"] > LOST_MOST * coverage["expected"])
    spans = coverage[mine & whole & (coverage["table"] == "slow_queries")].sort_values("time")
    from_file = spans["source"].str.startswith("slow_log ")
    following = spans["time"].where(from_file).shift(-1)
    quiet = from_file & (following > spans["end"]) & (following - spans["end"] < ROTATION)
    covered = np.zeros(len(minutes), dtype=bool)
    for start, end in zip(spans["time"], spans["end"].mask(quiet, following)):
        covered[minutes.searchsorted(start.floor("min")) : minutes.searchsorted(end)] = True
    return covered


def _load(
    db_load: pd.DataFrame, minutes: pd.DatetimeIndex
) -> tuple[dict[str, pd.DataFrame], dict[str, Array]]:
    """Active sessions of each dimension's members by minute, and the rest of the whole load."""
    if db_load.empty:
        return {}, {}
    totals = db_load.groupby(["time", "dimension"])["active_sessions"].sum().groupby("time").max()
    now, started = seconds(minutes), seconds(totals.index)
    begun = started.searchsorted(now, side="right") - 1
    within = (begun >= 0) & (now < started[begun] + db_load["period_s"].max())
    period_of = np.where(within, begun, -1)
    members, rest = {}, {}
    for dimension, rows in db_load[db_load["member"] != REST].groupby("dimension", observed=True):
        sessions = rows.groupby(["time", "member"], observed=True)["active_sessions"].sum().unstack()
        sessions = sessions.reindex(totals.index)
        members[str(dimension)] = sessions.reset_index(drop=True).reindex(period_of)
        left = (totals - sessions.sum(axis=1)).reset_index(drop=True)
        rest[str(dimension)] = left.reindex(period_of).to_numpy()
    return members, rest


def _alternatives(
    rules: Rules | None, logged: pd.DataFrame, observed: Iterable[_Reader]
) -> dict[str, Sequence[Rule]]:
    """Rules that select each workload's load: those of the settings, else by user, else by digest."""
    users = {str(name) for reader in observed for name in reader.members.get("user", pd.DataFrame()).columns}
    digests = {*logged["digest"]}
    names = {*logged["workload"]} | (set() if rules else users)
    own = {
        name: [{"digest" if name in digests else "user": [glob.escape(name)]}]
        for name in sorted(names - {*(rules or {})})
    }
    return {**(rules or {}), **own}


def _open(runs: pd.DataFrame | None, minutes: pd.DatetimeIndex) -> Mask:
    """Minutes in which one of a workload's runs was open."""
    if runs is None:
        return np.zeros(len(minutes), dtype=bool)
    return np.asarray(workloads.exposure_share(runs, minutes, 60).to_numpy().any(axis=1))


def _runs(workload: str, reader: _Reader, sessions: Array, minutes: pd.DatetimeIndex) -> pd.DataFrame:
    """Spans in which the load shows the workload open on a reader."""
    spans = _spans(np.nan_to_num(sessions) >= OPEN_SESSIONS, minutes)
    no_thread = pd.array([pd.NA] * len(spans), dtype="Int64")
    columns = {"workload": workload, "instance": reader.instance, "digest": None, "thread_id": no_thread}
    return spans.assign(**columns)[workloads.EXPOSURE_COLUMNS]


def _unknown(
    workload: str, by_reader: Sequence[tuple[_Reader, Array]], minutes: pd.DatetimeIndex
) -> pd.DataFrame:
    """Spans in which it is unknown for at least one reader whether the workload was open."""
    nowhere = np.zeros(len(minutes), dtype=bool)
    blind = np.logical_or.reduce([nowhere, *(np.isnan(sessions) for _, sessions in by_reader)])
    return _spans(blind, minutes).assign(workload=workload)[SPAN_COLUMNS]


def _spans(mask: Mask, minutes: pd.DatetimeIndex) -> pd.DataFrame:
    """Stretches of minutes that the mask keeps, as `start, end` (UTC)."""
    bounds = [(first, last) for first, last in stretches(mask) if mask[first]]
    ends = minutes + pd.Timedelta("1min")
    return pd.DataFrame(
        {
            "start": minutes[[first for first, _ in bounds]],
            "end": ends[[last - 1 for _, last in bounds]],
        }
    )
