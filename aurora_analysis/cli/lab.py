"""`lab`: private servers that stand in for a cluster, and a simulated cluster."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from aurora_analysis.cli import options, output
from aurora_analysis.cli.experiment import run_trial

if TYPE_CHECKING:
    from aurora_analysis.cli.options import StoreOptions
    from aurora_analysis.store import Store
    from aurora_analysis.window import Window


@dataclass(frozen=True)
class RecordOptions:
    """The options of a recording; None is the engine's default."""

    engine: str
    minutes: float
    days: int | None
    day_length_s: float
    seed: int
    cluster: str | None
    block_s: float | None


@dataclass(frozen=True)
class LabTrialOptions:
    """The options of a trial in the lab."""

    engine: str

    minutes: float
    run_s: float
    washout_s: float
    seed: int
    cluster: str


@click.group(short_help="Record private servers under load, or simulate a cluster.")
def lab() -> None:
    """Record private servers that stand in for a cluster, or write a simulated cluster."""


@lab.command("record", short_help="Record private servers under load.", epilog=options.exit_codes())
@options.STORE
@options.together(
    "chosen",
    RecordOptions,
    options.engine(),
    options.minutes(30, least=0.5),
    click.option(
        "--days",
        type=click.IntRange(min=2),
        help="Record this many compressed days instead of --minutes: each lasts --day-length and is stored as 24 hours.",
    ),
    click.option(
        "--day-length",
        "day_length_s",
        type=options.Duration(),
        default="4m",
        show_default=True,
        help="How long a compressed day of --days really lasts.",
    ),
    options.seed(),
    options.cluster(),
    click.option(
        "--block-s",
        type=options.Number(min=0, min_open=True),
        help="Length of a block of the trial, in seconds.  [default: 75; postgresql: 24]",
    ),
)
def record(store_options: StoreOptions, chosen: RecordOptions) -> None:
    """Start private servers, load them, switch sessions on and off at random, and record everything.

    With --engine mysql one InnoDB server stands in for writer and reader, and the cluster is `lab` by default. With
    --engine postgresql a primary and a hot standby are recorded, and the cluster is `ledger` by default. With --days the
    command records compressed days. Ctrl-C ends the recording early and keeps what was recorded.
    """
    from aurora_analysis.store import Store

    if chosen.engine == "postgresql" and chosen.days is not None:
        raise click.UsageError("--days compresses recordings of --engine mysql only: use --minutes.")
    chosen = replace(chosen, cluster=chosen.cluster or CLUSTERS[chosen.engine])
    store = Store(store_options.to_write())
    recorded = (_recorded_postgresql if chosen.engine == "postgresql" else _recorded)(store, chosen)
    click.echo(f"recorded {recorded} as cluster {chosen.cluster} of {store.location}")


CLUSTERS = {"mysql": "lab", "postgresql": "ledger"}
"""Engine → default name of the recorded cluster."""


def _recorded_postgresql(store: Store, chosen: RecordOptions) -> Window:
    """Record a primary and its standby, with progress on standard error; return the recorded window."""
    from aurora_analysis.lab import ledger_record, ledger_schedule

    block_s = int(chosen.block_s or ledger_schedule.BLOCK_S)
    wanted = ledger_record.LedgerOptions(60 * chosen.minutes, chosen.seed, chosen.cluster or "", block_s)
    return ledger_record.record(store, wanted, progress=output.notes())


def _recorded(store: Store, chosen: RecordOptions) -> Window:
    """Record minutes or compressed days, with progress on standard error; return the recorded window."""
    from aurora_analysis.lab import compressed
    from aurora_analysis.lab import record as recording

    progress, cluster = output.notes(), chosen.cluster or ""
    if chosen.days is None:
        wanted = recording.RecordingOptions(
            60 * chosen.minutes, chosen.seed, cluster=cluster, block_s=chosen.block_s or recording.BLOCK_S
        )
        return recording.record(store, wanted, progress=progress)
    return compressed.run(
        store,
        days=chosen.days,
        day_length_s=chosen.day_length_s,
        seed=chosen.seed,
        cluster=cluster,
        progress=progress,
    )


@lab.command(
    "trial",
    short_help="Run a trial on a private server.",
    epilog=options.exit_codes("the trial stopped early, at a limit or a fault"),
)
@options.STORE
@options.together(
    "chosen",
    LabTrialOptions,
    options.engine(),
    options.minutes(10, least=1),
    options.run_length("15s"),
    options.washout("10s"),
    options.seed(),
    options.cluster("trial"),
)
def trial(store_options: StoreOptions, chosen: LabTrialOptions) -> None:
    """Start private servers with a queue, and try a query on them that holds a read view or a snapshot open.

    With --engine mysql one InnoDB server stands in for writer and reader; with --engine postgresql the query runs on a
    hot standby. The trial is the one that `experiment` runs on your own servers.
    """
    from aurora_analysis.store import Store

    store = Store(store_options.to_write())
    (_try_on_postgresql if chosen.engine == "postgresql" else _try_on_mysql)(chosen, store)


def _try_on_mysql(chosen: LabTrialOptions, store: Store) -> None:
    from aurora_analysis.lab import server
    from aurora_analysis.lab import trial as lab_trial
    from aurora_analysis.live.experiment import Servers

    planned = lab_trial.options(lab_trial.HOLDS_A_VIEW, **_times(chosen))
    with server.running({"performance_schema": True}) as started:
        lab_trial.prepare(started)
        run_trial(planned, Servers([started.engine()]), store)


def _try_on_postgresql(chosen: LabTrialOptions, store: Store) -> None:
    from aurora_analysis.lab import postgresql, postgresql_trial
    from aurora_analysis.live.experiment import Servers

    planned = postgresql_trial.options(postgresql_trial.HOLDS_A_SNAPSHOT, **_times(chosen))
    with postgresql.running() as pair:
        postgresql_trial.prepare(pair)
        run_trial(planned, Servers([each.engine(postgresql_trial.DATABASE) for each in pair.servers]), store)


def _times(chosen: LabTrialOptions) -> dict[str, Any]:
    return {
        "minutes": chosen.minutes,
        "run_s": chosen.run_s,
        "washout_s": chosen.washout_s,
        "seed": chosen.seed,
        "cluster": chosen.cluster,
    }


@lab.command(short_help="Write the simulated cluster `shop`.", epilog=options.exit_codes())
@options.seed(1)
@options.STORE
def simulate(seed: int, store_options: StoreOptions) -> None:
    """Write six simulated weeks of the cluster `shop`: a writer, two readers, and effects of known size.

    The last two weeks are complete. The four before them are hourly means without logs, as history for comparisons.
    """
    from aurora_analysis.lab import shop
    from aurora_analysis.store import Store

    store = Store(store_options.to_write())
    shop.write_earlier(store, seed)
    shop.write(store, seed)
    click.echo(f"{shop.CLUSTER} (simulated, seed {seed}): {store.span(shop.CLUSTER)} in {store.location}")
