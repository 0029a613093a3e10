"""The store: a folder (or an s3:// prefix) of Delta Lake tables, one window of one cluster at a time.

Every write is one atomic commit. A writer that is killed leaves the earlier content whole; two writers of
different windows do not disturb each other; content that is already there makes no commit. The same tables
open in DuckDB, Spark, Athena, Trino and Dask.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable, write_deltalake

from aurora_analysis.errors import Error
from aurora_analysis.store import delta as delta_tables
from aurora_analysis.store import location as locations
from aurora_analysis.tables import TABLES, Column, Table
from aurora_analysis.window import Window

PRUNED = (
    "metrics",
    "db_load",
    "statement_metrics",
    "histograms",
    "slow_queries",
    "examples",
    "open_transactions",
    "read_views",
    "coverage",
)
"""The tables that grow with time, and what says how much of them there was."""

ARROW_TYPES = {
    "timestamp": pa.timestamp("us", "UTC"),
    "text": pa.string(),
    "real": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
}


class Store:
    """A store of Aurora observations.

    `location` is a folder or an s3:// prefix; empty means the one that `store.location.resolve` finds:
    AURORA_ANALYSIS_STORE, `store` in the settings file, or the bundled sample.
    `versions` pins tables to versions, as a mapping or as its JSON: reading then sees exactly those; empty means
    AURORA_ANALYSIS_VERSIONS, by which a report shows all its notebooks the same store, else the newest.
    """

    def __init__(
        self, location: str | os.PathLike[str] = "", *, versions: Mapping[str, int] | str = ""
    ) -> None:
        self.location = locations.resolve(location).place
        self._pinned = _pins(os.environ.get("AURORA_ANALYSIS_VERSIONS", "") if versions == "" else versions)

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
        where: Mapping[str, str | float | list[str]] | None = None,
        at_least: Mapping[str, float] | None = None,
        columns: Sequence[str] = (),
    ) -> pd.DataFrame:
        """The rows of a table in a window, ordered by time.

        `where` keeps rows whose columns have these values, or one of several; `at_least` those that reach these.
        `overlapping` (slow_queries) takes every execution that ran in the window, also one that ended after it.
        `columns` reads these alone, texts as categories: of millions of rows a small part. A table that was never
        written is empty.
        """
        spec = _table(table)
        named = list(dict.fromkeys([spec.time, *columns])) if columns else None
        delta = self._open(spec)
        if delta is None:
            empty = _schema(spec).empty_table().to_pandas()
            return empty[named] if named else empty
        wanted = _rows_of(spec, cluster, instance, window, overlapping)
        for column, value in (where or {}).items():
            wanted &= ds.field(column).isin(value if isinstance(value, list) else [value])
        for column, least in (at_least or {}).items():
            wanted &= ds.field(column) >= least
        files = _files(delta, cluster, None if overlapping else window, _texts(spec, columns))
        found = files.to_table(filter=wanted, columns=named, fragment_readahead=1)  # less memory, as fast
        found = _without_null_categories(found)
        return _ordered(found.to_pandas(split_blocks=True, self_destruct=True), spec)

    def days(
        self, table: str, window: Window, *, overlapping: bool = False, **how: Any
    ) -> Iterator[pd.DataFrame]:
        """The rows that `read` would give, day by day: for what adds up, where all at once would be much."""
        days = window.by_day()
        for day in days:
            yield self.read(table, day, overlapping=overlapping and day == days[-1], **how)

    def metric(
        self,
        name: str,
        window: Window,
        *,
        cluster: str,
        instance: str | None = None,
        statistic: str = "average",
    ) -> pd.Series:
        """A metric over time (index: start of the period, UTC; gaps are absent). Answers: how did it move?

        Without an instance it is the writer's, whichever instance was the writer at the time.
        """
        only = {"name": name, "statistic": statistic}
        columns = ["instance", "value"]
        rows = self.read("metrics", window, cluster=cluster, instance=instance, where=only, columns=columns)
        if instance is None:
            rows = rows[self.roles(rows, cluster=cluster) == "writer"]
        return rows.set_index("time")["value"].rename(name)

    def metrics(self, names: Iterable[str], window: Window, *, cluster: str) -> pd.DataFrame:
        """Several of the writer's metrics, one column each; those without a value are left out."""
        wanted, columns = [*names], ["instance", "name", "value"]
        only: dict[str, Any] = {"name": wanted, "statistic": "average"}
        rows = self.read("metrics", window, cluster=cluster, where=only, columns=columns)
        rows = rows[self.roles(rows, cluster=cluster) == "writer"].astype({"name": str})
        found = rows.pivot(index="time", columns="name", values="value").dropna(axis=1, how="all")
        return found[[name for name in wanted if name in found]].rename_axis(columns=None)

    def roles(self, rows: pd.DataFrame, *, cluster: str, time: str = "time") -> pd.Series:
        """The role (writer, reader, or missing) of each row's instance at the row's time."""
        instances = self.read("instances", cluster=cluster)[["time", "instance", "role"]]
        if rows.empty or instances.empty:
            return pd.Series(None, index=rows.index, name="role", dtype=str)
        roles = np.full(len(rows), np.nan, object)
        for instance, seen in instances.groupby("instance"):
            mine = (rows["instance"] == instance).to_numpy()
            last = seen["time"].searchsorted(rows[time][mine], side="right") - 1
            roles[mine] = np.where(last >= 0, seen["role"].to_numpy(object)[last], np.nan)
        return pd.Series(roles, index=rows.index, name="role", dtype=str)

    def writers(self, window: Window, *, cluster: str) -> pd.DataFrame:
        """Which instance was the writer, and when: one row a term, `start, end, writer` (UTC), inside the window."""
        seen = self.instances(window, cluster=cluster)
        terms = seen[seen["role"] == "writer"].drop_duplicates(["time", "instance"])
        start = terms["time"].where(terms["time"] > window.start, window.start)
        end = start.shift(-1).fillna(pd.Timestamp(window.end))
        return pd.DataFrame({"start": start, "end": end, "writer": terms["instance"]}).reset_index(drop=True)

    def instances(self, window: Window, *, cluster: str) -> pd.DataFrame:
        """Each instance as it was seen in the window, and as it stood when the window began."""
        seen = self.read("instances", cluster=cluster)
        before = seen[seen["time"] <= window.start].groupby("instance").tail(1)
        inside = seen[(seen["time"] > window.start) & (seen["time"] < window.end)]
        return pd.concat([before, inside]).sort_values(["time", "instance"], ignore_index=True)

    def clusters(self) -> list[str]:
        """The clusters that the store knows, by name."""
        delta = self._open(TABLES["coverage"])
        if delta is None:
            return []
        column = delta.to_pyarrow_dataset().to_table(columns=["cluster"])["cluster"]
        return sorted(column.unique().to_pylist())

    def span(self, cluster: str) -> Window:
        """From the first to the last moment that anything was fetched, recorded or ingested for a cluster."""
        rows = self.read("coverage", cluster=cluster)
        if rows.empty:
            known = ", ".join(self.clusters()) or "none"
            raise Error(
                f"The store {self.location} has no cluster {cluster!r} (it has: {known}): fetch or ingest it first."
            )
        return Window(rows["time"].min().to_pydatetime(), rows["end"].max().to_pydatetime())

    def coverage(self, window: Window, *, cluster: str) -> pd.DataFrame:
        """What each fetch, recording or ingest that touches the window got."""
        rows = self.read("coverage", cluster=cluster)
        return rows[(rows["time"] < window.end) & (rows["end"] > window.start)].reset_index(drop=True)

    def versions(self) -> dict[str, int]:
        """The version of every table that exists."""
        opened = {name: self._open(spec) for name, spec in TABLES.items()}
        return {name: delta.version() for name, delta in opened.items() if delta is not None}

    def at(self, versions: Mapping[str, int]) -> Store:
        """The same store as it was at these versions; a table that is not named did not exist."""
        return Store(self.location, versions=versions)

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
        """Replace exactly what a source says of a cluster (or one instance) in a window; returns the new version.

        Returns None, and commits nothing, where the store already holds just that. Columns that the frame lacks
        are null; a column that the table does not have, or a row outside the window, is an error.
        """
        spec = _table(table)
        content = _conform(frame, spec, cluster, source, instance)
        _check_inside(content, spec, window)
        self._check_writable()
        replaced = delta_tables.predicate(spec, cluster, source, instance, window)

        def replace(delta: DeltaTable) -> bool:
            if self._holds(delta, spec, content, cluster, source, instance, window):
                return False
            write_deltalake(delta, content, mode="overwrite", predicate=replaced)
            return True

        return delta_tables.commit(self.location, spec, replace)

    def merge(self, table: str, frame: pd.DataFrame, *, cluster: str, source: str) -> int | None:
        """Add the rows whose identity is not there yet; returns the new version, None where all were there.

        For tables with an identity (slow_queries, statements), whose sources overlap. A statement that is known
        keeps its first source; the span in which it was seen widens, and it gains the ids that it lacked.
        """
        spec = _table(table)
        if not spec.identity:
            raise ValueError(f"table {table} has no identity: write a window of it")
        self._check_writable()
        return delta_tables.merge(self.location, spec, _conform(frame, spec, cluster, source, None))

    def compact(self) -> None:
        """Rewrite every table into few files and forget old versions, but for those that recorded reports read.

        A report that was not recorded in the store cannot be run again afterwards.
        """
        for spec in TABLES.values():
            delta = self._open(spec)
            if delta is not None:
                delta.optimize.compact()
                self._forget(delta, spec)

    def prune(self, before: date) -> dict[str, int]:
        """Forget the observations of the days before a day (UTC); returns the rows that went, by table.

        The windows of baselines stay, and so do the versions that recorded reports of later windows read; roles,
        events, statements, runs and findings stay, for they are few. A fetch that reaches past the day stays told.
        """
        gone = {}
        for name in PRUNED:
            delta = self._open(TABLES[name])
            if delta is not None:
                done = delta.delete(self._older(name, before))
                gone[name] = int(done["num_deleted_rows"])
                self._forget(delta, TABLES[name], before)
        return gone

    def _older(self, table: str, before: date) -> str:
        """The rows of a table before a day that no baseline keeps, as a predicate."""
        older = [f"day < '{before}'"]
        if table == "coverage":
            older.append(f"\"end\" <= '{before}T00:00:00Z'")
        for cluster in self.clusters():
            kept = self.read("baselines", cluster=cluster)
            windows = [Window(start, end) for start, end in zip(kept["time"], kept["end"])]
            days = {f"'{day}'" for window in windows for day in window.days()}
            if days:
                older.append(
                    f"NOT (cluster = {delta_tables.quoted(cluster)} AND day IN ({', '.join(sorted(days))}))"
                )
        return " AND ".join(older)

    def _forget(self, delta: DeltaTable, spec: Table, before: date = date.min) -> None:
        """Remove the files that neither the newest version needs nor one that a recorded report read."""
        named = {version for version in self._named(spec, before) if version <= delta.version()}
        delta.vacuum(
            retention_hours=0,
            enforce_retention_duration=False,
            dry_run=False,
            keep_versions=sorted(named) or None,
        )

    def _named(self, spec: Table, before: date) -> set[int]:
        """The versions of a table that reports of windows which end after a day have read."""
        delta = self._open(TABLES["runs"])
        if delta is None:
            return set()
        runs = delta.to_pyarrow_dataset().to_table(columns=["end", "versions"]).to_pylist()
        read = [json.loads(run["versions"]) for run in runs if run["end"].date() > before]
        return {versions[spec.name] for versions in read if spec.name in versions}

    def _open(self, spec: Table) -> DeltaTable | None:
        if self._pinned is not None and spec.name not in self._pinned:
            return None
        version = None if self._pinned is None else self._pinned[spec.name]
        return delta_tables.opened(self.location, spec, version)

    def _check_writable(self) -> None:
        if self._pinned is not None:
            raise Error(
                f"The store {self.location} is opened at fixed versions: open it without them to write."
            )

    def _holds(
        self,
        delta: DeltaTable,
        spec: Table,
        content: pa.Table,
        cluster: str,
        source: str,
        instance: str | None,
        window: Window,
    ) -> bool:
        wanted = _rows_of(spec, cluster, instance, window) & (ds.field("source") == source)
        files = _files(delta, cluster, window)
        if files.count_rows(filter=wanted) != content.num_rows:
            return False
        there = files.to_table(filter=wanted).select(content.column_names).cast(content.schema)
        return _sorted(there).equals(_sorted(content))


