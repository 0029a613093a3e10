"""Weeks compared: which variation cancels, and which moves count as changes."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from aurora_analysis import Store
from aurora_analysis.analysis import db_load, workload_change
from aurora_analysis.window import Window

WEEK = Window("2026-11-09", "2026-11-16")
LONG_AGO = Window("2026-06-01", "2026-11-16")
DIGESTS = [f"d{n}" for n in range(8)]


def statistics(
    weeks: int = 8, *, variation: float = 0.02, slower: float = 1.0, seed: int = 1, start: str = ""
) -> pd.DataFrame:
    """Hourly statistics of eight digests; in the last week d0 is so many times slower."""
    rng = np.random.default_rng(seed)
    first = pd.Timestamp(start or WEEK.end - pd.Timedelta(weeks=weeks))
    times = pd.date_range(first, WEEK.end, freq="h", inclusive="left", unit="us")
    week = np.arange(len(times)) // 168
    day = np.arange(len(times)) // 24
    shape = 100 + 50 * np.sin(2 * np.pi * np.arange(len(times)) / 24)
    frames = []
    for digest in DIGESTS:
        moved = np.exp(
            rng.normal(0, variation, week.max() + 1)[week] + rng.normal(0, 0.01, day.max() + 1)[day]
        )
        latency = 2.0 * moved * np.where((digest == "d0") & (times >= WEEK.start), slower, 1.0)
        frame = {"time": times, "digest": digest, "calls": shape, "mean_latency_ms": latency}
        frames.append(pd.DataFrame(frame))
    return pd.concat(frames, ignore_index=True).assign(period_s=3600.0, instance="db-1")


def changes(rows: pd.DataFrame, weeks: int = 8, before: Window | None = None) -> pd.DataFrame:
    hours = workload_change.statement_hours(rows)
    by_role = workload_change.by_role(hours, pd.Series("writer", index=hours.index))
    earlier = workload_change.earlier(WEEK, LONG_AGO, weeks - 1)
    return workload_change.changes(by_role, WEEK, before or WEEK.previous(), earlier)


def one(found: pd.DataFrame, digest: str = "d0", measure: str = "latency") -> pd.Series:
    return found.query("digest == @digest and measure == @measure").squeeze()


def load(**sessions: float) -> pd.Series:
    return pd.Series(sessions, dtype=float).sort_values(ascending=False).rename_axis("digest")


def test_earlier_weeks_fall_on_the_same_weekdays():
    """As many as the store holds whole, newest first; a deploy's three days step by weeks, too."""
    assert workload_change.earlier(WEEK, Window("2026-10-28", "2026-11-16")) == [WEEK.previous()]
    days = Window("2026-11-10", "2026-11-13")
    assert workload_change.earlier(days, LONG_AGO, 1) == [Window("2026-11-03", "2026-11-06")]
    assert len(workload_change.earlier(WEEK, LONG_AGO)) == workload_change.MOST_WEEKS


def test_hours_hold_calls_and_latency():
    """The calls of an hour's minutes add up, and latency is weighted by calls."""
    times = pd.to_datetime(["2026-11-09 10:00", "2026-11-09 10:01"], utc=True)
    rows = pd.DataFrame(
        {"time": times, "period_s": 60.0, "instance": "db-1", "digest": "d"}
        | {"calls": [30.0, 90.0], "mean_latency_ms": [1.0, 5.0]}
    )
    hours = workload_change.statement_hours(rows).set_index("measure")
    mean = hours["total"] / hours["weight"]
    assert mean["throughput"] == pytest.approx(3600)
    assert mean["latency"] == 4.0


def test_a_role_follows_the_writer():
    """Whichever instance writes, its hours are the writer's; a reader keeps its name."""
    times = pd.to_datetime(["2026-11-09", "2026-11-10", "2026-11-10"], utc=True)
    metrics = pd.DataFrame(
        {"time": times, "instance": ["db-1", "db-2", "db-1"], "name": "commit_latency"}
        | {"statistic": "average", "value": [1.0, 2.0, 3.0]}
    )
    hours = workload_change.metric_hours(metrics)
    roles = hours["instance"].where(hours["total"] == 3.0, "writer").replace("db-1", "reader")
    assert workload_change.by_role(hours, roles)["role"].to_list() == ["writer", "db-1", "writer"]


