"""`drill`: inject a fault, and count what three clients see."""

from __future__ import annotations

import sys
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from aurora_analysis.cli import drill_places, options, output
from aurora_analysis.errors import Error

if TYPE_CHECKING:
    import pandas as pd

    from aurora_analysis.cli.options import StoreOptions
    from aurora_analysis.live.drill import DrillOptions

FAULTS = ("failover", "crash", "reader-restart", "lag", "disk")


@dataclass(frozen=True)
class Arguments:
    """The faults of a drill, how often, and where."""

    faults: tuple[str, ...]
    repeats: int
    interval_s: float
    observe_s: float
    fault_s: float
    seed: int
    objective_s: float | None


@dataclass(frozen=True)
class ClientArguments:
    """Options of the clients."""

    workers: int
    pause_s: float
    dns_cache_s: float
    recycle_s: float


@click.command(
    short_help="Inject a failure, and measure how clients survive it.",
    epilog=options.exit_codes(
        "the drill was interrupted or a run did not finish",
        "a client loses writes or misses the objective, or no verdict is possible",
    ),
)
@options.together(
    "chosen",
    Arguments,
    click.argument("faults", nargs=-1, required=True, type=click.Choice(FAULTS), metavar="FAULT…"),
    click.option(
        "--repeats",
        type=click.IntRange(min=1),
        default=3,
        show_default=True,
        help="Runs of each fault. A client meets an objective only after three runs.",
    ),
    click.option(
        "--interval",
        "interval_s",
        type=options.Duration(),
        default="10s",
        show_default=True,
        help="Pause between two runs; a random part of up to half of it is added.",
    ),
    click.option(
        "--observe",
        "observe_s",
        type=options.Duration(),
        default="90s",
        show_default=True,
        help="Longest observation after a fault; it ends earlier once every client works.",
    ),
    click.option(
        "--fault-length",
        "fault_s",
        type=options.Duration(),
        default="10s",
        show_default=True,
        help="How long a lag or a disk fault lasts.",
    ),
    options.seed(),
    click.option(
        "--objective",
        "objective_s",
        type=options.Duration(),
        help="Longest acceptable time after the fault [default: failover_s, crash_s, … in [objectives] of the settings].",
    ),
)
@options.together(
    "where",
    drill_places.PlaceArguments,
    click.option(
        "--lab",
        "is_lab",
        is_flag=True,
        help="Start private servers: with --engine postgresql a primary and its standby, else one MariaDB or MySQL.",
    ),
    options.engine(),
    click.option("--clone", is_flag=True, help="The servers belong to a clone."),
    click.option(
        "--production",
        is_flag=True,
        help="Run the drill on production: the command then wants the cluster's name typed.",
    ),
    options.cluster(),
    click.option(
        "--endpoint",
        default="",
        metavar="URL",
        help="The cluster endpoint, as postgresql://user@host:5432/database; a lab needs none.",
    ),
    click.option(
        "--schema",
        default="",
        help="Database (MySQL) or schema (PostgreSQL) for the drill's table [default: the URL's database, or public].",
    ),
    options.IAM,
    options.CA,
    options.REGION,
    options.PROFILE,
)
@options.together(
    "client",
    ClientArguments,
    click.option(
        "--workers",
        type=click.IntRange(1, 20),
        default=4,
        show_default=True,
        help="Connections of each client.",
    ),
    click.option(
        "--pause",
        "pause_s",
        type=options.Number(min=0.01),
        default=0.1,
        show_default=True,
        help="Pause of each connection after a write and after an error, in seconds.",
    ),
    click.option(
        "--dns-cache",
        "dns_cache_s",
        type=options.Duration(),
        default="30s",
        show_default=True,
        help="How long the plain client keeps the endpoint's address; 30s is the default of a JVM.",
    ),
    click.option(
        "--recycle",
        "recycle_s",
        type=options.Duration(),
        default="60s",
        show_default=True,
        help="Age at which the pool replaces a connection.",
    ),
)
@options.STORE
def drill(
    chosen: Arguments,
    where: drill_places.PlaceArguments,
    client: ClientArguments,
    store_options: StoreOptions,
) -> None:
    """Inject a failure, and measure how three clients survive it.

    A plain driver that caches the endpoint's address, a connection pool, and a topology-aware client write and read side
    by side. For each one the command reports how long it did not work, its errors, lost writes, old reads, and how many
    connections it opened. The results are stored, and compared with the objective. State where the drill runs: --lab,
    --clone or --production. At the end the first writer is the writer again, and the drill's table is gone.
    """
    from aurora_analysis.live.drill import run_drill
    from aurora_analysis.store import Store

    _check(chosen, where)
    objectives = _objectives(chosen, store_options)
    store = Store(store_options.to_write())
    with drill_places.place(chosen.faults, where, store_options) as (place, schema):
        planned = _options(chosen, client, where.cluster or "drill", schema)
        rows = run_drill(planned, place, store, output.notes())
    sys.exit(_printed(rows, planned, objectives))


