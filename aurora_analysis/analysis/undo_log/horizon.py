"""Find who held PostgreSQL's xmin horizon, sample by sample: exactly by its transaction id, else by kind and by start.

Vacuum removes no row version that a snapshot may still need. The oldest transaction id that anything needs, the xmin
horizon, is itself the id of a transaction: the holder is the session that needs this id, and the moment at which the id
was the next one is when its snapshot began. Three sources name the holder, the first that can:

1. live samples: the session whose transaction id equals the horizon;
2. the kind with the greatest age (Performance Insights has one counter for each), and of that kind the logged statement
   that began and ended with the snapshot;
3. the kind alone.

While a transaction of the writer is open, readers report its id as well: the readers' age alone proves a reader only
where no session of the writer and no prepared transaction is as old.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aurora_analysis.analysis.series import GAP, Mask, period_s, seconds
from aurora_analysis.analysis.undo_log.episodes import base
from aurora_analysis.analysis.undo_log.holders import Attribution

KINDS = {
    "xmin_age_writer": "a session of the writer",
    "xmin_age_prepared": "a prepared transaction",
    "xmin_age_readers": "a session of a reader",
    "xmin_age_slots": "a replication slot",
}
"""Metric of each kind's age → name of the kind; of equally old kinds the first counts (see the module's docstring)."""

AGE, HORIZON, CLOCK, DATABASE_AGE = (
    "xmin_horizon_age",
    "xmin_horizon",
    "next_transaction_id",
    "oldest_database_age",
)
METRICS = [AGE, HORIZON, CLOCK, DATABASE_AGE, *KINDS]
"""The writer's metrics from which `horizon` is made."""

NOBODY = 2.0**31 - 1
"""Value of `age(xid)`, and of what is computed from it, that means "nobody"."""

STILL = 0.1
"""The horizon stands still if it advances by at most this share of the transaction ids that were handed out [0 to 1]."""

ALIKE = 0.05
"""Two kinds are equally old if their ages differ by at most this share, or by the usual age [0 to 1]."""

NEAR, LOG_PRECISION_S = 1.5, 2.0
"""Largest difference between a snapshot's and a statement's start or end [periods], and the log's own precision [s]."""

EXACT, BOTH_ENDS, ONE_END = 1.0, 0.96, 0.9
"""Confidence in a name: by the transaction id; by the statement's start and end; by its start, if the end is not observed.

The first is certain. That a statement in no log began and ended together with a logged one is the only other explanation of
the second; its probability is this project's assumption, not a measurement [0 to 1].
"""


@dataclass(frozen=True)
class Horizon:
    """The xmin horizon over time (UTC).

    Attributes
    ----------
    age : Series
        Transaction ids handed out since the oldest one that anything needs [transactions].
    horizon : Series
        That oldest one; NaN if unknown.
    clock : Series
        The next transaction id; NaN if unknown.
    kinds : DataFrame
        Age of the oldest id that each kind of holder needs, by `KINDS` [transactions]; NaN if unknown.
    is_exact : bool
        Whether the ids are the server's own; otherwise they count from the first sample.
    """

    age: pd.Series
    horizon: pd.Series
    clock: pd.Series
    kinds: pd.DataFrame
    is_exact: bool

    def unknown_kinds(self, coverage_needed: float) -> list[str]:
        """List the kinds of holders whose age is unknown for too much of the time.

        Parameters
        ----------
        coverage_needed : float
            Smallest share of the samples that must have the kind's age [0 to 1].

        Returns
        -------
        list of str
            Values of `KINDS`.
        """
        count = self.kinds.notna().sum()
        return [KINDS[kind] for kind in KINDS if count[kind] < coverage_needed * max(len(self.age), 1)]


def horizon(metrics: pd.DataFrame, vacuums: pd.DataFrame | None = None) -> Horizon:
    """Take the horizon from live samples, from Performance Insights if it has more minutes, else from vacuum's log.

    Parameters
    ----------
    metrics : DataFrame
        The writer's `METRICS` over time (UTC); any may be missing.
    vacuums : DataFrame, optional
        Rows of the table vacuums of the writer.

    Returns
    -------
    Horizon
        Without rows if no age is known.
    """
    known = metrics.reindex(columns=METRICS)
    kinds = known[[*KINDS]].mask(known[[*KINDS]] >= NOBODY, 0.0)
    oldest = kinds.max(axis=1).dropna().rename(AGE)
    sampled = known[AGE].dropna()
    if oldest.empty and sampled.empty and vacuums is not None:
        return _reported(vacuums)
    is_exact = len(sampled) >= len(oldest)
    age = sampled if is_exact else oldest
    clock = known[CLOCK].dropna() if is_exact else _counted(known[DATABASE_AGE].dropna())
    clock = _at(clock, age.index).rename(CLOCK)
    return Horizon(age, (clock - age).rename(HORIZON), clock, kinds.reindex(age.index), is_exact)


