"""Reader impact: right on planted truths, refused where nobody could tell, and clear about what it was given."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aurora_analysis.analysis import reader_impact
from aurora_analysis.analysis.reader_impact import controls, placebo, regressors
from aurora_analysis.errors import Error

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

import reader_impact_plain
from calibration import simulator, study

START = pd.Timestamp("2026-11-02", tz="UTC")  # a Monday
FROZEN = json.loads((Path(__file__).parent / "reader_impact_cases.json").read_text())


def design(
    latency: pd.DataFrame, load: pd.Series, exposures: pd.DataFrame, **options
) -> reader_impact.Design:
    return reader_impact.design(reader_impact.Inputs(latency, load, exposures, **options))


def minutes(days: float) -> pd.DatetimeIndex:
    return pd.date_range(START, periods=round(days * 1440), freq="min")


def writer(days: float = 8, seed: int = 1) -> tuple[pd.DataFrame, pd.Series]:
    """Latency [ms] with a daily wave and a little noise, and a steady load [1/s]."""
    rng = np.random.default_rng(seed)
    times = minutes(days)
    wave = 0.2 * np.sin(2 * np.pi * np.arange(len(times)) / 1440)
    latency = pd.DataFrame(
        {"commit_latency": 4 * np.exp(wave + 0.05 * rng.normal(size=len(times)))}, index=times
    )
    return latency, pd.Series(100 * np.exp(wave + 0.05 * rng.normal(size=len(times))), times)


def runs(*spans: tuple[float, float], workload: str = "extract") -> pd.DataFrame:
    """Runs from hour to hour since the start."""
    hours = pd.DataFrame(spans, columns=["start", "end"], dtype=float)
    return pd.DataFrame(
        {
            "workload": workload,
            "start": START + pd.to_timedelta(hours["start"], unit="h"),
            "end": START + pd.to_timedelta(hours["end"], unit="h"),
        }
    )


def scattered(days: int = 8, seed: int = 3, each: int = 3, workload: str = "extract") -> pd.DataFrame:
    """Runs of 20 minutes at any time of day."""
    rng = np.random.default_rng(seed)
    starts = np.sort(rng.uniform(0, 24 * days - 1, each * days))
    return runs(*[(start, start + 1 / 3) for start in starts], workload=workload)


def slowed(latency: pd.DataFrame, by: pd.DataFrame, percent: float) -> pd.DataFrame:
    """The latency raised while a run is open."""
    raised = latency.copy()
    for run in by.itertuples():
        raised[run.start.floor("min") : run.end.floor("min")] *= 1 + percent / 100
    return raised


@pytest.mark.parametrize("seed", range(reader_impact_plain.CASES))
def test_a_second_plain_implementation_says_the_same(seed):
    """Effect, interval [%] and p of twenty frozen cases, to a millionth of a per cent."""
    arguments, options = reader_impact_plain.frames(reader_impact_plain.case(seed))
    # Frozen are the numbers; that some cases would be refused is another matter.
    table = reader_impact.effects(design(*arguments, **options)).set_index("workload")
    numbers = table[["effect_pct", "ci_low_pct", "ci_high_pct", "p"]]
    told = numbers.dropna()
    assert len(told)
    for workload, row in told.iterrows():
        assert row.to_list() == pytest.approx(FROZEN[seed][workload], abs=1e-6)


def test_the_frozen_table_is_the_plain_one_s():
    """The table was not edited: its smallest case comes out again."""
    seed = min(
        range(reader_impact_plain.CASES),
        key=lambda n: (len(FROZEN[n]), len(reader_impact_plain.case(n)["load"])),
    )
    again = reader_impact_plain.plain(reader_impact_plain.case(seed))
    assert {name: list(row) for name, row in again.items()} == {
        name: pytest.approx(row, abs=1e-9) for name, row in FROZEN[seed].items()
    }


SMOKE = ["uniform", "office", "batch_partial", "accomplice", "batch_exact", "trigger"]
IDENTIFIABLE = SMOKE[:4]
SMOKE_SEEDS = 3
"""A smoke test of the simulated truths; `dev.py calibrate` measures the rates on 400 fortnights a scenario (B1 to B7)."""


@pytest.fixture(scope="module")
def smoke(tmp_path_factory) -> pd.DataFrame:
    """Verdicts on three simulated fortnights of six scenarios, without an effect and with 10 %."""
    cases = study.cases(SMOKE, 100, SMOKE_SEEDS)
    path = tmp_path_factory.mktemp("calibration") / "smoke.jsonl"
    return study.run(study.smoke_verdicts, cases, path, processes=2, log=io.StringIO())


def test_few_false_positives_where_nothing_happens(smoke):
    """At most 15 % of the null effects that are not refused have p ≤ .05, and most are not refused."""
    null = smoke.query("scenario in @IDENTIFIABLE and metric == 'null'")
    assert null["p"].notna().mean() >= 0.8
    assert (null["p"].dropna() <= 0.05).mean() <= 0.15


def test_a_planted_effect_of_ten_per_cent_is_found(smoke):
    """An effect through the undo log is found, and its interval contains it."""
    planted = smoke.query("scenario in @IDENTIFIABLE and metric == 'hll 10'").dropna(subset="p")
    assert ((planted["p"] <= 0.05) & (planted["effect_pct"] > 0)).mean() >= 0.7
    assert planted.eval("ci_low_pct <= 10 and 10 <= ci_high_pct").mean() >= 0.8


def test_a_workload_that_always_runs_with_the_batch_is_refused_by_name(smoke):
    """A workload cannot be separated from the nightly job that it always accompanies."""
    exact = smoke.query("scenario == 'batch_exact'")
    assert set(exact["level"]) == {"cannot tell"}
    assert exact["reason"].str.contains("writer job nightly_batch").all()


def test_a_workload_launched_by_an_unseen_event_is_refused(smoke):
    """The writer was slow before the run started. Of three seeds most are refused; gate B5 asks for 90 % of 400."""
    null = smoke.query("scenario == 'trigger' and metric == 'null'")
    assert (null["level"] == "cannot tell").mean() > 0.5
    assert null["reason"].str.contains("already slow before").mean() > 0.5


def test_a_planted_effect_is_told_in_a_sentence():
    """One row a workload and metric: the level, the number, the interval, and the sentence that says them."""
    latency, load = writer()
    exposures = scattered()
    row = reader_impact.effects(design(slowed(latency, exposures, 10), load, exposures)).iloc[0]
    assert row["level"] == "slows"
    assert row["ci_low_pct"] < 10 < row["ci_high_pct"]
    assert row["sentence"].startswith(
        f"While extract's queries run, the writer's commit latency is {row['effect_pct']:.1f} % higher"
    )
    assert f"{row['runs']} runs on {row['days']} days" in row["sentence"]


@pytest.mark.parametrize("percent", [100, 400])
def test_a_large_effect_is_no_outlier_of_its_own(percent):
    """A workload that doubles the latency, or worse, is measured whole."""
    latency, load = writer()
    exposures = scattered().assign(start=lambda frame: frame["start"].dt.floor("min"))
    exposures = exposures.assign(end=exposures["start"] + pd.Timedelta("19min 59s"))
    row = reader_impact.effects(design(slowed(latency, exposures, percent), load, exposures)).iloc[0]
    assert row["ci_low_pct"] < percent < row["ci_high_pct"]


def test_a_harmless_workload_has_no_material_effect():
    """The whole interval lies inside the materiality, and the sentence does not call it zero."""
    latency, load = writer()
    row = reader_impact.effects(design(latency, load, scattered())).iloc[0]
    assert row["level"] == "no material effect"
    assert row["reason"] == ""


def test_two_workloads_do_not_take_each_other_s_blame():
    """The one that runs near the culprit, now before and now after it, stays clean."""
    latency, load = writer()
    culprit = scattered(workload="culprit")
    away = pd.to_timedelta(np.random.default_rng(5).uniform(-20, 20, len(culprit)), unit="min")
    near = culprit.assign(workload="bystander", start=culprit["start"] + away, end=culprit["end"] + away)
    table = reader_impact.effects(design(slowed(latency, culprit, 10), load, pd.concat([culprit, near])))
    assert table.set_index("workload")["level"].to_dict() == {
        "bystander": "no material effect",
        "culprit": "slows",
    }


def test_among_many_the_worst_stand_beside_all_others():
    """What a few do to the writer is taken out of the noise of the rest."""
    latency, load = writer()
    many = [scattered(seed=seed, workload=f"w{seed:02d}") for seed in range(14)]
    latency = slowed(slowed(latency, many[3], 30), many[7], 30)
    table = reader_impact.effects(design(latency, load, pd.concat(many))).set_index("workload")
    assert table.index[table["level"] == "slows"].to_list() == ["w03", "w07"]
    assert (table.drop(["w03", "w07"])["smallest_detectable_pct"].dropna() < 3).all()


@pytest.mark.parametrize(
    ("exposures", "reason"),
    [
        (runs((5, 6), (30, 31), (60, 61)), "too few runs: 3 on 3 days"),
        (runs(*[(24 * day + 10, 24 * day + 10.5) for day in range(8)]), "always runs at about 10:00"),
        (runs(*[(24 * day + 2, 24 * day + 3) for day in range(8)]), "confounded with writer job batch"),
    ],
    ids=["few", "clock", "job"],
)
def test_refusals_name_the_culprit(exposures, reason):
    """What cannot be told has no number, a reason, and what would settle it."""
    jobs = runs(*[(24 * day + 2, 24 * day + 3) for day in range(8)], workload="batch")
    row = reader_impact.effects(design(*writer(), exposures, writer_jobs=jobs)).iloc[0]
    assert row["level"] == "cannot tell"
    assert reason in row["reason"]
    assert np.isnan(row["effect_pct"])
    assert "To settle it, " in row["sentence"]


def test_twins_are_inseparable():
    """Two workloads that always run together are named to each other."""
    one = scattered(workload="one")
    table = reader_impact.effects(design(*writer(), pd.concat([one, one.assign(workload="two")])))
    assert table.set_index("workload")["reason"].to_dict() == {
        "one": "it is inseparable from workload two",
        "two": "it is inseparable from workload one",
    }


@pytest.mark.parametrize(
    ("days", "exposures", "reason"),
    [
        (3, scattered(3, each=9), "the window has 3 days with data, 7 are needed"),
        (8, runs((900, 901)), "it has no run inside the window"),
        (8, runs(*[(hour, hour + 0.01) for hour in range(5, 190, 7)]), "it ran for 16 minutes in total"),
    ],
    ids=["short", "outside", "seldom"],
)
def test_too_little_is_unknown(days, exposures, reason):
    """What was not assessed says so."""
    row = reader_impact.effects(design(*writer(days), exposures)).iloc[0]
    assert row["level"] == "unknown"
    assert reason in row["reason"]


def test_gaps_are_not_filled():
    """With most of a metric missing it is unknown; the other metric is told all the same."""
    latency, load = writer()
    latency = latency.assign(dml_latency=latency["commit_latency"].where(np.arange(len(latency)) % 3 == 0))
    table = reader_impact.effects(design(latency, load, scattered())).set_index("metric")
    assert table.loc["dml_latency", "reason"] == "only 33% of the minutes have both latency and load"
    assert table.loc["commit_latency", "level"] == "no material effect"


def test_minutes_of_unknown_exposure_are_not_unexposed():
    """Half of the runs are unlisted: taken for unexposed they dilute the effect, left out they do not."""
    latency, load = writer()
    ran = scattered(each=5)
    told, unlisted = ran[::2], ran[1::2]
    slow = slowed(latency, ran, 30)
    whole, believed, left_out = (
        reader_impact.effects(design(slow, load, exposures, unknown=unknown)).loc[0, "effect_pct"]
        for exposures, unknown in ((ran, None), (told, None), (told, unlisted))
    )
    assert believed < whole - 2
    assert left_out == pytest.approx(whole, abs=1)


def test_too_much_unknown_exposure_is_unknown():
    """And the reason says so."""
    latency, load = writer()
    blind = runs((0, 5 * 24))
    row = reader_impact.effects(design(latency, load, scattered(), unknown=blind)).iloc[0]
    assert row["level"] == "unknown"
    assert "its exposure is unknown" in row["reason"]


def test_a_failover_is_masked_and_the_level_of_the_new_writer_taken_out():
    """A slower machine from the sixth day on is no effect of the workload."""
    latency, load = writer(10)
    moved = minutes(10)[7000]
    latency.loc[moved:] *= 1.5
    writers = pd.DataFrame(
        {"start": [START, moved], "end": [moved, START + pd.Timedelta("10D")], "writer": ["one", "two"]}
    )
    late = scattered(10).loc[lambda frame: frame["start"] > START + pd.Timedelta("3D")]
    row = reader_impact.effects(design(latency, load, late, writers=writers)).iloc[0]
    assert row["level"] == "no material effect"


def test_placebos_tell_how_often_the_method_is_wrong_here():
    """On a well-behaved writer few placebos are found."""
    latency, load = writer()
    row = reader_impact.effects(design(latency, load, scattered()), placebos=40).iloc[0]
    assert 0 <= row["placebo_reject_pct"] <= placebo.REJECTED_MOST


def test_data_on_which_placebos_are_found_give_no_verdict(monkeypatch):
    """Where the method errs too often, every verdict is taken back."""
    monkeypatch.setattr(placebo, "rejected_pct", lambda *_, **__: {"commit_latency": 30.0})
    latency, load = writer()
    row = reader_impact.effects(design(slowed(latency, scattered(), 10), load, scattered()), placebos=1).iloc[
        0
    ]
    assert row["level"] == "cannot tell"
    assert row["reason"] == ("on these data 30 % of placebo tests report an effect, where 5 % are expected")


def test_swapped_days_keep_the_time_of_day_and_the_class_of_day():
    """A placebo runs at the same clock on another weekday, or another weekend day."""
    latency, load = writer(14)
    grid = controls.grid(latency.index, load, "UTC")
    index = placebo.swapped_days(grid, np.random.default_rng(0))
    assert (grid.clock[index] == grid.clock).all()
    assert (grid.day[index] != grid.day).mean() > 0.5
    middle = np.abs(grid.clock - 720) < 300
    assert (grid.weekend[index] == grid.weekend)[middle].all()


def test_sensitivity_asks_the_question_differently():
    """Every variant of a clear effect has its sign; before the start there is none."""
    latency, load = writer()
    exposures = scattered()
    jobs = runs(*[(24 * day + 2, 24 * day + 3) for day in range(8)], workload="batch")
    table = reader_impact.sensitivity(
        design(slowed(latency, exposures, 10), load, exposures, writer_jobs=jobs)
    ).set_index("variant")
    assert (table.drop("before the start")["effect_pct"] > 5).all()
    assert abs(table.loc["before the start", "effect_pct"]) < 3


def test_quantiles_shift_with_the_mean():
    """A constant factor moves every quantile of the minute means alike."""
    latency, load = writer()
    exposures = scattered()
    table = reader_impact.quantile_effects(
        design(slowed(latency, exposures, 10), load, exposures), quantiles=(0.5, 0.9)
    )
    assert (table["ci_low_pct"] < 10).all()
    assert (table["ci_high_pct"] > 8).all()


def test_exposure_is_the_union_of_runs():
    """Runs that overlap count once, and part of a minute is a part."""
    grid = controls.grid(minutes(1), writer(1)[1], "UTC")
    spans = runs((0, 2.5 / 60), (1 / 60, 2 / 60), (4.25 / 60, 4.75 / 60))
    assert regressors.exposed_share(spans, grid)[:6] == pytest.approx([1, 1, 0.5, 0, 0.5, 0])


def test_dose_grows_with_writes_and_drains():
    """Three minutes of mean writes, then purge works them off."""
    open_ = np.array([0, 1, 1, 1, 0, 0, 0])[:, None]
    assert regressors.columns(open_, np.ones(7), 2.0, open_[:, 0] >= 0)[:, 1] == pytest.approx(
        [0, 1, 2, 3, 1, 0, 0]
    )


def test_tail_and_lead_stand_around_a_run():
    """Half an hour after it, and from 35 to 5 minutes before it."""
    open_ = np.zeros((200, 1))
    open_[100:110] = 1
    _, _, tail, lead = regressors.columns(open_, np.ones(200), 2.5, open_[:, 0] >= 0).T
    assert np.flatnonzero(tail).tolist() == list(range(110, 140))
    assert np.flatnonzero(lead).tolist() == list(range(65, 95))


def _history_list(fall: float, runs: int) -> pd.Series:
    """Grows by 100 a minute for 40 minutes, falls by `fall`, and wobbles by 20 for the rest of two hours."""
    one = np.concatenate([np.arange(100, 4001, 100), np.arange(4000 - fall, 0, -fall)])
    wobble = np.random.default_rng(1).integers(0, 20, 120 * runs)
    return pd.Series(np.tile(np.pad(one, (0, 120 - len(one))), runs) + wobble, minutes(7)[: 120 * runs])


@pytest.mark.parametrize(("fall", "drain"), [(400, 4), (80, 0.8), (4000, 8)])
def test_drain_is_read_from_the_history_list(fall, drain):
    """As many mean write rates as it falls faster than it grows; a fall within a minute counts as one of five."""
    history = _history_list(fall, 6)
    assert regressors.drain(history, pd.Series(10.0, history.index)) == pytest.approx(drain, rel=0.05)


def test_a_history_list_at_rest_tells_nothing_of_purge():
    """Its wobble is no drain: were it taken for one, a harmless run would seem to weigh on the writer for hours."""
    history = _history_list(4000, 6).clip(upper=20)
    load = pd.Series(10.0, history.index)
    assert regressors.drain(history, load) == regressors.drain(None, load) == regressors.DRAIN


def _naive(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.tz_localize(None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lat, load, ex: (_naive(lat), load, ex), "latency has no time zone"),
        (lambda lat, load, ex: (pd.concat([lat, lat[:1]]), load, ex), "twice"),
        (lambda lat, load, ex: (-lat, load, ex), "negative latencies"),
        (lambda lat, load, ex: (lat, load.shift(freq="100D"), ex), "no minute in common"),
        (lambda lat, load, ex: (lat, load * 0, ex), "write throughput"),
        (lambda lat, load, ex: (lat.shift(freq="7s"), load, ex), "not by the minute"),
        (lambda lat, load, ex: (lat[:0], load, ex), "not by the minute"),
        (lambda lat, load, ex: (lat, load * np.inf, ex), "no minute in common"),
        (lambda lat, load, ex: (lat["commit_latency"], load, ex), "one column per metric"),
        (lambda lat, load, ex: (lat[[]], load, ex), "one column per metric"),
        (lambda lat, load, ex: (pd.concat([lat, lat], axis=1), load, ex), "commit_latency twice"),
        (lambda lat, load, ex: (lat.astype(object), load, ex), "is not numeric but object"),
        (lambda lat, load, ex: (lat, load.to_frame(), ex), "load must be a Series"),
        (lambda lat, load, ex: (lat, load, ex.drop(columns="end")), "has no column end"),
        (
            lambda lat, load, ex: (lat, load, ex.assign(end=ex["start"] - pd.Timedelta("1s"))),
            "ends before its start",
        ),
        (lambda lat, load, ex: (lat, load, ex.assign(end=pd.NaT)), "end of runs has no time zone"),
        (
            lambda lat, load, ex: (lat, load, ex.assign(start=ex["start"].dt.tz_localize(None))),
            "has no time zone",
        ),
    ],
)
def test_input_that_does_not_fit_is_one_clear_line(change, message):
    """Nothing of numpy's reaches the user."""
    with pytest.raises(Error, match=message) as caught:
        reader_impact.effects(design(*change(*writer(), scattered())))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timezone": "Mars/Olympus"}, "no time zone 'Mars/Olympus'"),
        ({"writers": pd.DataFrame({"start": [1, 2]})}, "writers must have columns"),
        ({"writer_jobs": runs((2, 1), workload="batch")}, "writer_jobs ends before its start"),
        ({"history_list_length": pd.Series([1.0, 2.0])}, "history_list_length has no time zone"),
    ],
)
def test_optional_inputs_that_do_not_fit_are_one_clear_line(options, message):
    """The optional inputs are validated like the required ones."""
    with pytest.raises(Error, match=message):
        design(*writer(), scattered(), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 5}, "alpha is 5"),
        ({"materiality_pct": 0}, "materiality_pct is 0"),
        ({"placebos": -1}, "placebos is -1"),
    ],
)
def test_options_out_of_range_are_one_clear_line(options, message):
    """An option out of range is named with its value."""
    with pytest.raises(Error, match=message):
        reader_impact.effects(design(*writer(), scattered()), **options)


