"""Verdicts on connections: the cause of a storm, the first action, and never `ok` without data."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from connection_cases import MINUTES, NO_EVENTS, NO_LOAD, WEEK, attempts, metrics

from aurora_analysis import engines
from aurora_analysis.analysis import connections
from aurora_analysis.analysis.verdict import Verdict, local

KNOWN = {"login_failures": 0.0, "aborted_clients": 0.0, "slow_connections": 0.0, "query_throughput": 500.0}
AT_TEN = {"2026-11-12 10:00": 20.0}


def judged(
    rows: pd.DataFrame,
    known: Mapping[str, float | np.ndarray] = KNOWN,
    events: pd.DataFrame = NO_EVENTS,
    load: pd.DataFrame = NO_LOAD,
) -> Verdict:
    """Return the verdict on the one instance."""
    values = metrics(rows, **known)
    ordinary = connections.with_ordinary(rows)
    storms = connections.with_causes(connections.storms(ordinary), values, events)
    [verdict] = connections.verdicts(ordinary, connections.with_clients(storms, load), values, WEEK)
    return verdict


def test_times_are_on_the_readers_clock():
    """A storm at 10:00 UTC began at 15:30 in Kolkata, and its cause two minutes before."""
    rows = attempts(storm=AT_TEN)
    values, ordinary = metrics(rows, **KNOWN), connections.with_ordinary(rows)
    storms = connections.with_causes(
        connections.storms(ordinary), values, event("2026-11-12 09:58", "failover")
    )
    found = local(connections.with_clients(storms, NO_LOAD), "Asia/Kolkata")
    [verdict] = connections.verdicts(ordinary, found, values, WEEK)
    assert "from 2026-11-12 15:30 Asia/Kolkata for 10 min" in verdict.sentence
    assert "A failover at 2026-11-12 15:28 Asia/Kolkata" in verdict.sentence


def test_a_quiet_week_is_ordinary():
    """The sentence states the attempts and what was observed."""
    verdict = judged(attempts())
    assert (verdict.level, verdict.severity) == ("ordinary", "ok")
    assert "2 attempts per second on average" in verdict.sentence
    assert "100 % of the window was observed" in verdict.sentence


def test_a_storm_without_a_cause_asks_for_the_client():
    """Twenty attempts a second against two, at ten on Thursday."""
    verdict = judged(attempts(storm=AT_TEN))
    assert (verdict.level, verdict.severity) == ("storm", "watch")
    assert (
        verdict.headline == "A storm of new connections hit db-1: 20 attempts per second against 2 ordinarily"
    )
    assert "2026-11-12 10:00 UTC for 10 min" in verdict.sentence
    assert "No failover, restart, refused login or schedule explains it." in verdict.sentence
    assert "No handshake waited" in verdict.sentence
    assert "pool" in verdict.action


def test_handshakes_that_waited_make_a_storm_urgent():
    """Forty minutes' worth of waiting handshakes: clients noticed."""
    slow = np.where(attempts(storm=AT_TEN)["value"] > 10, 0.5, 0.0)
    verdict = judged(attempts(storm=AT_TEN), KNOWN | {"slow_connections": slow})
    assert verdict.severity == "act"
    assert "300 connections waited 2 s or longer" in verdict.sentence


def test_the_storm_with_waiting_handshakes_is_the_worst():
    """The larger storm harmed nobody: sentence and action are those of the other."""
    rows = attempts(storm={"2026-11-12 10:00": 20.0, "2026-11-13 15:00": 90.0})
    slow = np.where(rows["value"] == 20, 0.5, 0.0)
    verdict = judged(rows, KNOWN | {"slow_connections": slow}, event("2026-11-13 14:59", "failover"))
    assert (verdict.severity, verdict.numbers["storms"]) == ("act", 2)
    assert "2 storms of new connections, the worst from 2026-11-12 10:00" in verdict.sentence
    assert "300 connections waited" in verdict.sentence
    assert "failover at" not in verdict.sentence


def test_unknown_handshakes_are_stated():
    """Version 2 does not publish them."""
    known = {name: value for name, value in KNOWN.items() if name != "slow_connections"}
    assert "Whether handshakes waited was not recorded." in judged(attempts(storm=AT_TEN), known).sentence


def event(time: str, category: str) -> pd.DataFrame:
    return pd.DataFrame({"time": pd.to_datetime([time], utc=True).as_unit("us"), "category": [category]})


def test_a_failover_before_a_storm_is_its_cause():
    """The action speaks of reconnecting and of DNS; an event eleven minutes before is too early."""
    verdict = judged(attempts(storm=AT_TEN), events=event("2026-11-12 09:58", "failover"))
    assert "A failover at 2026-11-12 09:58 UTC, 2 min before it, probably caused it." in verdict.sentence
    assert "DNS" in verdict.action
    early = judged(attempts(storm=AT_TEN), events=event("2026-11-12 09:49", "failover"))
    assert "No failover" in early.sentence
    other = judged(attempts(storm=AT_TEN), events=event("2026-11-12 09:58", "notification"))
    assert "No failover" in other.sentence


