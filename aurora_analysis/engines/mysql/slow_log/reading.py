"""A slow log as the store's tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from aurora_analysis.engines import log_tables
from aurora_analysis.engines.log_events import Account, Entry
from aurora_analysis.engines.log_tables import Batch, Layout, LogTables
from aurora_analysis.engines.mysql.fingerprint import join_key
from aurora_analysis.engines.mysql.slow_log.scanner import entries
from aurora_analysis.engines.mysql.slow_log.values import events
from aurora_analysis.engines.sql_mode import DEFAULT_MODE, SqlMode

DEFAULT = Layout()


def read_slow_log(
    chunks: Iterable[bytes],
    layout: Layout = DEFAULT,
    *,
    account: Account | None = None,
    mode: SqlMode = DEFAULT_MODE,
) -> Iterator[LogTables]:
    r"""Read a slow log as frames of the store's tables, batch by batch.

    Parameters
    ----------
    chunks : iterable of bytes
        The log, in chunks of any size.
    layout : Layout
        Batch size, instance, examples.
    account : Account, optional
        Filled while the log is read, complete at the end.
    mode : SqlMode
        The server's sql_mode.

    Examples
    --------
    >>> log = b'''# Time: 2026-11-23T10:00:00.500000Z
    ... # User\x40Host: bi[bi] \x40  [10.0.0.1]  Id: 7
    ... # Query_time: 1.500000  Lock_time: 0.000001 Rows_sent: 2  Rows_examined: 30
    ... SET timestamp=1795428000;
    ... SELECT a FROM t WHERE b = 1;
    ... '''
    >>> [tables] = read_slow_log([log], Layout(instance="db-1"))
    >>> tables.slow_queries[["user", "query_time_s", "rows_examined"]].values.tolist()
    [['bi', 1.5, 30]]
    """
    account = account or Account()
    return to_tables(entries(chunks, account, mode), account, layout, mode=mode)


def to_tables(
    found: Iterable[Entry], account: Account, layout: Layout = DEFAULT, *, mode: SqlMode = DEFAULT_MODE
) -> Iterator[LogTables]:
    """Turn entries into frames, like `read_slow_log`, for a log that is not text."""
    return map(log_tables.to_frames, batches(found, account, layout, mode=mode))


def batches(
    found: Iterable[Entry], account: Account, layout: Layout = DEFAULT, *, mode: SqlMode = DEFAULT_MODE
) -> Iterator[Batch]:
    """Turn entries into batches of plain columns, without pandas: see `engines.log_tables.batches`."""
    return log_tables.batches(events(found, mode), account, join_key, layout)
