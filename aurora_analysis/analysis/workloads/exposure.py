"""From where it is known when a workload was open: the slow log, else the db load, else nobody knows.

The slow log tells of single executions. Where it is missing, Performance Insights tells how many sessions of a user,
host, database or digest were active; of each only the busiest are listed, and what is not listed may have been open
unless the rest of the load is next to nothing. Many short statements make as many active sessions as a long one: whose
load was as high where the log tells that nothing of his was open, of him the load does not tell. A minute of which
neither tells is `unknown`: it is no minute without the workload.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from aurora_analysis.analysis import workloads
from aurora_analysis.analysis.series import Array, Mask, seconds, stretches
from aurora_analysis.analysis.workloads.rules import Rules
from aurora_analysis.window import Window

Rule = Mapping[str, Sequence[str]]

DIMENSIONS = {"user": "user", "host": "host", "database": "database", "digest": "sql"}
"""What a rule may ask of the db load, which tells of one dimension at a time; `instance` may stand beside it."""

ASKED: dict[str, Any] = {
    "where": {"dimension": [*DIMENSIONS.values()]},
    "columns": ["period_s", "instance", "dimension", "member", "active_sessions"],
}
"""What is needed of `db_load`, as the store is asked for it."""

REST = "(other)"
"""The member that stands for all that are not listed."""

OPEN_SESSIONS = 0.5
"""A workload counts as open in a period in which it had at least so many sessions active on average."""

UNLISTED_SESSIONS = 0.1
"""Who is not listed was not open where all of these together had fewer sessions than this."""

MOSTLY = 0.5
"""The load of a workload tells of open statements if, where the log tells as well, one was open in at least this share
of the minutes in which the load says so."""

LOST_MOST = 0.01
"""A log that lost more than this share of its bytes does not tell that nothing ran."""

ROTATION = pd.Timedelta("24h")
"""Files that were ingested are covered from their first entry to their last, and rotate every day at the latest: what
is shorter between two of them was quiet."""

SPAN_COLUMNS = ["workload", "start", "end"]

SOURCE_COLUMNS = ["instance", "reader_hours", "log", "load", "unknown"]


@dataclass(frozen=True)
class Exposure:
    """When each workload was open: `runs` (as `workloads.exposures`), and `unknown`, the spans of which nobody knows.

    `sources` has one row a reader: for how many hours of the window it was one, and in which share of them its log,
    else its load, else neither tells what ran [0 to 1].
    """

    runs: pd.DataFrame
    unknown: pd.DataFrame
    sources: pd.DataFrame

    def untold(self) -> list[str]:
        """The readers of which nothing is known at all, neither by log nor by load."""
        return list(self.sources.loc[self.sources["unknown"] == 1, "instance"])


def exposure(
    slow_queries: pd.DataFrame,
    db_load: pd.DataFrame,
    coverage: pd.DataFrame,
    instances: pd.DataFrame,
    window: Window,
    rules: Rules | None = None,
    *,
    shortest_s: float = 0.0,
    role: str = "reader",
) -> Exposure:
    """When each workload was open on the readers, and when nobody knows. Answers: when did whose statement run?

    All are tables of the store, of one window: `slow_queries` of the readers, `db_load`, `coverage`, `instances`. A
    reader of which nothing is known at all makes no minute unknown: `untold` names it. `role` may be the writer.
    """
    logged = workloads.exposures(slow_queries, rules, instances=instances, shortest_s=shortest_s)
    minutes = _minutes(coverage, window)
    readers = [
        _reader(str(name), seen, role, coverage, db_load, minutes)
        for name, seen in instances.groupby("instance")
    ]
    told = [reader for reader in readers if (reader.logged | reader.loaded).any()]
    by_log = dict(iter(logged.groupby(["workload", "instance"])))
    sessions = {
        name: [
            (reader, reader.sessions(alternatives, _open(by_log.get((name, reader.instance)), minutes)))
            for reader in told
        ]
        for name, alternatives in _alternatives(rules, logged, told).items()
    }
    runs = [_runs(name, *known, minutes) for name, readers_of in sessions.items() for known in readers_of]
    whole = _together([logged, *runs])
    unknown = [_unknown(name, sessions[name], minutes) for name in sorted({*whole["workload"]})]
    return Exposure(
        whole,
        _together([_spans(minutes[:0] == 0, minutes).assign(workload="")[SPAN_COLUMNS], *unknown]),
        pd.DataFrame([reader.told() for reader in readers if reader.reads.any()], columns=SOURCE_COLUMNS),
    )


def _minutes(coverage: pd.DataFrame, window: Window) -> pd.DatetimeIndex:
    """The minutes of the window of which anything was ever asked."""
    asked = [(coverage["time"].min(), coverage["end"].max())] if len(coverage) else []
    bounds = [window.intersection(Window(*(edge.to_pydatetime() for edge in span))) for span in asked]
    known = next(filter(None, bounds), window)
    return pd.date_range(
        pd.Timestamp(known.start).floor("min"), known.end, freq="min", inclusive="left"
    ).as_unit("us")


def _together(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """All rows by start; the first frame tells the columns where there is none."""
    kept = [frame for frame in frames if len(frame)]
    return pd.concat(kept).sort_values("start", kind="stable", ignore_index=True) if kept else frames[0]


@dataclass(frozen=True)
class _Reader:
    """What is known of an instance, minute by minute: whether it reads, whether its log tells what ran.

    `members` has the active sessions of each member by dimension; NaN is not listed, or not observed. `rest` is what
    the members of a dimension leave of the whole load.
    """

    instance: str
    reads: Mask
    logged: Mask
    members: dict[str, pd.DataFrame] = field(default_factory=dict)
    rest: dict[str, Array] = field(default_factory=dict)

    @property
    def loaded(self) -> Mask:
        """The minutes of which, beyond the log, the load tells."""
        observed = [np.isfinite(rest) for rest in self.rest.values()]
        return np.logical_or.reduce([np.zeros_like(self.reads), *observed]) & self.reads & ~self.logged

    def sessions(self, alternatives: Sequence[Rule], open_by_log: Mask) -> Array:
        """The active sessions of a workload beyond the log; NaN where nobody knows whether it was open."""
        found = np.stack([self._sessions(rule) for rule in alternatives])
        most = np.max(np.nan_to_num(found), axis=0)
        busy = most >= OPEN_SESSIONS
        both_tell = busy & self.reads & self.logged
        long = (both_tell & open_by_log).sum() >= MOSTLY * both_tell.sum()
        known = np.where(busy, long, np.isfinite(found).all(axis=0))
        return np.where(self.reads & ~self.logged, np.where(known, most, np.nan), 0.0)

    def _sessions(self, rule: Rule) -> Array:
        fields = [name for name in rule if name != "instance"]
        dimension = DIMENSIONS.get(fields[0]) if len(fields) == 1 else None
        if "instance" in rule and not workloads.fits(pd.Series([self.instance]), rule["instance"])[0]:
            return np.zeros(len(self.reads))
        if dimension not in self.members:
            return np.full(len(self.reads), np.nan)
        listed = self.members[dimension]
        mine = listed.loc[:, workloads.fits(listed.columns.to_series(), rule[fields[0]])]
        summed = mine.sum(axis=1, min_count=1).to_numpy()
        nothing = np.isnan(summed) & (self.rest[dimension] < UNLISTED_SESSIONS)
        return np.where(nothing, 0.0, summed)

    def told(self) -> tuple[object, ...]:
        shares = [(mask & self.reads).sum() / self.reads.sum() for mask in (self.logged, self.loaded)]
        return (self.instance, self.reads.sum() / 60, *shares, 1 - sum(shares))


def _reader(
    name: str,
    seen: pd.DataFrame,
    role: str,
    coverage: pd.DataFrame,
    db_load: pd.DataFrame,
    minutes: pd.DatetimeIndex,
) -> _Reader:
    ordered = seen.sort_values("time", kind="stable")
    term = np.clip(ordered["time"].searchsorted(minutes, side="right") - 1, 0, None)
    logs_all = ordered["slow_query_log"].ne(False) & ~(ordered["log_slow_rate_limit"] > 1)
    logs_all &= ordered["log_output"].isna() | ordered["log_output"].str.contains("FILE")
    reads = ordered["role"].eq(role).to_numpy(dtype=bool)[term]
    logged = _logged(coverage, name, minutes) & logs_all.to_numpy(dtype=bool)[term]
    if not (reads & ~logged).any():
        return _Reader(name, reads, logged)
    return _Reader(name, reads, logged, *_load(db_load[db_load["instance"] == name], minutes))


def _logged(coverage: pd.DataFrame, instance: str, minutes: pd.DatetimeIndex) -> Mask:
    """The minutes that a slow log of the instance covers."""
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
    """The active sessions of each dimension's members by minute, and what they leave of the whole load."""
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
    rules: Rules | None, logged: pd.DataFrame, told: Iterable[_Reader]
) -> dict[str, Sequence[Rule]]:
    """The rules by which the load is asked: the settings' own, else that of a user, else that of a digest."""
    users = {str(name) for reader in told for name in reader.members.get("user", pd.DataFrame()).columns}
    digests = {*logged["digest"]}
    names = {*logged["workload"]} | (set() if rules else users)
    own = {
        name: [{"digest" if name in digests else "user": [glob.escape(name)]}]
        for name in sorted(names - {*(rules or {})})
    }
    return {**(rules or {}), **own}


