"""Compare the measured error rates with the required ones, and write the page of results."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from calibration.simulator import EFFECTS, SCENARIOS, UNIDENTIFIABLE

ALPHA = 0.05

FEW_RUNS = ["few", "batch_somedays"]
"""Scenarios with too few runs for the gates on coverage, bias and refusals."""

TEN_PER_CENT = ["hll 10", "direct 10", "lagged 10"]

POWER = ["uniform", "office", "night", "batch_partial", "fixed_jitter", "long_runs", "week"]
POWER_AT_FIVE = ["uniform", "office", "night"]


@dataclass(frozen=True)
class Gate:
    """One required rate, the measured rate, and whether it passed."""

    name: str
    required: str
    measured: str
    passed: bool


def scored(verdicts: pd.DataFrame) -> pd.DataFrame:
    """Add the planted effect, and whether the verdict found it and its interval contains it."""
    truth = verdicts["metric"].map(EFFECTS)
    return verdicts.assign(
        truth=truth,
        refused=verdicts["p"].isna(),
        rejected=verdicts["p"] <= ALPHA,
        found=(verdicts["p"] <= ALPHA) & (verdicts["effect_pct"] > 0),
        covered=(verdicts["ci_low_pct"] <= truth) & (truth <= verdicts["ci_high_pct"]),
        bias=100 * (np.log1p(verdicts["effect_pct"] / 100) - np.log1p(truth / 100)),
    )


def by_scenario(verdicts: pd.DataFrame) -> pd.DataFrame:
    """The rates of every scenario [%]: false positives, power, coverage, bias, refusals."""
    judged = scored(verdicts).query("not refused")
    rates = judged.groupby(["scenario", "metric"])[["rejected", "found", "covered", "bias"]].mean()
    rates = rates.assign(
        rejected=100 * rates["rejected"], found=100 * rates["found"], covered=100 * rates["covered"]
    )
    table = pd.DataFrame(
        {
            "fortnights": verdicts.groupby("scenario")["seed"].nunique(),
            "false positives": rates["rejected"].xs("null", level="metric"),
            **{
                f"power {name}": rates["found"].xs(name, level="metric") for name in EFFECTS if name != "null"
            },
            **{f"coverage {name}": rates["covered"].xs(name, level="metric") for name in EFFECTS},
            "bias at 10": rates["bias"].xs("hll 10", level="metric"),
            "refused": 100 * scored(verdicts).query("metric == 'null'").groupby("scenario")["refused"].mean(),
        }
    )
    return table.reindex([name for name in SCENARIOS if name in table.index])


def estimator(verdicts: pd.DataFrame) -> list[Gate]:
    """Gates B1 to B7: false positives, power, coverage, bias, refusals, and the confounders that they name."""
    table = by_scenario(verdicts)
    identifiable = table.drop(index=UNIDENTIFIABLE, errors="ignore")
    enough_runs = identifiable.drop(index=FEW_RUNS, errors="ignore")
    return [
        at_most(
            "B1",
            "false positives in each scenario",
            identifiable["false positives"],
            7,
            allowance=_allowance(identifiable["fortnights"]),
        ),
        _meanat_most("B1", "false positives, mean of scenarios", identifiable["false positives"], 6),
        *(
            at_least("B2", f"power, {name}", _rows(table, POWER)[f"power {name}"], 80)
            for name in TEN_PER_CENT
        ),
        at_least("B2", "power, hll 5", _rows(table, POWER_AT_FIVE)["power hll 5"], 80),
        *(
            _between("B3", f"coverage, {name}", enough_runs[f"coverage {name}"], 90, 99.5)
            for name in ["null", *TEN_PER_CENT]
        ),
        at_least("B3", "coverage, hll 25", enough_runs["coverage hll 25"], 85),
        at_most("B4", "bias at 10 % [log points]", enough_runs["bias at 10"].abs(), 1, unit=""),
        *_refusals(verdicts),
        at_most("B6", "refused although identifiable", enough_runs["refused"], 13),
        *_confounders(verdicts),
    ]


def _allowance(fortnights: pd.Series) -> pd.Series:
    """Two standard errors of a rate of 5 % over these fortnights [%]: the allowance for chance."""
    return 2 * 100 * np.sqrt(0.05 * 0.95 / fortnights)


def _refusals(verdicts: pd.DataFrame) -> list[Gate]:
    rows = scored(verdicts).query("scenario in @UNIDENTIFIABLE and metric in ['null', 'hll 10']")
    refused = 100 * rows.groupby("scenario")["refused"].mean()
    blamed = 100 * rows.query("metric == 'null'").groupby("scenario")["found"].mean()
    return [
        at_least("B5", "unidentifiable and refused", _rows(refused, ["batch_exact", "fixed_daily"]), 95),
        at_least("B5", "unidentifiable and refused", _rows(refused, ["trigger", "mostly_open"]), 90),
        at_most("B5", "unidentifiable and blamed without an effect", blamed, 7),
    ]


def _confounders(verdicts: pd.DataFrame) -> list[Gate]:
    named = {"batch_exact": "writer job nightly_batch", "fixed_daily": "always runs at about"}
    rates = {
        scenario: 100 * rows["reason"].str.contains(named[scenario], regex=False).mean()
        for scenario, rows in verdicts.query("scenario in @named").groupby("scenario")
    }
    return [at_least("B7", "the refusal names the confounder", pd.Series(rates, dtype=float), 95)]


def discoveries(counts: pd.DataFrame, culprits: int) -> list[Gate]:
    """Gate B8: false discovery rate and recall among 200 digests."""
    false = ((counts["found"] - counts["true_found"]) / counts["found"].clip(lower=1)).mean()
    recall = counts["true_found"].sum() / (culprits * len(counts))
    over = pd.Series({f"{len(counts)} writers": 100 * false})
    return [
        at_most("B8", "false discoveries", over, 7),
        at_least("B8", "recall", pd.Series({f"{len(counts)} writers": 100 * recall}), 80),
    ]


def attribution(holds: bool) -> list[Gate]:
    """Gate B9: attribution of the history list's growth to read views; test_holders.py defines the limits."""
    required = "precision and recall of attributed and of unknown growth, limits of test_holders.py"
    return [Gate("B9", required, "four settings, four weeks each", holds)]


