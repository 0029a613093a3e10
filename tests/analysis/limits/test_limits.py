"""The longest hold of a read view is right on a simulated fortnight, and refused where nothing shows it."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

from calibration import limits as study
from calibration import simulator

from aurora_analysis.analysis import limits
from aurora_analysis.analysis.limits import rates, replay
from aurora_analysis.analysis.limits.answer import refused
from aurora_analysis.analysis.limits.effect_curve import Curve
from aurora_analysis.analysis.limits.growth import Growth, Lognormal, _hourly_peaks
from aurora_analysis.analysis.verdict import Verdict, duration
from aurora_analysis.analysis.workloads import IDLE
from aurora_analysis.cli import alerts
from aurora_analysis.errors import Error

PLANTED = "hll 10"


@pytest.fixture(scope="module")
def fortnight() -> simulator.Fortnight:
    return simulator.fortnight("uniform", 100)


@pytest.fixture(scope="module")
def observed(fortnight) -> limits.Observed:
    """The fortnight with an effect of 10 % through the history list."""
    return study.observed(fortnight, PLANTED)


@pytest.fixture(scope="module")
def answer(observed) -> limits.Answer:
    return limits.from_observed(observed)


def test_the_planted_limit_lies_in_its_interval(fortnight, answer):
    """At each of the hours in which a hold began, for +5 % and +10 %."""
    true = study.truth(fortnight, "uniform", PLANTED, 100)
    limit = answer.holds.set_index(["slowdown_pct", "weekday", "hour"])
    inside = []
    for start in answer.recorded.episodes["start"]:
        minute = int((start - simulator.START) / pd.Timedelta("1min"))
        for pct in (5.0, 10.0):
            row = limit.loc[(pct, start.day_of_week, start.hour)]
            inside.append(
                row["low_minutes"] - 1 <= true.minutes_until(minute, pct) <= row["high_minutes"] + 1
            )
    assert np.mean(inside) >= 0.9


def test_the_verdict_names_the_strictest_hour_and_a_time_limit(answer):
    """The busiest hours allow the shortest holds; the time limit is the lower end, rounded down."""
    [verdict] = answer.verdicts
    assert (verdict.level, verdict.severity) == ("limited", "watch")
    allowed = duration(60 * float(answer.suggested["limit_min"].min()))
    assert (
        verdict.headline.startswith(f"Keep reader queries below {allowed}: ")
        and f"({allowed})" in verdict.action
    )
    assert "commits may be 10 % slower after" in verdict.headline
    assert "95 % prediction interval" in verdict.sentence
    assert "max_execution_time to" in verdict.action
    by_hour = answer.suggested[answer.suggested["days"] == "weekdays"].set_index("hour")
    assert by_hour["minutes"][2] < 0.6 * by_hour["minutes"][[1, 3]].min()  # the nightly batch
    assert (by_hour["limit_min"] <= by_hour["low_minutes"]).all()
    assert (by_hour["max_execution_time"] == 60_000 * by_hour["limit_min"]).all()
    [glance] = answer.at_a_glance()
    assert len(glance.course) == 84 and glance.measure.startswith(
        "longest allowed reader query (commits at most 10 % slower"
    )


def test_nothing_is_stated_beyond_twice_the_longest_hold(answer):
    """Finite limits end there."""
    finite = answer.holds[["minutes", "low_minutes"]].replace(np.inf, np.nan)
    assert finite.max(axis=None) <= 2 * answer.recorded.longest_hold_s / 60


def test_the_limit_of_an_alert_is_the_lower_end_of_its_hours_interval(answer):
    """By the local hour in which the hold began, and at the latest where nothing is known any more."""
    row = answer.holds.query("slowdown_pct == 10 and weekday == 2 and hour == 9").iloc[0]
    found = limits.at_time(answer, datetime(2026, 11, 11, 9, 59, tzinfo=UTC))
    assert (found.minutes, found.low_minutes, found.high_minutes) == (
        row["minutes"],
        row["low_minutes"],
        row["high_minutes"],
    )
    assert 0 < found.alert_after_min == found.low_minutes <= found.minutes
    endless = replace(
        answer, holds=answer.holds.assign(minutes=np.inf, low_minutes=np.inf, high_minutes=np.inf)
    )
    assert limits.at_hour(endless, 2, 9).alert_after_min == found.most_minutes
    assert found.most_minutes == 2 * answer.recorded.longest_hold_s / 60
    message = alerts._limit(answer, datetime(2026, 11, 11, 9, tzinfo=UTC).timestamp())
    assert message.alert_after_s == pytest.approx(60 * found.low_minutes)
    assert message.slowdown.after_s == pytest.approx(60 * found.minutes)
    assert alerts._limit(replace(answer, holds=answer.holds[:0]), 0.0).slowdown is None


def test_an_effect_that_does_not_grow_with_the_history_list_has_no_limit(fortnight, observed):
    """The writer is slower from the first minute: the answer names that instead of a time."""
    direct = observed.metrics.assign(commit_latency=fortnight.latency["direct 10"])
    found = limits.from_observed(replace(observed, metrics=direct))
    [verdict] = found.verdicts
    assert (verdict.level, verdict.severity) == ("cannot tell", "unknown")
    assert "as soon as a view is held" in verdict.sentence
    assert found.holds.empty


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"metrics": pd.DataFrame(index=pd.DatetimeIndex([], tz="UTC"))}, "the window has no dml_throughput"),
        ({"commits": pd.Series(dtype=float)}, "no commit or latency metric"),
    ],
)
def test_missing_data_is_never_ok(observed, change, reason):
    """Each refusal names what is missing and the next step."""
    [verdict] = limits.from_observed(replace(observed, **change)).verdicts
    assert (verdict.level, verdict.severity) == ("unknown", "unknown")
    assert reason in verdict.sentence
    assert verdict.action


def test_holds_that_always_coincide_with_a_job_have_no_limit():
    """The refusal names the job and the next step."""
    found = limits.from_observed(study.observed(simulator.fortnight("batch_exact", 100), PLANTED))
    [verdict] = found.verdicts
    assert (verdict.level, verdict.severity) == ("cannot tell", "unknown")
    assert "the holder of the views is confounded with writer job nightly_batch" in verdict.sentence
    assert "ove the holder of the views" in verdict.action


def test_without_a_hold_there_is_no_limit(observed):
    """A history list that never grew shows nothing."""
    flat = observed.metrics.assign(history_list_length=500.0)
    [verdict] = limits.from_observed(replace(observed, metrics=flat)).verdicts
    assert "no read view was held long enough" in verdict.sentence


def test_each_recorded_hold_reaches_the_predicted_history_list(answer):
    """Nine of ten peaks lie in their prediction intervals."""
    grown = replace(answer.growth, purge=None)
    inside = []
    for row in answer.recorded.episodes.itertuples():
        minutes = (row.peak_at - row.start).total_seconds() / 60
        begin = 1440 * row.start.day_of_week + 60 * row.start.hour + row.start.minute
        plan = replay.one_hold(begin, minutes)
        found = replay.replayed(grown, answer.curve, plan, answer.recorded.base, 10.0).length
        inside.append(found.low <= row.peak_length <= found.high)
    assert len(inside) > 20
    assert np.mean(inside) >= 0.9


def steady(purge: float = 300.0) -> Growth:
    """100 commits a second at any time, of one entry each; purge removes 300 a second."""
    rate = rates.WeeklyRate("UTC", np.full(7 * rates.A_DAY, np.log(100.0)), np.zeros((14, rates.A_DAY)), 0.0)
    return Growth(rate, Lognormal(0.0, 0.0, 10), Lognormal(np.log(purge), 0.0, 10))


CURVE = Curve("commit_latency", np.array([1e9]), np.array([1e-6, 0.0]), np.zeros((2, 2)), 10.0)
"""One per cent for each 10,000 transactions."""


def test_a_hold_grows_by_commits_and_drains_by_what_purge_can_do_beyond_them():
    """An hour of 100 commits a second; purge then gains 200 a second, and nine tenths are gone within 28 minutes."""
    found = replay.replayed(steady(), CURVE, replay.one_hold(0, 60), 500, 10.0)
    assert found.length.value == pytest.approx(500 + 360_000, rel=1e-6)
    assert found.slowdown_pct.value == pytest.approx(36.0, rel=1e-6)
    assert found.drain_min.value == 28
    assert found.minutes_over.value == pytest.approx(43 + 22, abs=1)


def test_each_chunk_begins_with_a_view_of_its_own():
    """Chunks of 10 minutes: the list grows no longer than in one chunk, because purge is faster than the writes."""
    found = replay.replayed(steady(), CURVE, replay.chunked(0, 60, 10), 500, 10.0)
    assert found.length.value == pytest.approx(500 + 60_000 + 300, rel=0.2)
    assert found.minutes_over.value == 0


def test_a_short_hold_is_not_predicted_below_what_is_usual():
    """The list fluctuates without any hold; its longest in a usual hour is the least that is predicted."""
    usual = replace(steady(), hourly_peaks=np.array([70_000.0]))
    lengths = [
        replay.replayed(usual, CURVE, replay.one_hold(0, minutes), 500, 10.0).length.value
        for minutes in (5, 60)
    ]
    assert lengths == pytest.approx([70_000, 500 + 360_000], rel=1e-6)


def test_an_hour_is_usual_only_if_its_samples_show_that_no_hold_raised_it():
    """Hours that an earlier hold still drains, and hours of one sample, are not what a list does without a view."""
    minutes = pd.date_range("2026-11-02", periods=6 * 60, freq="min", tz="UTC")
    length = pd.Series(400.0, minutes)
    length.iloc[60:110] = np.linspace(400, 300_000, 50)  # held
    length.iloc[110:230] = np.linspace(290_000, 400, 120)  # its last tenth drains in the fourth hour
    length.iloc[300:320] = 25_000.0  # writes that outrun purge for a while
    coarse = pd.Series(700_000.0, pd.date_range("2026-11-01", periods=24, freq="h", tz="UTC"))
    lengths = pd.concat([coarse, length])
    held = (lengths.index >= minutes[60]) & (lengths.index <= minutes[110])
    view = pd.DataFrame({"length": lengths, "state": np.where(held, "held", "none")})
    episode = {"start": [minutes[60]], "peak_at": [minutes[109]], "start_length": [400.0]}
    known = SimpleNamespace(oldest_view=view, episodes=pd.DataFrame(episode), base=400.0)
    assert sorted(_hourly_peaks(known)) == [400.0, 400.0, 25_000.0]


def test_purge_that_is_slower_than_the_writes_never_drains():
    """The drain is infinite, not zero."""
    found = replay.replayed(steady(purge=80.0), CURVE, replay.one_hold(0, 60), 500, 10.0)
    assert found.drain_min.value == np.inf


def test_weekdays_share_an_estimate_unless_they_differ():
    """Two Mondays are no reason to set Mondays apart; Mondays that are always busier are."""
    times = pd.date_range("2026-11-02", periods=28 * 288, freq="5min", tz="UTC")
    days = np.random.default_rng(1).normal(0, 0.1, 28)[np.arange(len(times)) // 288]
    same = rates.weekly_rate(pd.Series(np.exp(days), times), "UTC")
    busy = rates.weekly_rate(pd.Series(np.exp(days + 1.0 * (times.day_of_week == 0)), times), "UTC")
    monday, tuesday = slice(0, rates.A_DAY), slice(rates.A_DAY, 2 * rates.A_DAY)
    assert abs(same.log_rate[monday].mean() - same.log_rate[tuesday].mean()) < 0.05
    assert busy.log_rate[monday].mean() - busy.log_rate[tuesday].mean() == pytest.approx(1.0, abs=0.2)


def test_the_week_is_local():
    """A peak at 09:00 in Berlin lies at 08:00 UTC in November."""
    times = pd.date_range("2026-11-02", periods=14 * 288, freq="5min", tz="UTC")
    found = rates.weekly_rate(pd.Series(np.where(times.hour == 8, 50.0, 10.0), times), "Europe/Berlin")
    assert np.exp(found.log_rate[9 * 12]) == pytest.approx(50.0)
    assert np.exp(found.log_rate[8 * 12]) == pytest.approx(10.0)


@pytest.mark.parametrize(
    "text", ["", "Mon", "09:00", "Caturday 09:00", "T 09:00", "Mon 24:00", "Mon 09:60", "Mon 9 00"]
)
def test_a_moment_that_is_none_raises_one_clear_line(text):
    """The message has an example."""
    with pytest.raises(Error, match="is not a weekday with a time: write it as 'Mon 09:00'"):
        rates.minute_of_week(text)


def observations() -> SimpleNamespace:
    """A cluster whose reader is `db-2`."""
    roles = {"db-1": "writer", "db-2": "reader"}
    texts = pd.DataFrame({"digest": ["aaaaaaaaaaaaaaa1"], "fingerprint": ["select 1"]})
    return SimpleNamespace(
        cluster="prod", fingerprints=texts, roles=lambda rows, time: rows["instance"].map(roles)
    )


def blocked(instance: str = "db-2", level: str = "blocked") -> SimpleNamespace:
    """Two runs of etl on Tuesday at 09:10 in Berlin and one of an hour on Wednesday, beside longer ones that block nothing."""
    starts = [
        "2026-11-10T08:10Z",
        "2026-11-17T08:10Z",
        "2026-11-18T11:00Z",
        "2026-11-18T00:00Z",
        "2026-11-18T00:00Z",
    ]
    rows = pd.DataFrame(
        {"start": pd.to_datetime(starts), "digest": ["aaaaaaaaaaaaaaa1"] * 3 + [IDLE, "bbbbbbbbbbbbbbb2"]}
    )
    rows["end"] = rows["start"] + pd.to_timedelta([20, 30, 60, 600, 600], unit="min")
    rows = rows.assign(workload=["etl"] * 4 + ["innocent"], instance=instance)
    spans = rows.iloc[[0, 3]].assign(state="held", growth=1000.0)
    verdict = Verdict("undo_log", f"etl on {instance}", level, "watch", "So.")
    columns = ["workload", "instance", "digest", "state", "growth"]
    return SimpleNamespace(runs=rows, spans=spans[columns], verdicts=[verdict])


def test_the_own_longest_query_is_reviewed_at_its_usual_hour(answer):
    """Its longest run and its most frequent hour of the week; an idle transaction is no statement, an innocent not named."""
    local = replace(answer, options=limits.Options("Europe/Berlin"))
    found = limits.own_review(local, blocked(), observations())
    who, answered, unlike, command = found.remarks.lines
    assert (
        "took 60 min: etl on db-2, statement aaaaaaaaaaaaaaa1 (select 1). It usually begins about Tuesday 09:10 Europe/Berlin"
        in who
    )
    assert answered.startswith("A read view of 60 min from Tuesday 09:10 Europe/Berlin")
    assert command.endswith('aurora-analysis review --cluster prod --hold 60m --at "Tue 09:10"')
    expected = limits.review(local, limits.Request(60.0, 1440 + 550, 10.0))
    assert found.table["verdict"].to_list() == [
        one.level for one in (expected.as_planned, *expected.alternatives)
    ]
    assert found.table["start [Europe/Berlin]"].iloc[0] == "Tuesday 09:10"
    assert [*found.table.index][0] == "as planned" and [*found.table.index][-1] == "a clone"


def test_nothing_is_reviewed_without_a_query_that_blocked_purge(answer):
    """On the writer, without a holder, or where nothing is known, no row is made up and no one is named."""
    for undo in (blocked("db-1"), blocked(level="unknown")):
        found = limits.own_review(answer, undo, observations())
        assert found.table.empty and "etl" not in str(found.remarks)
    unknown = limits.own_review(refused("no hold was seen", answer.options), blocked(), observations())
    assert unknown.table.empty and "Nothing can be predicted: no hold was seen." in unknown.remarks.lines[1]
