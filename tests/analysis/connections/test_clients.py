"""What each client does with its connections, by its logged statements and by live samples."""

from __future__ import annotations

import pandas as pd

from aurora_analysis import Store, Window, observe
from aurora_analysis.analysis import connections

START = pd.Timestamp("2026-11-09 10:00Z").as_unit("us")


def runs(user: str, threads: list[int], minutes: list[float], length: str = "10s") -> pd.DataFrame:
    """One logged statement per thread and start [min]."""
    started = START + pd.to_timedelta(minutes, unit="min").as_unit("us")
    frame = {"started_at": started, "ended_at": started + pd.Timedelta(length), "thread_id": threads}
    return pd.DataFrame(frame).assign(user=user, instance="db-1")


def habit(rows: pd.DataFrame) -> str:
    [found] = connections.habits(connections.uses(rows)).to_dict("records")
    return str(found["habit"])


def test_a_connection_that_lives_for_hours_is_kept():
    """Two threads, each with statements two hours apart."""
    assert habit(runs("app", [1, 1, 2, 2], [0, 120, 1, 130])) == "keeps connections"


def test_a_connection_for_each_run_is_not_pooled():
    """Twelve threads with one statement each; a long statement does not make a connection old."""
    twelve = list(range(12))
    assert habit(runs("etl", twelve, [10.0 * n for n in twelve], length="90min")) == "one connection per run"


def test_few_connections_are_unclear():
    """Three statements say nothing about a habit."""
    assert habit(runs("etl", [1, 2, 3], [0, 10, 20])) == "unclear"


def test_days_are_summed():
    """A connection that is used on two days is one connection."""
    first, second = runs("app", [1], [0]), runs("app", [1], [1440])
    both = pd.concat([connections.uses(first), connections.uses(second)])
    [found] = connections.habits(both).to_dict("records")
    assert (found["connections"], found["statements"], found["longest_open_h"].__round__()) == (1, 2, 24)
    assert found["habit"] == "keeps connections"


def sample(minute: int, command: str, *, view: bool = True) -> dict[str, object]:
    row = {
        "time": START + pd.Timedelta(minutes=minute),
        "command": command,
        "started_at": START,
        "thread_id": 7,
    }
    return row | {"user": "cron", "host": "h", "client": "", "instance": "db-1", "has_read_view": view}


def test_an_idle_transaction_has_its_age_and_its_view():
    """Idle for 25 minutes at the last sample; a running one is not idle."""
    idle = connections.idle_transactions(
        pd.DataFrame([sample(5, "Sleep"), sample(25, "Sleep"), sample(30, "Query")])
    )
    assert idle["idle_s"].tolist() == [1500.0]
    [verdict] = connections.idle_verdicts(idle)
    assert verdict.headline == "cron left a transaction idle for 25 min"
    assert "blocks purge" in verdict.sentence


def test_a_short_pause_is_no_finding():
    """Less than ten minutes."""
    assert connections.idle_verdicts(connections.idle_transactions(pd.DataFrame([sample(9, "Sleep")]))) == []


def test_the_sample_has_habits_and_no_attempts():
    """`shop` was recorded without these metrics: unknown, not ok; snowflake opens a connection for each run."""
    found = connections.answer(observe(Store(), Window("2026-11-09", "2026-11-16"), "shop"))
    assert [verdict.severity for verdict in found.verdicts if verdict.subject == "all instances"] == [
        "unknown"
    ]
    habits = found.habits.set_index(["user", "instance"])["habit"]
    assert habits["snowflake", "shop-3"] == "one connection per run"
    assert habits["app", "shop-1"] == "keeps connections"


def test_an_empty_window_is_unknown():
    """Nothing was recorded in September."""
    found = connections.answer(observe(Store(), Window("2026-09-07", "2026-09-14"), "shop"))
    assert {verdict.severity for verdict in found.verdicts} == {"unknown"}
    assert found.habits.empty
    assert found.storms.empty
