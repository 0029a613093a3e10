"""The effect of a reader on a PostgreSQL writer, by statement, on nine simulated days with known effects."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from postgresql_days import OTHER, QUEUE, Simulated, simulated
from postgresql_window import READER

from aurora_analysis import config
from aurora_analysis.analysis import limits, reader_impact
from aurora_analysis.analysis.limits import dose
from aurora_analysis.analysis.reader_impact import outcomes
from aurora_analysis.store.observations import Observations

TEXTS = pd.DataFrame({"digest": [QUEUE, OTHER], "fingerprint": ["delete from queue", "update counter"]})
QUEUE_LATENCY, OTHER_LATENCY = f"latency_of_{QUEUE[:8]}", f"latency_of_{OTHER[:8]}"


@pytest.fixture(scope="module")
def days() -> Simulated:
    return simulated(seed=4, effect=0.2)


def ways(days: Simulated) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The runs of etl: a third logged, a third cursors that only live samples show, a third cancelled by replay."""
    logged = days.tables["slow_queries"]
    etl = logged[logged["user"] == "etl"].reset_index(drop=True)
    return etl.iloc[::3], etl.iloc[1::3], etl.iloc[2::3]


def observed(days: Simulated) -> Observations:
    """The days as a cluster would have them: the log has the duration of every third run of etl only."""
    logged, cursors, cancelled = ways(days)
    slow_queries = days.tables["slow_queries"]
    message = "canceling statement due to conflict with recovery, process {}, user etl, database shop, statement abc"
    tables = {
        "slow_queries": pd.concat([slow_queries[slow_queries["user"] != "etl"], logged], ignore_index=True),
        "open_transactions": pd.concat(map(_sampled, pd.concat([cursors, cancelled]).itertuples()), ignore_index=True),
        "events": pd.DataFrame(
            {
                "time": cancelled["ended_at"],
                "instance": READER,
                "category": "recovery conflict",
                "message": [message.format(100 + n) for n in cancelled.index],
            }
        ),
    }  # fmt: skip
    return Simulated({**days.tables, **tables}, *(0.0,) * 3, days.rows_per_s).observed()


def _sampled(run) -> pd.DataFrame:
    """A transaction in samples of each minute."""
    times = pd.date_range(run.started_at, run.ended_at, freq="min", unit="us")
    who = {"instance": READER, "user": "etl", "database": "shop", "thread_id": 100 + run.Index}
    state = {"has_read_view": True, "rows_modified": pd.NA, "isolation_level": None, "digest": None}
    return pd.DataFrame({"time": times}).assign(started_at=run.started_at, **who, **state)


@pytest.fixture(scope="module")
def answer(days) -> reader_impact.Answer:
    options = reader_impact.Options(placebos=0, lookback_days=9)
    return reader_impact.answer(observed(days), config.Groups(), options)


def test_the_printed_levels_are_the_truth(answer):
    """etl slows the queue's delete by about 20 %; bi, which ran as often, slows nothing."""
    levels = {one.subject: (one.level, one.severity, one.numbers["metric"]) for one in answer.verdicts}
    assert levels == {
        "etl": ("slows", "act", QUEUE_LATENCY),
        "bi": ("no material effect", "ok", "commit_latency"),
    }
    [guilty] = [one for one in answer.verdicts if one.subject == "etl"]
    assert f"statement {QUEUE[:8]}" in guilty.headline
    assert "Its snapshots were the oldest during" in guilty.evidence
    share = float(answer.growth.set_index("workload")["idle_share"]["etl"])
    assert 0.1 < share < 0.9
    assert f"In {100 * share:.0f} % of the time that it held snapshots it ran no statement:" in guilty.action
    assert "commit before it goes idle" in guilty.action and "Split its long statements" in guilty.action


def test_runs_without_a_logged_duration_are_exposure(answer, days):
    """Runs that only samples show, or that replay cancelled, count until their end; the page says how many were cancelled."""
    logged, cursors, cancelled = ways(days)
    runs = answer.exposure.runs[answer.exposure.runs["workload"] == "etl"]
    assert len(runs) == len(logged) + len(cursors) + len(cancelled) > 2 * len(logged)
    assert {*cancelled["ended_at"]} < {*runs["end"]}
    evidence = next(one.evidence for one in answer.verdicts if one.subject == "etl")
    assert f"{len(cancelled)} of its statements or sessions were ended by a recovery conflict" in evidence


