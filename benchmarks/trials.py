"""Measure how often a real trial's interval is right: trials without and with an effect on MariaDB servers.

`python dev.py bench trials` takes about fifty minutes, mostly waiting. Two servers run in parallel, each under its own
load: a queue whose consumer scans rows that purge may not remove yet. Trials run one after another, each as
`aurora-analysis experiment` runs it: with a query that holds no read view (A/A), or with a query that holds one. The
binomial distribution limits how many of the A/A trials may reject at the 5 % level (99th percentile: 6 of 40).

The planted effect depends on the state of the machine. Its reference is therefore the mean of as many further trials,
which alternate with the judged ones on the same servers; the reference's error follows from their variation. A judged
trial contains the reference if the 95 % interval of their difference contains zero. At least nine in ten must contain
it; otherwise the exit code is 1.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import scipy

from aurora_analysis.analysis import experiment
from aurora_analysis.errors import Error
from aurora_analysis.lab import server, trial
from aurora_analysis.lab.server import Server
from aurora_analysis.live import experiment as running
from aurora_analysis.store import Store

CLUSTER = "trial"
NULL = (trial.HOLDS_NOTHING, 3.0, 1.0)
PLANTED = (trial.HOLDS_A_VIEW, 8.0, 2.0)
"""The query, and the lengths of a block's run and washout [s]. A washout lets purge remove the last block's history."""

BLOCKS = 16
SERVERS, LOAD_STATEMENTS = 2, 2
RESULT = ["difference", "ci_low", "ci_high", "p"]

Job = tuple[str, float, float, Path]
"""The query, the lengths of run and washout [s], and the folder of the trial's store."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--trials", type=int, default=40, help="number of A/A trials")
    parser.add_argument(
        "--planted", type=int, default=10, help="number of trials with an effect; the reference has as many"
    )
    parser.add_argument("--results", type=Path, help="Markdown file to write the results to")
    parser.add_argument(
        "--keep", type=Path, help="folder for the trials' stores; a trial whose store exists is not repeated"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, ProcessPoolExecutor(SERVERS) as pool:
        stores = options.keep or Path(temporary)
        servers = _jobs(stores, options.trials, options.planted)
        list(pool.map(run_all, servers))
        found = {job[3].name: judged(job[3]) for jobs in servers for job in jobs}
    results = [*_null(_all(found, "null")), *_planted(_all(found, "planted"), _all(found, "reference"))]
    print("\n".join(line for line, _ in results))
    if options.results:
        options.results.write_text(_page(results), encoding="utf-8")
    return 0 if all(passed for _, passed in results) else 1


def _jobs(stores: Path, trials: int, planted: int) -> list[list[Job]]:
    """Each server's trials: one runs a judged trial while the other runs a reference trial, in turns."""
    kinds = ("planted", "reference")
    return [
        [(*PLANTED, stores / f"{kinds[(turn + n) % SERVERS]}-{n}") for n in range(planted)]
        + [(*NULL, stores / f"null-{n}") for n in range(turn, trials, SERVERS)]
        for turn in range(SERVERS)
    ]


def run_all(jobs: Sequence[Job]) -> None:
    """Start a server and run the missing trials on it, one after another."""
    missing = [job for job in jobs if not job[3].exists()]
    with server.running({"performance_schema": True}) as ours:
        trial.prepare(ours)
        for job in missing:
            run_one(ours, *job)


def run_one(ours: Server, query: str, run_s: float, washout_s: float, folder: Path) -> None:
    """Run one trial as the command does; its seed is derived from its name."""
    options = trial.options(
        query,
        minutes=(BLOCKS * (run_s + washout_s) + 1) / 60,
        run_s=run_s,
        washout_s=washout_s,
        cluster=CLUSTER,
        quiet_s=5.0,
        seed=int.from_bytes(folder.name.encode()[-8:], "big"),
    )
    began = time.monotonic()
    stop_reason = running.run_trial(
        options, running.Servers([ours.engine()]), Store(folder), detectable=lambda *_: float("nan")
    )
    if stop_reason:
        shutil.rmtree(folder)
        raise Error(
            f"{folder.name} stopped: {stop_reason}. With --keep, run the same command again for the rest."
        )
    print(f"{folder.name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


def judged(folder: Path) -> pd.DataFrame:
    """Effects on every latency and throughput [log points] and on the history list's growth, as in the notebook."""
    store = Store(folder)
    window = store.span(CLUSTER)
    trials = experiment.randomised(store.read("trials", cluster=CLUSTER))
    counted, texts = (store.read(name, cluster=CLUSTER) for name in ("statement_metrics", "statements"))
    statements = experiment.statement_latency(counted, texts, most=LOAD_STATEMENTS)
    latency = store.metrics(experiment.TRIAL_METRICS, window, cluster=CLUSTER).join(statements, how="outer")
    effects = experiment.effects(latency, trials)
    history = store.metric("history_list_length", window, cluster=CLUSTER)
    growth = experiment.history_growth(history, trials).assign(metric="history_growth")
    percent = ["effect_pct", "ci_low_pct", "ci_high_pct"]
    logs = effects.assign(**np.log1p(effects[percent] / 100)).rename(columns=dict(zip(percent, RESULT)))
    return pd.concat([one.set_index("metric")[RESULT] for one in (logs, growth)])


def _all(found: dict[str, pd.DataFrame], kind: str) -> pd.DataFrame:
    frames = [frame for name, frame in found.items() if name.startswith(kind)]
    return pd.concat(frames) if frames else pd.DataFrame(columns=RESULT)


def _null(null: pd.DataFrame) -> Iterator[tuple[str, bool]]:
    """Count the A/A trials that reject, and compare the count with the limit."""
    for metric, rows in null.groupby(level=0):
        rejected, allowed = int((rows["p"] <= 0.05).sum()), scipy.stats.binom.ppf(0.99, len(rows), 0.05)
        line = f"{metric}: {rejected} of {len(rows)} A/A trials reject (limit: {allowed:.0f})"
        yield line, rejected <= allowed


def _planted(planted: pd.DataFrame, reference: pd.DataFrame) -> Iterator[tuple[str, bool]]:
    """Count the planted trials whose interval contains the reference, and compare the count with the limit."""
    for metric, rows in planted.groupby(level=0):
        about = reference.loc[[metric], "difference"].dropna()
        middle, error = about.mean(), scipy.stats.t.ppf(0.975, len(about) - 1) * about.sem()
        contained = _contains(rows, middle, error)
        low, high = _shown(metric, middle - error), _shown(metric, middle + error)
        line = (
            f"{metric}: {contained.sum()} of {len(rows)} planted trials contain the reference {_shown(metric, middle)} "
            f"[{low}, {high}]; significant: {(rows['p'] <= 0.05).sum()}"
        )
        yield line, contained.mean() >= 0.9


def _contains(rows: pd.DataFrame, middle: float, error: float) -> pd.Series:
    """Whether the interval of each trial's difference from the reference, with both errors, contains zero."""
    apart = middle - rows["difference"]
    reach = (rows["ci_high"] - rows["difference"]).where(apart > 0, rows["difference"] - rows["ci_low"])
    return apart.abs() <= np.hypot(reach, error)


def _shown(metric: str, value: float) -> str:
    return f"{value:,.0f}/h" if metric == "history_growth" else f"{100 * np.expm1(value):+.1f} %"


def _page(results: Sequence[tuple[str, bool]]) -> str:
    """The results as Markdown, after a description of the benchmark."""
    about = (__doc__ or "").split("\n", 1)[1]
    lines = [f"- {'' if passed else '**failed** '}{line}" for line, passed in results]
    return "\n".join(["# Trials on real servers", about, *lines, ""])


if __name__ == "__main__":
    sys.exit(main())