def _open(runs: pd.DataFrame | None, minutes: pd.DatetimeIndex) -> Mask:
    """The minutes in which one of a workload's runs was open."""
    if runs is None:
        return np.zeros(len(minutes), dtype=bool)
    return np.asarray(workloads.exposure_share(runs, minutes, 60).to_numpy().any(axis=1))


def _runs(workload: str, reader: _Reader, sessions: Array, minutes: pd.DatetimeIndex) -> pd.DataFrame:
    """The spans in which the load says that the workload was open on a reader."""
    spans = _spans(np.nan_to_num(sessions) >= OPEN_SESSIONS, minutes)
    nobody = pd.array([pd.NA] * len(spans), dtype="Int64")
    told = {"workload": workload, "instance": reader.instance, "digest": None, "thread_id": nobody}
    return spans.assign(**told)[workloads.EXPOSURE_COLUMNS]


def _unknown(
    workload: str, known: Sequence[tuple[_Reader, Array]], minutes: pd.DatetimeIndex
) -> pd.DataFrame:
    """The spans in which nobody knows of some reader whether the workload was open on it."""
    blind = np.logical_or.reduce([np.isnan(sessions) for _, sessions in known])
    return _spans(blind, minutes).assign(workload=workload)[SPAN_COLUMNS]


def _spans(mask: Mask, minutes: pd.DatetimeIndex) -> pd.DataFrame:
    """The stretches of minutes that the mask keeps, as `start, end` (UTC)."""
    bounds = [(first, last) for first, last in stretches(mask) if mask[first]]
    ends = minutes + pd.Timedelta("1min")
    return pd.DataFrame(
        {
            "start": minutes[[first for first, _ in bounds]],
            "end": ends[[last - 1 for _, last in bounds]],
        }
    )