@pytest.mark.parametrize("quantiles", [[], [0.5, 1.0]])
def test_quantiles_lie_between_0_and_1(quantiles):
    """The largest minute is no quantile that has an error."""
    with pytest.raises(Error, match="must be between 0 and 1"):
        reader_impact.quantile_effects(design(*writer(), scattered()), quantiles=quantiles)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_without_any_latency_nothing_is_assessed(value):
    """A metric that is missing everywhere is unknown, without a word of numpy's."""
    latency, load = writer()
    row = reader_impact.effects(design(latency * 0 + value, load, scattered())).iloc[0]
    assert row["level"] == "unknown"
    assert row["reason"] == "only 0% of the minutes have both latency and load"


def test_what_cannot_be_a_latency_is_missing():
    """Zero (nothing was committed) and infinity are no latencies, and a constant one is no riddle."""
    latency, load = writer()
    latency = latency.assign(constant=4.0)
    latency.iloc[::50, 0] = 0
    latency.iloc[1::50, 0] = np.inf
    table = reader_impact.effects(design(latency, load, scattered()))
    assert table["level"].to_list() == ["no material effect", "no material effect"]


def test_what_always_runs_has_nothing_to_be_compared_with():
    """A dashboard that asks every minute is refused in words that fit it."""
    always = runs(*[(minute / 60, (minute + 0.3) / 60) for minute in range(0, 8 * 1440, 1)])
    row = reader_impact.effects(design(*writer(), always)).iloc[0]
    assert row["level"] == "cannot tell"
    assert "it runs in 100% of all minutes" in row["reason"]


