"""One verdict per reader workload, from three kinds of evidence.

A *randomised trial* shows what the workload causes. *Ordinary days* show what coincides with it once everything else
that was measured is held constant. The *mechanism* shows whose read views blocked purge, which is how a reader reaches
the writer. The three stand side by side and are never confused.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from aurora_analysis import engines
from aurora_analysis.analysis import latency, workloads
from aurora_analysis.analysis.advice import BLOCKS_CLEANUP, UNLIKE_CLEANUP, by_idle_time
from aurora_analysis.analysis.effect_level import (
    ACTIONS,
    LEVELS,
    OUTCOMES,
    SLOWER,
    JudgedEffect,
    effect_headline,
    weightiest,
)
from aurora_analysis.analysis.experiment.history import GROWTH_COLUMNS as TRIAL_GROWTH
from aurora_analysis.analysis.experiment.verdicts import grew, growth_sentence, judged_effects
from aurora_analysis.analysis.reader_impact import agreement, dose_response, exposure_remarks
from aurora_analysis.analysis.reader_impact.estimate import POOLED
from aurora_analysis.analysis.reader_impact.mechanism import FULLY_JUDGED, mechanism
from aurora_analysis.analysis.reader_impact.placebo import REJECTED_MOST
from aurora_analysis.analysis.reader_impact.scaling import Scaling
from aurora_analysis.analysis.series import Array
from aurora_analysis.analysis.statistics import block_df, jackknife_se, t_reach
from aurora_analysis.analysis.verdict import Remarks, Verdict, by_severity, dates
from aurora_analysis.analysis.workloads import IDLE
from aurora_analysis.analysis.workloads.exposure import Exposure
from aurora_analysis.engines.vocabulary import Words
from aurora_analysis.window import Window

GROWTH_COLUMNS = [
    "workload",
    "exposed_hours",
    "growth",
    "share_pct",
    "per_exposed_hour",
    "low_per_hour",
    "high_per_hour",
    "judged_share",
    "idle_share",
]
"""Columns of `growth`."""

DAYS_FOR_BLOCKS = 7
"""With at least this many days, jackknife blocks are days; shorter windows use `latency.BLOCKS` equal blocks."""

BLOCKS_NEEDED = 4
"""Fewest blocks with exposure from which an interval is computed."""


def growth(
    held: pd.DataFrame, runs: pd.DataFrame, window: Window, *, confidence: float = 0.95
) -> pd.DataFrame:
    """Growth of the history list while each workload's read view was the oldest [transactions].

    Answers: whose read views blocked purge, and how much does an hour of them cost?

    Parameters
    ----------
    held : pandas.DataFrame
        The frame of `undo_log.attribute_oldest_view` over `runs`.
    runs : pandas.DataFrame
        The exposures, one row per run.
    window : Window
        The time that `held` covers.
    confidence : float
        Coverage of the interval.

    Returns
    -------
    pandas.DataFrame
        One row per workload with `GROWTH_COLUMNS`, most growth first. ``(unknown)`` are sessions in no log.
        `growth` is NaN if no view can be attributed, because `held` is empty.
        `share_pct` is the share of all growth while purge was blocked [%]; the interval of `per_exposed_hour`
        [transactions/hour] is a jackknife over blocks of time. `judged_share` is the share of the time in which the
        workload's statements were open for which `held` has samples [0 to 1]. `idle_share` is the share of the time that its
        views were the oldest in which no statement ran [0 to 1]; of its open time if its views never were.
    """
    holders = runs.reindex(held["run"].astype("float"))
    whose = holders["workload"].to_numpy(dtype=object)
    label = np.where(held["state"] == "held", whose, "(unknown)")[held["state"] != "none"]
    grew = held.loc[held["state"] != "none", "growth"]
    days = round(window.duration / timedelta(days=1))
    count = days if days >= DAYS_FOR_BLOCKS else latency.BLOCKS
    since = (grew.index.to_series() - window.start) / (window.duration / count)
    grown = grew.groupby([since.astype(int).to_numpy(), label]).sum().unstack()
    grown = grown.reindex(range(count)).fillna(0.0)
    table = _growth_table(grown, _exposed(runs, window, count), confidence)
    table["judged_share"] = table["workload"].map(_judged_share(held, runs, window))
    is_held = (held["state"] == "held").to_numpy()
    idle = holders["digest"].eq(IDLE)[is_held].groupby(whose[is_held]).mean()
    table["idle_share"] = (
        table["workload"].map(idle).fillna(table["workload"].map(workloads.idle_share(runs, window)))
    )
    figures = ["growth", "share_pct", "per_exposed_hour", "low_per_hour", "high_per_hour"]
    return table.assign(**dict.fromkeys(figures, np.nan)) if held.empty else table


def _exposed(runs: pd.DataFrame, window: Window, count: int) -> pd.DataFrame:
    """Exposed hours of each workload in each of `count` equal blocks."""
    starts = pd.DatetimeIndex([window.start + n * (window.duration / count) for n in range(count)])
    seconds = window.duration.total_seconds() / count
    return workloads.exposure_share(runs, starts, seconds).reset_index(drop=True) * seconds / 3600


def _growth_table(grown: pd.DataFrame, hours: pd.DataFrame, confidence: float) -> pd.DataFrame:
    names = [*hours.columns.union(grown.columns)]
    hours, grown = hours.reindex(columns=names), grown.reindex(columns=names, fill_value=0.0)
    table = pd.DataFrame({"exposed_hours": hours.sum(min_count=1), "growth": grown.sum()}, index=names)
    limits = [_interval(grown[name].to_numpy(), hours[name].to_numpy(), confidence) for name in names]
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
        .sort_values("growth", ascending=False, kind="stable", ignore_index=True)
        .reindex(columns=GROWTH_COLUMNS)
    )


def _judged_share(held: pd.DataFrame, runs: pd.DataFrame, window: Window) -> pd.Series:
    """Share of each workload's open time in the window for which there are samples of the oldest view [0 to 1]."""
    runs = workloads.clipped(runs, window)
    if len(held) < 2 or runs.empty:
        return pd.Series(0.0, runs["workload"].unique())
    first, last = (held.index.searchsorted(runs[name]) for name in ("start", "end"))
    period_s = pd.Timedelta(held.index.to_series().diff().median()).total_seconds()
    lasted_s = (runs["end"] - runs["start"]).dt.total_seconds()
    by_workload = pd.DataFrame(
        {"workload": runs["workload"], "sampled": (last - first) * period_s, "lasted": lasted_s}
    )
    total = by_workload.groupby("workload")[["sampled", "lasted"]].sum()
    return (total["sampled"] / total["lasted"].clip(lower=period_s)).clip(upper=1.0)


