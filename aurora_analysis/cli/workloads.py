"""`workloads`: which tools seem to have sent the statements, as rules for the settings file."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import TYPE_CHECKING, Any

import click

from aurora_analysis.cli import connections, options, output
from aurora_analysis.errors import Error

if TYPE_CHECKING:
    import pandas as pd

    from aurora_analysis.cli.options import SqlModeOptions, StoreOptions, WindowOptions
    from aurora_analysis.engines.log_events import Account
    from aurora_analysis.sources.inputs import Source


@click.group(short_help="Name the workloads of a cluster.")
def workloads() -> None:
    """Name the workloads of a cluster."""


@workloads.command(
    "suggest", short_help="Suggest rules for known extractors.", epilog=options.exit_codes(options.UNREAD)
)
@click.argument("files", nargs=-1, metavar="[FILE]…")
@options.cluster()
@options.STORE
@options.WINDOW
@options.SQL_MODE
@options.JSON
def suggest(
    files: tuple[str, ...],
    cluster: str | None,
    store_options: StoreOptions,
    span: WindowOptions,
    sql_mode: SqlModeOptions,
    as_json: bool,
) -> None:
    """Print rules for the extractors and BI tools that seem to have sent logged statements.

    Reads the slow logs FILE, as digest does, or else the store's executions of --cluster. Tools are recognised by user,
    host, SQL comment and statement shape. The output is TOML to paste into aurora-analysis.toml after a check: a
    suggestion proves nothing. Default window: everything.
    """
    from aurora_analysis.analysis.workloads import clients
    from aurora_analysis.sources import unread

    accounts: dict[Source, Account] = {}
    if files:
        executions, statements, accounts = _of_files(files, span, sql_mode)
    else:
        executions, statements = _of_store(cluster, store_options, span)
    found = clients.suggest(executions, statements)
    if as_json:
        output.echo_rows(output.plain_rows(found))
    else:
        defined = store_options.config().groups.workloads
        origin = ", ".join(files) or str(cluster)
        output.echo("\n".join(_toml(found.to_dict("records"), len(executions), origin, defined)))
    for name, account in accounts.items():
        if not account.is_whole:
            output.echo(f"# {name}: {account}", err=True)
    unread.check_entries(accounts)


def _of_files(
    files: tuple[str, ...], span: WindowOptions, sql_mode: SqlModeOptions
) -> tuple[pd.DataFrame, pd.DataFrame, dict[Source, Account]]:
    """Return the executions and statements of log files, and each file's account."""
    from aurora_analysis.analysis.workloads import clients
    from aurora_analysis.sources import inputs, log_frames

    sources = inputs.found(files, connections.s3_client)
    found = log_frames.executions(sources, clients.COLUMNS, window=span.window(), mode=sql_mode.mode())
    if found[0].empty:
        raise Error(f"There is no logged execution of this window in {', '.join(files)}.")
    return found


def _of_store(
    cluster: str | None, store_options: StoreOptions, span: WindowOptions
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the executions and statements of a cluster in the store."""
    from aurora_analysis.analysis.workloads import clients
    from aurora_analysis.store import Store

    if cluster is None:
        raise Error("Name the slow logs to read, or a cluster in the store with --cluster.")
    store = Store(store_options.to_read())
    executions = store.read("slow_queries", span.window(), cluster=cluster, columns=clients.COLUMNS)
    if executions.empty:
        raise Error(
            f"The store has no logged execution of {cluster} in this window: fetch or ingest its slow log first."
        )
    return executions, store.read("statements", cluster=cluster)


def _toml(
    suggestions: list[dict[Any, Any]], executions: int, origin: str, defined: Container[str]
) -> Iterator[str]:
    """Yield the lines of the output; a rule for a workload that the settings define is a comment."""
    matched = f"{len(suggestions)} known tools" if suggestions else "no known extractor or BI tool"
    yield f"# {executions:,} logged executions of {origin}: {matched}."
    for one in suggestions:
        yield ""
        yield f"# {one['tool']}: {one['executions']:,} executions, {one['query_time_s']:,.0f} s in all."
        yield f"# Matched by {one['matched']}."
        yield f"# A read view lasts as long as the {one['holds']}. {one['advice']}"
        lines = one["rule"].splitlines()
        if one["workload"] in defined:
            yield f"# The settings define the workload {one['workload']} already. Compare it with:"
            lines = [f"# {line}" for line in lines]
        yield from lines