def _table(name: str) -> Table:
    if name not in TABLES:
        raise ValueError(f"there is no table {name!r}; tables.py has {', '.join(TABLES)}")
    return TABLES[name]


def _schema(spec: Table) -> pa.Schema:
    return pa.schema([pa.field(column.name, ARROW_TYPES[column.type]) for column in spec.columns])


def _texts(spec: Table, columns: Sequence[str]) -> list[str]:
    return [column.name for column in spec.columns if column.name in columns and column.type == "text"]


def _without_null_categories(found: pa.Table) -> pa.Table:
    """A column of nulls comes with a null among its categories, which pandas has none of."""
    for n, column in enumerate(found.columns):
        chunks = column.chunks if pa.types.is_dictionary(column.type) else []
        if any(chunk.dictionary.null_count for chunk in chunks):
            encoded = column.cast(pa.string()).dictionary_encode()
            found = found.set_column(n, found.field(n).name, encoded)
    return found


def _ordered(frame: pd.DataFrame, spec: Table) -> pd.DataFrame:
    """Time first, then what tells rows apart, so that equal content reads equal; only rows of one time need the latter."""
    frame = frame.assign(**{str(name): _by_name(frame[name]) for name in frame.select_dtypes("category")})
    times = pd.DatetimeIndex(frame[spec.time]).asi8
    places = times.argsort(kind="stable")
    times = times[places]
    same = times[1:] == times[:-1]
    tied = np.append(same, False) | np.append(False, same)
    if tied.any():
        rows = frame.iloc[places[tied]][[name for name in _order(spec) if name in frame]]
        rows.index = places[tied]
        places[tied] = rows.sort_values(list(rows.columns), kind="stable").index
    return frame.take(places).reset_index(drop=True)


