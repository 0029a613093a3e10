"""`ingest`: slow logs of one instance into the store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from aurora_analysis.cli import connections, fleet, options, output

if TYPE_CHECKING:
    from aurora_analysis.cli.options import SqlModeOptions, StoreOptions
    from aurora_analysis.engines.log_events import Account
    from aurora_analysis.executors import Pool
    from aurora_analysis.sources.inputs import Source
    from aurora_analysis.sources.log_files import Target


@dataclass(frozen=True)
class Reading:
    """Options of reading logs: the time zone of PostgreSQL's, and the place of the work."""

    log_timezone: str
    processes: int
    dask: str


@click.command(
    short_help="Write slow logs of one instance into the store.", epilog=options.exit_codes(options.UNREAD)
)
@options.FILES
@options.cluster(required=True)
@options.INSTANCE
@options.STORE
@options.SQL_MODE
@options.together(
    "reading",
    Reading,
    options.LOG_TIMEZONE,
    click.option(
        "--processes",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        help="Number of processes on this machine that read; one process writes.",
    ),
    options.DASK,
)
def ingest(
    files: tuple[str, ...],
    cluster: str,
    instance: str,
    store_options: StoreOptions,
    sql_mode: SqlModeOptions,
    reading: Reading,
) -> None:
    """Write slow logs of one instance into the store: plain, compressed or in an AWS envelope.

    The text shows which engine wrote a log: MySQL's family or PostgreSQL (text with a log_line_prefix, CSV, JSON).

    FILE is a file, a folder, a quoted glob, s3://bucket/key, s3://bucket/prefix/ or an s3:// glob; - reads standard
    input. Executions that are in several logs, or in the store already, are stored once. A file that the store has
    completely is not read again, unless its ETag, its time of change or its size differs.
    """
    from aurora_analysis.sources import inputs, log_files, unread

    mode = sql_mode.mode(reading.log_timezone)
    target = log_files.Target(store_options.to_write(), cluster, instance, mode)
    accounts: dict[Source, Account] = {}
    with _workers(reading, store_options) as pool:
        for name, account in _accounts(inputs.found(files, connections.s3_client), target, pool):
            if not (account.is_whole and output.is_quiet()):
                output.echo(f"{name}: {account}", err=True)
            accounts[name] = account
    unread.check_entries(accounts)


@contextmanager
def _workers(reading: Reading, store_options: StoreOptions) -> Iterator[Pool | None]:
    """Open the workers that read, on a Dask cluster or on this machine; None if this process reads."""
    from aurora_analysis import executors

    with fleet.workers(reading.dask, store_options.config()) as pool:
        if pool is not None or reading.processes == 1:
            yield pool
            return
        with executors.processes(reading.processes) as executor:
            yield executors.Pool(executor, reading.processes)


def _accounts(
    sources: Sequence[Source], target: Target, pool: Pool | None
) -> Iterator[tuple[Source, Account]]:
    """Ingest the logs that the store does not have, and yield what was read of each."""
    from aurora_analysis.sources import log_files

    wanted = (name for name in sources if not _is_stored(name, target))
    if pool is not None:
        from aurora_analysis.sources import log_parts

        yield from log_parts.ingest(wanted, target, pool)
        return
    for name in wanted:
        yield name, log_files.ingest(target, name)


def _is_stored(name: Source, target: Target) -> bool:
    """Return whether the store has a file completely, after a line that says so."""
    from aurora_analysis.sources import log_files

    is_stored = log_files.is_stored(name, target)
    if is_stored and not output.is_quiet():
        output.echo(f"{name}: unchanged, and in the store already", err=True)
    return is_stored
