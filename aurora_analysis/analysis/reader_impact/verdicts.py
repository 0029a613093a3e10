"""What is known of each reader workload, in one verdict: the trial, the ordinary days, and the mechanism.

Three kinds of evidence stand side by side and are never confused. A *randomised trial* tells what the workload
causes. The *ordinary days* tell what coincides with it once everything else that is known is held constant. The
*mechanism* tells whose read views held up purge, which is how a reader reaches the writer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from aurora_analysis.analysis import latency, reader_impact, workloads
from aurora_analysis.analysis.statistics import adjusted, jackknife_se
from aurora_analysis.analysis.verdict import Remarks, Severity, Verdict, by_severity
from aurora_analysis.analysis.workloads.exposure import Exposure
from aurora_analysis.analysis.workloads.rules import Array
from aurora_analysis.window import Window

OUTCOMES = ["queue_latency", "commit_latency", "dml_latency", "select_latency"]
"""The writer's latencies that are judged, where there are values of them; of equal verdicts the first is told."""

LOAD = "dml_throughput"
HISTORY = "history_list_length"
INPUTS = [*OUTCOMES, LOAD, HISTORY]
"""The writer's metrics that the ordinary days are read from."""

LEVELS: dict[str, Severity] = {
    "slows": "act",
    "speeds up": "watch",
    "cannot tell": "unknown",
    "inconclusive": "unknown",
    "unknown": "unknown",
    "no material effect": "ok",
}
"""Level → severity, the level that matters most first."""

ACTIONS = {
    "slows": "Shorten its statements, commit between them, or read with READ COMMITTED "
    "(aurora_read_replica_read_committed); or move it to a clone or an export.",
    "speeds up": "A reader does not make a writer faster: look for what runs at the same time.",
    "cannot tell": "Move it to random times for a week or two, or run a randomised trial.",
    "inconclusive": "Watch it for longer, or run a randomised trial.",
    "unknown": "Fetch more of the window: see what the coverage table lacks.",
    "no material effect": "Nothing to do.",
}

GROWTH_COLUMNS = [
    "workload",
    "exposed_hours",
    "growth",
    "share_pct",
    "per_exposed_hour",
    "low_per_hour",
    "high_per_hour",
]

DAYS_FOR_BLOCKS = 7
"""From so many days on the blocks of an interval are days; a shorter window is cut into `latency.BLOCKS` parts."""


def growth(
    held: pd.DataFrame, runs: pd.DataFrame, window: Window, *, confidence: float = 0.95
) -> pd.DataFrame:
    """How much the history list grew while each workload's read view was the oldest [transactions].

    Answers: whose read views held up purge, and how much does an hour of them cost? `held` is
    `undo_log.attribute_oldest_view(…)` over `runs`, the exposures. One row a workload, most growth first; `(unknown)` are
    sessions that no log tells of. `share_pct` is of all growth while purge was held. The interval of
    `per_exposed_hour` is a jackknife over days, as the effect's.
    """
    whose = runs["workload"].reindex(held["run"].astype("float")).to_numpy(dtype=object)
    label = np.where(held["state"] == "held", whose, "(unknown)")[held["state"] != "none"]
    grew = held.loc[held["state"] != "none", "growth"]
    days = round(window.duration / timedelta(days=1))
    count = days if days >= DAYS_FOR_BLOCKS else latency.BLOCKS
    since = (grew.index.to_series() - window.start) / (window.duration / count)
    block = since.astype(int).to_numpy()
    grown = grew.groupby([block, label]).sum().unstack().reindex(range(count)).fillna(0.0)
    starts = pd.DatetimeIndex([window.start + n * (window.duration / count) for n in range(count)])
    seconds = window.duration.total_seconds() / count
    hours = workloads.exposure_share(runs, starts, seconds).reset_index(drop=True) * seconds / 3600
    names = [*hours.columns.union(grown.columns)]
    hours, grown = hours.reindex(columns=names), grown.reindex(columns=names, fill_value=0.0)
    table = pd.DataFrame({"exposed_hours": hours.sum(min_count=1), "growth": grown.sum()}, index=names)
    limits = [_jackknifed(grown[name].to_numpy(), hours[name].to_numpy(), confidence) for name in names]
    total = table["growth"].sum()
    return (
        table.assign(
            share_pct=100 * table["growth"] / total if total else 0.0,
            per_exposed_hour=table["growth"] / table["exposed_hours"],
            low_per_hour=[low for low, _ in limits],
            high_per_hour=[high for _, high in limits],
        )
        .rename_axis("workload")
        .reset_index()
        .sort_values("growth", ascending=False, kind="stable", ignore_index=True)[GROWTH_COLUMNS]
    )


