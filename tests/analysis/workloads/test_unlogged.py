"""Sessions that only live samples show, and statements that were ended early, are exposure."""

from __future__ import annotations

import pandas as pd
import pytest

from aurora_analysis import Window, engines
from aurora_analysis.analysis import workloads
from aurora_analysis.analysis.workloads import exposure
from aurora_analysis.analysis.workloads.rules import EXPOSURE_COLUMNS
from aurora_analysis.analysis.workloads.unlogged import Unlogged, unlogged, with_tried
from aurora_analysis.engines.log_tables import Layout

READER, HOUR = "ledger-reader-1", Window("2026-11-09T10:00", "2026-11-09T11:00")
SLOW_LOG = engines.module("postgresql", "slow_log")
NO_RUN = Unlogged().runs


def at(minute: float) -> pd.Timestamp:
    return (pd.Timestamp(HOUR.start) + pd.Timedelta(minutes=minute)).as_unit("us")


def minutes(spans: pd.DataFrame) -> list[tuple[str, float, float]]:
    """Workload, start and end of each span in minutes, rounded to hundredths."""
    edges = [((spans[edge] - at(0)).dt.total_seconds() / 60).round(2) for edge in ("start", "end")]
    return list(zip(spans["workload"], *edges))


def runs(*rows: tuple[str, int, float, float]) -> pd.DataFrame:
    """Runs on the reader: workload, process, start and end in minutes."""
    frame = pd.DataFrame(rows, columns=["workload", "thread_id", "start", "end"])
    frame = frame.assign(start=frame["start"].map(at), end=frame["end"].map(at))
    return frame.assign(instance=READER, digest="d").astype({"thread_id": "Int64"})[EXPOSURE_COLUMNS]


def logged_events(*messages: str, pid: int = 41, user: str = "etl") -> pd.DataFrame:
    """Events of a reader's log at 10:30, as `ingest` reads them from its text."""
    start = f"2026-11-09 10:30:00 UTC:10.0.0.1(33444):{user}@shop:[{pid}]:"
    text = "".join(f"{start}{one}\n" for one in messages)
    if not text:
        return pd.DataFrame(columns=["time", "instance", "message"])
    tables = SLOW_LOG.read_slow_log([text.encode()], Layout(instance=READER))
    return pd.concat([one.events for one in tables])


CONFLICT = (
    "ERROR:  canceling statement due to conflict with recovery",
    "DETAIL:  User query might have needed to see row versions that must be removed.",
    "STATEMENT:  SELECT count(*) FROM facts",
)
SESSION_ENDED = (
    "FATAL:  terminating connection due to conflict with recovery",
    "DETAIL:  User was holding a relation lock for too long.",
)
TIMEOUT = ("ERROR:  canceling statement due to statement timeout", "STATEMENT:  SELECT 1")
IDLE_TIMEOUT = ("FATAL:  terminating connection due to idle-in-transaction timeout",)
BY_HAND = ("ERROR:  canceling statement due to user request",)


@pytest.mark.parametrize("messages", [CONFLICT, SESSION_ENDED, TIMEOUT, IDLE_TIMEOUT, BY_HAND])
def test_what_was_ended_early_is_exposure_until_its_end(messages):
    """A live sample half a minute earlier gives the start: the log has no duration of such a statement."""
    sampled = runs(("etl", 41, 10, 29.5))
    found = unlogged(NO_RUN, sampled, logged_events(*messages))
    assert minutes(found.runs) == [("etl", 10, 30)]
    assert found.unknown.empty
    assert found.ended["is_conflict"].tolist() == ["conflict" in messages[0]]


@pytest.mark.parametrize(
    ("logged", "unknown"),
    [
        ([], ("etl", -30, 30)),  # an hour
        ([("etl", 7, 0, 12)], ("etl", 18, 30)),  # its longest run
        ([("etl", 7, 0, 12), ("etl", 41, 24, 25)], ("etl", 25, 30)),  # after the connection's last statement
    ],
)
def test_without_a_sample_the_minutes_before_the_end_are_unknown(logged, unknown):
    """They count neither as exposed nor as free of the workload; the last second is exposure."""
    before = runs(*logged) if logged else NO_RUN
    found = unlogged(before, NO_RUN, logged_events(*CONFLICT))
    assert minutes(found.unknown) == [unknown]
    assert minutes(found.runs) == [("etl", 29.98, 30)]


def test_an_old_sample_of_the_process_is_another_transaction():
    """Its last sample is five minutes older than the end."""
    found = unlogged(NO_RUN, runs(("etl", 41, 10, 25)), logged_events(*CONFLICT))
    assert minutes(found.unknown) == [("etl", 25, 30)]
    assert sorted(minutes(found.runs)) == [("etl", 10, 25), ("etl", 29.98, 30)]


@pytest.mark.parametrize(("messages", "unknown"), [(TIMEOUT, 1), (BY_HAND, 60), (IDLE_TIMEOUT, 60)])
def test_a_statements_own_time_limit_is_short(messages, unknown):
    """Otherwise an application with a limit of 2 s would be unknown all day."""
    found = unlogged(NO_RUN, NO_RUN, logged_events(*messages))
    assert minutes(found.unknown) == [("etl", 30 - unknown, 30)]