LONGEST_FAULT_S = 600.0
"""A fault of Aurora cannot be ended early: a longer one would be an outage."""


def _check(chosen: Arguments, where: drill_places.PlaceArguments) -> None:
    if [where.is_lab, where.clone, where.production].count(True) != 1:
        raise Error("State where the drill runs: pass --lab, --clone or --production.")
    if not where.is_lab and not (where.cluster and where.endpoint):
        raise Error("Name the cluster with --cluster, and its cluster endpoint with --endpoint.")
    if chosen.fault_s > LONGEST_FAULT_S:
        raise Error(
            f"--fault-length is longer than {LONGEST_FAULT_S:g} s, and Aurora cannot end a fault early."
        )
    if {"lag", "disk"} & set(chosen.faults) and chosen.observe_s <= chosen.fault_s:
        raise Error("--observe must be longer than --fault-length: a run would end before its fault.")


def _options(chosen: Arguments, client: ClientArguments, cluster: str, schema: str) -> DrillOptions:
    from aurora_analysis.live.drill import ClientOptions, DrillOptions

    return DrillOptions(
        faults=tuple(dict.fromkeys(chosen.faults)),
        cluster=cluster,
        repeats=chosen.repeats,
        interval_s=chosen.interval_s,
        observe_s=chosen.observe_s,
        fault_s=chosen.fault_s,
        seed=chosen.seed,
        schema=schema,
        client=ClientOptions(**vars(client)),
    )


def _objectives(chosen: Arguments, store_options: StoreOptions) -> dict[str, float]:
    """Return the objective of each fault [s]: the flag's, else the settings'."""
    if chosen.objective_s is not None:
        return dict.fromkeys(chosen.faults, chosen.objective_s)
    return dict(store_options.config().objectives.drills)


def _printed(rows: pd.DataFrame, planned: DrillOptions, objectives: dict[str, float]) -> int:
    """Print each run and the verdicts; return the exit code."""
    from aurora_analysis.analysis import drill as judged

    if rows.empty:
        output.echo("no run finished, so nothing was measured", err=True)
        return 1
    for row in judged.runs(rows, objectives).to_dict("records"):
        output.echo(_line(row))
    found = judged.verdicts(rows, objectives)
    for one in found:
        output.echo(f"\n{one}")
    if rows["run"].nunique() < len(planned.faults) * planned.repeats:
        return 1
    return 3 if any(one.severity in ("act", "unknown") for one in found) else 0


def _line(row: dict[Hashable, Any]) -> str:
    """One run of one client as a line; what is not known is never printed as a number."""
    import pandas as pd

    first, settled = (
        "never" if pd.isna(row[name]) else f"{row[name]:.1f} s" for name in ("first_success_s", "settled_s")
    )
    lost = "an unknown number" if pd.isna(row["writes_lost"]) else row["writes_lost"]
    is_certain = not pd.isna(row["took_effect"]) and bool(row["took_effect"])
    certain = "" if is_certain else "; nothing shows that the fault took effect"
    return (
        f"{row['fault']} {row['run']} {row['client']:<9} first success {first}, settled {settled}, {row['errors']} errors, "
        f"{row['writes_acknowledged']} writes acknowledged, {lost} lost, {row['stale_reads']} stale reads, "
        f"{row['former_writer_reads']} from a former writer, {row['connections_per_s']} connections in the busiest "
        f"second{certain}"
    )
