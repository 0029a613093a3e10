"""Verdicts on connections: storms, refused and aborted ones, clients without a pool, idle transactions, killed queries."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from aurora_analysis import engines
from aurora_analysis.analysis.verdict import (
    Figure,
    Severity,
    Verdict,
    by_severity,
    duration,
    moment,
    three_digits,
)
from aurora_analysis.engines.vocabulary import Words
from aurora_analysis.window import Window

TOPIC = "connections"

METRICS = (
    "connection_attempts",
    "login_failures",
    "aborted_clients",
    "slow_connections",
    "connections",
    "threads_running",
    "active_transactions",
    "query_throughput",
    "uptime",
    "queries_killed",
)
"""The metrics that the topic reads."""

ACTIONS = {
    "failover": "Let clients reconnect with a growing, random delay, and keep their DNS cache at 5 s or less: a driver that knows "
    "Aurora's failover, or RDS Proxy, does both.",
    "restart": "Let clients reconnect with a growing, random delay; see the events and the error log for the reason of the restart.",
    "refused logins": "Find the user in the error log (Access denied), and correct its password, host or grants; let the client stop "
    "trying after a few refusals.",
    "schedule": "Spread the starts of the scheduled clients over several minutes, or let them share a pool.",
    "": "Find the client that connected then (Performance Insights by host, or the error log), and give it a pool or RDS Proxy with an "
    "upper limit of connections.",
    "no pool": "Pool the client's connections, in the application or by RDS Proxy: each login costs CPU that no statement gets.",
    "aborted connections": "Close connections in the client, and compare its idle time with wait_timeout and the timeouts of "
    "proxies and firewalls.",
    "unknown": "Fetch CloudWatch's ConnectionAttempts, AbortedClients and LoginFailures of the instance (aurora-analysis fetch).",
    "uncounted": "Set log_connections and log_disconnections to 1, and count `connection received` and `authentication failed` by "
    "minute in the log; CloudWatch's DatabaseConnections has the open connections only.",
    "ordinary": "Nothing to do.",
    "idle transaction": "Let the client commit or roll back before it waits, and turn autocommit on for reads; limit idle time by "
    "wait_timeout.",
    "queries killed": "Run the statement on a larger instance or on a clone, in smaller portions; see which it was in the slow log.",
}
"""Level or cause of a storm → first action."""


@dataclass(frozen=True)
class Thresholds:
    """Limits beyond which connections need attention.

    Parameters
    ----------
    refused_pct, aborted_pct : float
        Share of the attempts that were refused, or connections that were not closed properly, for `watch` [%] …
    at_least : float
        … if there were at least so many in the window.
    queries_per_connection : float
        With fewer statements per attempt to connect, clients have no pool …
    attempts_per_s : float
        … if there are at least so many attempts on average [1/s].
    idle_s : float
        A transaction that was idle for at least this long is worth a verdict [s].
    coverage_needed : float
        Below this observed share of the window an instance without findings is `unknown` [0 to 1].
    """

    refused_pct: float = 1.0
    aborted_pct: float = 5.0
    at_least: float = 100.0
    queries_per_connection: float = 5.0
    attempts_per_s: float = 0.5
    idle_s: float = 600.0
    coverage_needed: float = 0.5


def verdicts(
    attempts: pd.DataFrame,
    storms: pd.DataFrame,
    metrics: pd.DataFrame,
    window: Window,
    thresholds: Thresholds = Thresholds(),
    words: Words | None = None,
) -> list[Verdict]:
    """Judge the connections of each instance.

    The first rule that holds decides: a storm; refused logins; no pool; aborted connections; too little data; ordinary.
    `ordinary` (`ok`) needs attempts in enough of the window, their ordinary level, and the counts of refused and aborted
    connections.

    Parameters
    ----------
    attempts : DataFrame
        The result of `with_ordinary`, of the window alone.
    storms : DataFrame
        The result of `with_causes` and `with_clients`, of the window alone.
    metrics : DataFrame
        Rows of the table `metrics` whose name is in `METRICS`.
    window : Window
        The window.
    thresholds : Thresholds
        Limits beyond which connections need attention.
    words : Words, optional
        The engine's words: CloudWatch counts no attempts on PostgreSQL. Default: those of MySQL.

    Returns
    -------
    list of Verdict
        One per instance with any of these metrics, most severe first; a single `unknown` one if there is none.
    """
    names = sorted(set(metrics["instance"].dropna().astype(str)))
    if not names or attempts.empty:
        return [_no_data(words)]
    return by_severity(
        [
            _instance(
                _facts(name, attempts[attempts["instance"] == name], metrics, window),
                storms[storms["instance"] == name],
                thresholds,
            )
            for name in names
        ]
    )


def _no_data(words: Words | None) -> Verdict:
    rest = "so storms, refused and aborted connections are unknown."
    if words is not None and words.cleanup == "vacuum":
        return Verdict(
            TOPIC,
            "all instances",
            "unknown",
            "unknown",
            f"CloudWatch has no count of attempts to connect to PostgreSQL, {rest}",
            action=ACTIONS["uncounted"],
            headline="Connection storms are unknown: CloudWatch does not count attempts to connect to PostgreSQL",
        )
    return Verdict(
        TOPIC,
        "all instances",
        "unknown",
        "unknown",
        f"No attempts to connect were recorded in this window, {rest}",
        action=ACTIONS["unknown"],
        headline="Connection storms are unknown: attempts to connect were not recorded",
    )


@dataclass(frozen=True)
class _Facts:
    """The means of one instance in the window [1/s]; NaN if unknown. Coverages are shares of the window [0 to 1]."""

    instance: str
    coverage: float
    refused_coverage: float
    aborted_coverage: float
    has_ordinary: bool
    attempts: float
    refused: float
    aborted: float
    queries: float
    seconds: float

    def share_pct(self, rate: float) -> float:
        """Return a rate's share of the attempts [%]; NaN without attempts."""
        return 100 * rate / self.attempts if self.attempts > 0 else np.nan

    def count(self, rate: float) -> float:
        """Return how many a rate makes in the observed part of the window."""
        return rate * self.seconds * self.coverage


