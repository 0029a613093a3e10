"""An effect that the data cannot identify is refused, and the reason is named."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from impact_cases import design, runs, scattered, writer

from aurora_analysis.analysis import reader_impact
from aurora_analysis.analysis.reader_impact import refusals
from aurora_analysis.analysis.reader_impact.model import Fit


@pytest.mark.parametrize(
    ("exposures", "reason"),
    [
        (runs((5, 6), (30, 31), (60, 61)), "too few runs: 3 on 3 days"),
        (runs(*[(24 * day + 10, 24 * day + 10.5) for day in range(8)]), "always runs at about 10:00"),
        (runs(*[(24 * day + 2, 24 * day + 3) for day in range(8)]), "confounded with writer job batch"),
    ],
    ids=["few", "clock", "job"],
)
def test_a_refusal_names_the_confounder(exposures, reason):
    """A refused effect has no number, but a reason and a way to settle the question."""
    jobs = runs(*[(24 * day + 2, 24 * day + 3) for day in range(8)], workload="batch")
    row = reader_impact.effects(design(*writer(), exposures, writer_jobs=jobs)).iloc[0]
    assert row["level"] == "cannot tell"
    assert reason in row["reason"]
    assert np.isnan(row["effect_pct"])
    assert "To settle this, " in row["sentence"]


def test_workloads_that_always_run_together_are_inseparable():
    """Each of the two names the other one in its refusal."""
    one = scattered(workload="one")
    table = reader_impact.effects(design(*writer(), pd.concat([one, one.assign(workload="two")])))
    assert table.set_index("workload")["reason"].to_dict() == {
        "one": "it is inseparable from workload two",
        "two": "it is inseparable from workload one",
    }


@pytest.mark.parametrize(
    ("days", "exposures", "reason"),
    [
        (3, scattered(3, each=9), "3 days of the window have data for half a day or more, 7 are needed"),
        (8, runs((900, 901)), "it has no run inside the window"),
        (8, runs(*[(hour, hour + 0.01) for hour in range(5, 190, 7)]), "it ran for 16 minutes in total"),
    ],
    ids=["short", "outside", "seldom"],
)
def test_too_little_is_unknown(days, exposures, reason):
    """The reason states what is missing: days, runs or minutes."""
    row = reader_impact.effects(design(*writer(days), exposures)).iloc[0]
    assert row["level"] == "unknown"
    assert reason in row["reason"]


def test_gaps_are_not_filled():
    """A metric with most of its minutes missing is unknown; the other metric is still estimated."""
    latency, load = writer()
    latency = latency.assign(dml_latency=latency["commit_latency"].where(np.arange(len(latency)) % 3 == 0))
    table = reader_impact.effects(design(latency, load, scattered())).set_index("metric")
    assert table.loc["dml_latency", "reason"] == "only 33 % of the minutes have both latency and load"
    assert table.loc["commit_latency", "level"] == "no material effect"


def test_too_much_unknown_exposure_is_unknown():
    """The reason names the unknown exposure, and the step the source that would show it; missing latency is another matter."""
    latency, load = writer()
    blind = runs((0, 5 * 24))
    row = reader_impact.effects(design(latency, load, scattered(), unknown=blind)).iloc[0]
    assert row["level"] == "unknown"
    assert "of the minutes no source shows whether it ran" in row["reason"]
    assert "aurora-analysis watch" in row["action"]
    seldom = latency.iloc[::3].reindex(latency.index)
    row = reader_impact.effects(design(seldom, load, scattered(), unknown=blind)).iloc[0]
    assert (
        "have both latency and load, and in" in row["reason"] and "its exposure is unknown" in row["reason"]
    )
    assert "fetch the missing minutes" in row["sentence"]


def test_a_workload_that_always_runs_has_no_comparison_minutes():
    """A dashboard that queries every minute is refused for running always, not for its time of day."""
    always = runs(*[(minute / 60, (minute + 0.3) / 60) for minute in range(0, 8 * 1440, 1)])
    row = reader_impact.effects(design(*writer(), always)).iloc[0]
    assert row["level"] == "cannot tell"
    assert "it runs in 100 % of all minutes" in row["reason"]


@pytest.mark.parametrize("days", [1, 2, 700])
def test_a_window_of_minutes_is_unknown_not_an_exception(days):
    """A window of 1, 2 or 700 minutes raises no exception."""
    row = reader_impact.effects(design(*writer(days / 1440), runs((0, 0.5)))).iloc[0]
    assert row["level"] == "unknown"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_without_any_latency_nothing_is_assessed(value):
    """A metric that is missing everywhere is unknown, without a numpy warning."""
    latency, load = writer()
    row = reader_impact.effects(design(latency * 0 + value, load, scattered())).iloc[0]
    assert row["level"] == "unknown"
    assert row["reason"] == "only 0 % of the minutes have both latency and load"


def every(minutes: float, length: float, days: int = 8, wobble: float = 0.0, seed: int = 5) -> pd.DataFrame:
    """Runs of some minutes, that many minutes apart, moved at random."""
    rng = np.random.default_rng(seed)
    starts = np.arange(0, days * 1440 - 2 * minutes, minutes)
    starts = starts + rng.uniform(0, wobble, len(starts))
    return runs(*[(start / 60, (start + length) / 60) for start in starts])


@pytest.mark.parametrize(
    ("exposures", "without_effect"),
    [
        (every(19, 1.5, wobble=17), "no material effect"),
        (every(11, 0.4, wobble=10), "no material effect"),
        (every(47, 30, wobble=14), "inconclusive"),
    ],
    ids=["76 short runs a day", "130 logged statements a day", "open in two of three minutes"],
)
def test_everyday_workloads_are_answered(exposures, without_effect):
    """Frequent runs are judged, and an effect of 10 % is found; runs with hardly a gap are not called harmless."""
    latency, load = writer()
    plain = design(latency, load, exposures)
    share = plain.exposed[:, 0]
    raised = latency.mul(1.1 ** (share / share[share > 0].mean()), axis=0)
    assert reader_impact.effects(plain).iloc[0]["level"] == without_effect
    assert reader_impact.effects(design(raised, load, exposures)).iloc[0]["level"] == "slows"


def load_job(days: int = 8) -> pd.DataFrame:
    """A writer's job of 20 minutes, four times a day at irregular times."""
    rng = np.random.default_rng(8)
    hours = (24 * np.arange(days)[:, None] + [1, 7, 13, 19]).ravel() + rng.integers(0, 240, 4 * days) / 60
    found = runs(*[(hour, hour + 1 / 3) for hour in hours], workload="load")
    return found.assign(start=found["start"].dt.round("min"), end=found["end"].dt.round("min"))


