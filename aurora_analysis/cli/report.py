"""`report`: run the notebooks and make the pages."""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aurora_analysis.cli import connections, fleet, options, output
from aurora_analysis.errors import Error

if TYPE_CHECKING:
    from aurora_analysis.cli.options import StoreOptions, WindowOptions
    from aurora_analysis.report.build import Request
    from aurora_analysis.report.runner import Outcome


@dataclass(frozen=True)
class ReportOptions:
    """The options of a report: its scope, its execution and its output."""

    clusters: tuple[str, ...]
    all_clusters: bool
    notebooks: tuple[str, ...]
    parameters: tuple[str, ...]
    earlier: Path | None
    output: str
    archive: str
    record: bool
    fail_on: str | None
    jobs: int | None
    timeout: float
    form: str
    dask: str


@click.command(
    short_help="Run the notebooks for a window: HTML pages and findings.",
    epilog=options.exit_codes(
        "a notebook did not finish, or a cluster could not be read or has no data for the window; "
        "the report starts with that and contains the rest",
        "at least one finding, or the trend of a workload over the reports of --archive, is at or above the --fail-on severity",
    ),
)
@options.STORE
@options.WINDOW
@options.together(
    "chosen",
    ReportOptions,
    options.CLUSTERS,
    options.ALL,
    click.option(
        "--notebook",
        "notebooks",
        multiple=True,
        help="Notebook to run: a name of the suite or a file; repeat for several [default: the suite].",
    ),
    click.option(
        "-p",
        "--parameter",
        "parameters",
        multiple=True,
        metavar="NAME=VALUE",
        help="Set a parameter of the notebooks; repeat for several.",
    ),
    click.option(
        "--versions",
        "earlier",
        type=click.Path(path_type=Path),
        help="Repeat an earlier report on the data that it read: its findings.json or folder. "
        "Options that are given replace those of the earlier report. Notebooks outside the suite run only if "
        "--notebook names them.",
    ),
    click.option(
        "--output",
        default="",
        help="Folder or s3:// prefix for this one report [default: report]; replaces an earlier one.",
    ),
    click.option(
        "--archive",
        default="",
        help="Folder or s3:// prefix that keeps this report together with earlier ones.",
    ),
    click.option("--record", is_flag=True, help="Write the findings into the store, too."),
    click.option(
        "--fail-on",
        type=click.Choice(["act", "watch", "unknown"]),
        help="Exit with 3 if any finding, or the trend of a workload over the reports of --archive, has this severity "
        "or a higher one. The order is ok, unknown, watch, act.",
    ),
    click.option(
        "--jobs",
        type=click.IntRange(min=1),
        help="Notebooks that run at the same time, about 350 MB each [default: one per CPU].",
    ),
    click.option(
        "--timeout",
        type=click.IntRange(1, 604_800),
        default=600,
        show_default=True,
        help="Time limit for one notebook cell, in seconds.",
    ),
    click.option(
        "--format",
        "form",
        type=click.Choice(["html", "pdf"]),
        default="html",
        show_default=True,
        help="pdf: also print each page as a PDF beside it; this needs Chromium or Chrome on the PATH.",
    ),
    options.DASK,
)
def report(store_options: StoreOptions, span: WindowOptions, chosen: ReportOptions) -> None:
    """Run the notebooks for a window of each cluster, and write HTML pages, index.html, findings.json and findings.md.

    Without a window, the report covers the newest seven days that the store holds of each cluster.
    """
    from aurora_analysis.report import build, index, publish

    request = _request(store_options, span, chosen)
    where = publish.place(chosen.output, chosen.archive, connections.s3_client)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that cron and systemd leave no half report
    with fleet.workers(chosen.dask, store_options.config()) as pool:
        execution = build.Execution(chosen.jobs or 0, chosen.timeout, _show, pool and pool.executor)
        published = publish.report(request, where, recorded=chosen.record, execution=execution)
    for cluster in published.document["clusters"]:
        if cluster["error"] or cluster["no_data"]:
            output.echo(cluster["error"] or cluster["no_data"], err=True)
    for trend in published.trends:
        if trend.severity in index.alarming(chosen.fail_on):
            output.echo(f"{trend.headline}.", err=True)
    click.echo(published.address)
    sys.exit(index.exit_code(published.document, chosen.fail_on, published.trends))


def _request(store_options: StoreOptions, span: WindowOptions, chosen: ReportOptions) -> Request:
    """Return what to report; an earlier report names its own store, which the flag replaces."""
    from aurora_analysis.report import build, repeat

    settings = store_options.config()
    given = {
        "clusters": fleet.every_cluster(chosen.clusters, settings)
        if chosen.all_clusters
        else chosen.clusters,
        "window": span.window(),
        "notebooks": chosen.notebooks,
        "timezone": span.timezone,
        "parameters": _pairs(chosen.parameters),
        "keep_going": chosen.all_clusters,
        "settings": settings.origin,
        "pdf": chosen.form == "pdf",
        "pools": {name: one.pool for name, one in settings.clusters.items() if one.pool},
    }
    if chosen.earlier:
        run = repeat.recorded(chosen.earlier, notebooks_given=bool(chosen.notebooks))
        return build.requested(given | {"store": store_options.location}, run)
    return build.requested(given | {"store": store_options.to_read()}, {})


def _pairs(given: tuple[str, ...]) -> dict[str, str]:
    """Return NAME=VALUE texts as a mapping."""
    for pair in given:
        if "=" not in pair:
            raise Error(f"-p {pair} has no value: write -p NAME=VALUE.")
    return {name.strip(): value for name, _, value in (pair.partition("=") for pair in given)}


def _show(outcome: Outcome) -> None:
    """Print one line per notebook on standard error; with --quiet, only of those that did not finish."""
    if output.is_quiet() and not outcome.error:
        return
    result = f"did not finish: {outcome.error}" if outcome.error else f"{len(outcome.findings)} findings"
    output.echo(f"{outcome.cluster} {outcome.notebook}: {result} ({outcome.seconds:.1f} s)", err=True)
