"""Forty real trials without an effect, and a planted effect against a long reference run: MariaDB, not a model.

`python dev.py bench trials` takes some forty minutes, most of them waiting. Two servers run side by side, each
with a load of its own: a queue whose consumer walks over what purge may not remove yet. Trial after trial is carried out
on them as by `aurora-analysis experiment`: of a query that holds nothing (A/A), and of one that holds a read view. Of
the A/A trials at most the share may reject that the binomial law allows at 5 % (99th percentile: 6 of 40); of the
planted ones at least nine in ten must hold the reference, which is one trial of a quarter of an hour.
Exit code 1 tells that it is not so.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pandas as pd
import scipy

from aurora_analysis import experiment as carrying_out
from aurora_analysis.analysis import evidence, experiment
from aurora_analysis.errors import Error
from aurora_analysis.lab import server, trial
from aurora_analysis.lab.server import Server
from aurora_analysis.lab.workload import DATABASE
from aurora_analysis.store import Store

CLUSTER = "trial"
SECONDS_A_TRIAL, REFERENCE_S = 64, 900
RUN_S, WASHOUT_S = 3.0, 1.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--trials", type=int, default=40, help="without an effect")
    parser.add_argument("--planted", type=int, default=10)
    parser.add_argument("--keep", type=Path, help="a folder for the stores; what is there is not run again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as thrown_away, ProcessPoolExecutor(2) as pool:
        stores = options.keep or Path(thrown_away)
        null = [(trial.HOLDS_NOTHING, SECONDS_A_TRIAL, stores / f"null-{n}") for n in range(options.trials)]
        planted = [
            (trial.HOLDS_A_VIEW, SECONDS_A_TRIAL, stores / f"planted-{n}") for n in range(options.planted)
        ]
        planted.append((trial.HOLDS_A_VIEW, REFERENCE_S, stores / "reference"))
        wanted = [*null, *planted]
        left = [one for one in wanted if not one[2].exists()][::-1]
        list(pool.map(carried_out, [left[::2], left[1::2]]))
        found = {folder.name: judged(folder) for _, _, folder in wanted}
    return report(found)


def carried_out(wanted: Sequence[tuple[str, float, Path]]) -> None:
    """One server, and trial after trial on it."""
    with server.running({"performance_schema": True}) as ours:
        trial.prepare(ours)
        for query, seconds, folder in wanted:
            carry_out(ours, query, seconds, folder)


def carry_out(ours: Server, query: str, seconds: float, folder: Path) -> None:
    """A trial as the command carries it out; its seed is its name."""
    seed = int.from_bytes(folder.name.encode()[-8:], "big")
    asked = carrying_out.Asked(
        query=query,
        hours=(seconds + 1) / 3600,
        run_s=RUN_S,
        washout_s=WASHOUT_S,
        quiet_s=5.0,
        seed=seed,
        database=DATABASE,
        load=trial.LOAD,
        rate=trial.RATE,
        limits=carrying_out.Limits(latency_factor=1000),  # a shared machine is no reason to break off
    )
    began = time.monotonic()
    broken_off = carrying_out.carry_out(
        asked, [ours.engine()], Store(folder), cluster=CLUSTER, detectable=lambda *_: float("nan")
    )
    if broken_off:
        shutil.rmtree(folder)
        raise Error(
            f"{folder.name} was broken off: {broken_off}. With --keep, the same command does the rest."
        )
    print(f"{folder.name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


def judged(folder: Path) -> pd.DataFrame:
    """The effects on every latency and throughput of a trial, and on the history list's growth."""
    store = Store(folder)
    window = store.span(CLUSTER)
    trials = experiment.randomised(store.read("trials", cluster=CLUSTER))
    effects = experiment.effects(store.metrics(evidence.TRIED, window, cluster=CLUSTER), trials)
    history = store.metric("history_list_length", window, cluster=CLUSTER)
    growth = experiment.history_growth(history, trials).assign(metric="history_growth")
    named = {"difference": "effect_pct", "ci_low": "ci_low_pct", "ci_high": "ci_high_pct"}
    return pd.concat([effects, growth.rename(columns=named)]).set_index("metric")


def report(found: dict[str, pd.DataFrame]) -> int:
    """Print how often a null was rejected, and how often the reference was held; returns the exit code."""
    null = pd.concat(frame for name, frame in found.items() if name.startswith("null"))
    planted = pd.concat(frame for name, frame in found.items() if name.startswith("planted"))
    passed = True
    for metric, rows in null.groupby(level=0):
        rejected, allowed = int((rows["p"] <= 0.05).sum()), scipy.stats.binom.ppf(0.99, len(rows), 0.05)
        passed &= rejected <= allowed
        print(f"{metric}: {rejected} of {len(rows)} A/A trials reject (at most {allowed:.0f} may)")
    for metric, rows in planted.groupby(level=0):
        reference = found["reference"].loc[metric]
        held = rows["effect_pct"].notna() & rows["ci_low_pct"].le(reference["effect_pct"])
        held &= rows["ci_high_pct"].ge(reference["effect_pct"])
        passed &= held.mean() >= 0.9
        print(
            f"{metric}: {held.sum()} of {len(rows)} planted trials hold the reference's {reference['effect_pct']:,.4g} "
            f"[{reference['ci_low_pct']:,.4g}, {reference['ci_high_pct']:,.4g}]; {(rows['p'] <= 0.05).sum()} are significant"
        )
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
