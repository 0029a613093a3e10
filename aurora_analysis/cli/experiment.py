"""`experiment`: a randomised on/off trial of a query on a reader."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from aurora_analysis.cli import connections, options, output
from aurora_analysis.errors import Error

if TYPE_CHECKING:
    from aurora_analysis.cli.options import ServerOptions, StoreOptions
    from aurora_analysis.live.experiment import Servers, TrialOptions
    from aurora_analysis.store import Store


@dataclass(frozen=True)
class TrialArguments:
    """The query of a trial, its length, and its servers."""

    sql: TextIO
    hours: float
    run_s: float
    washout_s: float | None
    baseline_s: float | None
    seed: int
    only_plan: bool
    clone: bool
    is_lab: bool
    production: bool
    compare_with: str
    cluster: str


@dataclass(frozen=True)
class SafetyOptions:
    """Limits that stop a trial early, and the writer's load meanwhile."""

    canary: str
    max_history: float
    max_slowdown: float
    max_lag_s: float
    writer_load: TextIO | None
    rate: float


@click.command(
    short_help="Run a randomised on/off trial of a query on a reader.",
    epilog=options.exit_codes("the trial stopped early, at a limit or a fault"),
)
@options.SERVERS
@options.together(
    "chosen",
    TrialArguments,
    click.option(
        "--sql",
        required=True,
        type=click.File(encoding="utf-8"),
        help="File with the query to try: one SELECT.",
    ),
    click.option(
        "--hours",
        type=options.Number(min=0, min_open=True),
        default=3.0,
        show_default=True,
        help="Length of the trial, in hours.",
    ),
    options.run_length("2m"),
    options.washout(),
    click.option(
        "--baseline",
        "baseline_s",
        type=options.Duration(),
        help="How long to observe the writer before the trial [default: six times --run].",
    ),
    options.seed(),
    click.option(
        "--plan", "only_plan", is_flag=True, help="Watch the baseline and print the plan; run no trial."
    ),
    click.option("--clone", is_flag=True, help="The servers belong to a clone."),
    click.option("--lab", "is_lab", is_flag=True, help="The servers belong to a lab."),
    click.option(
        "--production",
        is_flag=True,
        help="The servers belong to production, and the trial may run there. Excludes --writer-load.",
    ),
    click.option(
        "--compare-with",
        default="",
        help="Production's cluster in the store: its write rate decides whether a clone's writer is loaded enough.",
    ),
    options.cluster("trial"),
)
@options.together(
    "safety",
    SafetyOptions,
    click.option(
        "--canary",
        default="",
        metavar="DATABASE",
        help="Time a small write on the writer each second, in a table that the trial creates in this database.",
    ),
    click.option(
        "--max-history",
        type=options.Number(min=0, min_open=True),
        default=1_000_000,
        show_default=True,
        help="Stop the trial if the history list exceeds this many transactions.",
    ),
    click.option(
        "--max-slowdown",
        type=options.Number(min=0, min_open=True),
        default=5.0,
        show_default=True,
        help="Stop the trial if the canary's latency exceeds this multiple of its baseline.",
    ),
    click.option(
        "--max-lag",
        "max_lag_s",
        type=options.Duration(),
        default="10s",
        show_default=True,
        help="Stop the trial if a reader's replica lag exceeds this.",
    ),
    click.option(
        "--writer-load",
        type=click.File(encoding="utf-8"),
        help="File with statements that load the writer during the trial; refused with --production.",
    ),
    click.option(
        "--rate",
        type=options.Number(min=0.1),
        default=50.0,
        show_default=True,
        help="Statements per second for --writer-load.",
    ),
)
@options.STORE
def experiment(
    servers: ServerOptions, chosen: TrialArguments, safety: SafetyOptions, store_options: StoreOptions
) -> None:
    """Run a randomised on/off trial of a query on a reader, and record what it does to the writer.

    State what the servers belong to: --clone, --lab or --production. Ctrl-C ends the trial and keeps what was recorded;
    the same command within a day continues with the blocks that are left.
    """
    from aurora_analysis.engines import parsed_url
    from aurora_analysis.live.experiment import Servers
    from aurora_analysis.store import Store

    if [chosen.clone, chosen.is_lab, chosen.production].count(True) != 1:
        raise Error("State what the servers belong to: pass --clone, --lab or --production.")
    if safety.writer_load and chosen.production:
        raise Error("--writer-load writes to the writer: use it on a clone or a lab, never on production.")
    trial = _trial_options(chosen, safety, parsed_url(servers.writer).get_backend_name())
    servers = servers.in_region(store_options, chosen.cluster)
    connected = Servers(
        control=connections.server_engines(servers),
        query=connections.server_engines(servers, query_s=trial.run_s),
    )
    run_trial(trial, connected, Store(store_options.to_write()), only_plan=chosen.only_plan)


def _trial_options(chosen: TrialArguments, safety: SafetyOptions, engine: str) -> TrialOptions:
    from aurora_analysis.live import experiment as trials

    return trials.TrialOptions(
        query=trials.read_only_query(chosen.sql.read(), engine),
        workload=Path(chosen.sql.name).stem,
        hours=chosen.hours,
        cluster=chosen.cluster,
        run_s=chosen.run_s,
        washout_s=chosen.washout_s,
        quiet_s=chosen.baseline_s,
        seed=chosen.seed,
        clone=chosen.clone,
        production=chosen.compare_with,
        canary_database=safety.canary,
        writer_load=safety.writer_load.read() if safety.writer_load else "",
        writer_load_rate=safety.rate,
        limits=trials.Limits(safety.max_history, safety.max_slowdown, 1000 * safety.max_lag_s),
    )


def run_trial(trial: TrialOptions, servers: Servers, store: Store, *, only_plan: bool = False) -> None:
    """Run a trial with its messages on standard error; exit with 1 if it stopped early."""
    from aurora_analysis.live import experiment as trials

    stop_reason = trials.run_trial(
        trial,
        servers,
        store,
        detectable=_detectable_pct,
        only_plan=only_plan,
        progress=output.notes(),
    )
    if stop_reason and output.is_quiet():
        output.echo(stop_reason, err=True)
    sys.exit(1 if stop_reason else 0)


def _detectable_pct(latency: list[float], blocks: int, run_s: float) -> float:
    """Return the smallest effect that the trial would find [%]; `live` may not import the analysis."""
    from aurora_analysis.analysis import experiment as inference

    return inference.detectable_pct(latency, blocks=blocks, run_s=run_s)
