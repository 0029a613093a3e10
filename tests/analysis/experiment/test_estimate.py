"""A trial's estimate contains the planted effect, and has no number without enough blocks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from trial_cases import START, effects, latency, trial

from aurora_analysis.analysis import experiment


def test_a_planted_effect_is_found_and_its_control_is_not():
    """Doubled latency is +100 %, inside its interval; the control's interval holds zero."""
    trials = trial()
    found = effects(trials, latency(trials, factor=2.0))
    extract, control = found.loc["extract"], found.loc["control"]
    assert extract["ci_low_pct"] < 100 < extract["ci_high_pct"]
    assert extract["p"] <= 0.001
    assert control["ci_low_pct"] < 0 < control["ci_high_pct"]


def test_a_covariate_sharpens_the_estimate():
    """Holding the planned load constant halves the interval."""
    trials = trial()
    load = np.exp(np.random.default_rng(8).normal(0, 0.5, trials["block"].max() + 1))
    series = latency(trials, factor=1.5)
    busy = series * np.repeat(load, 60)
    planned = pd.Series(np.repeat(load, 60), index=series.index)
    blunt = effects(trials, busy).loc["extract"]
    sharp = effects(trials, busy, covariate=planned).loc["extract"]
    assert sharp["ci_high_pct"] - sharp["ci_low_pct"] < (blunt["ci_high_pct"] - blunt["ci_low_pct"]) / 2
    assert sharp["ci_low_pct"] < 50 < sharp["ci_high_pct"]


def test_several_covariates_are_held_constant():
    """A level shift half-way is removed by its covariate; a covariate without values is left out."""
    trials = trial()
    series = latency(trials, factor=1.5)
    late = pd.Series(np.where(series.index < START + pd.Timedelta(minutes=12), 1.0, 4.0), series.index)
    blunt = effects(trials, series * late).loc["extract"]
    known = pd.DataFrame({"late": late, "flat": 2.0, "missing": np.nan})
    sharp = effects(trials, series * late, covariate=known).loc["extract"]
    assert sharp["ci_high_pct"] - sharp["ci_low_pct"] < (blunt["ci_high_pct"] - blunt["ci_low_pct"]) / 2
    assert sharp["ci_low_pct"] < 50 < sharp["ci_high_pct"]


def test_too_few_blocks_give_no_number():
    """With three on-blocks no draw can be significant at 5 %."""
    trials = trial(blocks=6)
    assert effects(trials, latency(trials, factor=2.0))["effect_pct"].isna().all()


@pytest.mark.parametrize("value", [5.0, np.nan])
def test_blocks_that_are_all_alike_are_no_evidence(value):
    """If nothing differs, p is one; without values there is no number."""
    trials = trial(workloads=("extract",))
    flat = latency(trials, factor=1.0) * 0 + value
    found = effects(trials, flat).loc["extract"]
    growth = experiment.history_growth(flat.dropna(), trials).iloc[0]
    if np.isnan(value):
        assert np.isnan([found["p"], found["effect_pct"], growth["p"]]).all()
    else:
        assert [found["p"], growth["p"]] == [1.0, 1.0]
        assert [found["effect_pct"], growth["difference"]] == pytest.approx([0, 0])


def test_a_block_without_its_samples_is_left_out_and_the_others_are_compared():
    """A gap over one run costs that block, not the trial."""
    trials = trial(workloads=("extract",))
    series = latency(trials, factor=2.0)
    gap = trials.loc[trials["assigned"]].iloc[0]
    found = effects(trials, series[(series.index < gap["time"]) | (series.index >= gap["end"])]).loc[
        "extract"
    ]
    assert (found["blocks_on"], found["blocks_off"]) == (11, 12)
    assert found["ci_low_pct"] < 100 < found["ci_high_pct"]


def test_carry_over_shows_in_the_off_blocks_that_follow_a_run():
    """A run that doubles latency and leaves half of it behind for the block after it."""
    trials = trial(blocks=40, workloads=("extract",))
    series = latency(trials, factor=2.0)
    runs = trials[trials["assigned"]]
    for start in runs["time"] + pd.Timedelta("60s"):
        series[start : start + pd.Timedelta("45s")] *= 1.5
    after = experiment.following(trials)
    assert not trials.loc[after.index, "assigned"].any()
    found = effects(after, series).loc["extract"]
    assert found["ci_low_pct"] > 20
    assert found["ci_low_pct"] < 50 < found["ci_high_pct"]


def test_other_draws_show_what_chance_does():
    """With an effect the actual draw is extreme; without blocks there are no rows."""
    trials = trial(workloads=("extract",))
    series = latency(trials, factor=2.0).to_frame("latency")
    draws = experiment.by_chance(series, trials, experiment.effects(series, trials))
    happened = draws.loc[draws["happened"], "effect_pct"].item()
    assert happened == pytest.approx(effects(trials, series["latency"])["effect_pct"].item())
    assert (draws.loc[~draws["happened"], "effect_pct"] < happened).mean() > 0.99
    assert experiment.by_chance(series, trials[:0], experiment.effects(series, trials[:0])).empty
