"""`watch`: sample the servers, and show who blocks purge or vacuum right now."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from aurora_analysis.cli import alerts as alert_options
from aurora_analysis.cli import connections, options, output, state
from aurora_analysis.cli.options import ServerOptions
from aurora_analysis.errors import Error
from aurora_analysis.printable import printable

if TYPE_CHECKING:
    from aurora_analysis.cli.alerts import AlertOptions
    from aurora_analysis.cli.options import StoreOptions
    from aurora_analysis.engines.live_evidence import Probe
    from aurora_analysis.live.status import PurgeStatus


SERVERS = options.together(
    "servers",
    ServerOptions,
    options.writer(required=False),
    click.option(
        "--data-api",
        default="",
        metavar="CLUSTER_ARN",
        help="Sample the writer through the RDS Data API instead of --writer. It reaches only the writer, "
        "limits answers to 1 MiB and 45 s, and does not record statement statistics.",
    ),
    click.option(
        "--secret", default="", metavar="ARN", help="Secret with the user and password for --data-api."
    ),
    *options.READERS,
)


@click.command(
    short_help="Show who blocks purge or vacuum now, and record samples.",
    epilog=options.exit_codes(
        "the last samples could not be written, a server never answered, or an alert was not delivered"
    ),
)
@SERVERS
@options.cluster("live")
@options.STORE
@click.option(
    "--every",
    type=options.Duration(),
    default="5s",
    show_default=True,
    help="Time between samples; at least 1s.",
)
@click.option(
    "--for", "duration_s", type=options.Duration(), default="1h", show_default=True, help="How long to watch."
)
@alert_options.OPTIONS
def watch(
    servers: ServerOptions,
    cluster: str,
    store_options: StoreOptions,
    every: float,
    duration_s: float,
    alerts: AlertOptions,
) -> None:
    """Show who is blocking purge or vacuum right now, and record samples of every instance in the store.

    Ctrl-C ends the watch and keeps the samples. The command prints the statement that would end the blocking session,
    and never runs it; with --notify it alerts. When output is not a terminal, each sample is printed as one line.
    """
    from aurora_analysis.live.journal import Journal
    from aurora_analysis.live.watch import Watch, stopped_by_signals
    from aurora_analysis.store import Store

    if every < 1:
        raise Error("--every must be at least 1s: a server is sampled at most once per second.")
    store = Store(store_options.to_write())
    sampled = _probes(servers, store_options, cluster)
    place = store.location if "://" in store.location else os.path.abspath(store.location)
    journal = Journal(state.folder("samples", cluster, place))
    watching = Watch(sampled, store, cluster=cluster, every_s=every, journal=journal)
    with (
        stopped_by_signals() as stopping,
        alert_options.observing(alerts, store_options, watching, cluster, display()) as (
            observe,
            undelivered,
        ),
    ):
        watching.run(duration_s, on_sample=observe, stopping=stopping)
    unwritten = watching.unwritten_message() if watching.problem else ""
    problems = [unwritten, watching.unanswered_message(), *undelivered]
    for problem in filter(None, problems):
        output.echo(f"aurora-analysis: {problem}", err=True)
    sys.exit(1 if any(problems) else 0)


def _probes(servers: ServerOptions, store_options: StoreOptions, cluster: str) -> list[Probe]:
    """Return the probes of the writer, directly or through the Data API, and of the readers."""
    from aurora_analysis.live import data_api, probes

    if bool(servers.writer) == bool(servers.data_api):
        raise Error("Pass either --writer URL or --data-api CLUSTER_ARN.")
    if bool(servers.secret) != bool(servers.data_api):
        raise Error("--data-api CLUSTER_ARN and --secret SECRET_ARN need each other.")
    connected = connections.server_engines(servers.in_region(store_options, cluster))
    if not servers.data_api:
        return probes.of_cluster(connected, cluster)
    client = connections.data_api_client(servers.data_api, servers.region)
    writer = data_api.probe(client, servers.data_api, servers.secret, cluster)
    return [writer, *probes.readers_of(connected, cluster)]


def display() -> Callable[[list[str], PurgeStatus], None]:
    """Return a callback that prints new events and the status of cleanup.

    A terminal shows a table that is redrawn; otherwise each sample is one line.
    """
    from aurora_analysis.live.status import line, table

    drawn = 0

    def show(events: list[str], now: PurgeStatus) -> None:
        nonlocal drawn
        if not sys.stdout.isatty():
            output.echo("\n".join([*events, line(now)]))
            return
        rows = [row[: shutil.get_terminal_size().columns - 1] for row in table(now)]
        back = f"\x1b[{drawn}F\x1b[J" if drawn else ""
        click.echo(back + printable("\n".join([*events, *rows]), keep="\n"))
        drawn = len(rows)

    return show
