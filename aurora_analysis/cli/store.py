"""`store`: show what a store contains, and maintain it."""

from __future__ import annotations

import itertools
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from aurora_analysis.cli import fleet, options, output
from aurora_analysis.errors import Error

if TYPE_CHECKING:
    import pandas as pd

    from aurora_analysis.cli.options import StoreOptions
    from aurora_analysis.store import Store
    from aurora_analysis.window import Window

COLUMNS = ["source", "instance", "table", "time", "end", "expected", "received", "lost", "unit", "note"]


@dataclass(frozen=True)
class Which:
    """The clusters of a command."""

    clusters: tuple[str, ...]
    all_clusters: bool


@click.group(short_help="Show, compact and prune a store.")
def store() -> None:
    """Show what a store contains, compact it, and delete old observations."""


@store.command(short_help="List what was fetched, recorded or ingested.", epilog=options.exit_codes())
@options.STORE
@options.together("which", Which, options.CLUSTERS, options.ALL)
@options.JSON
def coverage(store_options: StoreOptions, which: Which, as_json: bool) -> None:
    """List what was fetched, recorded or ingested for each cluster, and what was lost."""
    opened = _existing(store_options.to_read())
    names = _clusters(opened, which, store_options)
    is_named = which.all_clusters or bool(which.clusters)
    found = {
        name: fleet.attempted(name, partial(_received, opened, name, is_named=is_named)) for name in names
    }
    rows = {name: each for name, each in found.items() if each}
    if as_json:
        output.echo_rows([{"cluster": name, **row} for name, (_, listed) in rows.items() for row in listed])
    for name, (span, listed) in () if as_json else rows.items():
        output.echo(f"{name}: {span}")
        output.echo("\n".join(coverage_lines(listed, output.width())))
    sys.exit(int(None in found.values()))


def _received(
    opened: Store, cluster: str, *, is_named: bool
) -> tuple[Window, list[dict[str, Any]]] | tuple[()]:
    """Return the span and the coverage of a cluster; nothing if all was deleted and nobody named the cluster."""
    if not is_named and opened.read("coverage", cluster=cluster, missing_ok=True).empty:
        return ()
    span = opened.span(cluster)
    return span, received(opened.coverage(span, cluster=cluster))


def _clusters(opened: Store, which: Which, store_options: StoreOptions) -> Iterable[str]:
    """Return the clusters that are named, those of the settings file with --all, else those of the store.

    Raises
    ------
    Error
        If the store lacks a named cluster.
    """
    for name in which.clusters:
        opened.check_cluster(name)
    if which.all_clusters:
        return fleet.every_cluster(which.clusters, store_options.config())
    return which.clusters or opened.versions()


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
@options.together("which", Which, options.CLUSTERS, options.ALL)
def compact(store_options: StoreOptions, which: Which) -> None:
    """Rewrite the tables into few files, and delete the versions that no recently recorded report uses."""
    opened = _existing(store_options.to_write())

    def done(name: str) -> bool:
        opened.compact([name])
        return True

    # A cluster of the settings file that has no data yet has nothing to rewrite.
    names = opened.versions(_clusters(opened, which, store_options), missing_ok=True)
    failed = [name for name in names if not fleet.attempted(name, partial(done, name))]
    sys.exit(int(bool(failed)))


@store.command(
    short_help="Convert a store of an earlier version to today's layout.", epilog=options.exit_codes()
)
@options.STORE
@click.option(
    "--to",
    default="",
    help="Folder or s3:// prefix of the new store; the old one is not changed. Required on S3 [default: replace the "
    "folder, and keep the old one next to it].",
)
def migrate(store_options: StoreOptions, to: str) -> None:
    """Convert a store of an earlier version to today's layout: one Delta table for each cluster.

    End `fetch` and `watch` first. A migration that was killed has changed nothing: run it again.
    """
    from aurora_analysis.store import migration

    location = store_options.to_write()
    moved = migration.migrate(location, to)
    for table, rows in moved.items():
        output.echo(f"{table}: {rows} rows")
    if not moved:
        _existing(location)
        output.echo(f"{location} already has today's layout.")
    elif not to:
        output.echo(
            f"The earlier store is now {location.rstrip('/')}.before-migration: delete it if all is well."
        )


@store.command(short_help="Delete observations older than --keep-days.", epilog=options.exit_codes())
@options.STORE
@click.option(
    "--keep-days",
    type=click.IntRange(1, 36_500),
    default=400,
    show_default=True,
    help="Age in days above which observations are deleted.",
)
@options.together("which", Which, options.CLUSTERS, options.ALL)
def prune(store_options: StoreOptions, keep_days: int, which: Which) -> None:
    """Delete observations older than --keep-days.

    The windows of named baselines are kept, and so are the versions that recent recorded reports read.
    """
    before = (datetime.now(UTC) - timedelta(days=keep_days)).date()
    opened = _existing(store_options.to_write())
    done = [
        fleet.attempted(name, partial(opened.prune, before, [name]))
        for name in opened.versions(_clusters(opened, which, store_options), missing_ok=True)
    ]
    deleted = sum((Counter(each) for each in done if each), Counter[str]())
    for table in {table: None for each in done if each for table in each}:
        output.echo(f"{table}: {deleted[table]} rows from before {before}")
    sys.exit(int(any(each is None for each in done)))


def _existing(location: str) -> Store:
    """Open a store; refuse one without tables, because its path is probably mistyped."""
    from aurora_analysis.store import Store

    opened = Store(location)
    if not opened.versions():
        raise Error(f"The store {location} is empty. Run fetch, ingest or lab record first.")
    return opened