def _reported(vacuums: pd.DataFrame) -> Horizon:
    """Return the horizon from vacuum's reports: the cutoff holds at a report's start, the next id at its end."""
    rows = vacuums.dropna(subset=["cutoff", "next_xid", "started_at"])
    ends = rows.groupby("time")["next_xid"].max().astype(float).cummax()
    cutoff = rows.groupby("started_at")["cutoff"].max().astype(float).rename_axis("time")
    clock = _at(ends, cutoff.index).dropna().rename(CLOCK)
    oldest = cutoff.reindex(clock.index).rename(HORIZON)
    nothing = pd.DataFrame(np.nan, clock.index, [*KINDS])
    return Horizon((clock - oldest).rename(AGE), oldest, clock, nothing, is_exact=False)


def _counted(database_age: pd.Series) -> pd.Series:
    """Count transaction ids handed out since the first sample; where a freeze lowers the age, count the usual step."""
    steps = database_age.diff()
    usual = steps[steps >= 0].median()
    return steps.mask(steps < 0, usual).fillna(0.0).cumsum()


def _at(clock: pd.Series, times: pd.Index) -> pd.Series:
    """Return the clock at these times; NaN outside its samples."""
    if len(clock) < 2:
        return pd.Series(np.nan, times)
    values = np.interp(seconds(times), seconds(clock.index), clock, left=np.nan, right=np.nan)
    return pd.Series(values, times)


@dataclass(frozen=True)
class Sessions:
    """The sessions that needed each transaction id, from live samples.

    Attributes
    ----------
    transactions : DataFrame
        Rows of open_transactions with `role`; without an `oldest_xid` they need nothing.
    views : DataFrame
        Rows of read_views: the oldest id that each instance reports.
    databases : set of str
        Databases of the writer whose tables are observed; empty if unknown.
    holds : callable
        The engine's rule: whether a snapshot of this role and database keeps rows of that database.
    """

    transactions: pd.DataFrame
    views: pd.DataFrame
    databases: frozenset[str]
    holds: Callable[[str, str | None, str | None], bool]

    def holding(self) -> pd.DataFrame:
        """Select the transactions that can keep dead rows of the observed databases.

        Returns
        -------
        DataFrame
            Rows of `transactions`, those that began first before others of the same sample.
        """
        rows = self.transactions.dropna(subset="oldest_xid")
        harmed: Sequence[str | None] = sorted(self.databases) or [None]
        pairs = zip(rows["role"], rows["database"])
        kept = [any(self.holds(str(role), _text(name), one) for one in harmed) for role, name in pairs]
        return rows[np.array(kept, dtype=bool)].sort_values(["time", "started_at"], kind="stable")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


VIEW_COLUMNS = ["state", "run", "since", "length", "growth", "confidence", "kind", "instance", "tied"]
"""Columns of `Attribution.oldest_view` here: the last three are the kind of an unnamed holder, the instance that reports it,
and how many sessions needed the same id."""