def test_a_restart_is_seen_by_the_uptime():
    """The uptime falls at 09:59."""
    uptime = np.arange(len(MINUTES)) * 60.0
    at = MINUTES.get_loc(pd.Timestamp("2026-11-12 09:59Z"))
    uptime[at:] -= uptime[at]
    verdict = judged(attempts(storm=AT_TEN), KNOWN | {"uptime": uptime})
    assert "A restart at 2026-11-12 09:59 UTC, 60 s before it, probably caused it." in verdict.sentence


def test_refused_logins_explain_a_storm():
    """A client with a wrong password tries again and again."""
    refused = np.where(attempts(storm=AT_TEN)["value"] > 10, 18.0, 0.0)
    verdict = judged(attempts(storm=AT_TEN), KNOWN | {"login_failures": refused})
    assert "90 % of its attempts were refused" in verdict.sentence
    assert "Access denied" in verdict.action


def test_storms_at_one_time_of_day_are_a_schedule():
    """Ten minutes at ten on three of seven days: the hour's median is not moved."""
    storms = {f"2026-11-{day} 10:0{day % 3}": 20.0 for day in (10, 12, 14)}
    verdict = judged(attempts(storm=storms))
    assert "as a schedule would make them" in verdict.sentence
    assert "3 storms" in verdict.sentence
    assert "Spread" in verdict.action


def test_the_client_whose_load_rose_is_named():
    """The host's sessions rise with the storm; the rest that is not listed is nobody."""
    hosts = pd.DataFrame({"time": MINUTES[::5], "instance": "db-1"})
    inside = (hosts["time"] >= pd.Timestamp("2026-11-12 10:00Z")) & (
        hosts["time"] < pd.Timestamp("2026-11-12 10:10Z")
    )
    load = pd.concat(
        [
            hosts.assign(member="10.0.0.9", active_sessions=np.where(inside, 4.0, 0.5)),
            hosts.assign(member="10.0.0.1", active_sessions=6.0),
            hosts.assign(member="(other)", active_sessions=np.where(inside, 9.0, 0.0)),
        ]
    )
    assert (
        "The load of 10.0.0.9 rose most, by 3.5 sessions."
        in judged(attempts(storm=AT_TEN), load=load).sentence
    )


@pytest.mark.parametrize(
    ("known", "level", "sentence"),
    [
        ({"login_failures": 0.1}, "refused logins", "5 % of the logins to db-1 were refused, 60,480 in all"),
        ({"query_throughput": 4.0}, "no pool", "open a new connection for every 2 statements"),
        (
            {"aborted_clients": 0.2},
            "aborted connections",
            "10 % of the connections to db-1 were not closed properly",
        ),
    ],
)
def test_other_faults_of_clients(known, level, sentence):
    """Each has its own level, sentence and action."""
    verdict = judged(attempts(), KNOWN | known)
    assert (verdict.level, verdict.severity) == (level, "watch")
    assert sentence in verdict.sentence


@pytest.mark.parametrize("missing", ["login_failures", "aborted_clients"])
def test_an_unknown_count_is_never_ok(missing):
    """Attempts alone do not show that logins succeed."""
    verdict = judged(attempts(), {name: value for name, value in KNOWN.items() if name != missing})
    assert verdict.severity == "unknown"
    assert "not recorded" in verdict.sentence


def test_a_window_that_was_hardly_observed_is_unknown_but_its_storm_counts():
    """Two days of seven: a storm in them is one, and its absence proves nothing."""
    rows = attempts(storm={"2026-11-10 10:00": 20.0})
    part = rows[rows["time"] < pd.Timestamp("2026-11-11", tz="UTC")]
    quiet = attempts()[lambda frame: frame["time"] < pd.Timestamp("2026-11-11", tz="UTC")]
    assert judged(part).level == "storm"
    assert judged(quiet).severity == "unknown"
    assert "29 % of the window" in judged(quiet).sentence


def test_no_attempts_are_unknown():
    """One verdict says what to fetch."""
    none = attempts()[:0]
    [verdict] = connections.verdicts(connections.with_ordinary(none), NO_EVENTS, metrics(none), WEEK)
    assert verdict.severity == "unknown"
    assert "ConnectionAttempts" in verdict.action


@pytest.mark.parametrize("counts", [[0, 0, 0, 2, 3, 3], [0, 0, 0, 2, 0, 1]])
def test_killed_queries_are_counted_by_rises(counts):
    """A total rises by three; a count of each minute rises by two and by one."""
    rows = attempts()[:6]
    [verdict] = connections.kill_verdicts(
        connections.kills(metrics(rows, queries_killed=np.array(counts, float)))
    )
    assert "at least 3 queries on db-1" in verdict.sentence
    assert "exposure ended early" in verdict.sentence


def test_no_kill_is_no_verdict():
    """A total that stands still, or falls by a restart, is no kill."""
    rows = attempts()[:4]
    assert connections.kills(metrics(rows, queries_killed=np.array([5.0, 5, 0, 0]))).empty


def test_postgresql_has_no_count_of_attempts_to_fetch():
    """CloudWatch publishes none for that engine, so the action is about the log."""
    [verdict] = connections.verdicts(
        attempts()[:0],
        attempts()[:0],
        metrics(attempts())[:0],
        WEEK,
        words=engines.words("aurora-postgresql"),
    )
    assert (verdict.level, verdict.severity) == ("unknown", "unknown")
    assert "ConnectionAttempts" not in verdict.action and "log_connections" in verdict.action
