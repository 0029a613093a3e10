"""Name the statement behind each verdict, and word the slowdown in milliseconds and hours a week."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import pandas as pd

from aurora_analysis.analysis import experiment
from aurora_analysis.analysis.advice import Held, by_idle_time, gain, shorter_views
from aurora_analysis.analysis.costliest import costliest, owner, slowed
from aurora_analysis.analysis.effect_level import SLOWER, THROUGHPUTS, lost_s, slowdown_ms
from aurora_analysis.analysis.reader_impact import dose_response
from aurora_analysis.analysis.series import period_s
from aurora_analysis.analysis.undo_log.episodes import base
from aurora_analysis.analysis.verdict import Figure, Verdict, duration, percent, three_digits
from aurora_analysis.analysis.workloads import IDLE, exposed_hours, exposure_share
from aurora_analysis.window import Window

OPEN = 0.5
"""A period of the metric counts as exposed if the workload was open for this share of it [0 to 1]."""

WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Background:
    """The observations that a headline needs beside the verdict.

    Parameters
    ----------
    runs : pandas.DataFrame
        Runs of all workloads: `workload, instance, digest, thread_id, start, end` (UTC).
    fingerprints : pandas.DataFrame
        Texts of the statements: `digest, fingerprint`.
    latency : pandas.DataFrame
        The writer's latencies in the window [ms], one column per metric.
    history : pandas.Series
        History list length over the window (UTC) [transactions].
    estimates : pandas.DataFrame
        Effects on ordinary days: the frame of `effects`.
    blockers : pandas.DataFrame
        Who blocked purge: `undo_log.Mechanism.blockers`.
    window : Window
        The window of the verdicts.
    timezone : str
        Time zone of the verdicts' times.
    trials : pandas.DataFrame, optional
        Blocks of the window's randomised trials. Default: there were none.
    in_trials : pandas.DataFrame, optional
        The latencies that the trials compare: `outcomes.in_trials`. Default: `latency`.
    """

    runs: pd.DataFrame
    fingerprints: pd.DataFrame
    latency: pd.DataFrame
    history: pd.Series
    estimates: pd.DataFrame
    blockers: pd.DataFrame
    window: Window
    timezone: str = "UTC"
    trials: pd.DataFrame | None = None
    in_trials: pd.DataFrame | None = None


def with_statements(verdicts: Sequence[Verdict], background: Background) -> list[Verdict]:
    """Add each workload's costliest statement, and the absolute slowdown where the level blames the workload.

    Parameters
    ----------
    verdicts : sequence of Verdict
        The verdicts of `verdicts`, whose subjects are workloads.
    background : Background
        Runs, texts and latencies.

    Returns
    -------
    list of Verdict
        In the same order.
    """
    return [_with_statement(one, background) for one in verdicts]


def _with_statement(verdict: Verdict, background: Background) -> Verdict:
    runs = background.runs[background.runs["workload"] == verdict.subject]
    statement = costliest(runs, background.fingerprints, background.window, background.timezone)
    found = replace(verdict, statement=statement)
    if verdict.level not in SLOWER:
        return found
    effect, metric = verdict.numbers.get("effect_pct"), str(verdict.numbers.get("metric"))
    while_on = _while_on(verdict, runs, background)
    slower_ms = slowdown_ms(while_on, effect)
    hours = float(exposed_hours(runs, background.window).get(verdict.subject, 0.0))
    found = replace(found, numbers={**found.numbers, "lost_s": lost_s(3600 * hours, metric, effect)})
    if slower_ms is None or effect is None or not hours:
        return found
    lasting, what = how_long(hours, background.window), slowed(metric, background.fingerprints)
    ends = [verdict.numbers.get(name) for name in ("ci_low_pct", "ci_high_pct")]
    low_ms, high_ms = (slowdown_ms(while_on, end) for end in ends)
    size = f"{three_digits(slower_ms, 2)} ms ({percent(float(effect))} %)"
    return replace(
        found,
        headline=f"{owner(verdict.subject, statement)} makes {what} {size} slower for {lasting}",
        action=f"{_shorter(verdict, statement, background)} {gain(what, (slower_ms, low_ms or 0.0, high_ms or 0.0), lasting)}",
    )


def _shorter(verdict: Verdict, statement: Mapping[str, Figure], background: Background) -> str:
    """The level's action, in the statement's own numbers if its views let the history list grow."""
    blockers = background.blockers
    same = (blockers["workload"] == verdict.subject) & (blockers["instance"] == statement.get("instance"))
    held = blockers[same & (blockers["state"] == "held") & (blockers["held_s"] > 0)]
    if (
        _is_unlike_cleanup(verdict, background)
        or verdict.level != "slows"
        or statement.get("digest", IDLE) == IDLE
        or held.empty
    ):
        return verdict.action
    row = held.iloc[0]
    views = Held(
        text=str(statement["text"]),
        longest_s=float(statement["longest_s"] or 0),
        per_hour=float(3600 * row["growth"] / row["held_s"]),
        base=base(background.history.dropna()),
        peak=float(row["peak_length"]),
        on_writer=False,
    )
    return by_idle_time(shorter_views(views), "read view", float(row["idle_share"]))


def _is_unlike_cleanup(verdict: Verdict, background: Background) -> bool:
    """Return whether the slowdown does not grow with what the workload's views hold back: shorter views would not help."""
    if verdict.numbers.get("source") != "days":
        return False
    metric = str(verdict.numbers["metric"])
    return dose_response.part(background.estimates, verdict.subject, metric) == "openness"


def latency_while_running(latency: pd.Series | None, runs: pd.DataFrame) -> float | None:
    """Mean latency of an operation while the workload runs [ms].

    Parameters
    ----------
    latency : pandas.Series or None
        The metric over time (UTC) [ms].
    runs : pandas.DataFrame
        Runs of the workload.

    Returns
    -------
    float or None
        None if the latency is unknown for that time.
    """
    if latency is None or len(latency.dropna()) < 2 or runs.empty:
        return None
    known = latency.dropna()
    share = exposure_share(runs, pd.DatetimeIndex(known.index), period_s(known.index)).iloc[:, 0]
    exposed = known[share.to_numpy() >= OPEN]
    return None if exposed.empty else float(exposed.mean())


def _while_on(verdict: Verdict, runs: pd.DataFrame, background: Background) -> float | None:
    """Mean latency while the workload runs [ms], in the blocks of a trial if the verdict rests on one; None of a throughput."""
    metric, trials = str(verdict.numbers.get("metric")), background.trials
    if verdict.numbers.get("source") != "trial" or trials is None:
        return latency_while_running(background.latency.get(metric), runs)
    latency = background.latency if background.in_trials is None else background.in_trials
    if metric not in latency or metric in THROUGHPUTS:
        return None
    return experiment.latency_while_on(latency[metric], trials[trials["workload"] == verdict.subject])


def how_long(hours: float, window: Window) -> str:
    """Word the exposed time: per week if the window has a week, otherwise of the window.

    Parameters
    ----------
    hours : float
        Time with a statement open in the window [h].
    window : Window
        The window.

    Returns
    -------
    str
        Such as ``27 h a week`` or ``14 min of 42 min``.
    """
    if window.duration < WEEK:
        return f"{duration(3600 * hours)} of {duration(window.duration.total_seconds())}"
    weekly = hours * (WEEK / window.duration)
    return f"{three_digits(weekly, 2)} h a week" if weekly >= 1 else f"{60 * weekly:.0f} min a week"
