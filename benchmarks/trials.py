"""Forty real trials without an effect, and a planted effect against a long reference: MariaDB, not a model.

`python dev.py bench trials` takes some fifty minutes, most of them waiting. Two servers run side by side, each
with a load of its own: a queue whose consumer walks over what purge may not remove yet. Trial after trial is carried out
on them as by `aurora-analysis experiment`: of a query that holds nothing (A/A), and of one that holds a read view. Of
the A/A trials at most the share may reject that the binomial law allows at 5 % (99th percentile: 6 of 40).

The planted effect is not one figure: it follows the machine. So its reference is not one long run at another time, but
as many trials as are judged, in turns with them, on the same servers; their mean is the reference, and its
error comes from how they differ. A trial holds it where the interval of the difference holds zero. At least nine in ten must.
Exit code 1 if fewer do.
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
"""The query, and the length of a block's run and of its washout [s]: where it is to grow, what stood there goes first."""

BLOCKS = 16
SERVERS, LOAD_STATEMENTS = 2, 2
SAID = ["difference", "ci_low", "ci_high", "p"]

Wanted = tuple[str, float, float, Path]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--trials", type=int, default=40, help="without an effect")
    parser.add_argument("--planted", type=int, default=10, help="and as many for the reference")
    parser.add_argument("--results", type=Path, help="a page to write them to")
    parser.add_argument("--keep", type=Path, help="a folder for the stores; what is there is not run again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as thrown_away, ProcessPoolExecutor(SERVERS) as pool:
        stores = options.keep or Path(thrown_away)
        servers = _shared_out(stores, options.trials, options.planted)
        list(pool.map(run_all, servers))
        found = {one[3].name: judged(one[3]) for wanted in servers for one in wanted}
    said = [*_null(_all(found, "null")), *_planted(_all(found, "planted"), _all(found, "reference"))]
    print("\n".join(line for line, _ in said))
    if options.results:
        options.results.write_text(_page(said), encoding="utf-8")
    return 0 if all(passed for _, passed in said) else 1


def _shared_out(stores: Path, trials: int, planted: int) -> list[list[Wanted]]:
    """What each server does: a judged trial beside one of the reference, and the other way round the next time."""
    kinds = ("planted", "reference")
    return [
        [(*PLANTED, stores / f"{kinds[(turn + n) % SERVERS]}-{n}") for n in range(planted)]
        + [(*NULL, stores / f"null-{n}") for n in range(turn, trials, SERVERS)]
        for turn in range(SERVERS)
    ]


def run_all(wanted: Sequence[Wanted]) -> None:
    """One server, and trial after trial on it."""
    left = [one for one in wanted if not one[3].exists()]
    with server.running({"performance_schema": True}) as ours:
        trial.prepare(ours)
        for one in left:
            run_one(ours, *one)


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
    """Effects on every latency and throughput [logs], and on the history list's growth, as in the notebook."""
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
    logs = effects.assign(**np.log1p(effects[percent] / 100)).rename(columns=dict(zip(percent, SAID)))
    return pd.concat([one.set_index("metric")[SAID] for one in (logs, growth)])


def _all(found: dict[str, pd.DataFrame], kind: str) -> pd.DataFrame:
    frames = [frame for name, frame in found.items() if name.startswith(kind)]
    return pd.concat(frames) if frames else pd.DataFrame(columns=SAID)


def _null(null: pd.DataFrame) -> Iterator[tuple[str, bool]]:
    """How often an A/A trial rejects, and whether that is within the limit."""
    for metric, rows in null.groupby(level=0):
        rejected, allowed = int((rows["p"] <= 0.05).sum()), scipy.stats.binom.ppf(0.99, len(rows), 0.05)
        line = f"{metric}: {rejected} of {len(rows)} A/A trials reject (at most {allowed:.0f} may)"
        yield line, rejected <= allowed


def _planted(planted: pd.DataFrame, reference: pd.DataFrame) -> Iterator[tuple[str, bool]]:
    """How often a planted trial's interval contains the reference, and whether that is often enough."""
    for metric, rows in planted.groupby(level=0):
        about = reference.loc[[metric], "difference"].dropna()
        middle, error = about.mean(), scipy.stats.t.ppf(0.975, len(about) - 1) * about.sem()
        held = _holds(rows, middle, error)
        low, high = _shown(metric, middle - error), _shown(metric, middle + error)
        line = (
            f"{metric}: {held.sum()} of {len(rows)} planted trials hold the reference's {_shown(metric, middle)} "
            f"[{low}, {high}]; {(rows['p'] <= 0.05).sum()} are significant"
        )
        yield line, held.mean() >= 0.9


def _holds(rows: pd.DataFrame, middle: float, error: float) -> pd.Series:
    """Whether the interval of a trial's difference from the reference, with both errors, holds zero."""
    apart = middle - rows["difference"]
    reach = (rows["ci_high"] - rows["difference"]).where(apart > 0, rows["difference"] - rows["ci_low"])
    return apart.abs() <= np.hypot(reach, error)


def _shown(metric: str, value: float) -> str:
    return f"{value:,.0f}/h" if metric == "history_growth" else f"{100 * np.expm1(value):+.1f} %"


def _page(said: Sequence[tuple[str, bool]]) -> str:
    """The results, after what they are of."""
    about = (
        (__doc__ or "").split("\n", 1)[1].replace("python dev.py bench trials", "python benchmarks/trials.py")
    )
    lines = [f"- {'' if passed else '**failed** '}{line}" for line, passed in said]
    return "\n".join(["# Trials on real servers", about, *lines, ""])


if __name__ == "__main__":
    sys.exit(main())