def attribution(found: Horizon, sessions: Sessions, runs: pd.DataFrame) -> Attribution:
    """Attribute the horizon to a run, at each sample.

    Parameters
    ----------
    found : Horizon
        The horizon over time.
    sessions : Sessions
        What live samples show.
    runs : DataFrame
        Logged or sampled statements: `workload, instance, role, digest, thread_id, start, end` (UTC).

    Returns
    -------
    Attribution
        `oldest_view` as on MySQL, with `VIEW_COLUMNS`: `state` is `none` where the horizon moves with the transactions, `held`
        where a run is named, and `unknown` where only the kind or nothing is.
    """
    count = len(found.age)
    since, kind = _since(found), _kinds(found)
    state = np.full(count, "none", dtype=object)
    run, confidence = np.full(count, pd.NA, dtype=object), np.ones(count)
    for first, last in _stretches(found):
        own = slice(first, last)
        one = _by_log(since.iloc[own], kind.iloc[own], runs, period_s(found.age.index), is_last=last == count)
        state[own] = "unknown" if one is None else "held"
        if one is not None:
            run[own], confidence[own] = one
    exact = _by_id(found, state != "none", sessions, runs)
    known = (exact["tied"] > 0).to_numpy()
    run[known] = exact["run"].to_numpy(dtype=object)[known]
    confidence[known] = EXACT
    state[known] = np.where(pd.notna(run[known]), "held", "unknown")
    grown = found.age.diff().clip(lower=0.0).fillna(0.0)
    view = pd.DataFrame(
        {
            "state": state,
            "run": pd.array(run, dtype="Int64"),
            "since": since,
            "length": found.age,
            "growth": grown.where(state != "none", 0.0),
            "confidence": np.where(state == "unknown", np.nan, confidence),
            "kind": kind,
            "instance": exact["instance"],
            "tied": exact["tied"],
        },
        index=found.age.index,
    )
    return Attribution(view[VIEW_COLUMNS], _probabilities(view), pd.Series(dtype=float, name="holds"))


def _probabilities(view: pd.DataFrame) -> pd.DataFrame:
    """One row per sample with a holder, in the shape of `Attribution.probabilities`."""
    held = view[view["state"] != "none"]
    columns = {"time": held.index, "state": held["state"].to_numpy(), "run": held["run"].to_numpy()}
    return pd.DataFrame(columns).assign(probability=held["confidence"].to_numpy())


def _since(found: Horizon) -> pd.Series:
    """Return when the horizon's id was the next one, the start of the oldest snapshot; NaT without a clock."""
    known = found.clock.notna() & found.horizon.notna()
    if known.sum() < 2:
        return pd.Series(pd.NaT, found.age.index, dtype="datetime64[us, UTC]")
    clock, times = found.clock[known].to_numpy(dtype=float), seconds(found.clock[known].index)
    rate = (clock[-1] - clock[0]) / max(times[-1] - times[0], 1e-9)
    before = np.clip(clock[0] - found.horizon.to_numpy(dtype=float), 0, None) / max(rate, 1e-9)
    at = np.interp(found.horizon.to_numpy(dtype=float), clock, times) - before
    moments = pd.to_datetime(np.round(at, 3), unit="s", utc=True).as_unit("us")
    return pd.Series(moments, found.age.index)


def _stretches(found: Horizon) -> Iterator[tuple[int, int]]:
    """Return the positions of samples, at least two in a row, over which the horizon stood still."""
    if len(found.age) < 2:
        return
    still = stood_still(found)
    bounds = np.flatnonzero(~still)
    for first, last in zip(bounds, [*bounds[1:], len(still)]):
        if last - first > 1:
            yield int(first), int(last)


def stood_still(found: Horizon) -> Mask:
    """Flag the samples at which the horizon did not advance; without a clock, those at which its age grew.

    Parameters
    ----------
    found : Horizon
        At least two samples.

    Returns
    -------
    ndarray of bool, shape (samples,)
        False at the first sample and after a gap.
    """
    moved, passed = found.horizon.diff().to_numpy(), found.clock.diff().to_numpy()
    grew = found.age.diff().to_numpy(dtype=float)
    still = np.where(np.isnan(moved) | np.isnan(passed), grew > 0, moved <= STILL * passed)
    close = np.diff(seconds(found.age.index)) <= GAP * period_s(found.age.index)
    return np.asarray(still & np.concatenate([[False], close]), dtype=bool)


def _kinds(found: Horizon) -> pd.Series:
    """Return the kind with the greatest age at each sample, the first if equally old; None if no age is known."""
    if found.age.empty:
        return pd.Series(dtype=object)
    ages = found.kinds.to_numpy(dtype=float)
    oldest = np.nanmax(np.column_stack([ages, np.full(len(ages), -1.0)]), axis=1)
    tolerance = np.maximum(ALIKE * oldest, base(found.age))
    alike = ages >= (oldest - tolerance)[:, None]
    names = np.array([*KINDS.values()], dtype=object)
    kind = np.where(alike.any(axis=1), names[alike.argmax(axis=1)], None)
    return pd.Series(kind, found.age.index, dtype=object)


