"""`workloads`: which tools seem to have sent the statements, as rules for the settings file."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import TYPE_CHECKING, Any

import click

from aurora_analysis.cli import options, output

if TYPE_CHECKING:
    from aurora_analysis.cli.options import StoreOptions, WindowOptions


@click.group(short_help="Name the workloads of a cluster.")
def workloads() -> None:
    """Name the workloads of a cluster."""


@workloads.command("suggest", short_help="Suggest rules for known extractors.", epilog=options.exit_codes())
@options.cluster(required=True)
@options.STORE
@options.WINDOW
@options.JSON
def suggest(cluster: str, store_options: StoreOptions, span: WindowOptions, as_json: bool) -> None:
    """Print rules for the extractors and BI tools that seem to have sent logged statements.

    Tools are recognised by user, host, SQL comment and statement shape. The output is TOML to paste into
    aurora-analysis.toml after a check: a suggestion proves nothing. Default window: everything in the store.
    """
    from aurora_analysis.analysis.workloads import clients
    from aurora_analysis.errors import Error
    from aurora_analysis.store import Store

    store = Store(store_options.to_read())
    executions = store.read("slow_queries", span.window(), cluster=cluster, columns=clients.COLUMNS)
    if executions.empty:
        raise Error(
            f"The store has no logged execution of {cluster} in this window: fetch or ingest its slow log first."
        )
    found = clients.suggest(executions, store.read("statements", cluster=cluster))
    if as_json:
        output.echo_rows(output.plain_rows(found))
        return
    defined = store_options.config().groups.workloads
    output.echo("\n".join(_toml(found.to_dict("records"), len(executions), cluster, defined)))


def _toml(
    suggestions: list[dict[Any, Any]], executions: int, cluster: str, defined: Container[str]
) -> Iterator[str]:
    """Yield the lines of the output; a rule for a workload that the settings define is a comment."""
    matched = f"{len(suggestions)} known tools" if suggestions else "no known extractor or BI tool"
    yield f"# {executions:,} logged executions of {cluster}: {matched}."
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
