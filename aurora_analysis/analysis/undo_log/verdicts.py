"""Verdicts on undo history: which session blocked purge, how far the history list grew, and what to do."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from aurora_analysis.analysis.series import period_s
from aurora_analysis.analysis.undo_log.episodes import base, growth_by_blocker
from aurora_analysis.analysis.verdict import Severity, Verdict, duration
from aurora_analysis.analysis.workloads import IDLE
from aurora_analysis.window import Window

ACTIONS = {
    "held": (
        "Shorten its statements or its transaction; on a reader, set aurora_read_replica_read_committed in its "
        "session, or extract from a clone or a snapshot export instead."
    ),
    "idle": "Make the client commit before it goes idle (autocommit on), or end transactions that stay idle for long.",
    "unknown": (
        "While it lasts, query every instance for its open transactions (information_schema.innodb_trx); look for "
        "clients that turn autocommit off and then idle."
    ),
    "outrun": "Check innodb_purge_threads, and find the statements that write so much at that time.",
}

INFERRED = (
    "Inferred by matching the start time of the oldest read view with the start times of logged statements and of "
    "transactions in live samples"
)
SAMPLED = "Live samples: its transaction was open, with a read view or a write, while it ran no statement"


@dataclass(frozen=True)
class Thresholds:
    """Limits that decide the severity of a blocker and which blockers get a verdict.

    Parameters
    ----------
    watch : float
        History list length to watch [transactions]. Up to here Amazon calls it "generally acceptable" (Aurora user
        guide, major version upgrades).
    act : float
        History list length that needs action [transactions]. From here the upgrade precheck warns (Aurora user
        guide, upgrade prechecks).
    coverage_needed : float
        Smallest share of the window with samples [0 to 1]; with less, the rest may have been different. This
        project's rule.
    share_needed : float
        A blocker with a smaller share of the growth [0 to 1] that stayed below `watch` gets no verdict.
    """

    watch: float = 100_000.0
    act: float = 1_000_000.0
    coverage_needed: float = 0.8
    share_needed: float = 0.05


def verdicts(
    window: Window,
    history: pd.Series,
    episodes: pd.DataFrame,
    spans: pd.DataFrame,
    thresholds: Thresholds = Thresholds(),  # frozen
) -> list[Verdict]:
    """Conclude which sessions blocked purge, one verdict per blocker, most growth first.

    A system with a short history list warns earlier: an episode is always worth watching if its peak is ten times
    the base.

    Parameters
    ----------
    window : Window
        The window of the report.
    history : Series
        History list length over the window (UTC) [transactions].
    episodes : DataFrame
        Result of `growth_episodes`.
    spans : DataFrame
        Result of `blocking_spans`.
    thresholds : Thresholds, optional
        Limits of severity, coverage and relevance.

    Returns
    -------
    list of Verdict
        Levels `blocked`, `outrun` and `unknown`; a single `healthy` verdict if purge kept up.
    """
    history = history.dropna()
    coverage = (
        window.coverage(pd.DatetimeIndex(history.index), period_s(history.index)) if len(history) > 1 else 0.0
    )
    blockers = growth_by_blocker(spans)
    relevant = (blockers["share"] >= thresholds.share_needed) | (blockers["peak_length"] >= thresholds.watch)
    found = [
        _verdict(row, base(history), coverage, thresholds) for row in blockers[relevant].to_dict("records")
    ]
    if len(episodes) and not found:
        found.append(_unattributed(episodes, coverage))
    if coverage < thresholds.coverage_needed:
        found.append(_uncovered(coverage, thresholds.coverage_needed))
    return found or [_healthy(history, coverage)]


def _verdict(row: Mapping[Hashable, Any], base: float, coverage: float, thresholds: Thresholds) -> Verdict:
    idle = row["digest"] == IDLE
    severity = _severity(row["peak_length"], base, thresholds)
    if severity == "ok" and coverage < thresholds.coverage_needed:
        severity = "unknown"  # the history list may have been longer where it was not observed
    subject, level, headline = _named(row)
    return Verdict(
        "undo_log",
        subject,
        level,
        "unknown" if level == "unknown" else severity,
        f"{_sentence(row)} {coverage:.0%} of the window was observed.",
        {
            "growth": round(row["growth"]),
            "growth_share": round(row["share"], 4),
            "peak_length": round(row["peak_length"]),
            "spans": row["spans"],
            "held_s": round(row["held_s"]),
            "coverage": round(coverage, 4),
        },
        SAMPLED if idle else INFERRED,
        ACTIONS["idle" if idle else row["state"]],
        headline,
    )


def _named(row: Mapping[Hashable, Any]) -> tuple[str, str, str]:
    """Subject, level and headline of a blocker."""
    if row["state"] == "outrun":
        return "purge", "outrun", "Writes outran purge"
    if row["state"] == "unknown":
        return "sessions in no log", "unknown", "An unidentified session may have blocked purge"
    subject = f"{row['workload']} on {row['instance']}"
    return subject, "blocked", f"{subject} blocked purge"


def _sentence(row: Mapping[Hashable, Any]) -> str:
    lasted = f"{_times(row['spans'])}, {duration(row['held_s'])} in all"
    grown = (
        f"the history list grew by {row['growth']:,.0f} transactions ({row['share']:.0%} of all its growth) "
        f"and reached {row['peak_length']:,.0f}"
    )
    since = f"{row['since']:%Y-%m-%d %H:%M:%S} UTC"
    if row["state"] == "outrun":
        return f"Purge was allowed to advance but could not keep up {lasted}: {grown}."
    if row["state"] == "unknown":
        return (
            f"Purge fell behind {lasted}, and no logged or sampled session explains why. Meanwhile, {grown}. If a "
            f"read view blocked purge, the costliest one began at about {since}. An idle transaction is the usual cause."
        )
    statement = "no statement: it was idle" if row["digest"] == IDLE else f"statement {row['digest']}"
    others = f" (one of {row['statements']} different statements)" if row["statements"] > 1 else ""
    return (
        f"{row['workload']} on {row['instance']} held the oldest read view {lasted}, while {grown}. The costliest "
        f"run: thread {row['thread_id']:.0f}, {statement}{others}, began at {since}."
    )


def _severity(peak: float, base: float, thresholds: Thresholds) -> Severity:
    if peak >= thresholds.act:
        return "act"
    return "watch" if peak >= thresholds.watch or peak >= 10 * base else "ok"


def _unattributed(episodes: pd.DataFrame, coverage: float) -> Verdict:
    """Growth that cannot be attributed, because no count of transactions is available."""
    longest = episodes["peak_length"].max()
    return Verdict(
        "undo_log",
        "purge",
        "unknown",
        "unknown",
        f"The history list grew {_times(len(episodes))}, up to {longest:,.0f} transactions. Without a count of the "
        "writer's transactions, the session that blocked purge cannot be identified.",
        {"episodes": len(episodes), "coverage": round(coverage, 4)},
        "the table of episodes",
        "Fetch CommitThroughput, or sample the transaction counter, for this window.",
        "The history list grew; the session that blocked purge is unknown",
    )


def _uncovered(coverage: float, needed: float) -> Verdict:
    return Verdict(
        "undo_log",
        "coverage",
        "unknown",
        "unknown",
        f"Only {coverage:.0%} of the window has a history list length ({needed:.0%} is needed). The rest of the "
        "window may have been different.",
        {"coverage": round(coverage, 4)},
        "the coverage table",
        "Fetch the history list length for the whole window; the coverage table shows what is missing.",
        f"Only {coverage:.0%} of the window has a history list length",
    )


def _healthy(history: pd.Series, coverage: float) -> Verdict:
    return Verdict(
        "undo_log",
        "purge",
        "healthy",
        "ok",
        f"Purge kept up: the history list stayed between {history.min():,.0f} and {history.max():,.0f} transactions. "
        f"{coverage:.0%} of the window was observed.",
        {"longest": round(float(history.max())), "coverage": round(coverage, 4)},
        "the history list over time",
        "Nothing to do.",
        "Purge kept up",
    )


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
