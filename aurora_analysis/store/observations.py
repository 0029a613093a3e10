"""Observations: one window of one cluster, each table read once, each row with its instance's role.

Notebooks name the result `data`, and analyses take it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import pandas as pd

from aurora_analysis.store.store import Store
from aurora_analysis.tables import TABLES
from aurora_analysis.window import Window

ROLE_AT = {"slow_queries": "started_at"}
"""The time at which a row's role is looked up, where it is not the table's own time."""


class Observations:
    """What a store holds of one cluster in one window.

    Parameters
    ----------
    store : Store
        The store to read.
    window : Window
        Half-open span of time, UTC.
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

    def over(self, window: Window) -> Observations:
        """Return the same cluster's observations over another window."""
        return Observations(self.store, window, self.cluster)

    def at_least(self, days: int) -> Observations:
        """Return observations that reach back at least `days` from the window's end."""
        return self.over(self.window.at_least(days))

    def previous(self) -> Observations:
        """Return the observations of the window of the same length that ends where this one starts."""
        return self.over(self.window.previous())

    @cached_property
    def instances(self) -> pd.DataFrame:
        """Each instance as seen in the window, and as it stood when the window began."""
        return self.store.instances(self.window, cluster=self.cluster)

    @cached_property
    def coverage(self) -> pd.DataFrame:
        """What each fetch, recording or ingest that touches the window got."""
        return self.store.coverage(self.window, cluster=self.cluster)

    @cached_property
    def writers(self) -> pd.DataFrame:
        """One row per term of a writer: `start`, `end`, `writer` (UTC)."""
        return self.store.writers(self.window, cluster=self.cluster)

    def table(
        self,
        name: str,
        *,
        columns: Sequence[str] = (),
        where: Mapping[str, Any] | None = None,
        at_least: Mapping[str, float] | None = None,
        overlapping: bool = False,
    ) -> pd.DataFrame:
        """Return the window's rows of a table, read once, with a column `role` if the table has instances.

        Parameters
        ----------
        name : str
            A table of `tables.TABLES`.
        columns : sequence of str, optional
            Read these alone (beside the time and, for the role, the instance). Default: all.
        where, at_least : mapping, optional
            Keep rows whose columns equal, or reach, these values.
        overlapping : bool, default False
            slow_queries only: take every execution that ran in the window, also one that ended after it.

        Returns
        -------
        pandas.DataFrame
            Rows ordered by time; `role` is writer, reader, or missing.
        """
        how: dict[str, Any] = {
            "columns": tuple(columns),
            "where": where,
            "at_least": at_least,
            "overlapping": overlapping,
        }
        key = (name, repr(how))
        if key not in self._read:
            found = self.store.read(name, self.window, cluster=self.cluster, **how)
            self._read[key] = self._with_role(found, name)
        return self._read[key].copy(deep=False)

    def days(
        self, name: str, *, columns: Sequence[str] = (), overlapping: bool = False
    ) -> Iterator[pd.DataFrame]:
        """Yield the window's rows day by day, with roles: for sums over more rows than fit in memory."""
        how: dict[str, Any] = {"columns": columns, "overlapping": overlapping}
        for rows in self.store.days(name, self.window, cluster=self.cluster, **how):
            yield self._with_role(rows, name)

    def metric(self, name: str, *, instance: str | None = None, statistic: str = "average") -> pd.Series:
        """Return a metric over time (index: start of the period, UTC); without an instance, the writer's."""
        how: dict[str, Any] = {"instance": instance, "statistic": statistic}
        return self.store.metric(name, self.window, cluster=self.cluster, **how)

    def metrics(self, names: Iterable[str]) -> pd.DataFrame:
        """Return several of the writer's metrics, one column each; metrics without a value are left out."""
        return self.store.metrics(names, self.window, cluster=self.cluster)

    @cached_property
    def fingerprints(self) -> pd.DataFrame:
        """Each digest's text: `digest`, `fingerprint`."""
        return self.store.read("statements", cluster=self.cluster)[["digest", "fingerprint"]]

    def _with_role(self, rows: pd.DataFrame, name: str) -> pd.DataFrame:
        time = ROLE_AT.get(name, TABLES[name].time)
        if "instance" not in rows or "role" in rows or time not in rows:
            return rows
        return rows.assign(role=self.store.roles(rows, cluster=self.cluster, time=time))


def observe(store: Store, window: Window, cluster: str) -> Observations:
    """Return what a store holds of one cluster in one window.

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
        If the store has no such cluster; the message lists the clusters that it has.

    Examples
    --------
    >>> from aurora_analysis import Store, Window, observe
    >>> data = observe(Store(), Window("2026-11-09", "2026-11-16"), "shop")
    >>> data.metric("commit_latency").size > 9000
    True
    """
    store.span(cluster)  # raises an error that names the clusters there are
    return Observations(store, window, cluster)
