"""`ingest`: slow logs of one instance into the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aurora_analysis.cli import connections, options, output

if TYPE_CHECKING:
    from aurora_analysis.cli.options import SqlModeOptions, StoreOptions


@click.command(short_help="Write slow logs of one instance into the store.", epilog=options.exit_codes())
@options.FILES
@options.cluster(required=True)
@options.INSTANCE
@options.STORE
@options.SQL_MODE
@options.LOG_TIMEZONE
def ingest(
    files: tuple[str, ...],
    cluster: str,
    instance: str,
    store_options: StoreOptions,
    sql_mode: SqlModeOptions,
    log_timezone: str,
) -> None:
    """Write slow logs of one instance into the store: plain, compressed or in an AWS envelope.

    The text shows which engine wrote a log: MySQL's family or PostgreSQL (text with a log_line_prefix, CSV, JSON).

    FILE is a file, a quoted glob, s3://bucket/key, s3://bucket/prefix/ or an s3:// glob; - reads standard input.
    Executions that are in several logs, or in the store already, are stored once.
    """
    from aurora_analysis.sources import inputs, log_files

    store, mode = store_options.to_write(), sql_mode.mode(log_timezone)
    for name in inputs.found(files, connections.s3_client):
        account = log_files.ingest(name, store, cluster=cluster, instance=instance, mode=mode)
        if not (account.is_whole and output.is_quiet()):
            output.echo(f"{name}: {account}", err=True)
