"""Simulate serverless capacity and autoscaled readers, and compare what may be done about them: CAPACITY.md.

Capacity may be a confounder or a mediator. It follows a schedule (`capacity_schedule`), it follows the writer's load
(`capacity_load`), or it grows because the workload runs (`capacity_mediator`): then it is a part of the workload's effect. A
reader that autoscaling adds may run statements that no log shows: at hours of its own (`reader_apart`), or
at the hours of the workload (`reader_together`), because the workload's load is what adds it. (scenario, seed) determine
every value but the effect.

Each scenario is judged in the ways of `WAYS`: with nothing added, with log capacity as a control, or with the
presence of the reader as one, which refuses a workload that accompanies it.

    python3 dev.py calibrate capacity   # writes CAPACITY.md; seeds below 10,000 are for tuning
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

from aurora_analysis.analysis import reader_impact  # noqa: E402
from aurora_analysis.analysis.effect_level import SLOWER  # noqa: E402
from calibration import simulator, study  # noqa: E402
from calibration.gates import Gate  # noqa: E402
from calibration.simulator import DAY, Array, Fortnight, Runs  # noqa: E402

DAYS = 14
COUNT = DAYS * DAY
SCENARIOS = ["capacity_schedule", "capacity_load", "capacity_mediator", "reader_apart", "reader_together"]
"""All scenarios; their order is part of their seeds."""

RELIEF = 0.3
"""Fall of log latency per unit of log capacity."""

HIDDEN = np.log(1.15)
"""What the statements of a reader without a log add to log latency while they run."""

WAYS = {"capacity": ("nothing", "capacity"), "reader": ("nothing", "presence")}
"""What is held constant besides the usual controls, by the first word of the scenario."""


@dataclass(frozen=True)
class Scaled:
    """A fortnight, its log capacity by minute, and the spans in which the autoscaled reader existed."""

    data: Fortnight
    log_capacity: Array
    presence: pd.DataFrame


def fortnight(scenario: str, seed: int, percent: int) -> Scaled:
    """One fortnight of a scenario with one latency, `latency`, and one true total effect [%]."""
    rng = np.random.default_rng([seed, 900 + SCENARIOS.index(scenario)])
    writer = simulator.simulated_writer(rng, "uniform", DAYS)
    present = _presence(rng, scenario)
    runs = _runs(rng, scenario, present)
    share = runs.open_share(COUNT)
    capacity = _log_capacity(rng, scenario, writer.log_load, share)
    relief = -RELIEF * (capacity - capacity.mean())
    total = np.log1p(percent / 100) * share / share[share > 0].mean()
    if scenario == "capacity_mediator":
        # The planted effect is the total one, which includes the relief by the capacity that the workload added.
        relief = np.zeros(COUNT)
    hidden = HIDDEN * _hidden(rng, present).open_share(COUNT)
    data = simulator.observed(
        rng, writer, {"latency": writer.log_latency + relief + hidden + total}, runs, {}, np.zeros(COUNT)
    )
    return Scaled(data, capacity, present.frame("reader"))


def _presence(rng: np.random.Generator, scenario: str) -> Runs:
    """Two spans a day of some three hours, at any time, in which the autoscaled reader exists."""
    if not scenario.startswith("reader"):
        return Runs(np.zeros(0), np.zeros(0))
    start = np.sort((DAY * np.arange(DAYS)[:, None] + rng.uniform([0, 720], [480, 1200], (DAYS, 2))).ravel())
    return Runs(start, start + rng.uniform(120, 240, len(start)))


def _runs(rng: np.random.Generator, scenario: str, present: Runs) -> Runs:
    """Four runs a day; in `reader_together` they are what the reader is added for, shortly after their start."""
    start = np.sort(rng.uniform(0, COUNT - 60, 4 * DAYS))
    if scenario == "reader_together":
        start = np.sort(
            np.concatenate([present.start - 5, present.start + rng.uniform(40, 80, len(present.start))])
        )
    return Runs(start, np.minimum(start + 25 * np.exp(rng.normal(0, 0.5, len(start))), COUNT))


def _hidden(rng: np.random.Generator, present: Runs) -> Runs:
    """Statements on the autoscaled reader: most of the time that it exists."""
    return Runs(
        present.start, present.end - 0.2 * (present.end - present.start) * rng.random(len(present.end))
    )


def _log_capacity(rng: np.random.Generator | None, scenario: str, log_load: Array, share: Array) -> Array:
    """Log capacity by minute."""
    clock = np.arange(COUNT) % DAY
    if scenario == "capacity_schedule" and rng is not None:
        first, last = (np.repeat(hour * 60 + rng.uniform(-60, 60, DAYS), DAY) for hour in (8, 20))
        return np.where((clock >= first) & (clock < last), np.repeat(rng.uniform(0.2, 0.9, DAYS), DAY), 0.0)
    if scenario == "capacity_load":
        return _followed(0.8 * log_load)
    if scenario == "capacity_mediator":
        return _followed(0.8 * log_load + 0.5 * share * (rng is not None))
    return np.zeros(COUNT)


def _followed(wanted: Array) -> Array:
    """Capacity follows what is wanted: up within minutes, down slowly."""
    now, found = float(wanted[0]), np.empty(COUNT)
    for minute, target in enumerate(wanted.tolist()):
        now += (target - now) / (2 if target > now else 15)
        found[minute] = now
    return found


def verdict(scaled: Scaled, way: str) -> dict[str, object]:
    """Printed level and figures of `extract`, judged in one way."""
    data = scaled.data
    inputs = reader_impact.Inputs(
        data.latency,
        data.load,
        data.exposures,
        writer_jobs=data.writer_jobs,
        history_list_length=data.history_list_length,
        blind_readers=scaled.presence.rename(columns={"workload": "reader"}) if way == "presence" else None,
    )
    design = reader_impact.design(inputs)
    if way == "capacity":
        known = pd.Series(scaled.log_capacity, pd.date_range(simulator.START, periods=COUNT, freq="min"))
        column = known.reindex(design.grid.times).to_numpy()[:, None]
        design = replace(design, writer_terms=np.column_stack([design.writer_terms, column]))
    table = reader_impact.effects(design)
    return dict(table[table["workload"] == "extract"][study.KEPT].iloc[0])


def verdicts(case: study.Case) -> list[study.Row]:
    """Printed levels of one fortnight, one row per true effect and way."""
    scenario, seed = case
    return [
        {"scenario": scenario, "seed": seed, "effect": percent, "way": way} | verdict(scaled, way)
        for percent in (0, 10)
        for scaled in [fortnight(scenario, seed, percent)]
        for way in WAYS[scenario.split("_")[0]]
    ]


def by_way(rows: pd.DataFrame) -> pd.DataFrame:
    """Shares of printed levels, coverage and mean estimate, by scenario, true effect and way [%]."""
    known = rows.assign(
        blamed=rows["level"].isin(SLOWER),
        slows=rows["level"] == "slows",
        refused=rows["level"] == "cannot tell",
        named=rows["reason"].str.contains("the presence of reader"),
        covered=rows["effect"]
        .between(rows["ci_low_pct"], rows["ci_high_pct"])
        .where(rows["p"].notna())
        .astype(float),
    )
    groups = known.groupby(["scenario", "effect", "way"], sort=False)
    shares = 100 * groups[["blamed", "slows", "refused", "named", "covered"]].mean()
    return shares.assign(estimate=groups["effect_pct"].mean(), fortnights=groups.size())


def gates(table: pd.DataFrame) -> list[Gate]:
    """Gates on the ways that the report uses, and that the others are worse: else the scenarios would show nothing."""
    used = {scenario: "nothing" if scenario.startswith("capacity") else "presence" for scenario in SCENARIOS}
    known = {name: way for name, way in used.items() if name != "reader_together"}
    allowance = 200 * np.sqrt(0.05 * 0.95 / table["fortnights"].min())

    def worst(column: str, effect: int, ways: dict[str, str]) -> pd.Series:
        return pd.Series(
            {name: table.loc[(name, effect, way), column] for name, way in ways.items()}, dtype=float
        )

    blamed, found = worst("blamed", 0, known), worst("slows", 10, known)
    covered = pd.concat([worst("covered", effect, known).add_suffix(f", {effect} %") for effect in (0, 10)])
    together = table.loc[("reader_together", 0, "presence"), "named"]
    unused = table.loc[("reader_together", 0, "nothing"), "blamed"]
    held = table.loc[("capacity_mediator", 10, "capacity"), "slows"]
    return [
        Gate(
            "capacity",
            f"null: blamed ≤ 5 % (and {allowance:.0f} for chance)",
            _at(blamed, True),
            blamed.max() <= 5 + allowance,
        ),
        Gate("capacity", "+10 %: `slows` ≥ 80 %", _at(found, False), found.min() >= 80),
        Gate(
            "capacity",
            f"coverage ≥ 93 % (less {allowance:.0f} for chance)",
            _at(covered, False),
            covered.min() >= 93 - allowance,
        ),
        Gate(
            "capacity",
            "reader_together: refused, and the reader named ≥ 95 %",
            f"{together:.0f} %",
            together >= 95,
        ),
        Gate("capacity", "reader_together, presence ignored: blamed > 50 %", f"{unused:.0f} %", unused > 50),
        Gate(
            "capacity",
            "capacity_mediator, capacity held constant: `slows` at +10 % < 80 %",
            f"{held:.0f} %",
            held < 80,
        ),
    ]


def _at(rates: pd.Series, at_most: bool) -> str:
    name = rates.idxmax() if at_most else rates.idxmin()
    return f"worst: {name} {rates[name]:.0f} %"


def page(rows: pd.DataFrame, command: str) -> tuple[str, bool]:
    """The results as Markdown, and whether every gate passed."""
    table = by_way(rows)
    results = gates(table)
    lines = [
        "# What should be done about serverless capacity and readers without a log?",
        "",
        f"Made by `{command}`. Seeds were not used for tuning. `capacity.py` describes the scenarios and the ways of judging. The report "
        "holds the presence of readers without a log constant (`presence`), and states capacity beside the effect without holding "
        "it constant (`nothing`), because capacity that grows with a workload is a part of the workload's effect.",
        "",
        "| required | measured | |",
        "|---|---|---|",
        *(f"| {g.required} | {g.measured} | {'passed' if g.passed else '**failed**'} |" for g in results),
        "",
        "Shares of fortnights [%] and the mean estimate [%]:",
        "",
        "| scenario | true effect | held constant | fortnights | blamed | slows | refused | covered | estimate |",
        f"|{'---|' * 9}",
    ]
    for (scenario, effect, way), row in table.iterrows():
        cells = [f"{row[name]:.0f}" for name in ("fortnights", "blamed", "slows", "refused")]
        cells += ["–" if np.isnan(row["covered"]) else f"{row['covered']:.0f}"]
        cells += ["–" if np.isnan(row["estimate"]) else f"{row['estimate']:+.1f}"]
        lines.append(f"| {scenario} | {effect} | {way} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""]), all(gate.passed for gate in results)


def main() -> int:
    """Run the scenarios, write the page, and return the exit code."""
    return study.published("capacity", verdicts, SCENARIOS, page, first_seed=300_000)


if __name__ == "__main__":
    raise SystemExit(main())