@pytest.mark.parametrize(
    ("statements", "kept"),
    [
        ([(10, 19.9)], []),
        ([(10, 14), (15, 19)], []),
        ([(10, 11)], [("etl", 10, 20)]),
        ([(0, 9)], [("etl", 10, 20)]),
    ],
    ids=["one statement", "two statements", "a short one in a long transaction", "an earlier one"],
)
def test_a_transaction_is_kept_unless_logged_statements_fill_it(statements, kept):
    """A cursor that is open for ten minutes is ten minutes of exposure although one fetch was logged."""
    logged = runs(*(("etl", 41, *each) for each in statements))
    found = unlogged(logged, runs(("etl", 41, 10, 20)), logged_events())
    assert minutes(found.runs) == kept


@pytest.mark.parametrize(
    "message", ["LOG:  recovery still waiting after 1000.108 ms: recovery conflict on lock", "ERROR:  deadlock detected",
    "ERROR:  canceling autovacuum task"],
)  # fmt: skip
def test_other_events_are_no_exposure(message):
    """Replay that waits, a deadlock and a cancelled vacuum end no statement of a reader early."""
    events = logged_events(message)
    assert len(events) == 1
    found = unlogged(NO_RUN, NO_RUN, events)
    assert found.runs.empty and found.ended.empty and found.unknown.empty


def tables(**rows: pd.DataFrame) -> exposure.Tables:
    """An hour of a reader whose log is complete."""
    spans = {"time": at(0), "end": at(60), "expected": 1.0, "received": 1.0, "lost": 0.0}
    coverage = pd.DataFrame(
        [
            {**spans, "instance": READER, "source": "log", "table": "slow_queries", "unit": "bytes"},
            {**spans, "instance": None, "source": "live", "table": "metrics", "unit": "samples", "end": at(20)},
        ]
    )  # fmt: skip
    settings = dict.fromkeys(("slow_query_log", "log_slow_rate_limit", "log_output", "custom_endpoints"))
    instances = pd.DataFrame([{"time": at(0), "instance": READER, "role": "reader", "engine": "postgresql", "engine_version": "15"} | settings])  # fmt: skip
    columns = dict.fromkeys(workloads.COLUMNS, pd.Series(dtype=object))
    slow = pd.DataFrame(columns).astype(
        {"started_at": "datetime64[us, UTC]", "ended_at": "datetime64[us, UTC]"}
    )
    load = pd.DataFrame(columns=["time", "period_s", "instance", "dimension", "member", "active_sessions"])
    return exposure.Tables(slow, load, coverage, instances.astype({"log_output": "str"}), HOUR, **rows)


def sampled(user: str, pid: int, first: int, last: int, has_view: bool = True) -> pd.DataFrame:
    """A transaction in samples of each minute."""
    times = pd.DatetimeIndex([at(minute) for minute in range(first, last + 1)])
    state = {"isolation_level": None, "rows_modified": None, "digest": None, "has_read_view": has_view}
    who = {"instance": READER, "role": "reader", "thread_id": pid, "user": user, "started_at": at(first)}
    return pd.DataFrame({"time": times}).assign(**who, **state)


def test_a_session_that_only_samples_show_is_unknown_where_none_were_taken():
    """A complete log does not show that an idle snapshot was absent; the samples end at 10:20."""
    found = exposure.exposure(tables(open_transactions=sampled("airflow", 9, 5, 10)))
    assert minutes(found.runs) == [("airflow", 5, 10)]
    assert minutes(found.unknown) == [("airflow", 20, 60)]
    assert found.unlogged.only_live == ("airflow",)


def test_a_run_of_log_and_samples_is_one_run():
    """Rows of one connection that overlap are joined; those of another connection, and later ones, stay."""
    both = runs(("etl", 7, 1, 5), ("etl", 7, 3, 6), ("etl", 7, 6, 8), ("etl", 9, 2, 4))
    assert sorted(minutes(workloads.distinct(both))) == [("etl", 1, 6), ("etl", 2, 4), ("etl", 6, 8)]
    assert workloads.distinct(both[:0]).empty


def test_an_early_end_makes_no_other_minute_unknown():
    """The log is complete, so minutes without an event are free of the workload."""
    found = exposure.exposure(tables(events=logged_events(*CONFLICT)))
    assert minutes(found.unknown) == [("etl", -30, 30)]
    assert minutes(found.runs) == [("etl", 29.98, 30)]


def test_a_workload_that_only_its_trial_shows_has_the_trials_runs():
    """`bi` was sampled on a reader without a snapshot, `backup` on the writer, and `etl` is in the log."""
    trials = pd.DataFrame(
        [(name, True, at(1), at(2)) for name in ("bi", "backup", "etl")] + [("bi", False, pd.NaT, pd.NaT)],
        columns=["workload", "assigned", "started_at", "ended_at"],
    )
    places = pd.concat(
        [sampled("bi", 5, 1, 2, has_view=False), sampled("backup", 6, 1, 2).assign(role="writer")]
    )
    observed = tables(open_transactions=places)
    found = with_tried(runs(("etl", 7, 1, 2)), trials, observed)
    assert minutes(found) == [("etl", 1, 2), ("bi", 1, 2)]
    assert found["instance"].tolist() == [READER, READER]
