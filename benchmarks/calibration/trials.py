"""Is a trial's interval right? Simulated trials without an effect and with one, for three block designs.

`python dev.py calibrate trials` writes TRIALS.md; `python dev.py calibrate` does so too, at its end. A writer's latency
is a random walk that comes back (first-order autoregression) around a slow wave, a sample a second. Of trials without an
effect at most 7 % may reject at 5 %; of intervals 93 to 97 % must hold the planted effect; an effect of the size that
the plan calls detectable must be found in at least 80 % of trials, short of which chance alone may leave the count
once in a hundred. Exit code 1 tells that one does not.
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
LEFT_BEHIND = 0.3
"""The share of the effect that a run leaves to the block after it, where there is carry-over."""

REJECTED_MOST = 0.07
"""Share of trials without an effect that may reject at 5 %."""

RESULTS = Path(__file__).with_name("TRIALS.md")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--first-seed", type=int, default=100_000, help="below 10,000 only for tuning")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.trials)
    found = pd.DataFrame({name: _measured(planned, seeds) for name, planned in DESIGNS.items()}).T
    whole = _rejected(pd.DataFrame([_whole_draw(seed) for seed in seeds]))
    text = _page(found, seeds, whole)
    options.results.write_text(text, encoding="utf-8")
    print(text)
    return 0 if found["passed"].all() and whole <= REJECTED_MOST else 1


def _measured(planned: running.Plan, seeds: range) -> dict[str, object]:
    null = pd.DataFrame([_effect(planned, seed, 0.0) for seed in seeds])
    planted = pd.DataFrame([_effect(planned, seed, EFFECT_PCT) for seed in seeds])
    some = seeds[: max(1, len(seeds) // 10)]
    carried = pd.DataFrame([_effect(planned, seed, EFFECT_PCT, LEFT_BEHIND) for seed in some])
    promised, enough = np.array([_detectable(planned, seed) for seed in seeds]), _enough(null)
    rejected, held, finds = _rejected(null), _held(planted), float((promised >= enough).mean())
    kept = finds >= scipy.stats.binom.ppf(0.01, len(seeds), experiment.SURE) / len(seeds)
    return {
        "rejected": rejected,
        "held": held,
        "held with carry-over": _held(carried),
        "finds": finds,
        "promised": float(np.median(promised)),
        "detectable": float(np.quantile(enough, experiment.SURE)),
        "passed": bool(rejected <= REJECTED_MOST and 0.93 <= held <= 0.97 and kept),
    }


def _rejected(found: pd.DataFrame) -> float:
    return float((found["p"] <= 0.05).mean())


def _held(found: pd.DataFrame) -> float:
    return float(((found["ci_low_pct"] <= EFFECT_PCT) & (found["ci_high_pct"] >= EFFECT_PCT)).mean())


def _enough(null: pd.DataFrame) -> pd.Series:
    """The smallest effect that each trial would have found [%]: what lifts its interval, which moves with it, above 0."""
    return 100 * np.expm1(-np.log1p(null["ci_low_pct"] / 100))


def _detectable(planned: running.Plan, seed: int) -> float:
    """What `--plan` would promise from a baseline of the same writer [%]."""
    calm = _latency(round(running.RUNS_OF_BASELINE * planned.run_s), seed + 1_000_000).tolist()
    return experiment.detectable_pct(calm, blocks=planned.blocks, run_s=planned.run_s)


def _effect(planned: running.Plan, seed: int, effect_pct: float, left_behind: float = 0.0) -> pd.Series:
    rows = running.schedule(planned, START, seed=seed, workload="suspect", trial="t")
    latency = _latency(int(planned.blocks * planned.block_s), seed)
    step, factor = pd.Timedelta(seconds=planned.block_s), 1 + effect_pct / 100
    for run in rows[rows["assigned"]].itertuples():
        latency[run.time : run.end - pd.Timedelta("1us")] *= factor
        latency[run.time + step : run.end + step - pd.Timedelta("1us")] *= factor**left_behind
    return experiment.effects(latency.to_frame("canary_latency"), rows, draws=499, seed=seed).iloc[0]


def _whole_draw(seed: int) -> pd.Series:
    """A trial without an effect whose 16 blocks were drawn as a whole, not in fours."""
    planned = running.Plan(16, 60, 30)
    rows = running.schedule(planned, START, seed=seed, workload="suspect", trial="t")
    on = np.random.default_rng([seed, 2]).permutation(np.arange(16) % 2 == 0)
    latency = _latency(int(planned.blocks * planned.block_s), seed)
    rows = rows.assign(assigned=on)
    return experiment.effects(latency.to_frame("canary_latency"), rows, draws=499, seed=seed).iloc[0]


def _latency(seconds: int, seed: int) -> pd.Series:
    """Latency a second [ms]: an hour's wave, noise that remembers half a minute, and noise that does not."""
    rng = np.random.default_rng([seed, 1])
    noise = scipy.signal.lfilter([1.0], [1.0, -np.exp(-1 / 30)], rng.normal(0, 0.02, seconds))
    wave = 0.1 * np.sin(2 * np.pi * (np.arange(seconds) / 3600 + rng.uniform()))
    index = pd.date_range(START, periods=seconds, freq="1s").as_unit("us")
    return pd.Series(np.exp(noise + wave + rng.normal(0, 0.2, seconds)), index)


def _page(found: pd.DataFrame, seeds: range, whole: float) -> str:
    rows = [
        f"| {name} | {row['rejected']:.1%} | {row['held']:.1%} | {row['held with carry-over']:.1%} | {row['finds']:.1%} | "
        f"{row['promised']:.1f} % | {row['detectable']:.1f} % | {'passed' if row['passed'] else '**failed**'} |"
        for name, row in found.iterrows()
    ]
    return "\n".join(
        [
            "# Is a trial's interval right, and is its plan's promise kept?",
            "",
            f"Made by `python dev.py calibrate trials`: {len(seeds)} simulated trials a cell, seeds {seeds[0]} to {seeds[-1]}.",
            "*Rejects* counts trials without an effect with p ≤ .05 (at most 7 %), *holds* the 95 % intervals that hold a",
            f"planted effect of {EFFECT_PCT:g} % (93 to 97 %): first alone, then where a run leaves {100 * LEFT_BEHIND:g} % of it behind for the",
            "block after it, in a tenth of the trials. *Finds* counts how often an effect of the size that the plan calls",
            f"detectable is found, each planned from a baseline of the same writer of {running.RUNS_OF_BASELINE} runs' length: 80 % are promised.",
            "Beside it are that size (the median of the plans) and the effect that is really found in 80 % of the trials.",
            "",
            "| design | rejects | holds | holds with carry-over | finds | promised | really | |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            f"Of trials without an effect whose 16 blocks were drawn as a whole, not in fours, {whole:.1%} reject.",
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
