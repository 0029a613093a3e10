"""Observations: one window of one cluster, each table read once, each row with its instance's role.

Notebooks name the result `data`, and analyses take it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import pandas as pd

from aurora_analysis import engines
from aurora_analysis.engines.vocabulary import Words
from aurora_analysis.errors import Error
from aurora_analysis.store import baseline, metrics, roles
from aurora_analysis.store.names import check_columns
from aurora_analysis.store.reading import Value
from aurora_analysis.store.store import Store
from aurora_analysis.tables import TABLES
from aurora_analysis.window import Window

ROLE_AT = {"slow_queries": "started_at"}
"""The time at which a row's role is looked up, if it is not the table's own time.

An execution holds its read view where it started, also if it ended after a failover.
"""


JOINED = ("role", "endpoint")
"""Columns that `Observations.slow_queries` adds, and by which it can select."""


class Observations:
    """The rows that a store has of one cluster in one window.

    Parameters
    ----------
    store : Store
        The store to read.
    window : Window
        Half-open span of time (UTC).
    cluster : str
        The cluster's name in the store.
    """

    def __init__(self, store: Store, window: Window, cluster: str) -> None:
        self.store = store
        self.window = window
        self.cluster = cluster
        self._read: dict[object, pd.DataFrame] = {}

    def __repr__(self) -> str:
        return f"Observations({self.store!r}, {self.window!r}, {self.cluster!r})"

    # Other windows of the same cluster

    def over(self, window: Window) -> Observations:
        """Return the same cluster's observations in another window.

        Parameters
        ----------
        window : Window

        Returns
        -------
        Observations
        """
        other = Observations(self.store, window, self.cluster)
        other.__dict__["_instances"] = self._instances
        return other

    def at_least(self, days: int) -> Observations:
        """Return observations that reach back at least `days` from the window's end.

        Parameters
        ----------
        days : int

        Returns
        -------
        Observations
        """
        return self.over(self.window.at_least(days))

    def previous(self) -> Observations:
        """Return the observations in the window of the same length that ends where this one starts.

        Returns
        -------
        Observations
        """
        return self.over(self.window.previous())

    def against(self, named: str = "") -> Observations:
        """Return the observations in the window to compare with; see `baseline.against`.

        Parameters
        ----------
        named : str, optional
            A baseline's name, or a window as start/end (UTC). Default: the previous window.

        Returns
        -------
        Observations
        """
        return self.over(baseline.against(self.store, named, self.window, cluster=self.cluster))

    @cached_property
    def span(self) -> Window:
        """The time from the first to the last moment that the store has coverage for."""
        return self.store.span(self.cluster)

    # Roles and coverage

    @cached_property
    def _instances(self) -> pd.DataFrame:
        """All rows of the table `instances`, of all times."""
        return self.store.read("instances", cluster=self.cluster)

    @cached_property
    def instances(self) -> pd.DataFrame:
        """Each instance as observed in the window, and as it was when the window began."""
        return roles.states_in(self._instances, self.window)

    @cached_property
    def engine(self) -> str:
        """The engine of the cluster, as the newest row that names one has it; MySQL's family if none does."""
        rows = self._instances.sort_values("time")
        known = rows["engine"].dropna() if "engine" in rows else pd.Series(dtype=str)
        return str(known.iloc[-1]) if len(known) else engines.DEFAULT

    @property
    def words(self) -> Words:
        """The engine's words for cleanup and its backlog."""
        return engines.words(self.engine)

    @cached_property
    def writers(self) -> pd.DataFrame:
        """One row per term of a writer: `start`, `end` (UTC), `writer`."""
        return roles.terms(self.instances, self.window)

    @cached_property
    def coverage(self) -> pd.DataFrame:
        """Rows and points received by each fetch, recording or ingest that touches the window."""
        return self.store.coverage(self.window, cluster=self.cluster)

    def roles(self, rows: pd.DataFrame, *, time: str = "time") -> pd.Series:
        """Return the role of each row's instance at the row's time, for rows that `table` did not return.

        Parameters
        ----------
        rows : pandas.DataFrame
            With `instance` and a column of times (UTC).
        time : str, default "time"
            The column of times.

        Returns
        -------
        pandas.Series
            "writer", "reader", or missing; aligned with `rows`.
        """
        return roles.of(rows, self._instances, time=time)

    # Rows

    def table(
        self,
        name: str,
        *,
        columns: Sequence[str] = (),
        where: Mapping[str, Value] | None = None,
        at_least: Mapping[str, float] | None = None,
        overlapping: bool = False,
    ) -> pd.DataFrame:
        """Return the window's rows of a table, with a column `role` if they have instances and times.

        The rows are read once; the same call again returns them from memory.

        Parameters
        ----------
        name : str
            A table of `tables.TABLES`.
        columns : sequence of str, optional
            Read only the time and these, texts as categories. Default: all columns.
        where : mapping of str to value or list, optional
            Keep rows whose columns have this value, or one of these.
        at_least : mapping of str to float, optional
            Keep rows whose columns reach these values.
        overlapping : bool, default False
            slow_queries only: take every execution that ran in the window, also one that ended after it.

        Returns
        -------
        pandas.DataFrame
            Rows ordered by time; `role` is writer, reader, or missing, at the time of `ROLE_AT`.
        """
        query: dict[str, Any] = {
            "columns": tuple(columns),
            "where": where,
            "at_least": at_least,
            "overlapping": overlapping,
        }
        key = (name, repr(query))
        if key not in self._read:
            found = self.store.read(name, self.window, cluster=self.cluster, **query)
            self._read[key] = self._with_role(found, name)
        return self._read[key].copy(deep=False)

    def days(
        self, name: str, *, columns: Sequence[str] = (), overlapping: bool = False
    ) -> Iterator[pd.DataFrame]:
        """Yield the rows of `table` one day at a time, for sums over more rows than fit in memory.

        Parameters
        ----------
        name : str
        columns : sequence of str, optional
        overlapping : bool, default False

        Yields
        ------
        pandas.DataFrame
        """
        query: dict[str, Any] = {"columns": columns, "overlapping": overlapping}
        for rows in self.store.days(name, self.window, cluster=self.cluster, **query):
            yield self._with_role(rows, name)

    def slow_queries(
        self, *, at_least_s: float = 0.0, overlapping: bool = False, **where: Value
    ) -> pd.DataFrame:
        """Return the logged executions with the text of their statements, longest first.

        Parameters
        ----------
        at_least_s : float, default 0
            Leave out shorter executions [s].
        overlapping : bool, default False
            Take every execution that ran in the window, also one that ended after it.
        **where
            Keep executions with this value, or one of these, in a column: `user="etl"`, `role="reader"`,
            `endpoint="analytics"`.

        Returns
        -------
        pandas.DataFrame
            The columns of the table slow_queries; `role`; `endpoint`, the custom endpoints that lead to the instance,
            separated by a comma and a space (no log records which one a session used); `fingerprint`; and `example`,
            one execution's text with literals, missing unless the settings say `examples = true`.

        Raises
        ------
        Error
            If there is no such column.

        Examples
        --------
        >>> from aurora_analysis import Store, Window, observe
        >>> data = observe(Store(), Window("2026-11-09", "2026-11-16"), "shop")
        >>> data.slow_queries(user="snowflake", at_least_s=3600)["fingerprint"].nunique()
        1
        """
        joined = {name: where[name] for name in where if name in JOINED}
        stored = {name: where[name] for name in where if name not in JOINED}
        check_columns(TABLES["slow_queries"], stored, JOINED)
        least = {"query_time_s": at_least_s} if at_least_s > 0 else None
        rows = self.table("slow_queries", where=stored or None, at_least=least, overlapping=overlapping)
        endpoint = roles.setting(rows, self._instances, "custom_endpoints", time=ROLE_AT["slow_queries"])
        rows = rows.assign(endpoint=endpoint.where(endpoint != ""))
        for name, value in joined.items():
            rows = rows[_has(rows[name], value)]
        rows = rows.sort_values("query_time_s", ascending=False, kind="stable")
        texts = self.fingerprints.merge(self._examples, on="digest", how="left")
        return rows.merge(texts, on="digest", how="left")

    def running_at(self, moment: datetime) -> pd.DataFrame:
        """Return the logged executions that were running at a moment, longest first.

        Parameters
        ----------
        moment : datetime
            A moment of the window (UTC).

        Returns
        -------
        pandas.DataFrame
            As `slow_queries`. An execution that had not ended when the data were fetched is missing.
        """
        around = self.over(Window(moment, moment + timedelta(seconds=1)))
        rows = around.slow_queries(overlapping=True)
        return rows[(rows["started_at"] <= moment) & (rows["ended_at"] > moment)].reset_index(drop=True)

    def digest(self, beginning: str) -> str:
        """Return the digest of the cluster's statement that begins with these characters.

        Parameters
        ----------
        beginning : str
            A digest, or its first characters as figures and tables show them.

        Returns
        -------
        str

        Raises
        ------
        Error
            If no statement, or more than one, has such a digest.
        """
        found = sorted({str(each) for each in self.fingerprints["digest"] if each.startswith(beginning)})
        if len(found) != 1:
            count = "no statement" if not found else f"{len(found)} statements"
            raise Error(
                f"Cluster {self.cluster} has {count} whose digest begins with {beginning!r}: "
                "name one of the column `digest`."
            )
        return found[0]

    @cached_property
    def _examples(self) -> pd.DataFrame:
        """One execution's text of each digest that has one: `digest`, `example`."""
        return self.all_times("examples")[["digest", "text"]].rename(columns={"text": "example"})

    def all_times(self, name: str) -> pd.DataFrame:
        """Return a table's rows of this cluster at all times, also outside the window.

        Parameters
        ----------
        name : str
            A table of `tables.TABLES`.

        Returns
        -------
        pandas.DataFrame
            Rows ordered by time.
        """
        return self.store.read(name, cluster=self.cluster)

    def metric(self, name: str, *, instance: str | None = None, statistic: str = "average") -> pd.Series:
        """Return a metric over time.

        Parameters
        ----------
        name : str
            A metric of `glossary.METRICS`, which has its unit.
        instance : str, optional
            Default: the writer, whichever instance that was at the time.
        statistic : str, default "average"
            One of `tables.STATISTICS`.

        Returns
        -------
        pandas.Series
            Values by start of the period (UTC); gaps are absent.

        Raises
        ------
        Error
            If there is no such metric, statistic or instance.
        """
        only: dict[str, Value] = {"name": name, "statistic": statistic}
        rows = self.table("metrics", columns=["instance", "value"], where=only)
        if rows.empty:
            metrics.check_names([name], statistic)
        mine = rows["role"] == "writer" if instance is None else rows["instance"] == instance
        if not mine.any():
            self.store.check_instance(instance, cluster=self.cluster, table="metrics")
        return metrics.series(rows[mine], name)

    def metrics(self, names: Iterable[str]) -> pd.DataFrame:
        """Return several metrics of the writer over time.

        Parameters
        ----------
        names : iterable of str
            Metrics of `glossary.METRICS`.

        Returns
        -------
        pandas.DataFrame
            Averages, one column per metric (those without values are left out), by start of the period (UTC).

        Raises
        ------
        Error
            If there is no such metric.
        """
        wanted = [*names]
        only: dict[str, Value] = {"name": wanted, "statistic": "average"}
        rows = self.table("metrics", columns=["instance", "name", "value"], where=only)
        return metrics.columns(rows[rows["role"] == "writer"], wanted)

    @cached_property
    def fingerprints(self) -> pd.DataFrame:
        """Each statement's text: `digest`, `fingerprint`."""
        return self.all_times("statements")[["digest", "fingerprint"]]

    def _with_role(self, rows: pd.DataFrame, name: str) -> pd.DataFrame:
        time = ROLE_AT.get(name, TABLES[name].time)
        if "instance" not in rows or "role" in rows or time not in rows:
            return rows
        return rows.assign(role=roles.of(rows, self._instances, time=time))


def _has(values: pd.Series, wanted: Value) -> pd.Series:
    """Flag values that list one of the wanted ones."""
    names = {str(each) for each in (wanted if isinstance(wanted, list) else [wanted])}
    return values.map(lambda text: not names.isdisjoint(text.split(", ")), na_action="ignore").eq(True)


def observe(store: Store, window: Window, cluster: str) -> Observations:
    """Return the observations of one cluster in one window.

    Parameters
    ----------
    store : Store
    window : Window
    cluster : str
        The cluster's name in the store.

    Returns
    -------
    Observations

    Raises
    ------
    Error
        If `window` is not one, or the store has no such cluster; the message lists the clusters that it has.

    Examples
    --------
    >>> from aurora_analysis import Store, Window, observe
    >>> data = observe(Store(), Window("2026-11-09", "2026-11-16"), "shop")
    >>> data.metric("commit_latency").size > 9000
    True
    """
    if not isinstance(window, Window):
        raise Error(f"{window!r} is not a window: pass Window(start, end), or window.week('2026-W46').")
    store.span(cluster)  # raises an error that lists the clusters
    return Observations(store, window, cluster)