def behind(job: pd.DataFrame) -> pd.DataFrame:
    """A report of 20 minutes behind each run of the job."""
    after = pd.to_timedelta(np.random.default_rng(9).uniform(1, 8, len(job)), unit="min")
    return job.assign(
        workload="report", start=job["end"] + after, end=job["end"] + after + pd.Timedelta("20min")
    )


def fading(latency: pd.DataFrame, job: pd.DataFrame) -> pd.DataFrame:
    """Latency that the job raises by 20 %, fading over the hour after its end."""
    raised = latency.copy()
    for run in job.itertuples():
        raised[run.start.round("min") : run.end.round("min") - pd.Timedelta("1s")] *= 1.2
        for minute in range(60):
            raised.loc[raised.index == run.end.round("min") + pd.Timedelta(minutes=minute)] *= 1.2 ** np.exp(
                -minute / 20
            )
    return raised


def test_a_report_behind_every_run_of_a_job_is_refused_for_that():
    """The reason names the job, the share of the runs that follow it, and the share of its ends with one."""
    job = load_job()
    row = reader_impact.effects(design(*writer(), behind(job), writer_jobs=job)).iloc[0]
    assert row["level"] == "cannot tell"
    assert "100 % of its runs begin within 15 minutes of the end of writer job load" in row["reason"]
    assert "away from the end of the writer's job that it follows" in row["sentence"]


def test_a_report_behind_some_runs_of_a_job_is_not_blamed_for_the_jobs_after_effect():
    """The job's fading effect is the job's, because half of its ends are free of the report."""
    job = load_job(14)
    latency, load = writer(14)
    table = reader_impact.effects(design(fading(latency, job), load, behind(job)[::2], writer_jobs=job))
    assert table.iloc[0]["level"] == "no material effect", table.iloc[0]["sentence"]


def test_a_refusal_for_lack_of_comparison_states_its_cause():
    """Open nearly always, at one time of day, or at several: each has its own reason."""
    times = [(24 * day + hour, 24 * day + hour + 0.4) for day in range(8) for hour in (3, 9, 15)]
    reasons = [
        reader_impact.effects(design(*writer(), exposures)).iloc[0]["reason"]
        for exposures in (every(60, 58), runs(*times))
    ]
    assert "it runs in 97 % of all minutes" in reasons[0]
    assert "because it runs at that time of day on most days" in reasons[1]


@pytest.mark.parametrize("lead", [12, 35])
def test_a_workload_launched_by_a_hidden_event_is_refused(lead):
    """A slowdown that begins before each run is found, however soon the run follows."""
    latency, load = writer()
    mine = scattered()
    for run in mine.itertuples():
        latency[run.start.floor("min") - pd.Timedelta(minutes=lead) : run.end] *= 1.04
    row = reader_impact.effects(design(latency, load, mine)).iloc[0]
    assert row["reason"] == "the writer was already slow before its runs started"
    assert row["level"] == "cannot tell"


def test_each_lead_is_tested_at_its_share_of_the_level():
    """Two leads: p below half of 1 % refuses, with the direction of the clearest; a lead without minutes does not count."""

    def lead(*t: float) -> Fit:
        return Fit(np.array(t), np.ones(len(t)), 1e6)

    # p of 2.7 is .0069, p of 3 is .0027; the second metric is faster before its runs.
    slow, none = {"pre-trend": "the writer was already slow before its runs started"}, {}
    fast = {"pre-trend": "the writer was already fast before its runs started"}
    assert refusals.pre_trends([lead(2.7, 1, 3), lead(0, -3, 0)]) == [none, fast, slow]
    assert refusals.pre_trends([lead(2.7, 1, 3), lead(*[np.nan] * 3)]) == [slow, none, slow]
    assert refusals.pre_trends([lead(np.nan), lead(np.nan)]) == [none]