def _by_name(values: pd.Series) -> pd.Series:
    """Categories in the order of their names, in which they then sort."""
    return values.cat.reorder_categories(sorted(values.cat.categories))


def _order(spec: Table) -> list[str]:
    """What tells rows apart, time first."""
    kinds = {"integer", "text"}
    others = [
        column.name
        for column in spec.columns
        if column.type in kinds and column.name not in {"cluster", "day"}
    ]
    return [spec.time, *others]


def _conform(frame: pd.DataFrame, spec: Table, cluster: str, source: str, instance: str | None) -> pa.Table:
    unknown = set(frame.columns) - set(spec.column_names())
    if unknown:
        raise ValueError(f"table {spec.name} has no column {', '.join(sorted(unknown))}")
    full = frame.assign(cluster=cluster, source=source, day=_day(frame[spec.time]))
    if instance is not None:
        full = full.assign(instance=instance)
    arrays = [_array(full, column) for column in spec.columns]
    return pa.Table.from_arrays(arrays, schema=_schema(spec))


def _day(times: pd.Series) -> pd.Categorical:
    """The UTC day of each time: there are few days, and to write one takes longer than to find it."""
    codes, days = pd.factorize(times.dt.floor("D"))
    return pd.Categorical.from_codes(codes, days.strftime("%Y-%m-%d"))


