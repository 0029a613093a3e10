"""The commands. Only here are clients and engines made, and only here is anything printed.

Imports of pandas, Delta and papermill wait inside the commands, so that `digest` and `--help` start at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aurora_analysis import Window, __version__, window
from aurora_analysis.errors import Error

if TYPE_CHECKING:
    from aurora_analysis.report.runner import Outcome


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


STORE_HELP = "Folder or s3:// prefix [default: AURORA_ANALYSIS_STORE, else the sample]."


@main.command()
@click.option("--store", "location", default="", help=STORE_HELP)
@click.option("--cluster", "clusters", multiple=True, help="Repeat for several [default: all of the store].")
@click.option("--week", default="", help="An ISO week, as in 2026-W46, Monday 00:00 in --timezone.")
@click.option("--last-week", is_flag=True, help="The last whole ISO week.")
@click.option("--start", default="", help="UTC, inclusive, with --end.")
@click.option("--end", default="", help="UTC, exclusive.")
@click.option("--timezone", default="", help="For people; data stay UTC [default: UTC].")
@click.option("--notebook", "notebooks", multiple=True, help="Name or file; repeat [default: the suite].")
@click.option("-p", "--parameter", "pairs", multiple=True, metavar="NAME=VALUE", help="Of the notebooks.")
@click.option(
    "--versions",
    "earlier",
    type=click.Path(path_type=Path),
    help="Run an earlier report again, on the data it read: its findings.json. Other options still count.",
)
@click.option("--output", type=click.Path(path_type=Path), default=Path("report"), show_default=True)
@click.option("--jobs", type=click.IntRange(min=1), help="Notebooks at a time, 350 MB each [default: cores].")
@click.option(
    "--timeout", type=click.FloatRange(min=1), default=600, show_default=True, help="Of a cell [s]."
)
def report(
    location: str,
    clusters: tuple[str, ...],
    week: str,
    last_week: bool,
    start: str,
    end: str,
    timezone: str,
    notebooks: tuple[str, ...],
    pairs: tuple[str, ...],
    earlier: Path | None,
    output: Path,
    jobs: int | None,
    timeout: float,
) -> None:
    """Run the notebooks for a window of each cluster: HTML pages, index.html, findings.json.

    Without a window: the newest seven days that the store holds of each cluster. Exit code 1: a notebook did not
    finish; the report says so and holds the rest.
    """
    from aurora_analysis import report as making

    asked = {
        "store": location,
        "clusters": clusters,
        "window": _window(start, end, week, last_week, timezone or "UTC"),
        "notebooks": notebooks,
        "timezone": timezone,
        "parameters": _pairs(pairs),
    }
    run = making.index.recorded(earlier) if earlier else {}
    outcomes = making.make(making.requested(asked, run), output, jobs=jobs, timeout_s=timeout, done=_tell)
    click.echo(output.resolve() / "index.html")
    sys.exit(any(outcome.error for outcome in outcomes))


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--force", is_flag=True, help="Overwrite notebooks there that differ.")
def notebooks(folder: Path, force: bool) -> None:
    """Copy the suite into a folder, to open in JupyterLab."""
    from aurora_analysis.report import suite

    for copied in suite.copy(folder, force=force):
        click.echo(copied)


def _window(start: str, end: str, week: str, last_week: bool, timezone: str) -> Window | None:
    """The window that the options name, or None."""
    ways = [bool(start or end), bool(week), last_week]
    if sum(ways) > 1:
        raise Error("Name one window: --week, or --last-week, or --start with --end.")
    if week:
        return window.week(week, timezone)
    if last_week:
        return window.last_week(timezone)
    if bool(start) != bool(end):
        raise Error("A window has two ends: give --start with --end.")
    return Window(start, end) if start else None


def _pairs(given: tuple[str, ...]) -> dict[str, str]:
    """NAME=VALUE, as a mapping."""
    for pair in given:
        if "=" not in pair:
            raise Error(f"-p {pair} names no value: write -p NAME=VALUE.")
    return {name.strip(): value for name, _, value in (pair.partition("=") for pair in given)}


def _tell(outcome: Outcome) -> None:
    """One line a notebook, on stderr."""
    how = f"did not finish: {outcome.error}" if outcome.error else f"{len(outcome.findings)} findings"
    click.echo(f"{outcome.cluster} {outcome.notebook}: {how} ({outcome.seconds:.1f} s)", err=True)


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