def quantiles(shifts: pd.DataFrame) -> list[Gate]:
    """Gate B10: the 95th percentile of minute means, without an effect and with one."""
    rows = scored(shifts[shifts["quantile"] == 0.95]).dropna(subset="p")
    null = rows[rows["metric"] == "null"]
    rates = rows.assign(cell=rows["scenario"] + ", " + rows["metric"]).groupby("cell")["covered"].mean()
    false = null.groupby("scenario")["rejected"].mean()
    allowance = _allowance(null.groupby("scenario")["seed"].nunique())
    return [
        at_most("B10", "false positives, p95", 100 * false, 7, allowance=allowance),
        _between("B10", "coverage, p95", 100 * rates, 90, 99.5),
    ]


def speed(seconds: float, gib: float) -> list[Gate]:
    """Gate B11: seconds and memory for fourteen days, 500 digests and three metrics."""
    return [
        at_most("B11", "14 days x 500 digests x 3 metrics [s]", pd.Series({"wall": seconds}), 120, unit=" s"),
        at_most("B11", "the same, peak memory [GiB]", pd.Series({"peak": gib}), 2 * 1e9 / 2**30, unit=" GiB"),
    ]


def naive_methods(p_values: pd.DataFrame) -> list[Gate]:
    """Gate B12: naive methods report false effects on the same data."""
    rates = 100 * (p_values["p"] <= ALPHA).groupby(p_values["method"]).mean()
    return [at_least("B12", "false positives of naive methods", rates, 50)]


def _rows(table, names: list[str]):
    return table.reindex([name for name in names if name in table.index])


