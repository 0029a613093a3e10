"""Is a trial's interval right? Simulated trials without an effect and with one, for three block designs.

`python dev.py bench trials`. A writer's latency is a random walk that comes back (first-order autoregression) around a
slow wave, a sample a second. Of trials without an effect at most 7 % may reject at 5 %; of intervals 93 to 97 % must hold the
planted effect. Exit code 1 tells that one does not.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from aurora_analysis import experiment as carrying_out
from aurora_analysis.analysis import experiment

DESIGNS = {
    "12 blocks of 60 s": carrying_out.Plan(12, 60, 30),
    "24 blocks of 60 s": carrying_out.Plan(24, 60, 30),
    "40 blocks of 30 s": carrying_out.Plan(40, 30, 15),
}
START = datetime(2026, 11, 23, tzinfo=UTC)
EFFECT_PCT = 10.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--first-seed", type=int, default=100_000, help="below 10,000 only for tuning")
    options = parser.parse_args()
    passed = True
    for name, planned in DESIGNS.items():
        seeds = range(options.first_seed, options.first_seed + options.trials)
        rejected = np.mean([_effect(planned, seed, 0.0)["p"] <= 0.05 for seed in seeds])
        held = np.mean([_holds(_effect(planned, seed, EFFECT_PCT)) for seed in seeds])
        passed &= bool(rejected <= 0.07 and 0.93 <= held <= 0.97)
        print(
            f"{name}: {len(seeds)} A/A trials reject {rejected:.1%}; {held:.1%} of intervals hold the effect"
        )
    return 0 if passed else 1


def _holds(found: pd.Series) -> bool:
    return bool(found["ci_low_pct"] <= EFFECT_PCT <= found["ci_high_pct"])


def _effect(planned: carrying_out.Plan, seed: int, effect_pct: float) -> pd.Series:
    rows = carrying_out.schedule(planned, START, seed=seed, workload="suspect", trial="t")
    latency = _latency(int(planned.blocks * planned.block_s), seed)
    for run in rows[rows["assigned"]].itertuples():
        latency[run.time : run.end - pd.Timedelta("1us")] *= 1 + effect_pct / 100
    return experiment.effects(latency.to_frame("canary_latency"), rows, draws=999, seed=seed).iloc[0]


def _latency(seconds: int, seed: int) -> pd.Series:
    """Latency a second [ms]: an hour's wave, noise that remembers half a minute, and noise that does not."""
    rng = np.random.default_rng([seed, 1])
    steps, noise = rng.normal(0, 0.02, seconds), np.zeros(seconds)
    for n in range(1, seconds):
        noise[n] = np.exp(-1 / 30) * noise[n - 1] + steps[n]
    wave = 0.1 * np.sin(2 * np.pi * (np.arange(seconds) / 3600 + rng.uniform()))
    index = pd.date_range(START, periods=seconds, freq="1s").as_unit("us")
    return pd.Series(np.exp(noise + wave + rng.normal(0, 0.2, seconds)), index)


if __name__ == "__main__":
    sys.exit(main())
