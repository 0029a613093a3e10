"""Randomisation inference: exact where nothing happens, right where something was planted."""

import numpy as np
import pandas as pd
import pytest

from aurora_analysis.analysis import experiment

START = pd.Timestamp("2026-11-09", tz="UTC")


def trial(
    seed: int = 1, blocks: int = 24, workloads: tuple[str, ...] = ("extract", "control")
) -> pd.DataFrame:
    """A trial of minute-long blocks, half of them on, each run 40 s long."""
    rng = np.random.default_rng(seed)
    rows = []
    for workload in workloads:
        on = rng.permutation(np.arange(blocks) % 2 == 0)
        starts = START + pd.to_timedelta(np.arange(blocks) * 60 + rng.integers(0, 10, blocks), unit="s")
        rows.append(
            pd.DataFrame(
                {
                    "time": starts,
                    "end": starts + pd.Timedelta("40s"),
                    "trial": "t",
                    "block": np.arange(blocks),
                    "workload": workload,
                    "assigned": on,
                    "on_share": 0.5,
                    "started_at": starts.where(on),
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def latency(trials: pd.DataFrame, factor: float, seed: int = 2, noise: float = 0.1) -> pd.Series:
    """A latency [ms] by the second that `extract` multiplies while it is on."""
    rng = np.random.default_rng(seed)
    seconds = pd.date_range(START, periods=int(trials["block"].max() + 1) * 60, freq="s")
    logs = rng.normal(0, noise, len(seconds)) + np.repeat(rng.normal(0, noise, len(seconds) // 60), 60)
    for run in trials[(trials["workload"] == "extract") & trials["assigned"]].itertuples():
        logs[(seconds >= run.time) & (seconds < run.end)] += np.log(factor)
    return pd.Series(np.exp(logs), index=seconds)


def effects(trials: pd.DataFrame, series: pd.Series, **options) -> pd.DataFrame:
    return experiment.effects(series.to_frame("latency"), trials, **options).set_index("workload")


def test_a_blocks_outcome_is_the_geometric_mean_of_its_planned_run():
    """Samples before and after the run do not count."""
    seconds = pd.date_range(START, periods=4, freq="s")
    one = pd.DataFrame({"time": [seconds[1]], "end": [seconds[3]]})
    latency = pd.DataFrame({"latency": [100.0, 1.0, 4.0, 100.0]}, index=seconds)
    block = experiment.outcomes(latency, one)
    assert block[["value", "coverage"]].to_numpy().tolist() == [[pytest.approx(2.0), 1.0]]


def test_a_block_without_samples_is_missing_not_zero():
    """No data gives no outcome; no metric gives no block."""
    nothing = pd.Series([], index=pd.DatetimeIndex([], tz="UTC"), dtype=float)
    assert experiment.outcomes(nothing.to_frame()[[]], trial()).empty
    block = experiment.outcomes(nothing.to_frame("latency"), trial())
    assert block["value"].isna().all()
    assert (block["coverage"] == 0).all()


def test_a_planted_effect_is_found_and_its_control_is_not():
    """Doubled latency is +100 %, inside its interval; the control's interval holds zero."""
    trials = trial()
    found = effects(trials, latency(trials, factor=2.0))
    extract, control = found.loc["extract"], found.loc["control"]
    assert extract["ci_low_pct"] < 100 < extract["ci_high_pct"]
    assert extract["p"] <= 0.001
    assert control["ci_low_pct"] < 0 < control["ci_high_pct"]


def test_the_interval_agrees_with_the_p_value():
    """The 95 % interval leaves out zero just where p is at most .05."""
    trials = trial(blocks=16)
    for seed in range(6):
        found = effects(trials, latency(trials, factor=1.06, seed=seed), draws=999)
        assert ((found["ci_low_pct"] > 0) | (found["ci_high_pct"] < 0)).equals(found["p"] <= 0.05)


def test_a_true_null_is_rejected_as_often_as_promised():
    """Of 20 trials without an effect few reject (3 standard errors); `dev.py calibrate trials` makes 400."""
    trials = trial(blocks=16, workloads=("extract",))
    series = [latency(trials, factor=1.0, seed=seed) for seed in range(20)]
    rejected = [effects(trials, one, draws=299)["p"].iloc[0] <= 0.05 for one in series]
    assert np.mean(rejected) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 20)


def test_a_covariate_sharpens_the_estimate():
    """What the planned load explains is taken off the noise."""
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
    """A level that changed half-way is no noise once it is told; what has no value is left out."""
    trials = trial()
    series = latency(trials, factor=1.5)
    late = pd.Series(np.where(series.index < START + pd.Timedelta(minutes=12), 1.0, 4.0), series.index)
    blunt = effects(trials, series * late).loc["extract"]
    known = pd.DataFrame({"late": late, "flat": 2.0, "missing": np.nan})
    sharp = effects(trials, series * late, covariate=known).loc["extract"]
    assert sharp["ci_high_pct"] - sharp["ci_low_pct"] < (blunt["ci_high_pct"] - blunt["ci_low_pct"]) / 2
    assert sharp["ci_low_pct"] < 50 < sharp["ci_high_pct"]


def test_trials_are_compared_within_and_not_with_each_other():
    """A busy hour in which the workload runs more often is no effect of it: each hour is a draw of its own."""
    hours = trial(blocks=32, workloads=("extract",))
    busy = hours["block"] >= 16
    rng = np.random.default_rng(4)
    often, seldom = (rng.permutation(np.arange(16) < count) for count in (12, 4))
    drawn = hours.assign(trial=np.where(busy, "busy", "calm"), assigned=np.concatenate([seldom, often]))
    series = latency(drawn, factor=1.0)
    series = series.where(series.index < START + pd.Timedelta(minutes=16), 3 * series)
    pooled = effects(drawn.assign(trial="one"), series).loc["extract"]
    assert pooled["p"] < 0.05, "the trap: were they one draw, the busy hour would be blamed on the workload"
    found = effects(drawn, series).loc["extract"]
    assert found["ci_low_pct"] < 0 < found["ci_high_pct"] < 30


def test_too_few_blocks_give_no_number():
    """Three blocks on cannot tell anything at 5 %."""
    trials = trial(blocks=6)
    assert effects(trials, latency(trials, factor=2.0))["effect_pct"].isna().all()


def test_only_drawn_blocks_are_an_experiment():
    """A planted truth without a draw is no trial."""
    trials = pd.concat([trial(), trial(workloads=("idle",)).assign(on_share=np.nan)])
    assert set(experiment.randomised(trials)["workload"]) == {"extract", "control"}


def test_what_did_not_run_is_no_block():
    """An on-block that was missed is left out; where the trial broke off, so is all that was planned after it."""
    rows = trial(workloads=("extract",), blocks=12)
    on = rows.index[rows["assigned"]]
    missed = rows.assign(started_at=rows["started_at"].mask(rows.index == on[1]))
    assert experiment.randomised(missed)["block"].tolist() == rows["block"].drop(on[1]).tolist()
    stopped = rows.assign(started_at=rows["started_at"].where(rows.index < on[2]))
    assert experiment.randomised(stopped)["block"].tolist() == rows["block"][: on[2]].tolist()
    assert experiment.randomised(rows.assign(started_at=pd.NaT)).empty


def in_fours(seed: int, fours: int) -> pd.DataFrame:
    """A trial whose blocks were drawn in fours, two of each on."""
    rng = np.random.default_rng(seed)
    on = np.concatenate([rng.permutation([True, True, False, False]) for _ in range(fours)])
    return trial(blocks=4 * fours, workloads=("extract",)).assign(assigned=on)


def test_slow_drift_is_nobodys_effect_where_blocks_were_drawn_in_fours():
    """Latency triples over the trial: compared within fours, a fifth more is still seen."""
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
    """They have 36 draws: none can be rare enough, whatever was seen."""
    trials = in_fours(1, 2)
    found = effects(trials, latency(trials, factor=3.0)).loc["extract"]
    assert found["p"] > 0.05
    assert np.isnan([found["ci_low_pct"], found["ci_high_pct"]]).all()


@pytest.mark.parametrize("value", [5.0, np.nan])
def test_blocks_that_are_all_alike_are_no_evidence(value):
    """Nothing differs: p is one. Nothing is known: no number."""
    trials = trial(workloads=("extract",))
    flat = latency(trials, factor=1.0) * 0 + value
    found = effects(trials, flat).loc["extract"]
    growth = experiment.history_growth(flat.dropna(), trials).iloc[0]
    if np.isnan(value):
        assert np.isnan([found["p"], found["effect_pct"], growth["p"]]).all()
    else:
        assert [found["p"], growth["p"]] == [1.0, 1.0]
        assert [found["effect_pct"], growth["difference"]] == pytest.approx([0, 0])


def test_a_block_without_its_samples_is_left_out_and_the_rest_is_told():
    """A gap over a run costs that block, not the trial."""
    trials = trial(workloads=("extract",))
    series = latency(trials, factor=2.0)
    gap = trials.loc[trials["assigned"]].iloc[0]
    found = effects(trials, series[(series.index < gap["time"]) | (series.index >= gap["end"])]).loc[
        "extract"
    ]
    assert (found["blocks_on"], found["blocks_off"]) == (11, 12)
    assert found["ci_low_pct"] < 100 < found["ci_high_pct"]


def test_carry_over_is_seen_in_the_off_blocks_that_follow_a_run():
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


def test_a_statements_latency_holds_for_each_second_of_its_count():
    """What runs all the time is compared; what runs now and then is not, nor the canary."""
    counted = pd.DataFrame(
        [
            (0, 2.0, "aaaaaaaa1", 4.0, 1.5),
            (0, 2.0, "canary", 9.0, 9.0),
            (2, 1.0, "aaaaaaaa1", 2.0, 3.0),
            (3, 1.0, "aaaaaaaa1", 1.0, 2.0),
        ]
        + [(3, 1.0, "seldom", 1.0, 900.0)],
        columns=["time", "period_s", "digest", "calls", "mean_latency_ms"],
    ).assign(time=lambda rows: START + pd.to_timedelta(rows["time"], unit="s"))
    texts = {
        "aaaaaaaa1": "delete from queue",
        "canary": "update aurora_analysis_canary",
        "seldom": "select 1",
    }
    statements = pd.DataFrame(texts.items(), columns=["digest", "fingerprint"])
    found = experiment.statement_latency(counted, statements)
    assert found.to_dict("list") == {"statement aaaaaaaa": [1.5, 1.5, 3.0, 2.0]}
    assert experiment.statement_latency(counted[:0], statements[:0]).empty


def test_other_draws_show_what_chance_does():
    """The draw that happened stands outside where there is an effect; without one there is nothing to show."""
    trials = trial(workloads=("extract",))
    series = latency(trials, factor=2.0).to_frame("latency")
    draws = experiment.by_chance(series, trials, experiment.effects(series, trials))
    happened = draws.loc[draws["happened"], "effect_pct"].item()
    assert happened == pytest.approx(effects(trials, series["latency"])["effect_pct"].item())
    assert (draws.loc[~draws["happened"], "effect_pct"] < happened).mean() > 0.99
    assert experiment.by_chance(series, trials[:0], experiment.effects(series, trials[:0])).empty


def test_every_on_block_counts_alike_whatever_its_trials_share():
    """Sixteen on-blocks slower by 10 % and four by 50 %: by 17 % in the (geometric) mean, not by what the shares weigh."""
    hours = trial(blocks=40, workloads=("extract",))
    late = hours["block"] >= 20
    rng = np.random.default_rng(4)
    often, seldom = (rng.permutation(np.arange(20) < count) for count in (16, 4))
    drawn = hours.assign(trial=np.where(late, "late", "early"), assigned=np.concatenate([often, seldom]))
    quiet = latency(drawn, factor=1.1, noise=0.001)
    more = latency(drawn[drawn["trial"] == "late"], factor=1.5 / 1.1, noise=0.001)
    found = effects(drawn, quiet * more.reindex(quiet.index)).loc["extract"]
    assert found["effect_pct"] == pytest.approx(100 * (1.1**0.8 * 1.5**0.2 - 1), abs=0.2)