def at_most(
    name: str,
    what: str,
    rates: pd.Series,
    limit: float,
    unit: str = " %",
    allowance: pd.Series | None = None,
) -> Gate:
    """Require every rate to be at most the limit plus the allowance for chance."""
    over = rates - (0 if allowance is None else allowance)
    worst = f"{over.idxmax()} {rates[over.idxmax()]:.3g}{unit}"
    required = f"{what} ≤ {limit:.3g}{unit}" + ("" if allowance is None else " plus two standard errors")
    return Gate(name, required, f"worst: {worst}", bool((over <= limit).all()))


def _meanat_most(name: str, what: str, rates: pd.Series, limit: float) -> Gate:
    return Gate(name, f"{what} ≤ {limit:.3g} %", f"{rates.mean():.3g} %", bool(rates.mean() <= limit))


def at_least(name: str, what: str, rates: pd.Series, limit: float) -> Gate:
    worst = f"{rates.idxmin()} {rates.min():.3g} %"
    return Gate(name, f"{what} ≥ {limit:.3g} %", f"worst: {worst}", bool((rates >= limit).all()))


def _between(name: str, what: str, rates: pd.Series, low: float, high: float) -> Gate:
    ends = f"{rates.idxmin()} {rates.min():.3g} % to {rates.idxmax()} {rates.max():.3g} %"
    return Gate(name, f"{what} {low:.3g} to {high:.3g} %", ends, bool(rates.between(low, high).all()))


def summary(verdicts: pd.DataFrame, naive_p: pd.DataFrame) -> pd.DataFrame:
    """Error rates of the verdict: the mean over the scenarios, and the worst scenario."""
    table = by_scenario(verdicts).drop(
        index=[name for name in UNIDENTIFIABLE if name in set(verdicts["scenario"])]
    )
    refused = by_scenario(verdicts)["refused"].reindex(UNIDENTIFIABLE).dropna()
    naive = 100 * (naive_p["p"] <= ALPHA).groupby(naive_p["method"]).mean()
    measured = {
        'a true "no effect" is reported as an effect (nominal 5 %)': (table["false positives"], "max"),
        "an effect of 10 % is found (p ≤ 0.05)": (table["power hll 10"], "min"),
        "an effect of 5 % is found (p ≤ 0.05)": (table["power hll 5"], "min"),
        "the 95 % interval contains the truth, no effect": (table["coverage null"], "min"),
        "the 95 % interval contains the truth, 10 %": (table["coverage hll 10"], "min"),
        "the 95 % interval contains the truth, 25 %": (table["coverage hll 25"], "min"),
        "refused although the data could answer": (table["refused"], "max"),
        "refused although the data cannot answer": (refused, "min"),
        "correlation, t-test and cross-correlation report an effect where there is none": (
            naive,
            "max",
        ),
    }
    rows = [
        (what, f"{rates.mean():.1f} %", f"{getattr(rates, f'idx{worst}')()} {getattr(rates, worst)():.1f} %")
        for what, (rates, worst) in measured.items()
    ]
    return pd.DataFrame(
        rows, columns=["simulated fortnights that were not refused", "mean of scenarios", "worst scenario"]
    )


def page(gates: list[Gate], rates: pd.DataFrame, table: pd.DataFrame, about: list[str]) -> str:
    """The results as Markdown."""
    lines = ["# How often is the verdict wrong?", "", *about, "", "## In short", ""]
    lines += [f"| {' | '.join(rates)} |", "|---|---|---|"]
    lines += [f"| {' | '.join(row[1:])} |" for row in rates.itertuples()]
    lines += ["", "## Gates", "", "| gate | required | measured | |", "|---|---|---|---|"]
    lines += [
        f"| {g.name} | {g.required} | {g.measured} | {'passed' if g.passed else '**failed**'} |"
        for g in gates
    ]
    lines += ["", "## Every scenario [%]", "", _markdown(table), ""]
    return "\n".join(lines)


def _markdown(table: pd.DataFrame) -> str:
    head = ["scenario", *table.columns]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in table.itertuples():
        cells = [
            str(row[0]),
            str(int(row[1])),
            *(_cell(name, value) for name, value in zip(head[2:], row[2:])),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(name: str, value: float) -> str:
    if np.isnan(value):
        return "–"
    return f"{value:+.1f}" if name.startswith("bias") else f"{value:.0f}"
