"""`store`: what a store holds, and its upkeep."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from aurora_analysis.cli import options, output
from aurora_analysis.errors import Error

if TYPE_CHECKING:
    from aurora_analysis.cli.options import StoreOptions
    from aurora_analysis.store import Store

COLUMNS = ["source", "instance", "table", "time", "end", "expected", "received", "lost", "note"]


@click.group(short_help="Show, compact and prune a store.")
def store() -> None:
    """Show what a store contains, compact it, and delete old observations."""


@store.command(short_help="List what was fetched, recorded or ingested.", epilog=options.exit_codes())
@options.STORE
def coverage(store_options: StoreOptions) -> None:
    """List what was fetched, recorded or ingested for each cluster, and what was lost."""
    opened = _existing(store_options.to_read())
    for cluster in opened.clusters():
        span = opened.span(cluster)
        output.echo(f"{cluster}: {span}")
        output.echo(opened.coverage(span, cluster=cluster)[COLUMNS].to_string(index=False))


@store.command(short_help="Rewrite the tables into few files.", epilog=options.exit_codes())
@options.STORE
def compact(store_options: StoreOptions) -> None:
    """Rewrite the tables into few files, and delete the versions that no recent recorded report names."""
    _existing(store_options.to_write()).compact()


@store.command(short_help="Delete observations older than --keep-days.", epilog=options.exit_codes())
@options.STORE
@click.option(
    "--keep-days",
    type=click.IntRange(min=1),
    default=400,
    show_default=True,
    help="Age in days above which observations are deleted.",
)
def prune(store_options: StoreOptions, keep_days: int) -> None:
    """Delete observations older than --keep-days.

    The windows of named baselines are kept, and so are the versions that recent recorded reports read.
    """
    before = (datetime.now(UTC) - timedelta(days=keep_days)).date()
    for table, rows in _existing(store_options.to_write()).prune(before).items():
        output.echo(f"{table}: {rows} rows from before {before}")


def _existing(location: str) -> Store:
    """Open a store; refuse one without tables, because its path is probably mistyped."""
    from aurora_analysis.store import Store

    opened = Store(location)
    if not opened.versions():
        raise Error(f"The store {location} is empty. Run fetch, ingest or lab record first.")
    return opened
