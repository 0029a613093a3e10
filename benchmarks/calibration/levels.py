"""Measure how often the printed level is wrong, and write RESULTS.md or LEVELS.md; exit 1 if a gate fails.

`python dev.py calibrate levels` runs the everyday scenarios and those of `simulator` and writes RESULTS.md; with
`--scenarios everyday` it runs only the former and writes LEVELS.md; with names of scenarios, those and SCENARIOS.md. Each latency is judged alone, as in a report on one
workload and one metric. A stopped run resumes; `--finished` runs nothing and publishes the seeds of which every scenario
is ready. Seeds below 10,000 are for tuning.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import scipy  # noqa: E402

from aurora_analysis.analysis import reader_impact  # noqa: E402
from aurora_analysis.analysis.effect_level import LEVELS, SLOWER  # noqa: E402
from calibration import everyday, simulator, study  # noqa: E402
from calibration.gates import FEW_RUNS, Gate  # noqa: E402

SIMULATED = {0: "null", 5: "hll 5", 10: "hll 10", 25: "hll 25"}
"""The latency of `simulator` with each true effect [%]."""

BLAMED_MOST = 5.0
POWER_LEAST = 80.0
COVERAGE_LEAST = 93.0
REFUSED_LEAST = 95.0
"""Gates on printed levels [%]."""

REASONS = {
    "pipeline": "of the end of writer job load_job",
    "batch_exact": "writer job nightly_batch",
    "fixed_daily": "always runs at about",
    "trigger": "already slow before its runs started",
    "mostly_open": "of all minutes",
}
"""Words of the true reason for which each unidentifiable scenario must be refused."""

REFUSED = ["cannot tell", "unknown"]

BY_P = "p ≤ .05"
"""Column: the effect is above zero and p is at most 5 %. No page prints that; earlier gates counted it."""


def verdicts(case: study.Case, percents: tuple[int, ...] = everyday.PERCENTS) -> list[dict[str, Any]]:
    """Printed level of `extract` in one fortnight, one row per true effect."""
    scenario, seed = case
    if scenario == "closed_loop":
        return [row for percent in percents for row in _rows(scenario, seed, (percent,))]
    return _rows(scenario, seed, percents)


def _rows(scenario: str, seed: int, percents: tuple[int, ...]) -> list[dict[str, Any]]:
    """Rows of a fortnight that differs in nothing but latency, so that it is one design with a latency for each effect."""
    data, latency, truths = _fortnight(scenario, seed, percents)
    table = reader_impact.effects_of_each_metric_alone(study.design(data, latency))
    mine = table[table["workload"] == "extract"].set_index("metric", drop=False)
    rows = [mine.loc[name, study.KEPT].to_dict() for name in latency]
    return [
        {"scenario": scenario, "seed": seed, "percent": percent}
        | row
        | {"truth": getattr(truth, row["basis"])}
        for percent, row, truth in zip(percents, rows, truths)
    ]


def _fortnight(
    scenario: str, seed: int, percents: tuple[int, ...]
) -> tuple[simulator.Fortnight, pd.DataFrame, list[simulator.Truth]]:
    """A fortnight, its latency with each planted effect, and what that truly is."""
    if scenario not in everyday.SCENARIOS:
        data = simulator.fortnight(scenario, seed)
        names = [SIMULATED[percent] for percent in percents]
        return data, data.latency[names], [data.truth[name] for name in names]
    each = [everyday.fortnight(scenario, seed, percent) for percent in percents]
    latency = pd.concat(
        [one.latency["latency"].rename(f"latency {n}") for n, one in zip(percents, each)], axis=1
    )
    return each[0], latency, [one.truth["latency"] for one in each]


def without_effect_and_with_ten(case: study.Case) -> list[dict[str, Any]]:
    """Printed levels at true effects of 0 and 10 %."""
    return verdicts(case, (0, 10))


def by_scenario(rows: pd.DataFrame) -> pd.DataFrame:
    """Share of each printed level, coverage and mean estimate, by scenario and true effect [%]."""
    known = rows.assign(
        refused=rows["level"].isin(REFUSED),
        **{BY_P: (rows["p"] <= 0.05) & (rows["effect_pct"] > 0)},
        covered=_covered(rows).where(rows["p"].notna()),
        truth=rows["truth"].where(rows["p"].notna()),
        **{level: rows["level"] == level for level in LEVELS if level not in REFUSED},
    )
    groups = known.groupby(["scenario", "percent"], sort=False)
    names = ["refused", *(level for level in LEVELS if level not in REFUSED), BY_P, "covered"]
    shares = 100 * groups[names].mean()
    return shares.assign(
        truth=groups["truth"].mean(),
        estimate=groups["effect_pct"].mean(),
        fortnights=groups["seed"].nunique(),
    )


def _covered(rows: pd.DataFrame) -> pd.Series:
    """Whether each printed interval contains the truth of the quantity that is printed."""
    return rows["truth"].between(rows["ci_low_pct"], rows["ci_high_pct"])


def gates(rows: pd.DataFrame) -> list[Gate]:
    """Gates on printed levels; coverage may miss its limit by two standard errors of the number of fortnights."""
    table = by_scenario(rows)
    none = table.xs(0, level="percent")
    ten = table.xs(10, level="percent")
    identifiable = [name for name in none.index if name not in REASONS]
    blamed = none[list(SLOWER)].sum(axis=1)
    strong = ten.loc[[name for name in identifiable if name not in FEW_RUNS], "slows"]
    covered = pd.concat([none.loc[identifiable, "covered"], ten.loc[identifiable, "covered"]]).dropna()
    allowance = 200 * np.sqrt(0.07 * 0.93 / none["fortnights"].min())
    known = [name for name in none.index if name in REASONS]
    rightly = pd.Series({name: _rightly_refused(rows, name) for name in known}, dtype=float)
    count = int(none["fortnights"].min())
    return [
        _gate("null: `slows` or `slows a little` ≤", BLAMED_MOST, blamed, count),
        _gate("+10 %: `slows` ≥", POWER_LEAST, strong, count),
        _gate(f"coverage (less {allowance:.1f} for chance) ≥", COVERAGE_LEAST, covered, count, allowance),
        _gate("unidentifiable: refused for the true reason ≥", REFUSED_LEAST, rightly, count),
    ]


def _rightly_refused(rows: pd.DataFrame, scenario: str) -> float:
    mine = rows[rows["scenario"] == scenario]
    right = mine["level"].isin(REFUSED) & mine["reason"].str.contains(REASONS[scenario], regex=False)
    return 100 * float(right.mean())


def _gate(required: str, limit: float, rates: pd.Series, count: int, allowance: float = 0.0) -> Gate:
    """One gate over scenarios; with what chance alone would do if all of them had the same rate."""
    at_most = required.endswith("≤")
    if rates.empty:
        return Gate("level", f"{required} {limit:g} %", "no scenario", passed=False)
    misses = rates[rates > limit] if at_most else rates[rates + allowance < limit]
    worst = rates.idxmax() if at_most else rates.idxmin()
    measured = f"worst: {worst} {rates.max() if at_most else rates.min():.3g} %"
    if len(misses):
        listed = ", ".join(f"{name} {rate:.3g} %" for name, rate in misses.items())
        common, bound = rates.mean() / 100, count * (limit - allowance) / 100
        beyond = (
            scipy.stats.binom.sf(np.floor(bound), count, common)
            if at_most
            else scipy.stats.binom.cdf(np.ceil(bound) - 1, count, common)
        )
        measured = (
            f"{len(misses)} of {len(rates)} miss it ({listed}); with {count} fortnights each and the same rate in all "
            f"scenarios, {100 * common:.1f} %, chance alone would make {len(rates) * beyond:.1f} miss it"
        )
    return Gate("level", f"{required} {limit:g} %", measured, passed=misses.empty)


def in_short(rows: pd.DataFrame) -> list[str]:
    """Shares of printed levels over all scenarios with their 95 % limits (Wilson 1927), as Markdown."""
    known = rows["scenario"].isin(REASONS)
    none, ten = rows[~known & (rows["percent"] == 0)], rows[~known & (rows["percent"] == 10)]
    many = ten[~ten["scenario"].isin(FEW_RUNS)]
    judged = pd.concat([none, ten]).dropna(subset="p")
    unknown = rows[known]
    rightly = [
        row["level"] in REFUSED and REASONS[row["scenario"]] in row["reason"]
        for row in unknown.to_dict("records")
    ]
    five = rows[~known & (rows["percent"] == 5)]
    shares = {
        "no effect, printed as `slows` or `slows a little`": none["level"].isin(SLOWER),
        "no effect, refused although the data could answer": none["level"].isin(REFUSED),
        "+10 %, printed as `slows` (without scenarios of few runs)": many["level"] == "slows",
        "the printed 95 % interval contains the truth (0 or 10 %)": _covered(judged),
        "not identifiable, refused for the true reason": pd.Series(rightly, dtype=bool),
    }
    if len(five):
        shares |= {
            "+5 %, printed as `slows` or `slows a little`": five["level"].isin(SLOWER),
            "+5 %, printed as `no material effect`": five["level"] == "no material effect",
            "+5 %, p ≤ .05 and above zero, which no page prints": (five["p"] <= 0.05)
            & (five["effect_pct"] > 0),
            "+10 %, p ≤ .05 and above zero (without scenarios of few runs)": (many["p"] <= 0.05)
            & (many["effect_pct"] > 0),
        }
    lines = ["| over all scenarios | fortnights | share | 95 % limits |", "|---|---|---|---|"]
    for name, right in shares.items():
        if right.empty:  # the chosen scenarios have no such fortnight
            continue
        limits = scipy.stats.binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
        lines.append(
            f"| {name} | {len(right)} | {100 * right.mean():.1f} % | {100 * limits.low:.1f} to {100 * limits.high:.1f} % |"
        )
    return lines


def page(rows: pd.DataFrame, command: str) -> tuple[str, bool]:
    """The results as Markdown, and whether every gate passed; with few fortnights only what all scenarios show."""
    table = by_scenario(rows)
    lines = [
        "# How often is the printed level wrong?",
        "",
        f"Made by `{command}`. Seeds were not used for tuning. `everyday.py` and `simulator.py` describe the scenarios. Simulator and "
        "estimator share one idea of a writer: expect larger errors on real ones.",
        "",
        "## In short",
        "",
        *in_short(rows),
        "",
    ]
    if table["fortnights"].min() < FORTNIGHTS_NEEDED:
        few = f"There are {table['fortnights'].min():.0f} fortnights per scenario and effect, and {FORTNIGHTS_NEEDED} are needed"
        return "\n".join([*lines, f"{few} to judge a scenario by itself: no gate was judged.", ""]), False
    results = gates(rows)
    return "\n".join([*lines, *_gates_and_scenarios(table, results), ""]), all(
        gate.passed for gate in results
    )


def _gates_and_scenarios(table: pd.DataFrame, results: list[Gate]) -> list[str]:
    lines = [
        "## Gates",
        "",
        "| required | measured | |",
        "|---|---|---|",
        *(f"| {g.required} | {g.measured} | {'passed' if g.passed else '**failed**'} |" for g in results),
        "",
        "## Every scenario [%]",
        "",
        "Each row is one scenario with one planted effect (the geometric mean over the exposed minutes; in `tail` the arithmetic "
        "one): the share of fortnights with each printed level, the share of printed 95 % intervals that contain the truth, the "
        "mean truth and the mean estimate. The truth is that of the printed quantity. Where the card states the effect on the "
        "average minute instead of the typical one, it is the arithmetic mean: larger, if the effect grows during a run.",
        "",
        f"| scenario | planted effect | fortnights | {' | '.join(name for name in table if name != 'fortnights')} |",
        f"|{'---|' * (len(table.columns) + 2)}",
    ]
    for (scenario, percent), row in table.iterrows():
        cells = ["–" if np.isnan(row[name]) else f"{row[name]:.0f}" for name in table if name not in TEXTS]
        cells += ["–" if np.isnan(row[name]) else f"{row[name]:+.1f}" for name in ("truth", "estimate")]
        lines.append(f"| {scenario} | {percent} | {row['fortnights']:.0f} | {' | '.join(cells)} |")
    return lines


ALL = [*everyday.SCENARIOS, *simulator.SCENARIOS]

PAGES = {"all": "RESULTS.md", "everyday": "LEVELS.md"}
"""Page of each set of scenarios; named ones have their own."""

FORTNIGHTS_NEEDED = 20
"""With fewer fortnights, chance alone moves a scenario's shares by more than 20 points."""

