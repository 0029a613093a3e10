"""Measure how often a trial's interval is right: simulated trials with and without an effect, three block designs.

`python dev.py calibrate trials` writes TRIALS.md; `python dev.py calibrate` does so too, at its end. The writer's latency,
one sample per second, is a first-order autoregression around a slow wave. The requirements:

- at most 7 % of trials without an effect reject at the 5 % level;
- 93 to 97 % of the 95 % intervals contain the planted effect;
- an effect of the size that the plan calls detectable is found in 80 % of trials or more. The count may be below 80 %
  by as much as chance alone leaves it once in a hundred.

The exit code is 1 if a requirement is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import scipy

from aurora_analysis.analysis import experiment
from aurora_analysis.live import experiment as running

DESIGNS = {
    "12 blocks of 60 s": running.Plan(12, 60, 30),
    "24 blocks of 60 s": running.Plan(24, 60, 30),
    "40 blocks of 30 s": running.Plan(40, 30, 15),
}
START = datetime(2026, 11, 23, tzinfo=UTC)
EFFECT_PCT = 10.0
CARRIED_OVER = 0.3
"""Share of the effect that persists into the next block in the trials with carry-over."""

MOST_REJECTED = 0.07
"""Largest permitted share of trials without an effect that reject at the 5 % level."""

RESULTS = Path(__file__).with_name("TRIALS.md")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--trials", type=int, default=400, help="simulated trials per design")
    parser.add_argument(
        "--first-seed", type=int, default=100_000, help="first seed; seeds below 10,000 are for tuning"
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.trials)
    found = pd.DataFrame({name: _measured(planned, seeds) for name, planned in DESIGNS.items()}).T
    unrestricted = _rejected(pd.DataFrame([_unrestricted_draw(seed) for seed in seeds]))
    text = _page(found, seeds, unrestricted)
    options.results.write_text(text, encoding="utf-8")
    print(text)
    return 0 if found["passed"].all() and unrestricted <= MOST_REJECTED else 1


def _measured(planned: running.Plan, seeds: range) -> dict[str, object]:
    null = pd.DataFrame([_effect(planned, seed, 0.0) for seed in seeds])
    planted = pd.DataFrame([_effect(planned, seed, EFFECT_PCT) for seed in seeds])
    some = seeds[: max(1, len(seeds) // 10)]
    carried = pd.DataFrame([_effect(planned, seed, EFFECT_PCT, CARRIED_OVER) for seed in some])
    promised, smallest = np.array([_detectable(planned, seed) for seed in seeds]), _smallest_found(null)
    rejected, covered, found = _rejected(null), _covered(planted), float((promised >= smallest).mean())
    enough_found = found >= scipy.stats.binom.ppf(0.01, len(seeds), experiment.SURE) / len(seeds)
    return {
        "rejected": rejected,
        "covered": covered,
        "covered with carry-over": _covered(carried),
        "found": found,
        "promised": float(np.median(promised)),
        "detectable": float(np.quantile(smallest, experiment.SURE)),
        "passed": bool(rejected <= MOST_REJECTED and 0.93 <= covered <= 0.97 and enough_found),
    }


def _rejected(found: pd.DataFrame) -> float:
    return float((found["p"] <= 0.05).mean())


def _covered(found: pd.DataFrame) -> float:
    return float(((found["ci_low_pct"] <= EFFECT_PCT) & (found["ci_high_pct"] >= EFFECT_PCT)).mean())


def _smallest_found(null: pd.DataFrame) -> pd.Series:
    """The smallest effect that each trial would have found [%]: it shifts the interval of no effect above 0."""
    return 100 * np.expm1(-np.log1p(null["ci_low_pct"] / 100))


def _detectable(planned: running.Plan, seed: int) -> float:
    """The detectable effect that `--plan` computes from a baseline of the same writer [%]."""
    calm = _latency(round(running.RUNS_OF_BASELINE * planned.run_s), seed + 1_000_000).tolist()
    return experiment.detectable_pct(calm, blocks=planned.blocks, run_s=planned.run_s)


def _effect(planned: running.Plan, seed: int, effect_pct: float, carried_over: float = 0.0) -> pd.Series:
    rows = running.schedule(planned, START, seed=seed, workload="suspect", trial="t")
    latency = _latency(int(planned.blocks * planned.block_s), seed)
    step, factor = pd.Timedelta(seconds=planned.block_s), 1 + effect_pct / 100
    for run in rows[rows["assigned"]].itertuples():
        latency[run.time : run.end - pd.Timedelta("1us")] *= factor
        latency[run.time + step : run.end + step - pd.Timedelta("1us")] *= factor**carried_over
    return experiment.effects(latency.to_frame("canary_latency"), rows, draws=499, seed=seed).iloc[0]


def _unrestricted_draw(seed: int) -> pd.Series:
    """Effect of a trial without an effect whose 16 blocks are drawn together, not in groups of four."""
    planned = running.Plan(16, 60, 30)
    rows = running.schedule(planned, START, seed=seed, workload="suspect", trial="t")
    on = np.random.default_rng([seed, 2]).permutation(np.arange(16) % 2 == 0)
    latency = _latency(int(planned.blocks * planned.block_s), seed)
    rows = rows.assign(assigned=on)
    return experiment.effects(latency.to_frame("canary_latency"), rows, draws=499, seed=seed).iloc[0]


def _latency(seconds: int, seed: int) -> pd.Series:
    """Latency by second [ms]: a wave of one hour, autocorrelated noise (half a minute) and white noise."""
    rng = np.random.default_rng([seed, 1])
    noise = scipy.signal.lfilter([1.0], [1.0, -np.exp(-1 / 30)], rng.normal(0, 0.02, seconds))
    wave = 0.1 * np.sin(2 * np.pi * (np.arange(seconds) / 3600 + rng.uniform()))
    index = pd.date_range(START, periods=seconds, freq="1s").as_unit("us")
    return pd.Series(np.exp(noise + wave + rng.normal(0, 0.2, seconds)), index)


def _page(found: pd.DataFrame, seeds: range, unrestricted: float) -> str:
    rows = [
        f"| {name} | {row['rejected']:.1%} | {row['covered']:.1%} | {row['covered with carry-over']:.1%} | {row['found']:.1%} | "
        f"{row['promised']:.1f} % | {row['detectable']:.1f} % | {'passed' if row['passed'] else '**failed**'} |"
        for name, row in found.iterrows()
    ]
    return "\n".join(
        [
            "# Is a trial's interval right, and does a plan state the detectable effect correctly?",
            "",
            f"Made by `python dev.py calibrate trials`: {len(seeds)} simulated trials per design, seeds {seeds[0]} to {seeds[-1]}.",
            "",
            "- *False positives*: trials without an effect with p ≤ 0.05 (at most 7 %).",
            f"- *Coverage*: 95 % intervals that contain a planted effect of {EFFECT_PCT:g} % (93 to 97 %).",
            f"- *Coverage, carry-over*: the same if {100 * CARRIED_OVER:g} % of the effect persists into the next block (a tenth of the trials).",
            "- *Power*: how often an effect of the size that the plan calls detectable is found (80 % are required). Each plan is",
            f"  made from a baseline of the same writer, as long as {running.RUNS_OF_BASELINE} runs.",
            "- *Detectable, planned*: the median of that size over the plans.",
            "- *Detectable, measured*: the effect that is found in 80 % of the trials.",
            "",
            "| design | false positives | coverage | coverage, carry-over | power | detectable, planned | detectable, measured | |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            f"If the 16 blocks of a trial are drawn together, not in groups of four, {unrestricted:.1%} of the trials without an effect reject.",
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