def _facts(name: str, attempts: pd.DataFrame, metrics: pd.DataFrame, window: Window) -> _Facts:
    own = metrics[(metrics["instance"].astype(str) == name) & metrics["value"].notna()]
    by_name = own.groupby(own["name"].astype(str))
    means, seconds = by_name["value"].mean(), window.duration.total_seconds()
    observed = by_name["period_s"].sum() / seconds
    return _Facts(
        name,
        min(float(attempts["period_s"].sum()) / seconds, 1.0),
        float(observed.get("login_failures", 0.0)),
        float(observed.get("aborted_clients", 0.0)),
        bool(attempts["ordinary_per_s"].notna().any()),
        float(attempts["value"].mean()),
        float(means.get("login_failures", np.nan)),
        float(means.get("aborted_clients", np.nan)),
        float(means.get("query_throughput", np.nan)),
        seconds,
    )


def _instance(facts: _Facts, storms: pd.DataFrame, thresholds: Thresholds) -> Verdict:
    if len(storms):
        return _storm(facts, storms)
    if (
        facts.share_pct(facts.refused) >= thresholds.refused_pct
        and facts.count(facts.refused) >= thresholds.at_least
    ):
        share = (
            f"{three_digits(facts.share_pct(facts.refused))} % of the logins to {facts.instance} were refused"
        )
        return _finding(facts, "refused logins", share, f"{share}, {facts.count(facts.refused):,.0f} in all")
    per_connection = facts.queries / facts.attempts if facts.attempts > 0 else np.nan
    if facts.attempts >= thresholds.attempts_per_s and per_connection < thresholds.queries_per_connection:
        headline = f"Clients of {facts.instance} open a new connection for every {three_digits(per_connection)} statements"
        sentence = f"{headline}: {three_digits(facts.attempts)} attempts to connect per second"
        return _finding(facts, "no pool", headline, sentence)
    if (
        facts.share_pct(facts.aborted) >= thresholds.aborted_pct
        and facts.count(facts.aborted) >= thresholds.at_least
    ):
        share = f"{three_digits(facts.share_pct(facts.aborted))} % of the connections to {facts.instance} were not closed properly"
        return _finding(
            facts, "aborted connections", share, f"{share}, {facts.count(facts.aborted):,.0f} in all"
        )
    if reason := _missing(facts, thresholds):
        return _unknown(facts, reason)
    sentence = (
        f"{facts.instance}: no storm of new connections, {three_digits(facts.attempts)} attempts per second on average, "
        f"{three_digits(facts.share_pct(facts.refused))} % refused and {three_digits(facts.share_pct(facts.aborted))} % not closed "
        "properly"
        if facts.attempts > 0
        else f"{facts.instance}: nobody tried to connect"
    )
    return _finding(facts, "ordinary", f"Connections to {facts.instance} are ordinary", sentence, "ok")


