"""Turn pandas frames into a table's Arrow rows, and back into ordered frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from aurora_analysis.store.delta import DAY_US, week
from aurora_analysis.store.names import check_not_empty
from aurora_analysis.tables import Column, Table
from aurora_analysis.window import Window

ARROW_TYPES = {
    "timestamp": pa.timestamp("us", "UTC"),
    "text": pa.string(),
    "real": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
}


def schema(spec: Table) -> pa.Schema:
    """Return a table's Arrow schema.

    Parameters
    ----------
    spec : Table

    Returns
    -------
    pyarrow.Schema
    """
    return pa.schema([pa.field(column.name, ARROW_TYPES[column.type]) for column in spec.columns])


def empty(spec: Table, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Return a frame without rows that has a table's columns, or some of them.

    Parameters
    ----------
    spec : Table
    columns : sequence of str, optional
        Default: all columns.

    Returns
    -------
    pandas.DataFrame
    """
    frame: pd.DataFrame = schema(spec).empty_table().to_pandas()
    return frame[list(columns)] if columns else frame


def to_arrow(
    frame: pd.DataFrame, spec: Table, *, cluster: str, source: str, instance: str | None = None
) -> pa.Table:
    """Return a frame as Arrow rows of a table, with `cluster`, `source` and `week` filled in.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns of the table; missing columns become null.
    spec : Table
    cluster, source : str
        Values of the columns of these names.
    instance : str, optional
        Value of the column `instance`. Default: the frame's own.

    Returns
    -------
    pyarrow.Table

    Raises
    ------
    Error
        If the name of the cluster or of an instance is empty.
    ValueError
        If the table has no such column, or a column holds values of another type.
    """
    extra = set(frame.columns) - set(spec.column_names())
    if extra:
        raise ValueError(f"table {spec.name} has no column {', '.join(sorted(extra))}")
    check_not_empty(cluster, instance)
    texts = {"cluster": cluster, "source": source} | ({} if instance is None else {"instance": instance})
    arrays = {name: pa.repeat(pa.scalar(text, pa.string()), len(frame)) for name, text in texts.items()}
    for column in spec.columns:
        if column.name not in {*arrays, "week"}:
            arrays[column.name] = _array(frame, column)
    arrays["week"] = _week(arrays[spec.time])
    rows = pa.Table.from_arrays([arrays[name] for name in spec.column_names()], schema=schema(spec))
    if "instance" in frame:
        for name in rows["instance"].unique().to_pylist():
            check_not_empty(cluster, name)
    return rows


def _week(times: pa.Array) -> pa.Array:
    """Return the ISO week of each time; there are few days, and formatting one takes longer than finding it."""
    us = times.cast(pa.int64()).to_numpy(zero_copy_only=False)
    codes, days = pd.factorize(us // DAY_US)
    weeks = pa.array([None if np.isnan(day) else week(int(day) * DAY_US) for day in days], pa.string())
    return weeks.take(pa.array(codes))


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


def check_inside(content: pa.Table, spec: Table, window: Window) -> None:
    """Raise ValueError unless every row's time lies inside the window.

    Parameters
    ----------
    content : pyarrow.Table
    spec : Table
    window : Window

    Raises
    ------
    ValueError
        If a row's time is missing or outside the window.
    """
    if content.num_rows == 0:
        return
    times = content[spec.time]
    first, last = (end.as_py() for end in pc.min_max(times).values())
    if times.null_count or first < window.start or last >= window.end:
        raise ValueError(f"rows of {spec.name} from {first} to {last} are not all inside {window}")


def to_frame(found: pa.Table, spec: Table) -> pd.DataFrame:
    """Return Arrow rows as a frame ordered by time; `found` is consumed.

    Parameters
    ----------
    found : pyarrow.Table
    spec : Table

    Returns
    -------
    pandas.DataFrame
        Rows ordered by time; rows of equal time by their texts and integers.
    """
    found = _without_null_categories(found)
    return _ordered(found.to_pandas(split_blocks=True, self_destruct=True), spec)


def _without_null_categories(found: pa.Table) -> pa.Table:
    """Re-encode dictionaries if they contain null, which pandas does not allow as a category."""
    for n, column in enumerate(found.columns):
        chunks = column.chunks if pa.types.is_dictionary(column.type) else []
        if any(chunk.dictionary.null_count for chunk in chunks):
            encoded = column.cast(pa.string()).dictionary_encode()
            found = found.set_column(n, found.field(n).name, encoded)
    return found


def _ordered(frame: pd.DataFrame, spec: Table) -> pd.DataFrame:
    """Sort by time, and rows of equal time by their texts and integers, so that equal content reads equal."""
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
    """Order categories by name, so that sorting by the column sorts by name."""
    return values.cat.reorder_categories(sorted(values.cat.categories))


def _order(spec: Table) -> list[str]:
    """Return the columns to sort by: time, then texts and integers."""
    others = [
        column.name
        for column in spec.columns
        if column.type in {"integer", "text"} and column.name not in {"cluster", "week"}
    ]
    return [spec.time, *others]


def equal(one: pa.Table, other: pa.Table) -> bool:
    """Return whether two tables have the same rows, in any order.

    Parameters
    ----------
    one, other : pyarrow.Table
        Tables of the same columns.

    Returns
    -------
    bool
    """
    return bool(_sorted(one).equals(_sorted(other)))


def _sorted(content: pa.Table) -> pa.Table:
    return content.combine_chunks().sort_by([(name, "ascending") for name in content.column_names])