def _interval(grown: Array, hours: Array, confidence: float) -> tuple[float, float]:
    """Interval of a ratio of sums over blocks; NaN with exposure in fewer than `BLOCKS_NEEDED` blocks."""
    exposed = int((hours > 0).sum())
    if exposed < BLOCKS_NEEDED:
        return np.nan, np.nan
    ratio = grown.sum() / hours.sum()
    without = (grown.sum() - grown) / (hours.sum() - hours)
    error = float(jackknife_se(np.where(hours > 0, without, np.nan)))
    reach = t_reach(float(block_df(hours)), 1 - confidence) * error
    return max(ratio - reach, 0.0), ratio + reach


def main_metric(latency: pd.DataFrame) -> str:
    """Name of the latency that is reported first: the first column, in the order of `OUTCOMES`.

    Parameters
    ----------
    latency : pandas.DataFrame
        The writer's latencies, one column per metric.

    Returns
    -------
    str
        The name; that of the commit latency if there is no column.
    """
    return str(latency.columns[0]) if len(latency.columns) else OUTCOMES[1]


def placebo_remarks(estimates: pd.DataFrame, placebos: int) -> Remarks:
    """State in one line how often the method reports an effect of placebo runs on these data.

    Parameters
    ----------
    estimates : pandas.DataFrame
        The frame of `effects`.
    placebos : int
        How many placebos were made.

    Returns
    -------
    Remarks
        The share by metric, and what it shows: the noise model fits these data, or no verdict stands.
    """
    found = estimates.groupby("metric", sort=False)["placebo_reject_pct"].first().dropna()
    if found.empty:
        return Remarks(
            "No placebo test was made: none was requested, or the window is too short to judge any."
        )
    shares = ", ".join(f"{share:.1f} % ({str(metric).replace('_', ' ')})" for metric, share in found.items())
    line = f"On {placebos} placebo runs the method reports a false effect in {shares}; 5 % are expected."
    limit = f"{REJECTED_MOST:g} %"
    if found.max() <= REJECTED_MOST:
        return Remarks(
            f"{line} The limit is {limit}: the method's errors fit the noise of these data. Placebos test nothing "
            "else. They cannot reveal a hidden cause that always accompanies a workload."
        )
    return Remarks(f"{line} The limit is {limit}: no verdict on these data stands.")