def _missing(facts: _Facts, thresholds: Thresholds) -> str:
    """Why the connections cannot be called ordinary; empty if they can."""
    if not facts.coverage >= thresholds.coverage_needed:
        return f"attempts to connect were recorded in {100 * facts.coverage:.0f} % of the window"
    if not facts.has_ordinary:
        return "too few data for an ordinary level of attempts"
    shares = {"refused": facts.refused_coverage, "aborted": facts.aborted_coverage}
    unknown = [name for name, share in shares.items() if not share >= thresholds.coverage_needed]
    if not unknown:
        return ""
    return f"the number of {' and '.join(unknown)} connections was not recorded in enough of the window"


def _finding(
    facts: _Facts, level: str, headline: str, sentence: str, severity: Severity = "watch"
) -> Verdict:
    return Verdict(
        TOPIC,
        facts.instance,
        level,
        severity,
        f"{sentence}. {_observed(facts)}",
        _numbers(facts),
        "the figure of attempts to connect",
        ACTIONS[level],
        headline,
    )


def _unknown(facts: _Facts, reason: str) -> Verdict:
    return Verdict(
        TOPIC,
        facts.instance,
        "unknown",
        "unknown",
        f"{facts.instance}: no storm of new connections was found, but {reason}.",
        _numbers(facts),
        "the figure of attempts to connect",
        ACTIONS["unknown"],
        f"Unknown whether connections to {facts.instance} are ordinary",
    )


def _observed(facts: _Facts) -> str:
    return f"{100 * facts.coverage:.0f} % of the window was observed."


def _numbers(facts: _Facts) -> dict[str, Figure]:
    numbers = {
        "attempts_per_s": facts.attempts,
        "refused_pct": facts.share_pct(facts.refused),
        "aborted_pct": facts.share_pct(facts.aborted),
        "coverage": facts.coverage,
    }
    return {name: None if np.isnan(value) else round(float(value), 4) for name, value in numbers.items()}


def _storm(facts: _Facts, storms: pd.DataFrame) -> Verdict:
    """Judge an instance by its worst storm: one in which handshakes waited (`act`), otherwise the largest."""
    ranked = storms.assign(slow_first=storms["slow"] > 0).sort_values(
        ["slow_first", "extra"], ascending=False
    )
    worst = ranked.iloc[0].to_dict()
    severity: Severity = "act" if worst["slow"] > 0 else "watch"
    count = "a storm" if len(storms) == 1 else f"{len(storms)} storms"
    which = "" if len(storms) == 1 else "the worst "
    length = (worst["end"] - worst["start"]).total_seconds()
    sentence = (
        f"{facts.instance}: {count} of new connections, {which}from {moment(worst['start'])} for "
        f"{duration(length)}: {_compared(worst)}, and {worst['extra']:,.0f} attempts beyond the ordinary ones. "
        f"{_cause(worst)} {_waited(worst['slow'])} {_observed(facts)}"
    )
    numbers = {"storms": len(storms), "peak_per_s": round(worst["peak_per_s"], 3)}
    numbers |= {"ordinary_per_s": round(worst["ordinary_per_s"], 3), "extra": round(worst["extra"])}
    return Verdict(
        TOPIC,
        facts.instance,
        "storm",
        severity,
        sentence,
        numbers | _numbers(facts),
        "the figure of attempts to connect, and the table of storms with their causes",
        ACTIONS[worst["cause"]],
        f"A storm of new connections hit {facts.instance}: {_compared(worst)}",
    )