def test_a_planted_change_is_changed():
    """A digest 20 % slower, where weeks vary by 2 %; the other seven are not."""
    found = changes(statistics(slower=1.2))
    row = one(found)
    assert row["level"] == "changed"
    assert row["unusual_low_pct"] < 20 < row["unusual_high_pct"]
    assert row["weeks"] == 8
    assert (found["level"] == "changed").sum() == 1


def shaken(rows: pd.DataFrame, by: float = 0.1) -> pd.DataFrame:
    """The same weeks, each with a shock that slows or speeds all digests together."""
    week = ((rows["time"] - rows["time"].min()) // pd.Timedelta(weeks=1)).to_numpy()
    shocks = np.random.default_rng(2).normal(0, by, week.max() + 1)
    return rows.assign(mean_latency_ms=rows["mean_latency_ms"] * np.exp(shocks[week]))


def test_an_idiosyncratic_move_stands_out_where_all_move_together():
    """Weeks shift all digests by some 10 %, so 20 % is not unusual; but only one digest moved this week."""
    found = changes(shaken(statistics(slower=1.2)))
    row = one(found)
    assert (row["level"], row["apart"]) == ("ordinary", True)
    assert row["apart_low_pct"] < 20 < row["apart_high_pct"]
    assert row["siblings"] == 7
    assert found["apart"].sum() == 1
    [verdict] = workload_change.verdicts(found, db_load.moves(load(d0=1), load(d0=1)))
    assert (verdict.level, verdict.severity) == ("changed against siblings", "act")
    assert "0 of 8 statements changed beyond ordinary weeks." in verdict.sentence
    assert re.search(
        r"1 statement changed against siblings \(d0 on writer: latency \+\d+ %, 95 % confidence int",
        verdict.sentence,
    )
    assert verdict.numbers["apart"] == 1


def test_a_move_of_all_digests_is_not_idiosyncratic():
    """All digests 30 % slower: each changed, none against its siblings, and the table has the common move."""
    rows = statistics()
    rows.loc[rows["time"] >= WEEK.start, "mean_latency_ms"] *= 1.3
    found = changes(rows).query("measure == 'latency'")
    assert set(found["level"]) == {"changed"}
    assert not found["apart"].any()
    [latency] = workload_change.common_moves(found).to_dict("records")
    assert latency["statements"] == 8
    assert re.fullmatch(r"\+(2[5-9]|3[0-5])\.\d \[\+\d.*\]", latency["moved [%]"])


def test_the_common_move_is_that_of_most_statements():
    """Rare statements form a group of their own; the eight that always run decide."""
    rows = statistics()
    last = rows["time"] >= WEEK.start
    rare = [
        rows[
            (rows["digest"] == "d1") & (rows["time"].dt.hour == n) & (~last | (rows["time"].dt.day % 2 == 0))
        ].assign(
            digest=f"rare{n}", mean_latency_ms=lambda frame: frame["mean_latency_ms"] * (1 + frame.index % 3)
        )
        for n in range(6)
    ]
    found = changes(pd.concat([rows, *rare]))
    latency = workload_change.common_moves(found).set_index("measure").loc["latency"]
    assert latency["statements"] == 8
    [verdict] = workload_change.verdicts(found, db_load.moves(load(d0=1), load(d0=1)))
    measure, size = re.search(r"largest common move of siblings was (\w+) (\S+) %", verdict.sentence).groups()
    common = workload_change.common_moves(found).set_index("measure")
    assert common.loc[measure, "moved [%]"].startswith(size)


def test_a_digest_that_stays_did_not_change():
    """Seven digests are 30 % slower; the eighth did not change, whatever its siblings did."""
    rows = statistics()
    rows.loc[(rows["time"] >= WEEK.start) & (rows["digest"] != "d0"), "mean_latency_ms"] *= 1.3
    row = one(changes(rows))
    assert row["apart_pct"] < -15
    assert not row["apart"]


def test_few_siblings_have_no_common_move():
    """One of four digests is a quarter: their common move is unknown."""
    found = changes(statistics(slower=1.3).query("digest < 'd4'"))
    assert found[["apart_pct", "alike_pct"]].isna().all(axis=None)
    assert not found["apart"].any()
    assert one(found)["level"] == "changed"
    assert workload_change.common_moves(found).empty


def test_a_rare_digest_is_not_matched_with_itself():
    """Hours in which no other week ran it say nothing about how weeks differ."""
    rng = np.random.default_rng(6)
    rows = statistics()
    rare = rows[(rows["digest"] == "d1") & (rng.random(len(rows)) < 0.05)]
    rare = rare.assign(digest="rare", mean_latency_ms=np.exp(rng.normal(0, 0.5, len(rare))))
    row = one(changes(pd.concat([rows, rare])), "rare")
    assert row["spread_pct"] > 5


def test_an_ordinary_week_states_the_detectable_change():
    """No change found is not proof of no change: the sentence gives the detectable size."""
    steady, restless = (
        changes(statistics(variation=variation)).query("measure == 'latency'") for variation in (0.01, 0.08)
    )
    assert steady["detectable_pct"].median() < 12 < 25 < restless["detectable_pct"].median()
    [verdict] = workload_change.verdicts(restless, db_load.moves(load(d0=1), load(d0=1)))
    assert re.search(r"Changes of at least \d\d % are found 4 times in 5 in half of", verdict.sentence)
    few = changes(statistics(4), 4)
    assert few["detectable_pct"].isna().all()


def test_an_ordinary_week_has_few_false_changes():
    """Nothing planted: of four times sixteen rows at most one in twenty rows is called changed."""
    levels = pd.concat([changes(statistics(seed=seed))["level"] for seed in range(4)])
    assert (levels == "changed").mean() <= 0.05
    assert levels.isin(["ordinary", "no material change"]).mean() >= 0.9


def test_with_few_weeks_nothing_is_called_changed():
    """Four weeks are one too few: the change has its interval, and the weekly variation is unknown."""
    found = changes(statistics(4, slower=1.5), 4)
    row = one(found)
    assert row["change_pct"] == pytest.approx(50, abs=10)
    assert row["low_pct"] > 30
    assert row["level"] == "unknown"
    assert np.isnan(row["p_adjusted"])
    assert "changed" not in set(found["level"])
    [verdict] = workload_change.verdicts(found, db_load.moves(load(d0=1), load(d0=1)))
    assert "the week-to-week variation is unknown (the store has 4 of the 5 weeks needed)" in verdict.sentence


def test_one_odd_day_is_no_change():
    """A Wednesday five times as slow raises the week beyond all others, and still is one day."""
    rows = statistics()
    wednesday = rows["time"].between("2026-11-11", "2026-11-12", inclusive="left") & (rows["digest"] == "d0")
    rows.loc[wednesday, "mean_latency_ms"] *= 5
    row = one(changes(rows))
    assert row["unusual_pct"] > 40
    assert row["level"] == "inconclusive"


def test_steady_weeks_are_no_material_change():
    """Where weeks vary by 0.2 %, the whole interval is within ± 5 %."""
    found = changes(statistics(variation=0.002))
    assert set(found["level"]) == {"no material change"}


def test_a_baseline_is_compared_with_as_one_week():
    """Against a week of six weeks ago the same 20 % stand, a little less surely than against the mean."""
    rows = statistics(slower=1.2)
    baseline = Window("2026-09-28", "2026-10-05")
    against, ordinary = one(changes(rows, before=baseline)), one(changes(rows))
    assert against["unusual_pct"] == pytest.approx(
        ordinary["unusual_pct"], abs=0.01
    )  # it is one of the weeks
    older = Window("2026-09-14", "2026-09-21")
    found = one(changes(statistics(9, slower=1.2), before=older))
    assert found["level"] == "changed"
    width = found["unusual_high_pct"] - found["unusual_low_pct"]
    assert width > ordinary["unusual_high_pct"] - ordinary["unusual_low_pct"]


def test_before_and_after_a_deploy():
    """Three days against the three before, on other weekdays: matched by hour."""
    rows = statistics(2, slower=1.3)
    hours = workload_change.statement_hours(rows)
    by_role = workload_change.by_role(hours, pd.Series("writer", index=hours.index))
    after = Window("2026-11-09", "2026-11-12")
    found = workload_change.changes(by_role, after, after.previous())
    row = one(found)
    assert row["matched_by"] == "hour"
    assert row["hours_matched"] == 24
    assert row["low_pct"] < 30 < row["high_pct"]


def test_hours_without_calls_count_as_none():
    """A digest that runs half as often is half as much, not as much in fewer hours."""
    rows = statistics(2)
    halved = (rows["digest"] == "d1") & (rows["time"] >= WEEK.start) & (rows["time"].dt.hour % 2 == 0)
    row = one(changes(rows[~halved], 2), "d1", "throughput")
    assert row["hours_matched"] == 168
    assert -60 < row["change_pct"] < -40


def test_a_digest_of_one_window_is_not_compared():
    """The ranks, not the comparison, report new and vanished digests."""
    rows = statistics(2)
    found = changes(rows[(rows["digest"] != "d2") | (rows["time"] >= WEEK.start)], 2)
    assert "d2" not in set(found.query("measure == 'latency'")["digest"])


def test_a_heavy_new_statement_is_watched():
    """It needs no statistics, but it is no `changed` verdict either."""
    moved = db_load.moves(load(a=1, new=1), load(a=1), [load(a=1)])
    [verdict] = workload_change.verdicts(changes(statistics(2), 2), moved)
    assert (verdict.level, verdict.severity) == ("new statement", "watch")
    assert "new with 50 %" in verdict.sentence
    assert "In the ranking by load, 1 statement is new." in verdict.sentence


def test_moves_are_counted_in_grammatical_words():
    """The sentence agrees with its numbers, and omits moves without a statement."""
    sessions = [load(a=1, b=1, c=1), load(a=1, d=1), [load(a=1, d=1, b=1)]]
    [verdict] = workload_change.verdicts(changes(statistics(2), 2), db_load.moves(*sessions))
    assert (
        "In the ranking by load, 1 statement is new, 1 is back and 1 is no longer listed." in verdict.sentence
    )


def test_a_missing_table_is_unknown(tmp_path):
    """A cluster without the table gives `unknown`, not an exception."""
    nothing = Store(tmp_path)
    rows = [
        workload_change.statement_hours(nothing.read("statement_metrics", cluster="lab")),
        workload_change.metric_hours(nothing.read("metrics", cluster="lab")),
    ]
    hours = pd.concat(rows, ignore_index=True)
    found = workload_change.changes(
        workload_change.by_role(hours, nothing.roles(hours, cluster="lab")), WEEK, WEEK.previous()
    )
    assert workload_change.summary(found).empty
    [verdict] = workload_change.verdicts(found, db_load.moves(load(), load()))
    assert (verdict.level, verdict.severity) == ("unknown", "unknown")
    assert verdict.sentence == (
        "No statement has statistics both in the window and in the previous window. The earlier window has no load by statement to rank against."
    )
    tables = nothing.instances(WEEK, cluster="lab"), nothing.read("events", cluster="lab")
    assert workload_change.settings(*tables).empty


def test_an_ordinary_week_is_fine():
    """It asks for nothing, though a statement that ran on one day of two weeks cannot be judged."""
    rows = statistics()
    tuesdays = rows["time"].dt.strftime("%m-%d").isin(["11-03", "11-10"]) & (rows["digest"] == "d0")
    found = changes(pd.concat([rows, rows[tuesdays].assign(digest="rare")]))
    [verdict] = workload_change.verdicts(found, db_load.moves(load(d0=1), load(d0=1)))
    assert (verdict.level, verdict.severity) == ("ordinary", "ok")
    assert one(found, "rare")["level"] == "unknown"
    assert verdict.sentence.startswith("0 of 9 statements changed beyond ordinary weeks.")


def test_a_role_is_judged_by_its_worst_metric():
    """Latency 30 % up on every day needs action; the sentence names the comparison."""
    rows = statistics(slower=1.3).query("digest == 'd0'").assign(name="commit_latency", statistic="average")
    hours = workload_change.metric_hours(rows.rename(columns={"mean_latency_ms": "value"}))
    by_role = workload_change.by_role(hours, pd.Series("writer", index=hours.index))
    found = workload_change.changes(
        by_role, WEEK, WEEK.previous(), workload_change.earlier(WEEK, LONG_AGO, 7)
    )
    verdict = workload_change.verdicts(found, db_load.moves(load(), load()))[0]
    assert (verdict.subject, verdict.level, verdict.severity) == ("writer", "changed", "act")
    assert "commit latency went from 1.98 to 2.62 ms, +32 % against the previous window" in verdict.sentence
    assert "against ordinary weeks" in verdict.sentence
    assert verdict.numbers["metric"] == "commit_latency"


def test_an_ordinary_role_states_the_detectable_change():
    """Commit latency of an ordinary week: no change was found, and the sentence gives the detectable size."""
    rows = (
        statistics(variation=0.08).query("digest == 'd0'").assign(name="commit_latency", statistic="average")
    )
    hours = workload_change.metric_hours(rows.rename(columns={"mean_latency_ms": "value"}))
    by_role = workload_change.by_role(hours, pd.Series("writer", index=hours.index))
    found = workload_change.changes(
        by_role, WEEK, WEEK.previous(), workload_change.earlier(WEEK, LONG_AGO, 7)
    )
    verdict = workload_change.verdicts(found, db_load.moves(load(), load()))[-1]
    assert (verdict.subject, verdict.level, verdict.severity) == ("writer", "ordinary", "ok")
    assert re.search(r"8 weeks\); changes of at least \d\d % are found 4 times in 5\.", verdict.sentence)


def test_a_summary_is_formatted_for_people():
    """Each subject has one row with its change and interval; columns without values are omitted."""
    row = one(workload_change.summary(changes(statistics(2, slower=1.5), 2)))
    assert row["before"].endswith(" ms")
    assert re.fullmatch(r"\+[\d.]+ \[\+[\d.]+, \+[\d.]+\]", row["change [%]"])
    assert not {"ordinary weeks [%]", "against siblings [%]", "detectable [%]"} & {*row.index}
    assert row["weeks"] == 2
    row = one(workload_change.summary(changes(shaken(statistics(slower=1.2)))))
    assert re.fullmatch(r"\+[\d.]+ \[\+[\d.]+, \+[\d.]+\]", row["against siblings [%]"])
    assert row["level"] == "ordinary, apart"


def test_the_most_changed_statements_come_first():
    """Then those with the most load; a change of a statement without much of it is not left out."""
    found = changes(statistics(slower=1.3))
    moved = db_load.moves(load(d5=9, d6=8, d0=1), load(d5=9))
    shown = workload_change.most_changed(found, moved, most=2)
    assert shown["digest"].unique().tolist() == ["d0", "d5"]


def test_settings_list_parameters_and_events_that_differ():
    """A parameter that changed, and a failover; an unchanged setting is not listed."""
    instances = pd.DataFrame(
        {
            "time": pd.to_datetime(["2026-11-02", "2026-11-05", "2026-11-09"], utc=True),
            "cluster": "shop",
            "instance": "db-1",
            "role": "writer",
            "long_query_time_s": [1.0, 1.0, 0.5],
        }
    )
    events = pd.DataFrame(
        {
            "time": pd.to_datetime(["2026-11-10", "2026-11-11"], utc=True),
            "instance": "db-1",
            "category": ["failover", "note"],
            "message": ["Completed failover.", "All is well."],
        }
    )
    listed = workload_change.settings(instances, events)
    assert listed[["what", "before", "after"]].to_numpy().tolist() == [
        ["long_query_time_s", "1.0", "0.5"],
        ["failover", "", "Completed failover."],
    ]