def refusal_remarks(estimates: pd.DataFrame) -> Remarks:
    """Each refusal with its confounder and what would settle it, one line per workload and reason.

    Parameters
    ----------
    estimates : pandas.DataFrame
        The frame of `effects`.

    Returns
    -------
    Remarks
        One line that says so if nothing was refused.
    """
    refused = estimates[estimates["level"].isin(["cannot tell", "unknown"])]
    by_reason = refused.groupby(["workload", "reason"], sort=False)
    lines = [
        f"{workload} ({', '.join(rows['metric']).replace('_', ' ')}): {rows['sentence'].iloc[0]}"
        for (workload, _), rows in by_reason
    ]
    return Remarks(*(lines or ["Nothing was refused."]))


@dataclass(frozen=True)
class Evidence:
    """The evidence about the reader workloads of one window.

    Attributes
    ----------
    trial : pandas.DataFrame
        The frame of `experiment.effects`; without rows if there was no trial.
    days : pandas.DataFrame
        The frame of `effects` from ordinary days; without rows if there is none.
    growth : pandas.DataFrame
        The frame of `growth`: the mechanism. Its workloads are those that get a verdict.
    coverage : float
        Share of the window in which the writer's latency is known [0 to 1].
    window : Window
        The window of trial, growth and coverage. Sentences about ordinary days name their own, longer one.
    exposure : Exposure, optional
        When a workload's exposure is unknown.
    timezone : str
        Time zone of the dates in sentences.
    scaling : Scaling, optional
        Capacity of a writer that is serverless.
    words : Words, optional
        The engine's words for cleanup. Default: those of MySQL.
    trial_growth : pandas.DataFrame, optional
        The frame of `experiment.history_growth`: the mechanism by the trial, where no holder can be named.
    """

    trial: pd.DataFrame
    days: pd.DataFrame
    growth: pd.DataFrame
    coverage: float
    window: Window
    exposure: Exposure | None = None
    timezone: str = "UTC"
    scaling: Scaling | None = None
    words: Words | None = None
    trial_growth: pd.DataFrame | None = None

    def workloads(self) -> list[str]:
        """Names of the workloads; names in parentheses are not workloads of the readers.

        Returns
        -------
        list of str
            The names, most growth of the history list first.
        """
        return [str(name) for name in self.growth["workload"] if not name.startswith("(")]