TEXTS = ("fortnights", "truth", "estimate")


def _finished(scenarios: list[str], first_seed: int, path: Path) -> int:
    """Number of seeds, from the first one on, of which every scenario is in the file."""
    ready = study.done(path)
    seeds = itertools.count(first_seed)
    return next(seed for seed in seeds if any((name, seed) not in ready for name in scenarios)) - first_seed


def main() -> int:
    """Run the scenarios, write the page, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=200, help="fortnights per scenario and true effect")
    parser.add_argument("--first-seed", type=int, default=300_000)
    known = {"all": ALL, "everyday": everyday.SCENARIOS} | {name: [name] for name in ALL}
    parser.add_argument(
        "--scenarios",
        nargs="+",
        choices=known,
        default=["all"],
        metavar="NAME",
        help="all, everyday, or names",
    )
    parser.add_argument("--quick", action="store_true", help="only true effects of 0 and 10 %%")
    parser.add_argument("--finished", action="store_true", help="run nothing; publish what is ready")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", type=Path, default=HERE.parents[1] / ".cache" / "calibration")
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    names = list(dict.fromkeys(name for chosen in options.scenarios for name in known[chosen]))
    path = options.keep / f"levels-{'quick-' if options.quick else ''}{options.first_seed}.jsonl"
    work = without_effect_and_with_ten if options.quick else verdicts
    if options.finished:
        options.seeds = _finished(names, options.first_seed, path)
    cases = study.cases(names, options.first_seed, options.seeds)
    if not cases:
        parser.error(f"{path} has no seed of which every scenario is ready: run without --finished.")
    rows = study.run(work, cases, path, processes=options.processes, log=sys.stderr)
    flags = (
        f"--seeds {options.seeds} --first-seed {options.first_seed} --scenarios {' '.join(options.scenarios)}"
    )
    text, passed = page(rows, f"python dev.py calibrate levels {flags}{' --quick' if options.quick else ''}")
    written = options.results or HERE / PAGES.get(*options.scenarios[:1], "SCENARIOS.md")
    written.write_text(text, encoding="utf-8")
    print(text)
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
