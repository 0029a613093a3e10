"""Minutes over the objective that readers caused, and a fair order of many clusters."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy

from aurora_analysis.analysis import fleet
from aurora_analysis.analysis.fleet import Caused, Effect


def minutes(count: int) -> pd.DatetimeIndex:
    return pd.date_range("2026-11-09", periods=count, freq="min", tz="UTC")


def test_minutes_that_would_be_within_the_objective_without_readers_are_caused():
    """10 ms of quiet and 15 ms under a reader of +40 %: its six minutes are over 12 ms only because of it."""
    latency = pd.Series([10.0] * 4 + [15.0] * 6 + [30.0] * 2, minutes(12))
    exposed = pd.Series([False] * 4 + [True] * 8, latency.index)
    found = fleet.caused(latency, [Effect(np.log(1.4), 0.01, exposed)], 12.0)
    assert (found.minutes, found.limit, found.is_stated) == (6.0, 12.0, True)


def test_without_an_objective_the_limit_is_that_of_quiet_minutes():
    """Their 95th percentile; without a quiet minute there is no answer, as without latency."""
    latency = pd.Series(np.arange(100.0), minutes(100))
    exposed = pd.Series(latency.index >= latency.index[60], latency.index)
    found = fleet.caused(latency, [Effect(0.5, 0.1, exposed)])
    assert (found.limit, found.is_stated) == (pytest.approx(np.quantile(np.arange(60.0), 0.95)), False)
    assert fleet.caused(latency, [Effect(0.5, 0.1, exposed | True)]) is None
    assert fleet.caused(latency[:0], []) is None


def test_an_uncertain_effect_makes_uncertain_minutes():
    """The error is the change of the count from one end of the effect's error to the other."""
    latency = pd.Series(np.linspace(10, 20, 200), minutes(200))
    exposed = pd.Series(True, latency.index)
    errors = [
        fleet.caused(latency, [Effect(0.2, error, exposed)], 15.0).error for error in (0.001, 0.05, 0.2)
    ]
    assert errors[0] == fleet.LEAST_ERROR_MIN < errors[1] < errors[2]


def test_a_small_noisy_cluster_does_not_lead():
    """It has the largest estimate and a huge error; the one that is certainly harmed leads."""
    estimates = {f"calm-{n}": Caused(float(n % 5), 3.0, 10.0, True) for n in range(20)}
    estimates |= {"tiny": Caused(220.0, 200.0, 10.0, True), "harmed": Caused(180.0, 10.0, 10.0, True)}
    found = fleet.shrunk(estimates)
    assert list(found)[0] == "harmed"
    assert found["tiny"].minutes < 60 and found["harmed"].minutes == pytest.approx(180, abs=15)
    assert found["harmed"].low < 180 < found["harmed"].high


def test_a_fleet_without_differences_is_shrunk_to_its_mean():
    """The errors explain all; two clusters are left as they are."""
    alike = {name: Caused(value, 50.0, 10.0, True) for name, value in (("a", 10.0), ("b", 20.0), ("c", 30.0))}
    assert {round(one.minutes, 6) for one in fleet.shrunk(alike).values()} == {20.0}
    del alike["c"]
    assert [one.minutes for one in fleet.shrunk(alike).values()] == [20.0, 10.0]


def test_a_hundred_clusters_are_ranked_by_their_planted_harm():
    """A fifth is noisy: order and top five are those of the truth, which the raw estimates miss."""
    rng = np.random.default_rng(11)
    truth = rng.gamma(0.8, 120.0, 100)
    error = np.where(rng.random(100) < 0.2, 400.0, 25.0)
    estimates = {
        f"c{n}": Caused(float(truth[n] + error[n] * rng.standard_normal()), float(error[n]), 10.0, True)
        for n in range(100)
    }
    certain = [n for n in range(100) if error[n] < 100]
    order = [int(name[1:]) for name in fleet.shrunk(estimates)]
    shrunk = {int(name[1:]): one.minutes for name, one in fleet.shrunk(estimates).items()}
    rank = scipy.stats.spearmanr([shrunk[n] for n in certain], truth[certain]).statistic
    leading = set(sorted(certain, key=lambda n: -truth[n])[:5])
    raw = sorted(range(100), key=lambda n: -estimates[f"c{n}"].minutes)
    assert rank >= 0.9
    assert len(leading & set(order[:5])) >= 4 > len(leading & set(raw[:5]))