def _array(frame: pd.DataFrame, column: Column) -> pa.Array:
    kind = ARROW_TYPES[column.type]
    if column.name not in frame:
        return pa.nulls(len(frame), kind)
    values = frame[column.name]
    try:
        if isinstance(values.dtype, pd.CategoricalDtype):
            return pa.Array.from_pandas(values).cast(kind)
        return pa.Array.from_pandas(values, type=kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as problem:
        raise ValueError(f"column {column.name} does not hold {column.type} values: {problem}") from problem


def _check_inside(content: pa.Table, spec: Table, window: Window) -> None:
    if content.num_rows == 0:
        return
    times = content[spec.time].to_pandas()
    if times.isna().any() or times.min() < window.start or times.max() >= window.end:
        raise ValueError(
            f"rows of {spec.name} from {times.min()} to {times.max()} are not all inside {window}"
        )


def _rows_of(
    spec: Table, cluster: str, instance: str | None, window: Window | None, overlapping: bool = False
) -> ds.Expression:
    wanted = ds.field("cluster") == cluster
    if instance is not None:
        wanted &= ds.field("instance") == instance
    if window is None:
        return wanted
    wanted &= ds.field(spec.time) >= pa.scalar(window.start, ARROW_TYPES["timestamp"])
    if overlapping:
        return wanted & (ds.field("started_at") < pa.scalar(window.end, ARROW_TYPES["timestamp"]))
    days = pa.array([day.isoformat() for day in window.days()])
    return (
        wanted
        & ds.field("day").isin(days)
        & (ds.field(spec.time) < pa.scalar(window.end, ARROW_TYPES["timestamp"]))
    )


def _files(
    delta: DeltaTable, cluster: str, window: Window | None, categories: Iterable[str] = ()
) -> ds.Dataset:
    """The files that may hold rows of a cluster and window: to open all of them takes longer the more there are."""
    partitions: list[tuple[str, str, str | list[str]]] = [("cluster", "=", cluster)]
    if window is not None:
        partitions.append(("day", "in", [day.isoformat() for day in window.days()]))
    how = ds.ParquetReadOptions(dictionary_columns=set(categories))
    return delta.to_pyarrow_dataset(file_pruning_predicate=partitions, parquet_read_options=how)


def _sorted(content: pa.Table) -> pa.Table:
    return content.combine_chunks().sort_by([(name, "ascending") for name in content.column_names])


def _pins(versions: Mapping[str, int] | str) -> dict[str, int] | None:
    if not versions and isinstance(versions, str):
        return None
    try:
        named = json.loads(versions) if isinstance(versions, str) else versions
        return {_table(name).name: int(version) for name, version in named.items()}
    except (ValueError, TypeError, AttributeError):
        raise Error(f'{versions!r} names no table versions: give JSON such as {{"metrics": 12}}.') from None
