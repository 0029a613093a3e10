"""Measure how often effects pooled over weeks, and over clusters, err if somebody looks every week, and how soon they are found.

Each series is 26 fortnights of one workload, with a common effect, weeks that differ by more or less than their errors,
and estimated errors with few degrees of freedom, as the report records them. The series is judged after every fortnight
from the third on. An error is a look at which the interval misses the common effect. An ordinary interval of the mean,
looked at as often, must err far more often; otherwise the simulation would be too easy. Pools of clusters are judged
after every fortnight from the first on; each cluster has an effect of its own around that of the pool.

    python3 dev.py calibrate trend   # writes TREND.md; exit 1 if a gate fails; seeds below 10,000 are for tuning
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from aurora_analysis.analysis import trend
from aurora_analysis.analysis.trend import WeekEffect

ERROR, DF, LOOKS = 0.025, 9, 26
"""Standard error of a fortnight's log effect, its degrees of freedom, and the number of fortnights (a year)."""

SPREADS = (0.0, 0.5, 1.0, 2.0)
"""Standard deviation between weeks, as a multiple of the error."""

EFFECTS_PCT = (3.0, 5.0, 10.0)
SHOWN = (3, 5, 8, 13, 26)
MOST_FALSE = 5.0
CLUSTERS, CLUSTERS_DIFFER, CLUSTER_LOOKS = (3, 5, 10), (0.0, 1.0, 2.0), 13
"""Clusters of a pool, standard deviation of their effects as a multiple of the error, and fortnights (half a year)."""

FIRST = datetime(2026, 1, 5, tzinfo=UTC)


def series(rng: np.random.Generator, effect_pct: float, spread: float) -> list[WeekEffect]:
    """Fortnights with a common effect, as their reports record them."""
    true = np.log1p(effect_pct / 100) + spread * ERROR * rng.standard_normal(LOOKS)
    logs = true + ERROR * rng.standard_normal(LOOKS)
    errors = ERROR * np.sqrt(rng.chisquare(DF, LOOKS) / DF)
    days = [FIRST + timedelta(days=14 * n) for n in range(LOOKS + 1)]
    return [
        WeekEffect(start, end, float(log), float(error), DF)
        for start, end, log, error in zip(days, days[1:], logs, errors)
    ]


def looks(weeks: list[WeekEffect], effect_pct: float) -> np.ndarray:
    """For each look from the third on: missed by the sequence, found slower by it, missed by an ordinary interval."""
    logs = np.array([week.effect for week in weeks])
    rows = []
    for seen in range(trend.WEEKS_NEEDED, LOOKS + 1):
        one = trend.pooled(weeks[:seen])
        if one is None:
            raise AssertionError(f"{seen} windows must be enough")
        reach = stats.t.isf(0.025, seen - 1) * logs[:seen].std(ddof=1) / np.sqrt(seen)
        ordinary = abs(logs[:seen].mean() - np.log1p(effect_pct / 100)) > reach
        rows.append((not one.low_pct <= effect_pct <= one.high_pct, one.low_pct > 0, ordinary))
    return np.array(rows)


def study(effect_pct: float, spread: float, repetitions: int, first_seed: int) -> np.ndarray:
    """Shares of series that were missed, found and missed by an ordinary interval up to each look [%]."""
    rngs = (np.random.default_rng(first_seed + n) for n in range(repetitions))
    found = [np.maximum.accumulate(looks(series(rng, effect_pct, spread), effect_pct)) for rng in rngs]
    return np.asarray(100 * np.mean(found, axis=0))


def pool(rng: np.random.Generator, clusters: int, differ: float, effect_pct: float) -> np.ndarray:
    """For each look at a pool: missed by the sequence, found slower, missed by an ordinary interval of all fortnights."""
    by_cluster = {}
    for n in range(clusters):
        own = differ * ERROR * rng.standard_normal()
        weeks = series(rng, effect_pct, 0.5)[:CLUSTER_LOOKS]
        by_cluster[f"cluster {n}"] = [replace(week, effect=week.effect + own) for week in weeks]
    rows = []
    for seen in range(1, CLUSTER_LOOKS + 1):
        one = trend.pooled_clusters({name: weeks[:seen] for name, weeks in by_cluster.items()})
        if one is None:
            raise AssertionError(f"{clusters} clusters must be enough")
        logs = np.array([week.effect for weeks in by_cluster.values() for week in weeks[:seen]])
        reach = stats.t.isf(0.025, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs))
        ordinary = abs(logs.mean() - np.log1p(effect_pct / 100)) > reach
        rows.append((not one.low_pct <= effect_pct <= one.high_pct, one.low_pct > 0, ordinary))
    return np.array(rows)