def _compared(storm: Mapping[Hashable, Any]) -> str:
    return f"{three_digits(storm['peak_per_s'])} attempts per second against {three_digits(storm['ordinary_per_s'])} ordinarily"


def _cause(storm: Mapping[Hashable, Any]) -> str:
    """State the storm's cause, or the client whose load rose most."""
    who = (
        f" The load of {storm['client']} rose most, by {three_digits(storm['client_sessions'])} sessions."
        if storm["client"]
        else ""
    )
    if storm["cause"] in {"failover", "restart"}:
        ahead = (storm["start"] - storm["cause_at"]).total_seconds()
        when = f"{duration(ahead)} before it" if ahead > 0 else "in it"
        return f"A {storm['cause']} at {moment(storm['cause_at'])}, {when}, probably caused it.{who}"
    if storm["cause"] == "refused logins":
        return f"{100 * storm['refused_share']:.0f} % of its attempts were refused.{who}"
    if storm["cause"] == "schedule":
        return f"Storms begin at about this time on several days, as a schedule would make them.{who}"
    return f"No failover, restart, refused login or schedule explains it.{who}"


def _waited(slow: float) -> str:
    if np.isnan(slow):
        return "Whether handshakes waited was not recorded."
    return (
        f"{slow:,.0f} connections waited 2 s or longer for their handshake."
        if slow
        else "No handshake waited 2 s or longer."
    )


def idle_verdicts(
    idle: pd.DataFrame, words: Words | None = None, thresholds: Thresholds = Thresholds()
) -> list[Verdict]:
    """Judge each user's idle transactions in live samples.

    Parameters
    ----------
    idle : DataFrame
        The result of `idle_transactions`.
    words : Words, optional
        The engine's words for cleanup. Default: those of MySQL.
    thresholds : Thresholds
        How long a transaction may be idle.

    Returns
    -------
    list of Verdict
        One `watch` per user with a transaction that was open and idle for `idle_s` or longer, the longest first.
    """
    long = idle[idle["idle_s"] >= thresholds.idle_s]
    words = words or engines.words(engines.DEFAULT)
    return [_idle(str(user), rows, words) for user, rows in long.groupby("user", sort=False)]


def _idle(user: str, rows: pd.DataFrame, words: Words) -> Verdict:
    longest = rows.iloc[0]
    holds = bool(rows["has_read_view"].fillna(False).astype(bool).any())
    view = (
        f"At least one held a {words.view}, which blocks {words.cleanup}: see undo_log."
        if holds
        else f"None was seen with a {words.view}."
    )
    many = "One idle transaction" if len(rows) == 1 else f"{len(rows)} idle transactions"
    return Verdict(
        TOPIC,
        user,
        "idle transaction",
        "watch",
        f"{many} of {user}, the longest on {longest['instance']} (thread {longest['thread_id']}) open for at least "
        f"{duration(longest['idle_s'])} without a running statement. {view}",
        {"transactions": len(rows), "longest_s": round(float(longest["idle_s"]), 1)},
        "live samples of open transactions",
        ACTIONS["idle transaction"],
        f"{user} left a transaction idle for {duration(longest['idle_s'])}",
    )


def kill_verdicts(kills: pd.DataFrame) -> list[Verdict]:
    """Report the queries that Aurora ended so as not to run out of memory.

    Parameters
    ----------
    kills : DataFrame
        The result of `kills`.

    Returns
    -------
    list of Verdict
        One `watch` per instance.
    """
    return [_killed(str(name), rows) for name, rows in kills.groupby("instance")]


def _killed(instance: str, rows: pd.DataFrame) -> Verdict:
    count, last = int(rows["queries"].sum()), rows["time"].max()
    many = "one query" if count == 1 else f"{count:,} queries"
    return Verdict(
        TOPIC,
        instance,
        "queries killed",
        "watch",
        f"Aurora ended at least {many} on {instance} so as not to run out of memory, last at {moment(last)}. A killed "
        "query's read view ended then, and the slow log may lack it: its exposure ended early.",
        {"queries": count},
        "CloudWatch's AuroraMemoryNumKillQueryTotal",
        ACTIONS["queries killed"],
        f"Aurora killed {many} on {instance} to free memory",
    )
