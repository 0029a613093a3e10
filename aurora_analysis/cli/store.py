"""`store`: what a store holds, and its upkeep."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from aurora_analysis.cli import options, output
from aurora_analysis.errors import Error

if TYPE_CHECKING:
    import pandas as pd

    from aurora_analysis.cli.options import StoreOptions
    from aurora_analysis.store import Store

COLUMNS = ["source", "instance", "table", "time", "end", "expected", "received", "lost", "unit", "note"]


@click.group(short_help="Show, compact and prune a store.")
def store() -> None:
    """Show what a store contains, compact it, and delete old observations."""


@store.command(short_help="List what was fetched, recorded or ingested.", epilog=options.exit_codes())
@options.STORE
@options.JSON
def coverage(store_options: StoreOptions, as_json: bool) -> None:
    """List what was fetched, recorded or ingested for each cluster, and what was lost."""
    opened = _existing(store_options.to_read())
    spans = {cluster: opened.span(cluster) for cluster in opened.clusters()}
    rows = {name: received(opened.coverage(span, cluster=name)) for name, span in spans.items()}
    if as_json:
        output.echo_rows([{"cluster": name, **row} for name, found in rows.items() for row in found])
        return
    for name, found in rows.items():
        output.echo(f"{name}: {spans[name]}")
        output.echo("\n".join(coverage_lines(found, output.width())))


def received(coverage: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows of `coverage` as plain data, ordered by source and instance, then by time."""
    return output.plain_rows(coverage.sort_values(["source", "instance", "time", "end", "table"])[COLUMNS])


def coverage_lines(rows: Iterable[dict[str, Any]], width: int) -> Iterator[str]:
    """Yield one line per row, below a line with the source, the instance and the span that rows share.

    Parameters
    ----------
    rows
        As from `received`.
    width
        Length of a line [characters]; longer notes go on below.
    """
    for (source, instance, start, end), group in itertools.groupby(rows, key=_origin):
        same = list(group)
        origin = f"{source}, {instance or 'whole cluster'}, {_minute(start)} to {_minute(end)}"
        yield from textwrap.wrap(origin, width, initial_indent="  ", subsequent_indent="  ")
        notes = {row["note"] or "" for row in same}
        if len(notes) == 1:
            yield from textwrap.wrap(notes.pop(), width, initial_indent="  ", subsequent_indent="  ")
        longest = max(len(row["table"]) for row in same)
        for row in same:
            text = f"{row['table']:{longest}}  {_count(row)}" + f"; {row['note']}" * bool(
                notes and row["note"]
            )
            hanging = " " * (longest + 6)
            yield from textwrap.wrap(text, width, initial_indent="    ", subsequent_indent=hanging)


def _origin(row: dict[str, Any]) -> tuple[str, str | None, str, str]:
    return row["source"], row["instance"], row["time"], row["end"]


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")


def _count(row: dict[str, Any]) -> str:
    """Word what was received of what was expected, and what was lost."""
    expected, got, unit = row["expected"], row["received"], row["unit"] or "rows"
    if got is None:
        return "not received"
    of = f" of {expected:,.0f}" if expected is not None and got < expected else ""
    lost = f", {row['lost']:,.0f} lost" if row["lost"] else ""
    return f"{got:,.0f}{of} {unit}{lost}"


@store.command(short_help="Rewrite the tables into few files.", epilog=options.exit_codes())
@options.STORE
def compact(store_options: StoreOptions) -> None:
    """Rewrite the tables into few files, and delete the versions that no recent recorded report names."""
    _existing(store_options.to_write()).compact()


@store.command(
    short_help="Bring an earlier version's store into today's layout.", epilog=options.exit_codes()
)
@options.STORE
@click.option(
    "--to",
    default="",
    help="Folder or s3:// prefix of the new store; the old one is left as it is. S3 needs this [default: replace the "
    "folder, and keep the old one beside it].",
)
def migrate(store_options: StoreOptions, to: str) -> None:
    """Bring a store that an earlier version wrote into today's layout: a Delta table for each cluster.

    End `fetch` and `watch` first. A migration that was killed has changed nothing: run it again.
    """
    from aurora_analysis.store import migration

    location = store_options.to_write()
    moved = migration.migrate(location, to)
    for table, rows in moved.items():
        output.echo(f"{table}: {rows} rows")
    if not moved:
        output.echo(f"{location} already has today's layout.")
    elif not to:
        output.echo(
            f"The earlier store is now {location.rstrip('/')}.before-migration: delete it if all is well."
        )


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
