"""The randomisation test is exact without an effect and right about a planted one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from trial_cases import START, effects, in_fours, latency, trial


def test_the_interval_agrees_with_the_p_value():
    """The 95 % interval excludes zero exactly if p is at most .05."""
    trials = trial(blocks=16)
    for seed in range(6):
        found = effects(trials, latency(trials, factor=1.06, seed=seed), draws=999)
        assert ((found["ci_low_pct"] > 0) | (found["ci_high_pct"] < 0)).equals(found["p"] <= 0.05)


def test_a_true_null_is_rejected_as_often_as_promised():
    """At most 5 % plus 3 standard errors of 20 null trials reject; `dev.py calibrate trials` makes 400."""
    trials = trial(blocks=16, workloads=("extract",))
    series = [latency(trials, factor=1.0, seed=seed) for seed in range(20)]
    rejected = [effects(trials, one, draws=299)["p"].iloc[0] <= 0.05 for one in series]
    assert np.mean(rejected) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 20)


def test_trials_are_compared_within_and_not_with_each_other():
    """A busy hour in which the workload runs more often is not an effect: each hour is its own draw."""
    hours = trial(blocks=32, workloads=("extract",))
    busy = hours["block"] >= 16
    rng = np.random.default_rng(4)
    often, seldom = (rng.permutation(np.arange(16) < count) for count in (12, 4))
    drawn = hours.assign(trial=np.where(busy, "busy", "calm"), assigned=np.concatenate([seldom, often]))
    series = latency(drawn, factor=1.0)
    series = series.where(series.index < START + pd.Timedelta(minutes=16), 3 * series)
    pooled = effects(drawn.assign(trial="one"), series).loc["extract"]
    assert pooled["p"] < 0.05, "pooled into one draw, the busy hour is blamed on the workload"
    found = effects(drawn, series).loc["extract"]
    assert found["ci_low_pct"] < 0 < found["ci_high_pct"] < 30


def test_slow_drift_is_not_an_effect_if_blocks_were_drawn_in_fours():
    """Latency triples over the trial; compared within fours, an effect of 20 % is still found."""
    trials = in_fours(1, 6)
    series = latency(trials, factor=1.2, noise=0.05)
    drifting = series * np.linspace(1, 3, len(series))
    found = effects(trials, drifting).loc["extract"]
    assert 0 < found["ci_low_pct"] < 20 < found["ci_high_pct"] < 40


def test_a_true_null_of_blocks_in_fours_is_rejected_as_often_as_promised():
    """Blocks are compared within the fours in which they were drawn; `dev.py calibrate trials` makes 400 trials."""
    rejected = []
    for seed in range(20):
        trials = in_fours(seed, 4)
        series = latency(trials, factor=1.0, seed=seed) * np.linspace(1, 3, 16 * 60)
        rejected.append(effects(trials, series, draws=299)["p"].iloc[0] <= 0.05)
    assert np.mean(rejected) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 20)


def test_two_fours_are_too_few_for_an_interval():
    """They have 36 possible draws, so p cannot reach .05."""
    trials = in_fours(1, 2)
    found = effects(trials, latency(trials, factor=3.0)).loc["extract"]
    assert found["p"] > 0.05
    assert np.isnan([found["ci_low_pct"], found["ci_high_pct"]]).all()


def test_every_on_block_counts_equally_whatever_the_share_of_off_blocks():
    """Sixteen on-blocks slower by 10 % and four by 50 % give their geometric mean of 17 %."""
    hours = trial(blocks=40, workloads=("extract",))
    late = hours["block"] >= 20
    rng = np.random.default_rng(4)
    often, seldom = (rng.permutation(np.arange(20) < count) for count in (16, 4))
    drawn = hours.assign(trial=np.where(late, "late", "early"), assigned=np.concatenate([often, seldom]))
    quiet = latency(drawn, factor=1.1, noise=0.001)
    more = latency(drawn[drawn["trial"] == "late"], factor=1.5 / 1.1, noise=0.001)
    found = effects(drawn, quiet * more.reindex(quiet.index)).loc["extract"]
    assert found["effect_pct"] == pytest.approx(100 * (1.1**0.8 * 1.5**0.2 - 1), abs=0.2)