def _jackknifed(grown: Array, hours: Array, confidence: float) -> tuple[float, float]:
    """The interval of a ratio of sums over blocks; missing where fewer than four blocks have exposure."""
    exposed = int((hours > 0).sum())
    if exposed < BLOCKS_NEEDED:
        return np.nan, np.nan
    ratio = grown.sum() / hours.sum()
    without = (grown.sum() - grown) / (hours.sum() - hours)
    error = jackknife_se(without, without.mean(), len(hours))
    reach = float(stats.t.ppf((1 + confidence) / 2, exposed - 1) * error)
    return max(ratio - reach, 0.0), ratio + reach


BLOCKS_NEEDED = 4


@dataclass(frozen=True)
class OrdinaryDays:
    """What the ordinary days are judged by, for `reader_impact`; `metrics` are the writer's, minute by minute.

    Without the load, a latency or a run there is nothing to judge, and its frames have no rows.
    """

    metrics: pd.DataFrame
    exposure: Exposure
    writer_jobs: pd.DataFrame
    roles: pd.DataFrame | None = None
    timezone: str = "UTC"

    def estimates(self, *, materiality_pct: float = 5.0, placebos: int = 0) -> pd.DataFrame:
        """The effect of each workload, or why it cannot be told."""
        question = partial(reader_impact.estimate, materiality=materiality_pct / 100, placebos=placebos)
        return self._asked(question, reader_impact.COLUMNS)

    def sensitivity(self) -> pd.DataFrame:
        """The effects when the question is asked a little differently."""
        return self._asked(reader_impact.sensitivity, reader_impact.SENSITIVITY_COLUMNS)

    def event_aligned(self) -> pd.DataFrame:
        """The latency around starts and ends."""
        return self._asked(reader_impact.event_aligned, reader_impact.ALIGNED_COLUMNS)

    def _asked(self, question: Callable[..., pd.DataFrame], columns: list[str]) -> pd.DataFrame:
        minutes = self.metrics.resample("min").mean() if len(self.metrics) else self.metrics
        latencies = [name for name in OUTCOMES if name in minutes]
        if self.exposure.runs.empty or not latencies or LOAD not in minutes:
            return pd.DataFrame(columns=columns)
        return question(
            minutes[latencies].dropna(how="all"),
            minutes[LOAD],
            self.exposure.runs,
            unknown=self.exposure.unknown,
            writer_jobs=self.writer_jobs,
            history_list_length=minutes.get(HISTORY),
            roles=self.roles,
            timezone=self.timezone,
        )


def main(latency: pd.DataFrame) -> str:
    """The latency that is told first: of OUTCOMES the first that there is."""
    return str(latency.columns[0]) if len(latency.columns) else OUTCOMES[1]


def calibration(estimates: pd.DataFrame, placebos: int) -> Remarks:
    """How often the method finds an effect on exactly these data where none can be, in one line."""
    found = estimates.groupby("metric", sort=False)["placebo_reject_pct"].first().dropna()
    if found.empty:
        return Remarks("No placebo was tried: none was asked for, or the window is too short to judge any.")
    shares = [f"{share:.1f} % ({str(metric).replace('_', ' ')})" for metric, share in found.items()]
    line = f"Of {placebos} placebos {', '.join(shares)} were found, where 5 % should be."
    trusted = found.max() <= reader_impact.PLACEBO_MOST
    limit = f"{reader_impact.PLACEBO_MOST:g} %"
    after = (
        f"Below {limit}, so the verdicts stand."
        if trusted
        else f"Above {limit}: no verdict on these data stands."
    )
    return Remarks(f"{line} {after}")


def refusals(estimates: pd.DataFrame) -> Remarks:
    """What could not be told of which workload, and what would settle it: one line each."""
    refused = estimates[estimates["level"].isin(["cannot tell", "unknown"])]
    alike = refused.groupby(["workload", "reason"], sort=False)["metric"].agg(list).reset_index()
    sentences = refused.groupby(["workload", "reason"], sort=False)["sentence"].first()
    lines = [
        f"{row['workload']} ({', '.join(row['metric']).replace('_', ' ')}): "
        f"{sentences[row['workload'], row['reason']]}"
        for row in alike.to_dict("records")
    ]
    return Remarks(*(lines or ["Nothing was refused."]))


def verdicts(
    effects: pd.DataFrame,
    estimates: pd.DataFrame,
    grown: pd.DataFrame,
    *,
    coverage: float,
    exposure: Exposure | None = None,
    materiality_pct: float = 5.0,  # the project's default for an effect that matters
    alpha: float = 0.05,
    coverage_needed: float = 0.5,  # less than half of a window is another window
) -> list[Verdict]:
    """One verdict a workload of the readers, the most severe first; a trial's word stands before that of ordinary days.

    `effects` come from a randomised trial, `estimates` from the ordinary days (either may be empty), `grown` is
    the mechanism; `coverage` is the share of the window in which the writer's latency is known, and `exposure` tells
    when nobody knows whether a workload was open. Of one severity the largest effect stands first.
    """
    names = [name for name in grown["workload"] if not name.startswith("(")]
    if not names or coverage < coverage_needed:
        return [_unknown(names, coverage)]
    rows = [*_from_trial(effects, materiality_pct, alpha), *_from_days(estimates)]
    found = [_verdict(name, rows, grown, coverage, exposure) for name in names]
    return by_severity(sorted(found, key=lambda one: -float(one.numbers.get("effect_pct") or 0)))


