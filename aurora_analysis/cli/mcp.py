"""`mcp`: verdicts with their evidence for agents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from aurora_analysis.cli import options
from aurora_analysis.cli.review import statement

if TYPE_CHECKING:
    from aurora_analysis.cli.options import StoreOptions
    from aurora_analysis.config import Groups
    from aurora_analysis.mcp.limits import Limits, Statement
    from aurora_analysis.store import Store
    from aurora_analysis.window import Window


@click.command(
    short_help="Serve findings to agents over the Model Context Protocol.", epilog=options.exit_codes()
)
@options.STORE
@click.option(
    "--reports",
    "folder",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of a report (--output) or of an archive of reports (--archive).",
)
def mcp(store_options: StoreOptions, folder: Path) -> None:
    """Serve findings to agents over the Model Context Protocol, on standard input and output.

    Tools: clusters, findings, evidence, limits, review; resources are findings. No tool runs SQL, nothing is written, and no
    literal of a query appears. Findings come from the reports, limits and reviews from the store. Needs aurora-analysis[mcp].
    """
    from aurora_analysis.mcp.server import Tools, server
    from aurora_analysis.store import Store

    store, groups = Store(store_options.to_read()), store_options.config().groups
    server(Tools(folder, lambda: limits(store, groups))).run("stdio")


def limits(store: Store, groups: Groups) -> Limits:
    """Return the limits of a store's clusters."""
    from aurora_analysis.mcp.limits import Limits
    from aurora_analysis.store import location

    return Limits(store, groups, location.is_sample(store.location), _statement)


def _statement(store: Store, window: Window, cluster: str, text: str) -> Statement:
    from aurora_analysis.mcp.limits import Statement

    found = statement(store, window, cluster, text)
    return Statement(found["digest"], found["text"], found["longest_s"])
