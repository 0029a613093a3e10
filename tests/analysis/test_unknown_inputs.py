"""An unknown input never leads to `ok`: not an empty one, not one of missing values, not one that covers next to nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from aurora_analysis.analysis import (
    connections,
    db_load,
    experiment,
    latency,
    reader_impact,
    undo_log,
    workload_change,
)
from aurora_analysis.analysis.experiment.estimate import EFFECT_COLUMNS
from aurora_analysis.analysis.reader_impact.estimate import POOLED
from aurora_analysis.analysis.verdict import Verdict
from aurora_analysis.analysis.workload_change import objectives
from aurora_analysis.window import Window

WEEK = Window("2026-11-09", "2026-11-16")
HOURS = pd.date_range(WEEK.start, WEEK.end, freq="h", inclusive="left", unit="us")

Frame = pd.DataFrame | pd.Series
Damage = Callable[[Frame], Frame]


def untouched(data: Frame) -> Frame:
    return data


def empty(data: Frame) -> Frame:
    return data.iloc[:0]


def missing(data: Frame) -> Frame:
    """The same rows, with NaN for each number."""
    if isinstance(data, pd.Series):
        return data * np.nan
    numbers = data.select_dtypes("number").columns
    return data.assign(**dict.fromkeys(numbers, np.nan))


def barely_covered(data: Frame) -> Frame:
    """The first two rows of a week."""
    return data.iloc[:2]


DAMAGES = [empty, missing, barely_covered]


def judge_undo_log(damage: Damage, _: str) -> list[Verdict]:
    history = damage(pd.Series(500.0, index=HOURS))
    episodes = undo_log.growth_episodes(history)
    spans = pd.DataFrame(
        columns=["workload", "instance", "digest", "thread_id", "state", "start", "end", "since"]
        + ["growth", "peak_length", "held_s"]
    )
    return undo_log.verdicts(WEEK, history, episodes, spans)


NO_EFFECT = pd.DataFrame([("etl", "commit_latency", 1.0, -2.0, 3.0, 0.5, 12, 12)], columns=EFFECT_COLUMNS)
GROWTH = pd.DataFrame(
    [("etl", 20.0, 100.0, 50.0, 5.0, 1.0, 9.0, 1.0, 0.0)], columns=reader_impact.GROWTH_COLUMNS
)


def judge_trial(damage: Damage, _: str) -> list[Verdict]:
    growth = pd.DataFrame([("etl", *[1.0] * 6)], columns=experiment.GROWTH_COLUMNS)
    effects = missing(NO_EFFECT) if damage is barely_covered else damage(NO_EFFECT)
    return experiment.verdicts(effects, growth, pd.Series({"etl": None}))


def judge_reader_impact(damage: Damage, which: str) -> list[Verdict]:
    days = NO_EFFECT.assign(
        p_adjusted=0.5,
        level="no material effect",
        sentence="No effect.",
        action="",
        hidden_cause="",
        basis="typical",
        incomplete="",
        **dict.fromkeys(POOLED, 0.01),
    )
    trial = NO_EFFECT[:0]
    if which == "trial":
        trial, days = NO_EFFECT, days[:0]
    coverage = 1.0
    if damage is barely_covered:
        coverage = 0.01
    elif which == "trial":
        trial = damage(trial)
    elif which == "days":
        days = damage(days)
    elif damage is not untouched:
        coverage = np.nan
    return reader_impact.verdicts(reader_impact.Evidence(trial, days, GROWTH, coverage, WEEK))


def weekly_load(sessions: dict[str, float]) -> pd.DataFrame:
    rows = [
        pd.DataFrame({"time": HOURS, "member": name, "active_sessions": n}) for name, n in sessions.items()
    ]
    return pd.concat(rows, ignore_index=True).assign(period_s=3600.0, instance="db-1", dimension="wait_event")


INSTANCES = pd.DataFrame({"time": HOURS[:1], "instance": "db-1", "role": "reader", "vcpus": 8.0})
NO_METRICS = pd.DataFrame({"instance": [], "name": [], "statistic": [], "value": []})


def judge_db_load(damage: Damage, which: str) -> list[Verdict]:
    rows, instances = weekly_load({"cpu": 1.0}), INSTANCES
    if which == "db_load":
        rows = damage(rows)
    elif damage is not untouched:
        instances = missing(instances) if damage is missing else instances.iloc[:0]
    classes = db_load.with_vcpus(db_load.by_class(rows), instances, NO_METRICS)
    return db_load.verdicts(classes, db_load.profile(classes, instances, WEEK), NO_METRICS)


def judge_connections(damage: Damage, which: str) -> list[Verdict]:
    rows = pd.DataFrame({"time": HOURS, "period_s": 3600.0, "instance": "db-1", "value": 2.0})
    values = {"connection_attempts": 2.0, "login_failures": 0.0, "aborted_clients": 0.0}
    whole = {name: rows.assign(value=value) for name, value in values.items()}
    parts = whole | {which: damage(whole[which])}
    metrics = pd.concat([part.assign(name=name) for name, part in parts.items()], ignore_index=True)
    rules = connections.StormRules(periods_needed=100)
    attempts = connections.with_ordinary(parts["connection_attempts"], rules)
    return connections.verdicts(attempts, connections.storms(attempts, rules), metrics, WEEK)


def judge_practices(damage: Damage, _: str) -> list[Verdict]:
    query = {"started_at": HOURS[:1], "ended_at": HOURS[:1] + pd.Timedelta("9min"), "instance": "db-1"}
    query |= {"user": "etl", "digest": "d", "query_time_s": 540.0, "rows_sent": 1e6, "rows_examined": 1e6}
    query |= {"extras": None}
    costs = db_load.costs(pd.DataFrame(query), pd.Series(["reader"]), WEEK)
    classes = db_load.by_class(damage(weekly_load({"cpu": 5.0})))
    classes = db_load.with_vcpus(classes, INSTANCES, NO_METRICS)
    found = db_load.practices(costs, db_load.profile(classes, INSTANCES, WEEK), WEEK)
    return db_load.practice_verdicts(found, pd.DataFrame(columns=["digest", "fingerprint"]))


def judge_latency(damage: Damage, which: str) -> list[Verdict]:
    rng = np.random.default_rng(1)

    def logged(window: Window) -> pd.DataFrame:
        ends = pd.date_range(window.start, window.end, 60_001, inclusive="left", unit="us")
        seconds = rng.lognormal(0, 1, len(ends))
        rows = {"ended_at": ends, "instance": "db-1", "digest": "d", "query_time_s": seconds}
        return latency.counts(pd.DataFrame(rows))

    now, before = logged(WEEK), logged(WEEK.previous())
    if which == "now":
        now = now.iloc[:0] if damage is missing else damage(now)
    if which == "before":
        before = before.iloc[:0] if damage is missing else damage(before)
    cuts = pd.DataFrame({"instance": ["db-1"], "long_query_time_ms": [10.0]})
    compared = latency.compare(latency.Sample(WEEK, now), latency.Sample(WEEK.previous(), before), cuts)
    if which in {"shifts", "rates", "responses"} and damage is barely_covered:
        return latency.verdicts(replace(compared, executions=now.iloc[:2]))
    if which in {"shifts", "rates", "responses"}:
        return latency.verdicts(replace(compared, **{which: damage(getattr(compared, which))}))
    return latency.verdicts(compared)


def judge_workload_change(damage: Damage, _: str) -> list[Verdict]:
    rng, start = np.random.default_rng(1), WEEK.end - pd.Timedelta(weeks=8)
    times = pd.date_range(start, WEEK.end, freq="h", inclusive="left", unit="us")
    rows = pd.concat(
        [
            pd.DataFrame({"time": times, "digest": f"d{n}", "calls": 100.0, "mean_latency_ms": 2.0})
            for n in range(8)
        ],
        ignore_index=True,
    ).assign(period_s=3600.0, instance="db-1")
    rows["mean_latency_ms"] *= np.exp(rng.normal(0, 0.02, len(rows)))
    rows["calls"] = rng.poisson(rows["calls"]).astype(float)
    rows = pd.concat([rows[rows["time"] < WEEK.start], damage(rows[rows["time"] >= WEEK.start])])
    hours = workload_change.statement_hours(rows)
    by_role = workload_change.by_role(hours, pd.Series("writer", index=hours.index))
    weeks = workload_change.earlier(WEEK, Window(start, WEEK.end), 7)
    found = workload_change.changes(by_role, WEEK, WEEK.previous(), weeks)
    load = pd.Series({"d0": 1.0}).rename_axis("digest")
    return workload_change.verdicts(found, db_load.moves(load, load))


def judge_objectives(damage: Damage, _: str) -> list[Verdict]:
    minutes = pd.date_range(WEEK.start, WEEK.end, freq="min", inclusive="left", unit="us")
    values = damage(pd.Series(1.0, index=minutes))
    return objectives.verdicts(
        objectives.minutes_over({"commit_latency": values}, {"commit_latency": 5.0}, WEEK)
    )


CASES: list[tuple[Callable[[Damage, str], list[Verdict]], str]] = [
    (judge_undo_log, "history"),
    (judge_trial, "effects"),
    (judge_reader_impact, "trial"),
    (judge_reader_impact, "days"),
    (judge_reader_impact, "coverage"),
    (judge_db_load, "db_load"),
    (judge_db_load, "instances"),
    (judge_connections, "connection_attempts"),
    (judge_connections, "login_failures"),
    (judge_connections, "aborted_clients"),
    (judge_practices, "db_load"),
    (judge_latency, "now"),
    (judge_latency, "before"),
    (judge_latency, "shifts"),
    (judge_latency, "rates"),
    (judge_latency, "responses"),
    (judge_workload_change, "statement_metrics"),
    (judge_objectives, "metric"),
]


def name_of(value: object) -> str:
    return value if isinstance(value, str) else getattr(value, "__name__", str(value))


@pytest.mark.parametrize(("judge", "which"), CASES, ids=name_of)
def test_a_complete_calm_input_is_ok(judge, which):
    """The inputs that the next test damages lead to `ok` when they are whole, and nothing is to do about them."""
    verdicts = judge(untouched, which)
    assert {verdict.severity for verdict in verdicts} == {"ok"}
    assert all(verdict.action.startswith("Nothing") for verdict in verdicts), [one.action for one in verdicts]


@pytest.mark.parametrize("damage", DAMAGES, ids=name_of)
@pytest.mark.parametrize(("judge", "which"), CASES, ids=name_of)
def test_an_unknown_input_never_leads_to_ok(judge, which, damage):
    """Each input in turn is empty, without values, or covers next to nothing of the window."""
    verdicts = judge(damage, which)
    assert verdicts
    for verdict in verdicts:
        assert verdict.severity != "ok"
        assert verdict.action and not verdict.action.startswith("Nothing"), verdict