def pools(repetitions: int, first_seed: int) -> pd.DataFrame:
    """Errors without an effect and power at +5 % of every size and kind of pool, in half a year [%]."""
    rows = []
    for clusters, differ in product(CLUSTERS, CLUSTERS_DIFFER):
        by_effect = {
            effect: np.mean(
                [
                    pool(np.random.default_rng([first_seed + n, int(effect)]), clusters, differ, effect).any(
                        axis=0
                    )
                    for n in range(repetitions)
                ],
                axis=0,
            )
            for effect in (0.0, 5.0)
        }
        rows.append(
            (clusters, differ, 100 * by_effect[0.0][0], 100 * by_effect[0.0][2], 100 * by_effect[5.0][1])
        )
    return pd.DataFrame(rows, columns=["clusters", "differ", "missed", "ordinary", "found"])


def weeks_page(repetitions: int, first_seed: int) -> tuple[str, bool]:
    """Errors and power of one cluster's series as Markdown, and whether every gate passed."""
    at = [look - trend.WEEKS_NEEDED for look in SHOWN]
    nulls = {spread: study(0.0, spread, repetitions, first_seed) for spread in SPREADS}
    lines = [
        "# How often does the effect over weeks err if it is looked at every week?",
        "",
        f"Made by `python3 dev.py calibrate trend --only weeks --repetitions {repetitions} --first-seed {first_seed}`. "
        f"Each series has {LOOKS} fortnights, each with a standard error of {100 * ERROR:g} %, and is judged after every "
        "fortnight from the third on.",
        "",
        "Without an effect, share of series with at least one error in a year [%]:",
        "",
        "| weeks differ by | confidence sequence | ordinary 95 % interval, looked at as often |",
        "|---|---|---|",
        *(
            f"| {spread:g} standard errors | {found[-1, 0]:.1f} | {found[-1, 2]:.1f} |"
            for spread, found in nulls.items()
        ),
        "",
        "With an effect and weeks that differ by half a standard error, share of series in which it was found by then [%]:",
        "",
        f"| true effect | {' | '.join(f'{look} fortnights' for look in SHOWN)} |",
        f"|{'---|' * (1 + len(SHOWN))}",
    ]
    for effect in EFFECTS_PCT:
        found = study(effect, 0.5, repetitions, first_seed)
        lines.append(f"| +{effect:g} % | {' | '.join(f'{share:.0f}' for share in found[at, 1])} |")
    return _with_gates(
        lines,
        {
            f"the sequence errs in at most {MOST_FALSE:g} % of series, within two standard errors of the simulation": all(
                found[-1, 0] <= MOST_FALSE + _allowance(repetitions) for found in nulls.values()
            ),
            "an ordinary interval errs in more than 10 %": all(found[-1, 2] > 10 for found in nulls.values()),
        },
    )


def pools_page(repetitions: int, first_seed: int) -> tuple[str, bool]:
    """Errors and power of pools of clusters as Markdown, and whether every gate passed."""
    found = pools(repetitions, first_seed)
    lines = [
        "# How often does the effect over a pool of clusters err if it is looked at every week?",
        "",
        f"Made by `python3 dev.py calibrate trend --only pools --repetitions {repetitions} --first-seed {first_seed}`. Each "
        f"cluster has {CLUSTER_LOOKS} fortnights, each with a standard error of {100 * ERROR:g} %; its weeks differ by half of "
        "that. The pool is judged after every fortnight from the first on.",
        "",
        "Share of pools with at least one error in half a year without an effect, and share in which an effect of +5 % was "
        "found [%]:",
        "",
        "| clusters | they differ by | confidence sequence errs | ordinary interval of all fortnights errs | +5 % found |",
        "|---|---|---|---|---|",
        *(
            f"| {row.clusters} | {row.differ:g} standard errors | {row.missed:.1f} | {row.ordinary:.1f} | {row.found:.0f} |"
            for row in found.itertuples()
        ),
    ]
    gate = f"the sequence of a pool errs in at most {MOST_FALSE:g} %, within two standard errors of the simulation"
    return _with_gates(lines, {gate: bool((found["missed"] <= MOST_FALSE + _allowance(repetitions)).all())})


def _allowance(repetitions: int) -> float:
    """Two standard errors of a share of 5 % [percentage points]."""
    return float(200 * np.sqrt(0.05 * 0.95 / repetitions))


def _with_gates(lines: list[str], gates: dict[str, bool]) -> tuple[str, bool]:
    judged = [f"- {gate}: {'passed' if held else 'FAILED'}" for gate, held in gates.items()]
    return "\n".join([*lines, "", *judged, ""]), all(gates.values())


PAGES = {"weeks": (weeks_page, "TREND.md", 400, 500_000), "pools": (pools_page, "POOLS.md", 100, 520_000)}
"""Page, file, repetitions and first seed of each study."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", choices=sorted(PAGES), help="one of the two studies [default: both]")
    parser.add_argument("--repetitions", type=int)
    parser.add_argument("--first-seed", type=int)
    options = parser.parse_args()
    passed = True
    for name in [options.only] if options.only else sorted(PAGES):
        page, file, repetitions, first_seed = PAGES[name]
        text, held = page(options.repetitions or repetitions, options.first_seed or first_seed)
        Path(__file__).with_name(file).write_text(text, encoding="utf-8")
        print(text)
        passed &= held
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
