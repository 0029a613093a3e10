"""Test whether a slowdown grows with the undo that a workload's own read views hold back.

A read view slows the writer through the history that purge cannot clean up while it is open. The slowdown then grows with
that history (a dose-response relation: Hill 1965, The environment and disease: association or causation?). A hidden event
that merely begins with the runs slows the writer from the first minute, and no more where the writer wrote more. The
regression has both: the history held, and mere openness. A hidden event that grows for as long as a run lasts looks like
undo, so the relation is a sign of the mechanism and no proof (`dev.py calibrate dose`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from aurora_analysis.analysis.reader_impact import exposure_columns, regressors
from aurora_analysis.analysis.reader_impact.groups import EstimationGroup
from aurora_analysis.analysis.reader_impact.model import Fit
from aurora_analysis.analysis.series import Array
from aurora_analysis.analysis.undo_log.episodes import base
from aurora_analysis.analysis.undo_log.holders import Attribution
from aurora_analysis.engines.vocabulary import Words

SAMPLED_LEAST = 0.95
"""Share of a workload's exposed minutes in which the history held must be known."""

COLUMNS = [f"{part}_{figure}" for part in ("undo", "openness") for figure in ("pct", "low_pct", "high_pct")]
"""Columns of `effects`: the parts of the effect that grow with the history held and that do not, with intervals."""


@dataclass(frozen=True)
class DoseResponse:
    """The two parts of a workload's effect.

    Attributes
    ----------
    by_undo : Fit
        Mean effect of the history held, over exposed minutes [log].
    by_openness : Fit
        Mean effect of being open with no history held [log].
    """

    by_undo: Fit
    by_openness: Fit

    def percents(self, metric: int, alpha: float) -> dict[str, float]:
        """Both parts of the effect on one metric with their intervals.

        Parameters
        ----------
        metric : int
            Index of the metric.
        alpha : float
            The intervals cover 1 - alpha.

        Returns
        -------
        dict of str to float
            By the names in `COLUMNS` [%].
        """
        figures = [*self.by_undo.percent(metric, alpha)[:3], *self.by_openness.percent(metric, alpha)[:3]]
        return dict(zip(COLUMNS, figures))


def held_history(history: pd.Series, found: Attribution, runs: pd.DataFrame) -> pd.DataFrame:
    """History above its base that each workload's read views hold back, by minute [transactions].

    Parameters
    ----------
    history : pandas.Series
        History list length, or age of the xmin horizon, over time (UTC) [transactions].
    found : Attribution
        Which of the runs held the oldest view at each sample, with probabilities.
    runs : pandas.DataFrame
        Runs of all workloads: `workload`, `start`, `end` (UTC).

    Returns
    -------
    pandas.DataFrame
        One column per workload: the history weighted by the probability that one of its views is the oldest. Minutes
        without a sample are missing.
    """
    known = history.dropna()
    names = sorted({str(name) for name in runs["workload"]})
    if known.empty or found.oldest_view.empty:
        return pd.DataFrame(columns=names, index=known.index[:0], dtype=float)
    above = (known - base(known)).clip(lower=0.0)
    held = found.probabilities[found.probabilities["state"] == "held"]
    by_run = held["probability"].to_numpy(dtype=float) * above.reindex(held["time"]).to_numpy()
    whose = runs["workload"].reindex(held["run"].astype("int64")).astype(str).to_numpy()
    rows = pd.DataFrame({"time": held["time"].array, "workload": whose, "undo": by_run})
    table = rows.pivot_table(index="time", columns="workload", values="undo", aggfunc="sum")
    by_sample = table.reindex(known.index).fillna(0.0).reindex(columns=names, fill_value=0.0)
    return by_sample.resample("min").mean()


