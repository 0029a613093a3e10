"""The commands. Only here are clients and engines made, and only here is anything printed.

Imports of pandas, Delta and papermill wait inside the commands, so that `digest` and `--help` start at once.
"""

from __future__ import annotations

import sys

import click

from aurora_analysis import __version__
from aurora_analysis.errors import Error


class _Commands(click.Group):
    """A group whose commands turn an `Error` into one line on stderr and exit code 2."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except Error as problem:
            click.echo(f"aurora-analysis: {problem}", err=True)
            sys.exit(2)


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(__version__)
def main() -> None:
    """Does that query on the Aurora reader slow the writer, by how much, and how sure are we?"""


@main.group()
def lab() -> None:
    """A private InnoDB server to try all this on, and a simulated cluster."""


@lab.command()
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same fortnight.")
@click.option("--store", "location", required=True, help="Folder or s3:// prefix.")
def simulate(seed: int, location: str) -> None:
    """Write the simulated fortnight of cluster `shop`: a writer, two readers, and what is planted."""
    from aurora_analysis.lab import shop
    from aurora_analysis.store import Store

    opened = Store(location)
    shop.write(opened, seed)
    click.echo(f"{shop.CLUSTER} (simulated, seed {seed}): {opened.span(shop.CLUSTER)} in {location}")


@main.group()
def store() -> None:
    """What a store holds, and its upkeep."""


@store.command()
@click.option(
    "--store",
    "location",
    default="",
    help="Folder or s3:// prefix [default: AURORA_ANALYSIS_STORE, else the sample].",
)
def coverage(location: str) -> None:
    """What was fetched, recorded or ingested, and what was lost."""
    from aurora_analysis.store import Store

    opened = Store(location)
    for cluster in opened.clusters():
        span = opened.span(cluster)
        rows = opened.coverage(span, cluster=cluster)
        click.echo(f"{cluster}: {span}")
        click.echo(
            rows[
                ["source", "instance", "table", "time", "end", "expected", "received", "lost", "note"]
            ].to_string(index=False)
        )


@store.command()
@click.option("--store", "location", required=True, help="Folder or s3:// prefix.")
def compact(location: str) -> None:
    """Rewrite the tables into few files; older versions are forgotten."""
    from aurora_analysis.store import Store

    Store(location).compact()