def _by_log(
    since: pd.Series, kind: pd.Series, runs: pd.DataFrame, period: float, *, is_last: bool
) -> tuple[int, float] | None:
    """Return the run that began and ended with the snapshot, and the confidence; None if runs of two workloads did."""
    begin, end = since.median(), pd.Timestamp(since.index[-1])
    if pd.isna(begin) or runs.empty:
        return None
    common = kind.mode()
    tolerance = pd.Timedelta(seconds=NEAR * period + LOG_PRECISION_S)
    suited = _of_kind(runs, str(common.iloc[0]) if len(common) else None)
    suited &= (runs["start"] - begin).abs() <= tolerance
    suited &= runs["end"] >= end - tolerance
    suited &= is_last | (runs["end"] <= end + tolerance)
    fitting = runs[suited]
    if len(set(fitting["workload"])) != 1:
        return None
    nearest = fitting.index[int((fitting["start"] - begin).abs().argmin())]
    return int(nearest), ONE_END if is_last else BOTH_ENDS


def _of_kind(runs: pd.DataFrame, kind: str | None) -> pd.Series:
    """Flag runs on instances of the kind's role; prepared transactions and slots have no run."""
    if kind is None:
        return pd.Series(True, runs.index)
    roles = {KINDS["xmin_age_readers"]: "reader", KINDS["xmin_age_writer"]: "writer"}
    return runs["role"].eq(roles.get(kind, ""))


def _by_id(found: Horizon, inside: Mask, sessions: Sessions, runs: pd.DataFrame) -> pd.DataFrame:
    """Return the session that needs the horizon's own id, by sample: `run`, `instance`, and the number `tied` with it.

    Where no session is known, `instance` is the reader that reports the id.
    """
    frame = pd.DataFrame({"run": pd.NA, "instance": None, "tied": 0}, index=found.age.index).astype(
        {"run": object, "instance": object}
    )
    if not found.is_exact or not inside.any():
        return frame
    numbers = found.horizon[inside].dropna()
    matching = _with_id(sessions.holding(), "oldest_xid", numbers)
    reported = _with_id(sessions.views, "oldest_read_view_trx_id", numbers)
    first = matching.drop_duplicates("sample").set_index("sample")
    readers = reported[reported["role"] == "reader"].drop_duplicates("sample").set_index("sample")["instance"]
    instance = first["instance"].astype(object).reindex(frame.index)
    return frame.assign(
        run=_runs_of(first, runs).reindex(frame.index).astype("Int64").astype(object),
        instance=instance.where(instance.notna(), readers.astype(object).reindex(frame.index)),
        tied=matching.groupby("sample").size().reindex(frame.index, fill_value=0),
    )


def _with_id(rows: pd.DataFrame, column: str, numbers: pd.Series) -> pd.DataFrame:
    """Rows whose id is the horizon's at the sample taken with them, with that `sample`."""
    if rows.empty:
        return rows.assign(sample=pd.DatetimeIndex([], tz="UTC"))
    samples = pd.DataFrame({"sample": numbers.index, "number": numbers.to_numpy(dtype=float)})
    nearest = pd.merge_asof(
        rows.assign(time=pd.DatetimeIndex(rows["time"]).as_unit("us")).sort_values("time", kind="stable"),
        samples.assign(time=pd.DatetimeIndex(samples["sample"]).as_unit("us")),
        on="time",
        direction="nearest",
    )
    return nearest[nearest[column].astype(float) == nearest["number"]]


def _runs_of(first: pd.DataFrame, runs: pd.DataFrame) -> pd.Series:
    """Return the run of each session at its sample, by process; a logged run takes precedence over a sampled one."""
    keyed = runs.rename_axis("run").reset_index()[["run", "instance", "thread_id", "start", "end"]]
    sessions = first.reset_index()[["sample", "time", "instance", "thread_id"]]
    both = sessions.astype({"thread_id": float, "instance": str}).merge(
        keyed.astype({"thread_id": float, "instance": str}), on=["instance", "thread_id"]
    )
    precision = pd.Timedelta(seconds=LOG_PRECISION_S)
    covered = (both["start"] - precision <= both["time"]) & (both["time"] <= both["end"] + precision)
    return (
        both[covered].sort_values("run", kind="stable").drop_duplicates("sample").set_index("sample")["run"]
    )
