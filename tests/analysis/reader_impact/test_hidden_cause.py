"""A hidden event of the printed strength explains an effect, and the yardstick is the strongest known job."""

import re

import numpy as np
import pandas as pd
import pytest
from impact_cases import design, runs, scattered, slowed, writer

from aurora_analysis.analysis import reader_impact
from aurora_analysis.analysis.reader_impact import hidden_cause
from aurora_analysis.analysis.reader_impact.hidden_cause import Yardstick

HIDDEN = re.compile(
    r"would explain this if it ran during (\d+) % of the workload's run time and raised commit latency by (\d+) %;"
)


def test_a_hidden_event_of_the_printed_strength_makes_an_innocent_workload_look_guilty():
    """A fifth of the runs, three times as strong: the estimate without any true effect reaches the blamed one's limit."""
    latency, load = writer(14)
    mine = scattered(14, each=5)
    blamed = reader_impact.effects(design(slowed(latency, mine, 10), load, mine)).iloc[0]
    share, impact = (int(number) for number in HIDDEN.search(blamed["hidden_cause"]).groups())
    accompanied = mine.sample(frac=share / 100, random_state=0)
    innocent = reader_impact.effects(design(slowed(latency, accompanied, impact), load, mine)).iloc[0]
    assert innocent["effect_pct"] == pytest.approx(blamed["ci_low_pct"], abs=1.5)


def test_the_yardstick_is_the_strongest_job():
    """Its impact is that against the half hour before, and its share that of the workload's exposed time."""
    logs, exposed = np.zeros(3000), np.zeros(3000)
    weak, strong = np.zeros(3000), np.zeros(3000)
    weak[500:600], strong[1000:1100], exposed[1050:1150] = 1, 1, 1
    logs[500:600] += np.log(1.1)
    logs[1000:1100] += np.log(1.4)
    found = hidden_cause.strongest_job({"weak": weak, "strong": strong}, logs, exposed)
    assert found.name == "strong"
    assert (found.impact_pct, found.share) == pytest.approx((40, 0.5))
    assert hidden_cause.strongest_job({}, logs, exposed) is None
    assert hidden_cause.strongest_job({"weak": weak}, logs * np.nan, exposed) is None


@pytest.mark.parametrize(
    ("job", "share", "impact"),
    [(None, 50, 21), (Yardstick("batch", 33.1, 0.08), 33, 33), (Yardstick("batch", 4.0, 0.5), 100, 10)],
    ids=["no job", "a stronger job", "a weaker job"],
)
def test_share_and_impact_belong_together(job, share, impact):
    """Impact to the power of the share is the effect; a job that is too weak leaves an event in every run."""
    text = hidden_cause.sentence(10.0, "commit_latency", job)
    assert [int(number) for number in HIDDEN.search(text).groups()] == [share, impact]
    assert ("batch" in text) == (job is not None)
    assert ("a stronger one for less" in text) == (share < 100)


def test_only_a_blamed_workload_has_the_sentence():
    """It names the job; a harmless workload needs no hidden cause."""
    latency, load = writer()
    mine = scattered()
    jobs = runs(*[(24 * day + 2, 24 * day + 3) for day in range(8)], workload="batch")
    latency = slowed(slowed(latency, mine, 10), jobs, 60)
    both = pd.concat([mine, scattered(seed=9, workload="harmless")])
    table = reader_impact.effects(design(latency, load, both, writer_jobs=jobs)).set_index("workload")
    assert "The strongest known job, batch, raises it by" in table.loc["extract", "hidden_cause"]
    assert table.loc["harmless", "hidden_cause"] == ""