def test_every_other_latency_is_left_alone(answer):
    """The writer's other statement and its commits are slowed by nobody, and the delete is not slowed by bi."""
    level = answer.estimates.set_index(["workload", "metric"])["level"]
    assert level.drop(("etl", QUEUE_LATENCY)).to_dict() == dict.fromkeys(
        level.drop(("etl", QUEUE_LATENCY)).index, "no material effect"
    )
    assert len(level) == 6


def test_the_interval_contains_the_truth(answer, days):
    """The true effect, the mean of the log over the minutes with etl, lies in the printed interval."""
    row = answer.estimates.set_index(["workload", "metric"]).loc[("etl", QUEUE_LATENCY)]
    assert row["ci_low_pct"] < 100 * np.expm1(days.log_effect) < row["ci_high_pct"]


def test_buffers_and_time_stand_side_by_side(answer):
    """Buffers have the sharper interval relative to their effect; time alone has a level."""
    table = answer.buffers_and_time(TEXTS).set_index(["workload", "statement", "of"])
    buffers, time = (table.loc[("etl", "delete from queue", of)] for of in ("buffers", "time"))
    width = [
        np.log1p(one["ci_high_pct"] / 100) - np.log1p(one["ci_low_pct"] / 100) for one in (buffers, time)
    ]
    size = [np.log1p(one["effect_pct"] / 100) for one in (buffers, time)]
    assert width[0] / size[0] < 0.5 * width[1] / size[1]
    assert (buffers["level"], time["level"]) == ("", "slows")
    assert table.loc[("bi", "delete from queue", "buffers"), "ci_high_pct"] < 5


def test_no_mediator_is_a_regressor_or_an_outcome(answer, days):
    """Ages, dead rows and buffers are in no design of the verdicts; the age only shows how fast cleanup drains."""
    assert set(answer.design.logs) == {"commit_latency", QUEUE_LATENCY, OTHER_LATENCY}
    assert set(outcomes.writer_metrics(days.observed())) == {
        "commit_latency",
        QUEUE_LATENCY,
        OTHER_LATENCY,
        reader_impact.LOAD,
        reader_impact.HISTORY,
    }


def test_the_longest_hold_follows_from_the_dose(days):
    """Dead rows, buffers and time give the limit: the true time to +10 % lies in the interval of every hour."""
    found = limits.answer(days.observed(), config.Groups(), limits.Options(lookback_days=9))
    [guilty] = [one for one in found.verdicts if one.level == "limited"]
    assert guilty.subject == f"reader queries and calls of statement {QUEUE[:8]}"
    assert "statement_timeout" in guilty.action
    [harmless] = [one for one in found.verdicts if one is not guilty]
    assert (harmless.level, harmless.severity) == ("no limit found", "ok")
    ten = found.holds[(found.holds["slowdown_pct"] == 10) & (found.holds["weekday"] == 1)]
    true = np.array([_minutes_to(days, 0.1, 1440 + 60 * hour) for hour in ten["hour"]])
    assert ((ten["low_minutes"] <= true) & (true <= ten["high_minutes"])).mean() >= 0.9
    review = limits.review(found, limits.Request(minutes=60.0))
    assert review.level == "over the objective"
    assert "dead rows" in review.sentences[0]
    assert [one.name for one in review.alternatives][-1] == "a clone"
    assert "READ COMMITTED" not in [one.name for one in review.alternatives]


def _minutes_to(days: Simulated, slowdown: float, start: int) -> float:
    """Minutes from a minute of the span on until the queue's delete is slower by this share."""
    rows = np.cumsum(60 * days.rows_per_s[start : start + 600])
    return float(np.interp(slowdown / days.per_row, rows, np.arange(1, len(rows) + 1)))


@pytest.mark.parametrize(
    ("table", "column", "missing"),
    [
        ("relations", "rows_changed", "no count of changed rows"),
        ("statement_metrics", "buffers_per_call", "no buffers per call"),
    ],
)
def test_a_limit_without_one_factor_is_refused(days, table, column, missing):
    """One line names what is missing; no limit and no ok."""
    rows = days.tables[table].assign(**{column: np.nan})
    lacking = Simulated({**days.tables, table: rows}, *(0.0,) * 3, days.rows_per_s)
    found = limits.answer(lacking.observed(), config.Groups(), limits.Options(lookback_days=9))
    assert [one.severity for one in found.verdicts] == ["unknown"]
    assert missing in found.verdicts[0].sentence
    assert dose.SETTLED_BY[1:] in found.verdicts[0].action
    assert "Nothing can be predicted" in limits.review(found, limits.Request(60.0)).sentences[0]