def _unknown(names: list[str], coverage: float) -> Verdict:
    whom = f"{len(names)} workloads" if names else "no workload"
    sentence = (
        f"The writer's latency is known for {100 * coverage:.0f} % of the window and the log tells of {whom}: "
        "too little to say whether a reader slowed the writer."
    )
    return Verdict(
        "reader_impact", "all workloads", "unknown", "unknown", sentence, action=ACTIONS["unknown"]
    )


def _from_trial(effects: pd.DataFrame, materiality_pct: float, alpha: float) -> list[dict[str, Any]]:
    judged = effects.assign(p_adjusted=adjusted(effects["p"]), source="trial")
    rows = [{str(key): value for key, value in row.items()} for row in judged.to_dict("records")]
    return [row | {"level": trial_level(row, materiality_pct, alpha)} for row in rows]


def trial_level(row: dict[str, Any], materiality_pct: float = 5.0, alpha: float = 0.05) -> str:
    """What a trial's effect amounts to; the first rule that holds."""
    effect, low, high = _slower(row)
    if np.isnan([effect, low, high]).any():  # too few blocks, or too few draws of them for any to be extreme
        return "unknown"
    significant = row["p_adjusted"] <= alpha
    if significant and low > 0 and effect >= materiality_pct:
        return "slows"
    if -materiality_pct < low and high < materiality_pct:
        return "no material effect"
    if significant and effect < 0:
        return "speeds up"
    return "inconclusive"


def _slower(row: dict[str, Any]) -> tuple[float, float, float]:
    """The effect and its interval towards slower [%]: of a throughput, by how much it falls."""
    effect, low, high = (float(row[name]) for name in ("effect_pct", "ci_low_pct", "ci_high_pct"))
    return (-effect, -high, -low) if row["metric"] in THROUGHPUTS else (effect, low, high)


def _from_days(estimates: pd.DataFrame) -> list[dict[str, Any]]:
    rows = [{str(key): value for key, value in row.items()} for row in estimates.to_dict("records")]
    return [row | {"source": "days"} for row in rows]


def _verdict(
    name: str,
    rows: list[dict[str, Any]],
    grown: pd.DataFrame,
    coverage: float,
    exposure: Exposure | None,
) -> Verdict:
    mine = [row for row in rows if row["workload"] == name]
    tried = [row for row in mine if row["source"] == "trial" and row["level"] != "unknown"]
    row = _weightiest(tried or mine)
    level = row["level"] if row else "unknown"
    return Verdict(
        topic="reader_impact",
        subject=name,
        level=level,
        severity=LEVELS[level],
        sentence=f"{_sentence(name, row)} The writer's latency is known for {100 * coverage:.0f} % of the window.",
        numbers=_numbers(row) | {"coverage": round(coverage, 4)},
        evidence=_mechanism(name, grown) + _not_known(name, exposure),
        action=ACTIONS[level],
    )


def _not_known(name: str, exposure: Exposure | None) -> str:
    """What is not known of a workload's exposure: its hours, and the readers that tell nothing at all."""
    if exposure is None:
        return ""
    blind = exposure.unknown[exposure.unknown["workload"] == name]
    hours = (blind["end"] - blind["start"]).dt.total_seconds().sum() / 3600
    told = f" Of {hours:,.1f} hours nobody knows whether it was open: they are left out." if hours else ""
    untold = exposure.unobserved()
    return told + (f" Nothing tells what ran on {', '.join(untold)}." if untold else "")


