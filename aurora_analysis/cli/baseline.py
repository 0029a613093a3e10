"""`baseline`: windows that are kept under a name, for later windows to be compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aurora_analysis import Window
from aurora_analysis.cli import options, output
from aurora_analysis.cli.store import coverage_lines, received

if TYPE_CHECKING:
    from aurora_analysis.cli.options import StoreOptions, WindowOptions

NAME = click.argument("name")


@click.group(short_help="Name windows to compare later ones with.")
def baseline() -> None:
    """Name windows, so that later windows can be compared with them."""


@baseline.command("save", short_help="Save a window under a name.", epilog=options.exit_codes())
@NAME
@options.cluster(required=True)
@options.STORE
@options.WINDOW
@click.option("--note", default="", help="Why the window is kept; shown by `baseline list`.")
def save(name: str, cluster: str, store_options: StoreOptions, span: WindowOptions, note: str) -> None:
    """Save a window as the baseline NAME. An existing baseline of that name is replaced."""
    from aurora_analysis.store import Store
    from aurora_analysis.store import baseline as baselines

    window = span.required()
    baselines.save(Store(store_options.to_write()), name, window, cluster=cluster, note=note)
    output.echo(f"{name}: {window}")


@baseline.command("list", short_help="List the baselines of a cluster.", epilog=options.exit_codes())
@options.cluster(required=True)
@options.STORE
def list_(cluster: str, store_options: StoreOptions) -> None:
    """List the baselines of a cluster, oldest window first."""
    from aurora_analysis.store import Store
    from aurora_analysis.store import baseline as baselines

    saved = baselines.saved(Store(store_options.to_read()), cluster=cluster).to_dict("records")
    if not saved:
        output.echo(f"{cluster} has no baseline: save one with aurora-analysis baseline save.", err=True)
    for row in saved:
        output.echo(f"{row['name']}: {Window(row['start'], row['end'])}  {row['note'] or ''}".rstrip())


@baseline.command("show", short_help="Show a baseline's window and its data.", epilog=options.exit_codes())
@NAME
@options.cluster(required=True)
@options.STORE
def show(name: str, cluster: str, store_options: StoreOptions) -> None:
    """Show the window of the baseline NAME, and the data stored for it."""
    from aurora_analysis.store import Store
    from aurora_analysis.store import baseline as baselines

    store = Store(store_options.to_read())
    window = baselines.window(store, name, cluster=cluster)
    output.echo(f"{name}: {window}")
    rows = received(store.coverage(window, cluster=cluster))
    output.echo("\n".join(coverage_lines(rows, output.width())))


@baseline.command(
    "drop", short_help="Delete a baseline's name and keep its data.", epilog=options.exit_codes()
)
@NAME
@options.cluster(required=True)
@options.STORE
def drop(name: str, cluster: str, store_options: StoreOptions) -> None:
    """Delete the baseline NAME. Its data stay in the store until `store prune` deletes them."""
    from aurora_analysis.store import Store
    from aurora_analysis.store import baseline as baselines

    baselines.drop(Store(store_options.to_write()), name, cluster=cluster)
