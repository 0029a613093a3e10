"""`fetch`: copy a cluster's data from AWS into the store."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import click

from aurora_analysis.cli import connections, fleet, options, output
from aurora_analysis.errors import Error

if TYPE_CHECKING:
    from aurora_analysis.cli.options import AwsOptions, StoreOptions, WindowOptions
    from aurora_analysis.config import Cluster, Config
    from aurora_analysis.executors import Pool
    from aurora_analysis.fetch.account import Account
    from aurora_analysis.fetch.commits import Outcome
    from aurora_analysis.fetch.plan import Plan
    from aurora_analysis.store import Store
    from aurora_analysis.window import Window


@dataclass(frozen=True)
class FetchArguments:
    """The options of a fetch."""

    cluster: str | None
    all_clusters: bool
    instances: tuple[str, ...]
    sources: tuple[str, ...]
    dry_run: bool
    pretended_now: str
    dask: str


@click.command(
    short_help="Fetch data of clusters from AWS into the store.",
    epilog=options.exit_codes(
        "something could not be fetched: a line and `store coverage` name it, and the next fetch tries again"
    ),
)
@options.STORE
@options.WINDOW
@options.AWS
@options.together(
    "chosen",
    FetchArguments,
    options.cluster(),
    options.ALL,
    options.INSTANCES,
    click.option(
        "--source",
        "sources",
        multiple=True,
        help="Source to fetch, such as cloudwatch or performance-insights; repeat for several [default: all].",
    ),
    click.option(
        "--dry-run",
        is_flag=True,
        help="Print how many calls the fetch needs and what they cost; fetch nothing.",
    ),
    options.NOW,
    options.DASK,
)
def fetch(store_options: StoreOptions, span: WindowOptions, aws: AwsOptions, chosen: FetchArguments) -> None:
    """Fetch all of a cluster's data in a window from AWS into the store.

    Data that the store already has are not fetched again. A window is required.
    """
    settings = store_options.config()
    if not chosen.all_clusters and not chosen.cluster:
        raise Error("Pass --cluster NAME, or --all for every cluster of the settings file.")
    given = (chosen.cluster,) if chosen.cluster else ()
    names = fleet.every_cluster(given, settings) if chosen.all_clusters else given
    window = span.required(options.moment(chosen.pretended_now))
    release_freed_memory()
    clusters = [settings.cluster(name, region=aws.region, profile=aws.profile) for name in names]
    accounts = connections.Accounts(settings, shared=chosen.all_clusters)
    with nullcontext(None) if chosen.dry_run else fleet.workers(chosen.dask, settings) as pool:
        request = _Request(store_options, settings, window, chosen, pool)
        done = [_fetch(cluster, accounts, request) for cluster in clusters]
    sys.exit(0 if all(done) else 1)


class _Request(NamedTuple):
    """The data to fetch of each cluster, their store, and the workers of a Dask cluster if there is one."""

    store: StoreOptions
    settings: Config
    window: Window
    chosen: FetchArguments
    workers: Pool | None


def _fetch(cluster: Cluster, accounts: connections.Accounts, request: _Request) -> bool:
    """Fetch one cluster; with --all, a cluster that fails is reported in one line and does not stop the others."""
    if not request.chosen.all_clusters:
        return _fetch_one(cluster, accounts, request)
    return bool(fleet.attempted(cluster.name, lambda: _fetch_one(cluster, accounts, request)))


def _fetch_one(cluster: Cluster, accounts: connections.Accounts, request: _Request) -> bool:
    """Fetch one cluster, and return whether nothing failed."""
    from aurora_analysis.fetch import plan, summary
    from aurora_analysis.store import Store

    settings, chosen, now = request.settings, request.chosen, options.moment(request.chosen.pretended_now)
    sources = plan.source_names(chosen.sources)
    wanted = plan.FetchOptions(
        cluster, request.window, now, sources, chosen.instances, settings.fetch.examples
    )
    store = Store(request.store.to_write())
    account = accounts.of(cluster)
    limits = account.rates
    planned = plan.plan(account.clients, store, wanted)
    for line in summary.forecast(planned, limits, settings.prices):
        (output.echo if chosen.dry_run else output.notes())(line)
    if chosen.dry_run:
        return True
    outcomes = _outcomes(planned, account, store, request)
    for line in summary.summary(planned, outcomes, limits):
        output.echo(line)
    return not summary.failures(planned, outcomes)


def _outcomes(planned: Plan, account: Account, store: Store, request: _Request) -> list[Outcome]:
    """Run the plan in threads of this process, or on the workers of a Dask cluster, and count the calls."""
    from aurora_analysis import executors
    from aurora_analysis.fetch import rates, run

    limits, threads = account.rates, request.settings.fetch.threads
    if request.workers is None:
        with executors.threads(rates.workers(limits, threads)) as pools:
            return run.fetch(planned, lambda: account.clients, store, pools, progress(planned))
    region = account.clients["rds"].meta.region_name
    cluster = replace(planned.options.cluster, region=region)
    shares = {service: rate.per_second / rates.LEASES for service, rate in limits.items()}
    outcomes = run.fetch(
        planned,
        partial(connections.leased_clients, cluster, tuple(limits), threads),
        store,
        {service: executors.Pool(request.workers.executor, rates.LEASES) for service in limits},
        progress(planned),
        rates.Leases(f"{cluster.profile} {region}", shares),
    )
    for each in outcomes:
        limits[each.chunk.service].taken += each.calls
    return outcomes


def progress(plan: Plan) -> Callable[[Outcome], None]:
    """Return a callback that prints one line per source on standard error.

    A terminal shows lines that are redrawn as chunks finish; otherwise each source is printed once, at its end.
    """
    counts = plan.counts()
    done = dict.fromkeys(counts, 0)
    drawn, is_quiet = False, output.is_quiet()

    def show(outcome: Outcome) -> None:
        nonlocal drawn
        source = outcome.chunk.source
        done[source] += 1
        if is_quiet:
            return
        if sys.stderr.isatty():
            lines = [f"\x1b[K{name}: {done[name]} of {count}" for name, count in counts.items()]
            click.echo((f"\x1b[{len(lines)}F" if drawn else "") + "\n".join(lines), err=True)
            drawn = True
        elif done[source] == counts[source]:
            output.echo(f"{source}: {done[source]} of {counts[source]}", err=True)

    return show


def release_freed_memory() -> None:
    """Let allocators keep less of the memory that was freed.

    pyarrow's own pool keeps 50 MiB, glibc's arenas of many threads 20 MiB, and glibc's adaptive threshold 25 MiB more:
    glibc raises its mmap threshold at the first large free(), and then no longer returns large blocks to the system.
    Setting M_MMAP_THRESHOLD explicitly turns that off.
    """
    import ctypes

    import pyarrow

    pyarrow.set_memory_pool(pyarrow.system_memory_pool())
    if hasattr(ctypes.CDLL(None), "mallopt"):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 128 * 1024)


M_ARENA_MAX, M_MMAP_THRESHOLD = -8, -3
"""Parameters of mallopt in malloc.h. The threshold is set to glibc's initial one, 128 KiB."""
