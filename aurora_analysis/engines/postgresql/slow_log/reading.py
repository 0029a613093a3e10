"""The log of PostgreSQL: which form it has, what is in it, and its statements as the store's tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from aurora_analysis.engines import log_tables
from aurora_analysis.engines.log_events import Account, Entry, Logged
from aurora_analysis.engines.log_tables import Batch, Layout, LogTables
from aurora_analysis.engines.postgresql.fingerprint import join_key
from aurora_analysis.engines.postgresql.slow_log import csv_log, json_log, prefix, text_log
from aurora_analysis.engines.postgresql.slow_log.clock import in_utc, moment
from aurora_analysis.engines.postgresql.slow_log.records import Record
from aurora_analysis.engines.postgresql.slow_log.sessions import Sessions
from aurora_analysis.engines.postgresql.slow_log.values import events
from aurora_analysis.engines.sql_mode import DEFAULT_MODE, SqlMode
from aurora_analysis.errors import Error

HEAD_BYTES = 2**16
"""Size of a log's start that determines its form [bytes]."""

DEFAULT = Layout()


def logged(chunks: Iterable[bytes], account: Account, mode: SqlMode = DEFAULT_MODE) -> Iterator[Logged]:
    """Yield a log's executions, reports of vacuum and events.

    Parameters
    ----------
    chunks : iterable of bytes
        The log, in chunks of any size. It is read as a stream, in bounded memory.
    account : Account
        Filled while the log is read, complete at the end.
    mode : SqlMode
        Only `log_timezone` has a meaning for PostgreSQL.
    """
    return Sessions(account).read(_records(chunks, account, mode))


def entries(chunks: Iterable[bytes], account: Account, mode: SqlMode = DEFAULT_MODE) -> Iterator[Entry]:
    """Yield a log's executions; see `logged`."""
    return Sessions(account).executions(_records(chunks, account, mode))


def is_slow_log(head: bytes) -> bool:
    """Return whether a log that starts with these bytes is one of PostgreSQL."""
    head = head[:HEAD_BYTES]
    return csv_log.is_csv(head) or json_log.is_json(head) or prefix.inferred(head) is not None


def _records(chunks: Iterable[bytes], account: Account, mode: SqlMode) -> Iterator[Sequence[Entry | Record]]:
    found = _of_form(chunks, account)
    if zone := mode.log_timezone:
        found = ([one._replace(time=in_utc(one.time or b"", zone)) for one in several] for several in found)
    return found


def _of_form(chunks: Iterable[bytes], account: Account) -> Iterator[Sequence[Entry | Record]]:
    head, rest = b"", iter(chunks)
    for chunk in rest:
        is_first_line = b"\n" in chunk and b"\n" not in head
        head += chunk
        if len(head) >= HEAD_BYTES or (is_first_line and prefix.is_of_rds(head)):
            break
    chunks = chain([head], rest)
    if json_log.is_json(head):
        return ([one] for one in json_log.records(chunks, account))
    if csv_log.is_csv(head):
        return ([one] for one in csv_log.records(chunks, account))
    return text_log.records(chunks, account, prefix.inferred(head) or prefix.FORMATS[0])


def read_slow_log(
    chunks: Iterable[bytes],
    layout: Layout = DEFAULT,
    *,
    account: Account | None = None,
    mode: SqlMode = DEFAULT_MODE,
) -> Iterator[LogTables]:
    r"""Read a log as frames of the store's tables, batch by batch.

    Parameters
    ----------
    chunks : iterable of bytes
        The log, in chunks of any size.
    layout : Layout
        Batch size, instance, examples.
    account : Account, optional
        Filled while the log is read, complete at the end.
    mode : SqlMode
        Only `log_timezone` has a meaning for PostgreSQL.

    Examples
    --------
    >>> line = b"2026-11-23 10:00:00 UTC:10.0.0.1(4711):bi@app:[7]:LOG:  duration: 1500.000 ms  statement: SELECT 1\n"
    >>> [tables] = read_slow_log([line], Layout(instance="db-1"))
    >>> tables.slow_queries[["user", "database", "query_time_s"]].values.tolist()
    [['bi', 'app', 1.5]]
    """
    account = account or Account()
    return to_tables(logged(chunks, account, mode), account, layout, mode=mode)


def to_tables(
    found: Iterable[Logged], account: Account, layout: Layout = DEFAULT, *, mode: SqlMode = DEFAULT_MODE
) -> Iterator[LogTables]:
    """Turn what a log holds into frames, like `read_slow_log`."""
    return map(log_tables.to_frames, batches(found, account, layout, mode=mode))


def batches(
    found: Iterable[Logged], account: Account, layout: Layout = DEFAULT, *, mode: SqlMode = DEFAULT_MODE
) -> Iterator[Batch]:
    """Turn what a log holds into batches of plain columns, without pandas: see `engines.log_tables.batches`."""
    return log_tables.batches(events(_placed(found), mode), account, join_key, layout)


def _placed(found: Iterable[Logged]) -> Iterator[Logged]:
    """Pass on what a log holds, if its times can be placed.

    Raises
    ------
    Error
        If the times have an abbreviation in place of an offset from UTC.
    """
    for one in found:
        text = one.time or b"" if isinstance(one, Entry) else b""
        if isinstance(one, Entry) and moment(text)[0] is None:
            raise Error(
                f"The log's time {text.decode('utf-8', 'replace')} names no offset from UTC: several zones share an abbreviation. "
                "Pass the server's log_timezone, such as --log-timezone Europe/Berlin."
            )
        yield one