@pytest.mark.parametrize("days", [0.001, 0.5, 8])
def test_no_runs_no_rows(days):
    """An empty table has the same columns, however short the window."""
    table = reader_impact.effects(design(*writer(days), scattered()[:0]))
    assert table.columns.to_list() == reader_impact.COLUMNS
    assert table.empty


@pytest.mark.parametrize("days", [1, 2, 700])
def test_a_window_of_minutes_is_unknown_not_an_exception(days):
    """However short the window is."""
    row = reader_impact.effects(design(*writer(days / 1440), runs((0, 0.5)))).iloc[0]
    assert row["level"] == "unknown"


def test_the_input_is_left_as_it_was():
    """Nothing that was handed over is changed."""
    latency, load = writer()
    exposures = scattered()
    before = latency.copy(), load.copy(), exposures.copy()
    reader_impact.effects(design(latency, load, exposures))
    pd.testing.assert_frame_equal(latency, before[0])
    pd.testing.assert_series_equal(load, before[1])
    pd.testing.assert_frame_equal(exposures, before[2])


@pytest.mark.parametrize("scenario", simulator.SCENARIOS)
def test_the_simulator_plants_what_it_says(scenario):
    """The mean effect over the exposed minutes is the planted truth, in every scenario."""
    data = simulator.fortnight(scenario, 7)
    planted = np.log(data.latency["hll 10"] / data.latency["null"])
    mine = data.exposures.query("workload == 'extract'")
    exposed = pd.Series(False, data.latency.index)
    for run in mine.itertuples():
        exposed[run.start.floor("min") : run.end - pd.Timedelta("1ms")] = True
    assert 100 * np.expm1(planted[exposed].mean()) == pytest.approx(10, abs=0.6)


def test_the_readme_shows_the_calibration_s_own_table():
    """Its numbers are those that `dev.py calibrate` wrote."""
    root = Path(__file__).parents[3]
    results = (root / "benchmarks/calibration/RESULTS.md").read_text(encoding="utf-8")
    table = results.split("## In short\n\n")[1].split("\n\n")[0]
    assert table in (root / "README.md").read_text(encoding="utf-8")
