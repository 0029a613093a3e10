"""Rank simulated clusters by the harm that was planted in them: `python3 dev.py bench fleet_ranking`.

Each cluster has a week of latencies by minute, a reader workload of its own length and effect, and an estimate of that
effect whose error follows from the exposed minutes. A fifth are tiny: few minutes, large errors. The page's figure is
compared with the minutes that the planted effect really caused. Exits with 1 if a gate is missed.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import pandas as pd
from scipy import stats

from aurora_analysis.analysis import fleet
from aurora_analysis.analysis.fleet import Caused, Effect

RANKED, TOP = 0.9, 4
"""Gates: the mean rank correlation with the truth, and how many of the five most harmed lead on average."""

NOISE = 0.25
"""Standard deviation of a minute's log latency."""
TOGETHER = 15
"""Minutes that are one observation, because neighbours are alike."""
WEEK = pd.date_range("2026-11-09", periods=7 * 1440, freq="min", tz="UTC")


def cluster(rng: np.random.Generator, *, is_tiny: bool) -> tuple[float, Caused]:
    """Minutes that readers really caused, and their estimate."""
    length = int(rng.uniform(30, 90) if is_tiny else np.exp(rng.uniform(np.log(300), np.log(4000))))
    effect = rng.gamma(1.5, 0.12)
    exposed = pd.Series(np.arange(len(WEEK)) < length, WEEK)
    quiet = 10 * np.exp(NOISE * rng.standard_normal(len(WEEK)))
    latency = pd.Series(quiet * np.exp(effect * exposed.to_numpy()), WEEK)
    error = NOISE / np.sqrt(length / TOGETHER)
    truth = fleet.caused(latency, [Effect(effect, error, exposed)])
    found = fleet.caused(latency, [Effect(effect + error * rng.standard_normal(), error, exposed)])
    if truth is None or found is None:
        raise ValueError("a simulated cluster has quiet minutes")
    return truth.minutes, found


def ranked(seed: int, clusters: int = 100) -> tuple[float, int]:
    """Rank correlation of the shrunk minutes with the truth, and how many of the five most harmed are first five."""
    rng = np.random.default_rng(seed)
    made = [cluster(rng, is_tiny=n % 5 == 0) for n in range(clusters)]
    truth = np.array([one[0] for one in made])
    found = fleet.shrunk({str(n): one[1] for n, one in enumerate(made)})
    shrunk = [found[str(n)].minutes for n in range(clusters)]
    worst = set(np.argsort(-truth, kind="stable")[:5].tolist())
    return float(stats.spearmanr(shrunk, truth).statistic), len(worst & {int(name) for name in [*found][:5]})


def main() -> int:
    """Print the figures of all seeds, and return 1 if a gate is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=20)
    results = [ranked(seed) for seed in range(parser.parse_args().seeds)]
    correlations, hits = zip(*results)
    print(f"{len(results)} fleets of 100 clusters, a fifth tiny")
    print(f"rank correlation {np.mean(correlations):.3f}, least {min(correlations):.3f} (gate {RANKED})")
    print(f"of the five most harmed lead {np.mean(hits):.2f}, least {min(hits)} (gate {TOP})")
    return int(np.mean(correlations) < RANKED or np.mean(hits) < TOP)


if __name__ == "__main__":
    sys.exit(main())