def verdicts(
    evidence: Evidence,
    *,
    materiality_pct: float = 5.0,
    alpha: float = 0.05,
    coverage_needed: float = 0.5,
) -> list[Verdict]:
    """One verdict per reader workload, the most severe first.

    Parameters
    ----------
    evidence : Evidence
        Trial, ordinary days and mechanism. A trial's result takes precedence over that of ordinary days.
    materiality_pct : float
        Smallest effect of a trial that matters [%]; 5 is the project's default.
    alpha : float
        Level of significance of a trial's adjusted p-values.
    coverage_needed : float
        Coverage below which only trials are judged, whose blocks count their own samples [0 to 1]: less than half of a
        window is another window. Nothing is `ok` then.

    Returns
    -------
    list of Verdict
        Of one severity the largest effect comes first. One unknown verdict for all workloads without a trial if coverage is
        too low, or if no workload was seen.
    """
    names = evidence.workloads()
    trial = judged_effects(evidence.trial, materiality_pct=materiality_pct, alpha=alpha)
    judged = [*trial, *_from_days(evidence.days, _words(evidence))]
    if not names or not evidence.coverage >= coverage_needed:
        tried = [_verdict(name, trial, evidence) for name in names]
        found = [one for one in tried if one.severity != "ok" and one.level != "unknown"]
        rest = sorted({*names} - {one.subject for one in found})
        found += [_unknown(rest, evidence, others=bool(found))] if rest or not found else []
    else:
        found = [_verdict(name, judged, evidence) for name in names]
    return by_severity(sorted(found, key=lambda one: -float(one.numbers.get("effect_pct") or 0)))


def _unknown(names: list[str], evidence: Evidence, *, others: bool) -> Verdict:
    other = "other " * others
    shown = f"{len(names)} {other}workload{'s' * (len(names) != 1)}" if names else "no workload"
    return Verdict(
        topic="reader_impact",
        subject=f"all {other}workloads",
        level="unknown",
        severity="unknown",
        sentence=f"{_covered(evidence)}, and the log shows {shown}: too little to judge whether "
        f"{'another' if others else 'a'} reader slowed the writer.",
        action=ACTIONS["unknown"] if names else NO_WORKLOAD_ACTION.format(_words(evidence).log_limit),
        headline=f"Unknown whether {'another' if others else 'any'} reader slows the writer",
    )


def _from_days(estimates: pd.DataFrame, words: Words) -> list[JudgedEffect]:
    return [
        JudgedEffect(
            workload=str(row["workload"]),
            metric=str(row["metric"]),
            source="days",
            level=_known_level(row),
            sentence=str(row["sentence"]),
            effect_pct=float(row["effect_pct"]),
            ci_low_pct=float(row["ci_low_pct"]),
            ci_high_pct=float(row["ci_high_pct"]),
            p_adjusted=float(row["p_adjusted"]),
            caveat=f"{dose_response.sentence(row, words)} {row['hidden_cause']}".strip(),
            action=str(row["action"]),
        )
        for row in estimates.to_dict("records")
    ]


def _known_level(row: Mapping[Hashable, Any]) -> str:
    """The level of an estimate; without figures it cannot be better than unknown."""
    level = str(row["level"])
    figures = [float(row[name]) for name in ("effect_pct", "ci_low_pct", "ci_high_pct")]
    return "unknown" if LEVELS.get(level, "ok") == "ok" and np.isnan(figures).any() else level


def _verdict(name: str, judged: list[JudgedEffect], evidence: Evidence) -> Verdict:
    mine = [one for one in judged if one.workload == name]
    tried = [one for one in mine if one.source == "trial" and one.level != "unknown"]
    one = _where_readers_are_known(weightiest(tried or mine), evidence.exposure)
    level = one.level if one else "unknown"
    return Verdict(
        topic="reader_impact",
        subject=name,
        level=level,
        severity=LEVELS[level],
        sentence=one.sentence
        if one and one.source == "trial"
        else f"{one.sentence if one else _not_assessed(name)} {_covered(evidence)}.",
        numbers=(one.numbers() if one else {})
        | (_estimates(one, evidence) if one and one.source == "days" else {})
        | {"coverage": round(evidence.coverage, 4)},
        evidence=" ".join(
            part
            for part in (
                _mechanism(name, evidence),
                agreement.sentence(level, one.source, _blocked(name, evidence), _words(evidence).cleanup)
                if one
                else "",
                one.caveat if one and level in SLOWER else "",
                evidence.scaling.remark(name, evidence.exposure.runs)
                if evidence.scaling and evidence.exposure and one
                else "",
                exposure_remarks.remarks(name, evidence.exposure),
            )
            if part
        ),
        action=_action(name, one, evidence),
        headline=effect_headline(name, level, one.effect_pct if one else np.nan),
    )


