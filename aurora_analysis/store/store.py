"""The store: a folder (or an s3:// prefix) of Delta Lake tables.

Every write is one atomic commit: a writer that is killed leaves the earlier content whole, writers of different
windows do not disturb each other, and content that is already stored makes no commit. DuckDB, Spark, Athena,
Trino and Dask open the same tables.
"""

from __future__ import annotations

import json
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from aurora_analysis.errors import Error, Gone
from aurora_analysis.store import delta as delta_tables
from aurora_analysis.store import frames, layout, merging, metrics, opening, reading, roles, sql, tidy, upkeep
from aurora_analysis.store import location as locations
from aurora_analysis.store.causes import one_line
from aurora_analysis.store.names import check_columns, unknown
from aurora_analysis.tables import TABLES, Table
from aurora_analysis.window import Window

Versions = Mapping[str, Mapping[str, int]]
"""A version for each table of each cluster: cluster → table → version."""


@dataclass(frozen=True)
class Write:
    """Rows that replace a slice of a table: those of a source and window, or of one instance in it.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns of the table; missing columns become null. No rows: the window is emptied.
    window : Window
    source : str
    instance : str, optional
        Replace this instance's rows only.
    """

    frame: pd.DataFrame
    window: Window
    source: str
    instance: str | None = None