def _weightiest(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The row of the level that matters most; among equals the one of the first metric in OUTCOMES."""
    return min(rows, key=lambda row: (list(LEVELS).index(row["level"]), _rank(row["metric"])), default=None)


def _rank(metric: str) -> int:
    return OUTCOMES.index(metric) if metric in OUTCOMES else len(OUTCOMES)


def _sentence(name: str, row: dict[str, Any] | None) -> str:
    if row is None:
        return f"Whether {name} slows the writer was not assessed: no trial, and too few runs to compare."
    if row["source"] == "days":
        return str(row["sentence"])
    metric = str(row["metric"]).replace("_", " ")
    return (
        f"In a randomised trial ({row['blocks_on']} blocks on, {row['blocks_off']} off) {name} changed the writer's "
        f"{metric} by {row['effect_pct']:+.1f} % while it ran "
        f"(95 % interval {row['ci_low_pct']:+.1f} to {row['ci_high_pct']:+.1f} %, p = {row['p_adjusted']:.2g})."
    )


def _numbers(row: dict[str, Any] | None) -> dict[str, float | int | str | None]:
    if row is None:
        return {}
    numbers = {name: row[name] for name in ("effect_pct", "ci_low_pct", "ci_high_pct", "p_adjusted")}
    rounded = {name: None if np.isnan(value) else float(f"{value:.4g}") for name, value in numbers.items()}
    return {"metric": str(row["metric"]), "source": str(row["source"]), **rounded}


def _mechanism(name: str, grown: pd.DataFrame) -> str:
    row = grown[grown["workload"] == name].iloc[0]
    if row["growth"] <= 0:
        return f"Its read views held up no growth of the history list in {row['exposed_hours']:.1f} exposed hours."
    return (
        f"Its read views were the oldest during {row['share_pct']:.0f} % of the history list's growth "
        f"({row['growth']:,.0f} transactions, {row['per_exposed_hour']:,.0f} an exposed hour{_between(row)})."
    )


def _between(row: pd.Series) -> str:
    low, high = row["low_per_hour"], row["high_per_hour"]
    return "" if np.isnan(low) else f", 95 % interval {low:,.0f} to {high:,.0f}"


THROUGHPUTS = ["dml_throughput"]
"""Where less is slower."""

TRIED = [*OUTCOMES, "canary_latency", *THROUGHPUTS]
"""What a trial is judged by: the writer's latencies and throughput, where there are values of them."""

UNTRIED = "Run a randomised trial: `aurora-analysis experiment`, on a loaded clone."
IDLE_ACTION = "Load the clone with production's writes (--writer-load), and run the trial again."
UNMEASURED_ACTION = "Run the trial again, with a --canary or for longer."


def trial_verdicts(
    effects: pd.DataFrame,
    growth: pd.DataFrame,
    idle: pd.Series,
    *,
    materiality_pct: float = 5.0,  # the project's default for an effect that matters
    alpha: float = 0.05,
) -> list[Verdict]:
    """One verdict a workload of a randomised trial, the most severe first.

    `effects` is the frame of `experiment.effects`, `growth` that of `experiment.history_growth`; `idle` has, by
    workload, what was said of a clone that nobody loads: history cannot grow there, so its trial cannot tell.
    """
    rows = _from_trial(effects, materiality_pct, alpha)
    tried = sorted({*growth["workload"], *effects["workload"]})
    found = [_tried(name, rows, growth) for name in tried]
    found += [_idle(str(name), str(said)) for name, said in idle.dropna().items() if name not in tried]
    return by_severity(found) or [_no_trial()]


def _no_trial() -> Verdict:
    sentence = (
        "No block of a randomised trial took place in the window: nothing was switched on and off at random."
    )
    return Verdict("experiment", "no trial", "unknown", "unknown", sentence, action=UNTRIED)


def _idle(name: str, message: str) -> Verdict:
    sentence = f"Cannot tell: the clone is not loaded. {message}"
    return Verdict("experiment", name, "cannot tell", LEVELS["cannot tell"], sentence, action=IDLE_ACTION)


def _tried(name: str, rows: list[dict[str, Any]], growth: pd.DataFrame) -> Verdict:
    mine = [row for row in rows if row["workload"] == name]
    row = _weightiest(mine)
    level = row["level"] if row else "unknown"
    return Verdict(
        topic="experiment",
        subject=name,
        level=level,
        severity=LEVELS[level],
        sentence=_sentence(name, row) if level != "unknown" else _unmeasured(name, row),
        numbers=_numbers(row),
        evidence=_grown(name, growth),
        action=UNMEASURED_ACTION if level == "unknown" else ACTIONS[level],
    )


def _unmeasured(name: str, row: dict[str, Any] | None) -> str:
    if row is None:
        return f"No latency of the writer was measured during the trial of {name}: what it does to it is not known."
    return (
        f"Only {row['blocks_on']} blocks with {name} and {row['blocks_off']} without have enough samples: "
        "too few to tell them apart."
    )


def _grown(name: str, growth: pd.DataFrame) -> str:
    """The mechanism: the history list's growth under the workload and without it."""
    mine = growth[(growth["workload"] == name) & growth["difference"].notna()]
    if mine.empty:
        return "How the history list grew is not known."
    row = mine.iloc[0]
    return (
        f"The history list grew by {row['on_per_hour']:,.0f} transactions an hour with it and {row['off_per_hour']:,.0f} "
        f"without (95 % interval of the difference {row['ci_low']:,.0f} to {row['ci_high']:,.0f}, p = {row['p']:.2g})."
    )
