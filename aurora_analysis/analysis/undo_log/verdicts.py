"""Verdicts on undo history: which session blocked purge, how far the history list grew, and what to do."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from aurora_analysis.analysis.advice import by_idle_time
from aurora_analysis.analysis.series import period_s
from aurora_analysis.analysis.undo_log import confidence
from aurora_analysis.analysis.undo_log.episodes import base, growth_by_blocker
from aurora_analysis.analysis.verdict import Figure, Severity, Verdict, duration, moment
from aurora_analysis.analysis.workloads import IDLE
from aurora_analysis.engines.certainty import DECIDED, Certainty, certainty
from aurora_analysis.window import Window

ACTIONS = {
    "held": (
        "Shorten its statements or its transaction; on a reader, set aurora_read_replica_read_committed in its "
        "session, or extract from a clone or a snapshot export instead."
    ),
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
NO_SESSION = "sessions in no log"
"""Subject of the verdict on growth that no known session explains."""
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

    def severity(self, peak: float, base: float, coverage: float) -> Severity:
        """Weigh the longest history list, or the greatest age of the xmin horizon.

        Parameters
        ----------
        peak, base : float
            The longest and the usual value [transactions].
        coverage : float
            Share of the window that was observed [0 to 1].

        Returns
        -------
        Severity
            `unknown` instead of `ok` where the value may have been greater while it was not observed.
        """
        if peak >= self.act:
            return "act"
        if peak >= self.watch or peak >= 10 * base:
            return "watch"
        return "ok" if coverage >= self.coverage_needed else "unknown"


def verdicts(
    window: Window,
    history: pd.Series,
    episodes: pd.DataFrame,
    spans: pd.DataFrame,
    thresholds: Thresholds = Thresholds(),  # frozen
    sureness: pd.DataFrame | None = None,
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
        Result of `blocking_spans`; sentences have its times in their own time zone (`verdict.local`).
    thresholds : Thresholds, optional
        Limits of severity, coverage and relevance.
    sureness : DataFrame, optional
        Result of `confidence.by_blocker`. Default: no confidence is stated.

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
        _sure(_verdict(row, base(history), coverage, thresholds), row, sureness)
        for row in blockers[relevant].to_dict("records")
    ]
    if len(episodes) and not found:
        found.append(_unattributed(episodes, coverage))
    if coverage < thresholds.coverage_needed:
        found.append(_uncovered(coverage, thresholds.coverage_needed))
    return found or [_healthy(history, coverage)]


def _verdict(row: Mapping[Hashable, Any], base: float, coverage: float, thresholds: Thresholds) -> Verdict:
    severity = thresholds.severity(row["peak_length"], base, coverage)
    subject, level, headline = _named(row)
    return Verdict(
        "undo_log",
        subject,
        level,
        "unknown" if level == "unknown" else severity,
        f"{_sentence(row)} {100 * coverage:.0f} % of the window was observed.",
        blocker_numbers(row, coverage),
        SAMPLED if row["digest"] == IDLE else INFERRED,
        by_idle_time(ACTIONS[row["state"]], "read view", row["idle_share"]),
        headline,
    )


def blocker_numbers(row: Mapping[Hashable, Any], coverage: float) -> dict[str, Figure]:
    """Return the figures of a verdict on one blocker.

    Parameters
    ----------
    row : mapping
        A row of `growth_by_blocker`.
    coverage : float
        Share of the window that was observed [0 to 1].

    Returns
    -------
    dict
        `growth` and `peak_length` [transactions], `growth_share` [0 to 1], number of `spans`, `held_s`, `coverage`.
    """
    return {
        "growth": round(row["growth"]),
        "growth_share": round(row["share"], 4),
        "peak_length": round(row["peak_length"]),
        "spans": row["spans"],
        "held_s": round(row["held_s"]),
        "coverage": round(coverage, 4),
    }


def with_candidates(verdict: Verdict, spans: pd.DataFrame, candidates: pd.DataFrame) -> Verdict:
    """Add to the verdict on sessions in no log the instances whose oldest transaction began with the view.

    Parameters
    ----------
    verdict : Verdict
        A verdict of `verdicts`; others than that on sessions in no log are returned as they are.
    spans : DataFrame
        Result of `blocking_spans`.
    candidates : DataFrame
        Result of `candidates.candidates`.

    Returns
    -------
    Verdict
        The verdict. It names an instance and a time, never a session.
    """
    if verdict.subject != NO_SESSION or candidates.empty:
        return verdict
    grown = spans["growth"].reindex(candidates["span"]).to_numpy(dtype=float)
    most = candidates[candidates["span"] == candidates["span"].iloc[grown.argmax()]]
    since = moment(most["since"].iloc[0])
    where = " or ".join(most["instance"])
    sentence = (
        f"The oldest transaction of {where} (TransactionAgeMaximum) began when the view did, at about {since}: the "
        f"session is probably there. {'The metric cannot decide between them.' if len(most) > 1 else ''}"
    )
    return replace(verdict, sentence=f"{verdict.sentence} {sentence.strip()}")


def _sure(verdict: Verdict, row: Mapping[Hashable, Any], sureness: pd.DataFrame | None) -> Verdict:
    """State how sure the name is; name no one if another explanation is nearly as probable."""
    named = confidence.name(row)
    if sureness is None or row["state"] != "held" or named not in sureness.index:
        return verdict
    found: dict[Hashable, Any] = sureness.loc[named].to_dict()
    sure, rival, rival_sure = (found[column] for column in ("confidence", "rival", "rival_confidence"))
    numbers = {**verdict.numbers, "confidence": round(sure, 2)}
    if certainty(sure) is Certainty.CERTAIN:
        sentence = f"{verdict.sentence} Confidence in the name: {_share(sure)}."
        return replace(verdict, sentence=sentence, numbers=numbers)
    if certainty(sure) is Certainty.PROBABLE:
        headline = f"Probably {named} blocked purge ({_share(sure)})"
        sentence = f"Probably ({_share(sure)}) {verdict.sentence} The next explanation is {rival} ({_share(rival_sure)})."
        return replace(verdict, headline=headline, sentence=sentence, numbers=numbers)
    return replace(
        verdict,
        level="unknown",
        severity="unknown",
        headline=f"Cannot decide whether {named} or {rival} blocked purge",
        sentence=(
            f"The history list grew by {row['growth']:,.0f} transactions ({100 * row['share']:.0f} % of all its growth) and "
            f"reached {row['peak_length']:,.0f} while {named} ({_share(sure)}) or {rival} ({_share(rival_sure)}) held "
            f"the oldest read view. A name needs a confidence of {DECIDED:g}: the logs and the history list cannot decide "
            "between them."
        ),
        numbers=numbers,
        action=(
            "Run aurora-analysis watch while it lasts, which reads the sessions themselves; or start the two some "
            "minutes apart."
        ),
    )


def _share(sure: float) -> str:
    """Format a confidence with two digits, never as certain."""
    return f"{min(sure, 0.99):.2f}"


def _named(row: Mapping[Hashable, Any]) -> tuple[str, str, str]:
    """Subject, level and headline of a blocker."""
    if row["state"] == "outrun":
        return "purge", "outrun", "Writes outran purge"
    if row["state"] == "unknown":
        return NO_SESSION, "unknown", "An unidentified session may have blocked purge"
    subject = f"{row['workload']} on {row['instance']}"
    return subject, "blocked", f"{subject} blocked purge"


def _sentence(row: Mapping[Hashable, Any]) -> str:
    total = duration(row["held_s"])
    lasted = f"once, for {total}" if row["spans"] == 1 else f"{_times(row['spans'])}, {total} in all"
    grown = (
        f"the history list grew by {row['growth']:,.0f} transactions ({100 * row['share']:.0f} % of its growth in all episodes) "
        f"and reached {row['peak_length']:,.0f}"
    )
    since = moment(row["since"], seconds=True)
    if row["state"] == "outrun":
        return f"Purge was allowed to advance but could not keep up {lasted}: {grown}."
    if row["state"] == "unknown":
        return (
            f"Purge fell behind {lasted}, and no logged or sampled session explains why. Meanwhile, {grown}. If a "
            f"read view blocked purge, the one with the most growth began at about {since}. An idle transaction is the usual cause."
        )
    statement = "no statement: it was idle" if row["digest"] == IDLE else f"statement {row['digest']}"
    others = f" Its runs are of {row['statements']} different statements." if row["statements"] > 1 else ""
    run = "That run" if row["spans"] == 1 else "The run with the most growth"
    return (
        f"{row['workload']} on {row['instance']} held the oldest read view {lasted}, while {grown}. {run} began at "
        f"{since} (thread {row['thread_id']:.0f}, {statement}).{others}"
    )


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
        f"Only {100 * coverage:.0f} % of the window has a history list length ({100 * needed:.0f} % is needed). The rest of the "
        "window may have been different.",
        {"coverage": round(coverage, 4)},
        "the coverage table",
        "Fetch the history list length for the whole window; the coverage table shows what is missing.",
        f"Only {100 * coverage:.0f} % of the window has a history list length",
    )


def _healthy(history: pd.Series, coverage: float) -> Verdict:
    return Verdict(
        "undo_log",
        "purge",
        "healthy",
        "ok",
        f"Purge kept up: the history list stayed between {history.min():,.0f} and {history.max():,.0f} transactions. "
        f"{100 * coverage:.0f} % of the window was observed.",
        {"longest": round(float(history.max())), "coverage": round(coverage, 4)},
        "the history list over time",
        "Nothing to do.",
        "Purge kept up",
    )


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