class Store:
    """A store of a database's observations.

    Parameters
    ----------
    location : str or path, optional
        A folder or an s3:// prefix. Default: the one that `store.location.resolve` finds:
        AURORA_ANALYSIS_STORE, `store` in the settings file, or the bundled sample.
    versions : mapping of str to mapping of str to int, or its JSON, optional
        Read these versions, by cluster and table; what is not named does not exist. Default:
        AURORA_ANALYSIS_VERSIONS, by which all notebooks of a report read the same store, else the newest.

    Raises
    ------
    Error
        If `location` is not a path, or `versions` not such a mapping.

    Examples
    --------
    >>> from aurora_analysis import Store, Window
    >>> store = Store()
    >>> history = store.metric("history_list_length", Window("2026-11-09", "2026-11-16"), cluster="shop")
    """

    def __init__(self, location: str | os.PathLike[str] = "", *, versions: Versions | str = "") -> None:
        if not isinstance(location, str | os.PathLike):
            raise Error(
                f"{location!r} is not a store: name a folder or an s3:// prefix (is its variable unset?)."
            )
        found = locations.resolve(location)
        if found.is_default:
            warnings.warn(locations.SAMPLE_OPENED, stacklevel=2)
        self.location = found.place
        self._pinned = _pins(os.environ.get("AURORA_ANALYSIS_VERSIONS", "") if versions == "" else versions)
        self._known: set[str] = set()

    def __repr__(self) -> str:
        return f"Store({self.location!r})"

    # Reading

    def read(
        self,
        table: str,
        window: Window | None = None,
        *,
        cluster: str,
        instance: str | None = None,
        overlapping: bool = False,
        where: Mapping[str, reading.Value] | None = None,
        at_least: Mapping[str, float] | None = None,
        columns: Sequence[str] = (),
        missing_ok: bool = False,
    ) -> pd.DataFrame:
        """Return a table's rows in a window, ordered by time.

        The keywords are those of a query, each independent of the others; hence so many.

        Parameters
        ----------
        table : str
            A table of `tables.TABLES`.
        window : Window, optional
            Default: all times.
        cluster : str
        instance : str, optional
            Default: all instances, and the cluster's own rows.
        overlapping : bool, default False
            slow_queries only: take every execution that ran in the window, also one that ended after it.
        where : mapping of str to value or list, optional
            Keep rows whose columns have this value, or one of these.
        at_least : mapping of str to float, optional
            Keep rows whose columns reach these values.
        columns : sequence of str, optional
            Read only the time and these, texts as categories: for millions of rows, a small part of the memory.
            Default: all columns.
        missing_ok : bool, default False
            Return no rows, instead of raising, if the store has no such cluster: for callers that look before
            they write a cluster's first rows.

        Returns
        -------
        pandas.DataFrame
            Without rows, but with all columns, if the table was never written.

        Raises
        ------
        Error
            If the store has clusters but not this one, or the cluster has instances but not this one (unless
            `missing_ok`). A store without any cluster has no rows, and does not raise. Also if the table has no
            such column.
        ValueError
            If there is no such table.
        """
        spec = _table(table)
        check_columns(spec, [*columns, *(where or {}), *(at_least or {})])
        query = reading.Query(cluster, window, instance, overlapping, where or {}, at_least or {})
        found = self._rows(spec, query, list(columns))
        if found.empty and not missing_ok:
            self.check_cluster(cluster)
            self.check_instance(instance, cluster=cluster, table=table)
        return found

    def _rows(self, spec: Table, query: reading.Query, columns: list[str]) -> pd.DataFrame:
        named = list(dict.fromkeys([spec.time, *columns])) if columns else None
        texts = [column.name for column in spec.columns if column.name in columns and column.type == "text"]
        while (delta := self.open(spec, query.cluster)) is not None:
            try:
                with one_line(f"read {spec.name} in", self.location):
                    return frames.to_frame(reading.rows(delta, spec, query, named, texts), spec)
            except Gone:  # `store compact` may have deleted the files of an earlier version while it was read
                newest = layout.newest_version(layout.Place(self.location, spec.name, query.cluster))
                if self._pinned is not None or newest == delta.version():
                    raise
        return frames.empty(spec, named)

    def days(
        self, table: str, window: Window, *, overlapping: bool = False, **query: Any
    ) -> Iterator[pd.DataFrame]:
        """Yield the rows that `read` returns, one day at a time: for sums over more rows than fit in memory.

        Parameters
        ----------
        table : str
        window : Window
        overlapping : bool, default False
            See `read`; on the last day, executions that ended after the window are included.
        **query
            The other keywords of `read`.

        Yields
        ------
        pandas.DataFrame
        """
        days = window.by_day()
        for day in days:
            yield self.read(table, day, overlapping=overlapping and day == days[-1], **query)

    def metric(
        self,
        name: str,
        window: Window,
        *,
        cluster: str,
        instance: str | None = None,
        statistic: str = "average",
    ) -> pd.Series:
        """Return a metric over time.

        Parameters
        ----------
        name : str
            A metric of `glossary.METRICS`, which has its unit.
        window : Window
        cluster : str
        instance : str, optional
            Default: the writer, whichever instance that was at the time.
        statistic : str, default "average"
            One of `tables.STATISTICS`.

        Returns
        -------
        pandas.Series
            Values by start of the period (UTC); gaps are absent. Empty if a metric has no values.

        Raises
        ------
        Error
            If the store has no such cluster, or there is no such metric or statistic.
        """
        only: dict[str, reading.Value] = {"name": name, "statistic": statistic}
        columns = ["instance", "value"]
        rows = self.read("metrics", window, cluster=cluster, instance=instance, where=only, columns=columns)
        if rows.empty:
            metrics.check_names([name], statistic)
        if instance is None:
            rows = rows[self.roles(rows, cluster=cluster) == "writer"]
        return metrics.series(rows, name)

    def metrics(self, names: Iterable[str], window: Window, *, cluster: str) -> pd.DataFrame:
        """Return several metrics of the writer over time.

        Parameters
        ----------
        names : iterable of str
            Metrics of `glossary.METRICS`.
        window : Window
        cluster : str

        Returns
        -------
        pandas.DataFrame
            Averages, one column per metric (those without values are left out), by start of the period (UTC).

        Raises
        ------
        Error
            If the store has no such cluster, or there is no such metric.
        """
        wanted, columns = [*names], ["instance", "name", "value"]
        only: dict[str, reading.Value] = {"name": wanted, "statistic": "average"}
        rows = self.read("metrics", window, cluster=cluster, where=only, columns=columns)
        return metrics.columns(rows[self.roles(rows, cluster=cluster) == "writer"], wanted)

    def roles(self, rows: pd.DataFrame, *, cluster: str, time: str = "time") -> pd.Series:
        """Return the role of each row's instance at the row's time.

        Parameters
        ----------
        rows : pandas.DataFrame
            With `instance` and a column of times (UTC).
        cluster : str
        time : str, default "time"
            The column of times.

        Returns
        -------
        pandas.Series
            "writer", "reader", or missing if the role is unknown; aligned with `rows`.
        """
        return roles.of(rows, self.read("instances", cluster=cluster), time=time)

    def writers(self, window: Window, *, cluster: str) -> pd.DataFrame:
        """Return which instance was the writer, and when.

        Parameters
        ----------
        window : Window
        cluster : str

        Returns
        -------
        pandas.DataFrame
            One row per term of a writer, inside the window: `start`, `end` (UTC), `writer`.
        """
        return roles.terms(self.instances(window, cluster=cluster), window)

    def instances(self, window: Window, *, cluster: str) -> pd.DataFrame:
        """Return each instance as observed in the window, and as it was when the window began.

        Parameters
        ----------
        window : Window
        cluster : str

        Returns
        -------
        pandas.DataFrame
            Rows of the table `instances`, ordered by time and instance.
        """
        return roles.states_in(self.read("instances", cluster=cluster), window)

    def sql(self, query: str, **parameters: Any) -> pd.DataFrame:
        """Return the rows of a SELECT over the store's tables, in the SQL of DuckDB (https://duckdb.org/docs).

        Every table of `tables.TABLES` is there, with all clusters and times; one that was never written has no rows.
        Name the cluster and the times: only the files that may hold such rows are opened. The query can write
        nothing and read no file or address.

        Parameters
        ----------
        query : str
            One SELECT. Quote a column whose name is a word of SQL: `"end"`, `"user"`, `"table"`.
        **parameters
            Values of `$name` in the query: texts, numbers or datetimes.

        Returns
        -------
        pandas.DataFrame
            Times are UTC.

        Raises
        ------
        Error
            If it is not one SELECT, or DuckDB cannot answer it; the message names the unknown table or column.

        Examples
        --------
        >>> from aurora_analysis import Store
        >>> query = "select count(*) as n from slow_queries where cluster = $cluster and query_time_s > 3600"
        >>> int(Store().sql(query, cluster="shop")["n"].iloc[0])
        30
        """
        return sql.query(self, query, parameters)

    def clusters(self) -> list[str]:
        """Return the names of the clusters that were fetched, recorded or ingested, sorted.

        Returns
        -------
        list of str
        """
        found = self.open_all(TABLES["coverage"])
        return sorted(cluster for cluster, delta in found.items() if delta.file_uris())

    def span(self, cluster: str) -> Window:
        """Return the time from the first to the last moment that coverage has for a cluster.

        Parameters
        ----------
        cluster : str

        Returns
        -------
        Window

        Raises
        ------
        Error
            If the store has no such cluster.
        """
        rows = self.read("coverage", cluster=cluster)
        if rows.empty:
            raise Error(self._unknown_cluster(cluster, self.clusters()))
        return Window(rows["time"].min().to_pydatetime(), rows["end"].max().to_pydatetime())

    def coverage(self, window: Window, *, cluster: str, missing_ok: bool = False) -> pd.DataFrame:
        """Return the rows and points received by each fetch, recording or ingest that touches the window.

        Parameters
        ----------
        window : Window
        cluster : str
        missing_ok : bool, default False
            See `read`.

        Returns
        -------
        pandas.DataFrame
            Rows of the table `coverage`.
        """
        rows = self.read("coverage", cluster=cluster, missing_ok=missing_ok)
        return rows[(rows["time"] < window.end) & (rows["end"] > window.start)].reset_index(drop=True)

    def versions(
        self, clusters: Iterable[str] | None = None, *, missing_ok: bool = False
    ) -> dict[str, dict[str, int]]:
        """Return the version of every table that exists.

        Parameters
        ----------
        clusters : iterable of str, optional
            Default: all clusters.
        missing_ok : bool, default False
            Leave out a cluster that the store does not have, instead of raising.

        Returns
        -------
        dict of str to dict of str to int
            Cluster → table → version.

        Raises
        ------
        Error
            If the store has no such cluster (see `missing_ok`).
        """
        if self._pinned is not None:
            wanted = list(self._pinned if clusters is None else clusters)
            found = {name: dict(self._pinned.get(name, {})) for name in wanted}
        else:
            wanted = list(self._clusters_of(TABLES) if clusters is None else clusters)
            found = {name: self._versions(name) for name in wanted}
            if not any(found.values()):
                opening.check_layout(self.location, "coverage")
        for name in wanted:
            if not found[name] and not missing_ok:
                self.check_cluster(name)
        return {name: tables for name, tables in found.items() if tables}

    def _versions(self, cluster: str) -> dict[str, int]:
        newest = {name: layout.newest_version(layout.Place(self.location, name, cluster)) for name in TABLES}
        return {name: version for name, version in newest.items() if version is not None}

    def _clusters_of(self, tables: Iterable[str]) -> list[str]:
        """Return the clusters that have at least one of some tables."""
        if self._pinned is not None:
            return [name for name, pinned in self._pinned.items() if set(tables) & set(pinned)]
        return sorted({name for table in tables for name in layout.clusters(self.location, table)})

    def keep(self, duration: timedelta, versions: Versions | None = None) -> None:
        """Keep versions of tables readable for a time, whatever is compacted meanwhile.

        Parameters
        ----------
        duration : timedelta
            From now.
        versions : mapping of str to mapping of str to int, optional
            By cluster and table. Default: `versions()`.

        Raises
        ------
        Error
            If the store no longer has one of these versions.
        OSError
            If the store cannot be written.
        """
        for cluster, tables in (self.versions() if versions is None else versions).items():
            for name, version in tables.items():
                delta = opening.opened(self.location, _table(name), cluster, version)
                if delta is not None:
                    tidy.keep(layout.Place(self.location, name, cluster), delta, duration)

    def at(self, versions: Versions) -> Store:
        """Return the same store at these versions; a table that is not named does not exist there.

        Parameters
        ----------
        versions : mapping of str to mapping of str to int
            By cluster and table.

        Returns
        -------
        Store
        """
        return Store(self.location, versions=versions)

    def open(self, spec: Table, cluster: str) -> DeltaTable | None:
        """Open a cluster's table at the store's version of it; None if it does not exist.

        Parameters
        ----------
        spec : Table
        cluster : str

        Returns
        -------
        DeltaTable or None
        """
        if self._pinned is None:
            return opening.opened(self.location, spec, cluster)
        version = self._pinned.get(cluster, {}).get(spec.name)
        return None if version is None else opening.opened(self.location, spec, cluster, version)

    def open_all(self, spec: Table) -> dict[str, DeltaTable]:
        """Open a table of every cluster that has it.

        Parameters
        ----------
        spec : Table

        Returns
        -------
        dict of str to DeltaTable
            By cluster.
        """
        opened = {cluster: self.open(spec, cluster) for cluster in self._clusters_of([spec.name])}
        return {cluster: delta for cluster, delta in opened.items() if delta is not None}

    def check_cluster(self, cluster: str) -> None:
        """Raise if the store has clusters, in any table, but not this one.

        Parameters
        ----------
        cluster : str

        Raises
        ------
        Error
            With the names of the store's clusters, and the one that was probably meant.
        """
        if cluster in self._known:
            return
        self._known = set(self._clusters_of(TABLES))
        if self._known and cluster not in self._known:
            raise Error(self._unknown_cluster(cluster, self._known))

    def check_instance(self, instance: str | None, *, cluster: str, table: str) -> None:
        """Raise if the cluster has instances, in its roles, its coverage or the table, but not this one.

        Parameters
        ----------
        instance : str or None
            None raises nothing.
        cluster : str
        table : str
            The table that has no rows of the instance.

        Raises
        ------
        Error
            With the names of the cluster's instances, and the one that was probably meant.
        """
        if instance is None or "instance" not in _table(table).column_names():
            return
        known: set[str] = set()
        for name in {"instances", "coverage", table}:
            rows = self._rows(_table(name), reading.Query(cluster), ["instance"])
            known |= set(rows["instance"].dropna().astype(str))
        if known and instance not in known:
            what = unknown("instance", instance, known, "name one of these.")
            raise Error(f"Cluster {cluster} has {what}")

    def _unknown_cluster(self, cluster: str, known: Iterable[str]) -> str:
        what = unknown("cluster", cluster, known, "fetch or ingest it first.")
        return f"The store {self.location} has {what}"

    # Writing

    def write(
        self,
        table: str,
        frame: pd.DataFrame,
        window: Window,
        *,
        cluster: str,
        source: str,
        instance: str | None = None,
    ) -> int | None:
        """Replace the rows of a source, cluster and window (or of one instance in it), in one commit.

        Parameters
        ----------
        table : str
        frame : pandas.DataFrame
            Columns of the table; missing columns become null. No rows: the window is emptied.
        window : Window
        cluster : str
        source : str
            The value of the column `source`.
        instance : str, optional
            Replace this instance's rows only.

        Returns
        -------
        int or None
            The table's new version; None, without a commit, if the store already has exactly these rows.

        Raises
        ------
        Error
            If the name of the cluster or of an instance is empty, or the store cannot be written.
        ValueError
            If the table has no such column, or a row lies outside the window.
        """
        return self.write_all(table, [Write(frame, window, source, instance)], cluster=cluster)

    def write_all(self, table: str, writes: Sequence[Write], *, cluster: str) -> int | None:
        """Replace the rows of several slices of a cluster's table, in one commit; see `write`.

        Parameters
        ----------
        table : str
        writes : sequence of Write
            Slices that do not overlap.
        cluster : str

        Returns
        -------
        int or None
            The table's new version; None, without a commit, if the store already has exactly these rows.

        Raises
        ------
        Error
            If the name of the cluster or of an instance is empty, or the store cannot be written.
        ValueError
            If the table has no such column, or a row lies outside its window.
        """
        spec, contents = _table(table), []
        for one in writes:
            content = frames.to_arrow(
                one.frame, spec, cluster=cluster, source=one.source, instance=one.instance
            )
            frames.check_inside(content, spec, one.window)
            contents.append((content, delta_tables.Slice(one.window, cluster, one.source, one.instance)))
        self._check_writable()

        def replace(delta: DeltaTable) -> bool:
            new = reading.changed(delta, spec, contents)
            if not new:
                return False
            where = " OR ".join(f"({delta_tables.predicate(spec, replaced)})" for _, replaced in new)
            rows = pa.concat_tables([content for content, _ in new])
            write_deltalake(delta, rows, mode="overwrite", predicate=where)
            return True

        return delta_tables.commit(self.location, spec, cluster, replace)

    def merge(self, table: str, frame: pd.DataFrame, *, cluster: str, source: str) -> int | None:
        """Add the rows whose identity is new, for tables whose sources overlap (slow_queries, statements).

        The order of the merges makes no difference to a statement: its span from `first_seen` to `last_seen` widens, missing
        ids are filled in, and its text and source are those of a log, if one has it.

        Parameters
        ----------
        table : str
            A table with an identity.
        frame : pandas.DataFrame
            Columns of the table; missing columns become null.
        cluster : str
        source : str
            The value of the column `source`.

        Returns
        -------
        int or None
            The table's new version; None if nothing was new.

        Raises
        ------
        Error
            If the name of the cluster or of an instance is empty, or the store cannot be written.
        ValueError
            If the table has no identity or no such column, or a row lacks part of its identity.
        """
        spec = _table(table)
        if not spec.identity:
            raise ValueError(f"table {table} has no identity: use write, which replaces a window")
        self._check_writable()
        content = frames.to_arrow(frame, spec, cluster=cluster, source=source)
        return merging.merge(self.location, spec, content)

    def _check_writable(self) -> None:
        if self._pinned is not None:
            raise Error(
                f"The store {self.location} is opened at fixed versions: open it without them to write."
            )

    # Upkeep

    def compact(self, clusters: Iterable[str] | None = None) -> None:
        """Rewrite every table into few files, and delete versions that no recent recorded report has read.

        A report that was not recorded in the store cannot be rerun afterwards.

        Parameters
        ----------
        clusters : iterable of str, optional
            Default: all clusters.

        Raises
        ------
        Error
            If the store has no such cluster.
        """
        for cluster in self._clusters_of(TABLES) if clusters is None else clusters:
            self.check_cluster(cluster)
            upkeep.compact(self, cluster)

    def prune(self, before: date, clusters: Iterable[str] | None = None) -> dict[str, int]:
        """Delete the observations of days before a day (UTC).

        Kept are the windows of baselines, the versions that recorded reports of the last 8 weeks read, and the small
        tables: roles, events, statements, runs and findings. So is the coverage of a fetch that reaches past the day.

        Parameters
        ----------
        before : datetime.date
        clusters : iterable of str, optional
            Default: all clusters.

        Returns
        -------
        dict of str to int
            Deleted rows by table.

        Raises
        ------
        Error
            If the store has no such cluster.
        """
        deleted: Counter[str] = Counter()
        for cluster in self._clusters_of(TABLES) if clusters is None else clusters:
            self.check_cluster(cluster)
            deleted.update(upkeep.prune(self, before, cluster))
        return dict(deleted)


def _table(name: str) -> Table:
    if name not in TABLES:
        raise ValueError(f"tables.py has {unknown('table', name, TABLES, 'name one of these.')}")
    return TABLES[name]


def _pins(versions: Versions | str) -> dict[str, dict[str, int]] | None:
    if not versions and isinstance(versions, str):
        return None
    try:
        named = json.loads(versions) if isinstance(versions, str) else versions
        return {
            cluster: {_table(name).name: int(version) for name, version in tables.items()}
            for cluster, tables in named.items()
        }
    except (ValueError, TypeError, AttributeError):
        raise Error(
            f'{versions!r} is not a set of table versions: give JSON such as {{"shop": {{"metrics": 12}}}}.'
        ) from None