def dose_response(group: EstimationGroup, i: int) -> DoseResponse | None:
    """Split a workload's effect into what grows with the history held, and what does not.

    Parameters
    ----------
    group : EstimationGroup
        The group that the workload belongs to.
    i : int
        The workload.

    Returns
    -------
    DoseResponse or None
        None if the history held is unknown in too many of its minutes, or hardly varies.
    """
    design = group.design
    if design.held is None or i >= design.real:
        return None
    held, running = design.held[:, i], group.valid & (design.exposed[:, i] > 0)
    if not running.any() or np.isfinite(held[running]).mean() < SAMPLED_LEAST:
        return None
    columns = exposure_columns.with_dose(design, i, _filled(held), group.valid, group.projection)
    own = columns.beside(exposure_columns.own_columns(design.exposed, [i], group.valid, group.projection), 1)
    model = group.model_of(i, own, group.y)
    if not model.varies[regressors.DOSE]:
        return None
    openness = [regressors.EXPOSED, *regressors.CLOCK]
    return DoseResponse(
        by_undo=model.effect([regressors.DOSE], alongside=[*openness, regressors.CARRYOVER]),
        by_openness=model.effect(openness, alongside=[regressors.DOSE, regressors.CARRYOVER]),
    )


def _filled(held: Array) -> Array:
    """The history held, with the few missing minutes interpolated."""
    minute, known = np.arange(len(held)), np.isfinite(held)
    return np.asarray(np.interp(minute, minute[known], held[known]))


def kind(row: Mapping[Any, Any]) -> str:
    """Name which part of a slowdown is clearly above zero.

    Parameters
    ----------
    row : mapping
        A row of `effects`.

    Returns
    -------
    str
        A key of `SENTENCES`: `undo` (only the part that grows with the history held), `more` (that part exceeds the
        whole), `both`, `openness` or `open`; empty if the parts are not known.
    """
    undo, low, high, rest, rest_low, rest_high = (float(row.get(name, np.nan)) for name in COLUMNS)
    if np.isnan([low, high, rest_low, rest_high]).any():
        return ""
    if low > 0:
        return "both" if rest_low > 0 else "more" if rest_high < 0 else "undo"
    return "openness" if rest_low > 0 and high < EXCLUDED * (undo + rest) else "open"


EXCLUDED = 0.5
"""Share of the effect that undo's interval must exclude before a sentence states that undo does not matter."""


SENTENCES = {
    "undo": (
        "{minute}, the slowdown grows with {held}: this part is {undo} of latency ({of_undo}), and the rest, {rest} ({of_rest}), "
        "may be zero. A hidden event with a constant effect would not show this pattern; one whose effect builds up during "
        "each run would."
    ),
    "more": (
        "{minute}, the slowdown grows with {held} ({undo} of latency, {of_undo}). How much of it that explains is unknown, because "
        "the rest is below zero ({rest}, {of_rest})."
    ),
    "both": (
        "{minute}, one part of the slowdown grows with {held}, {undo} of latency ({of_undo}); the rest, {rest} ({of_rest}), does not: "
        "its cause is another one, or a hidden event."
    ),
    "openness": (
        "{minute}, the slowdown does not measurably grow with {held} ({undo} of latency, {of_undo}): its cause is another one, or a "
        "hidden event that begins with its runs."
    ),
    "open": "The data do not show whether the slowdown grows with {held} ({undo} of latency, {of_undo}).",
}
"""Printed sentence, by `kind`."""


def part(estimates: pd.DataFrame, workload: str, metric: str) -> str:
    """Return the part of an effect on ordinary days that is clearly above zero.

    Parameters
    ----------
    estimates : pandas.DataFrame
        The frame of `effects`.
    workload, metric : str
        The row of the estimate.

    Returns
    -------
    str
        A key of `SENTENCES`; empty if the parts are not known.
    """
    rows = estimates[(estimates["workload"] == workload) & (estimates["metric"] == metric)]
    return kind(rows.to_dict("records")[0])


def sentence(row: Mapping[Any, Any], words: Words) -> str:
    """State how much of a slowdown grows with the history that the workload holds back.

    Parameters
    ----------
    row : mapping
        A row of `effects`.
    words : Words
        The engine's words for cleanup.

    Returns
    -------
    str
        One or two sentences; empty if the parts are not known.
    """
    known = kind(row)
    if not known:
        return ""
    undo, low, high, rest, rest_low, rest_high = (float(row[name]) for name in COLUMNS)
    return SENTENCES[known].format(
        minute="In a typical minute",
        held=f"the {words.delay} that its {words.view}s hold back",
        undo=f"{undo:+.1f} %",
        of_undo=_interval(low, high),
        rest=f"{rest:+.1f} %",
        of_rest=_interval(rest_low, rest_high),
    )


def _interval(low: float, high: float) -> str:
    return f"95 % confidence interval {low:+.1f} to {high:+.1f} %"