def _estimates(one: JudgedEffect, evidence: Evidence) -> dict[str, float | str]:
    """Each metric's estimate as one week of many, for `trend`: unadjusted, whatever the verdict prints."""
    mine = evidence.days[evidence.days["workload"] == one.workload].set_index("metric")
    figures = {
        f"{metric}_{figure}": float(f"{row[figure]:.6g}")
        for metric, row in mine[POOLED].iterrows()
        for figure in POOLED
        if np.isfinite(row[figure])
    }
    blind = evidence.exposure.unobserved() if evidence.exposure else []
    complete = not blind and not mine.loc[one.metric, "incomplete"]
    return {"basis": str(mine.loc[one.metric, "basis"]), "complete": int(complete), **figures}


def _where_readers_are_known(one: JudgedEffect | None, exposure: Exposure | None) -> JudgedEffect | None:
    """The effect; undecided instead of harmless if no source shows what ran on a reader: it may have run there, too."""
    blind = exposure.unobserved() if exposure else []
    if one is None or one.source == "trial" or one.level != "no material effect" or not blind:
        return one
    doubt = (
        f"But no source shows what ran on {', '.join(blind)}: minutes that count as free of {one.workload} may not be, "
        "and the effect may be larger."
    )
    action = f"Fetch the slow log or Performance Insights of {', '.join(blind)}."
    return replace(one, level="inconclusive", sentence=f"{one.sentence} {doubt}", action=action)


def _action(name: str, one: JudgedEffect | None, evidence: Evidence) -> str:
    """The first thing to do; about a slowdown it depends on whether the workload's read views blocked purge."""
    if one is None:
        return NOT_ASSESSED_ACTION
    if one.level != "slows":
        return one.action or ACTIONS[one.level]
    view, blocked = _words(evidence).view, _blocked(name, evidence)
    if blocked and one.source == "days" and dose_response.part(evidence.days, name, one.metric) == "openness":
        return UNLIKE_CLEANUP[view]
    action = BLOCKS_CLEANUP[view][blocked]
    idle_share = evidence.growth.set_index("workload")["idle_share"][name]
    return by_idle_time(action, view, float(idle_share)) if blocked else action


def _blocked(name: str, evidence: Evidence) -> bool | None:
    """Return whether the workload's views or snapshots made cleanup fall behind, by the holder, else by a trial; None if unknown."""
    row = evidence.growth[evidence.growth["workload"] == name].iloc[0]
    blocked, known = bool(row["growth"] > 0), bool(row["judged_share"] >= FULLY_JUDGED)
    return blocked if blocked or (known and row["growth"] <= 0) else grew(_tried_growth(name, evidence))


def _tried_growth(name: str, evidence: Evidence) -> pd.DataFrame:
    """The workload's rows of the trial's growth."""
    found = evidence.trial_growth
    return pd.DataFrame(columns=TRIAL_GROWTH) if found is None else found[found["workload"] == name]


NO_WORKLOAD_ACTION = (
    "Fetch the readers' log or Performance Insights of the window, and lower {} if the log is empty."
)

NOT_ASSESSED_ACTION = (
    "Wait until the store holds a week with latency, load and runs of it, or run a randomised trial."
)


def _not_assessed(name: str) -> str:
    return f"Whether {name} slows the writer was not assessed: no trial, and nothing to compare on ordinary days."


def _covered(evidence: Evidence) -> str:
    """State how much of the window has latency, with the window's dates."""
    known = f"{100 * evidence.coverage:.0f} %"
    return f"The writer's latency is known for {known} of the window ({dates(evidence.window, evidence.timezone)})"


def _words(evidence: Evidence) -> Words:
    return evidence.words or engines.words(engines.DEFAULT)


def _mechanism(name: str, evidence: Evidence) -> str:
    row = evidence.growth[evidence.growth["workload"] == name].iloc[0]
    tried = _tried_growth(name, evidence)
    if np.isnan(row["growth"]) and grew(tried) is not None:
        return growth_sentence(tried, _words(evidence))
    return mechanism(row, _words(evidence), dates(evidence.window, evidence.timezone))
