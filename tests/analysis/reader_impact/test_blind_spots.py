"""Effects in the tail, and effects that clients in closed loops hide, are reported at their true size."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from impact_cases import START, design, minutes, scattered, slowed, writer

from aurora_analysis.analysis import reader_impact
from aurora_analysis.analysis.reader_impact import distribution
from aurora_analysis.analysis.reader_impact.findings import EQUAL_CLOCKS
from aurora_analysis.analysis.reader_impact.model import Fit
from aurora_analysis.analysis.verdict import signed


def closed_loop(percent: float, days: int = 10) -> reader_impact.Design:
    """Clients that never pause: one per cent more latency is one per cent less throughput, whatever the cause."""
    rng = np.random.default_rng(2)
    mine = scattered(days, each=5)
    plain = design(*writer(days), mine)
    effect = np.log1p(percent / 100) * (plain.exposed[:, 0] > 0)
    wave = 0.2 * np.sin(2 * np.pi * np.arange(1440 * days) / 1440)
    noise = 0.08 * rng.normal(size=1440 * days)
    latency = pd.DataFrame({"commit_latency": 4 * np.exp(wave + noise + effect)}, index=minutes(days))
    offered = wave + 0.05 * rng.normal(size=1440 * days)
    return design(latency, pd.Series(100 * np.exp(offered - noise - effect), minutes(days)), mine)


def test_a_closed_loop_does_not_hide_the_effect():
    """Holding load constant would halve it; the sentence has both figures and the fall of throughput."""
    row = reader_impact.effects(closed_loop(10)).iloc[0]
    assert row["level"] == "slows"
    assert row["ci_low_pct"] < 10 < row["ci_high_pct"]
    assert row["at_equal_load_pct"] < 6
    assert row["throughput_pct"] == pytest.approx(-9.1, abs=1)
    assert "Meanwhile write throughput is" in row["sentence"]


def test_a_closed_loop_blames_nobody_by_itself():
    """Without an effect nothing is reported, and throughput does not fall."""
    row = reader_impact.effects(closed_loop(0)).iloc[0]
    assert row["level"] == "no material effect"
    assert np.isnan(row["throughput_pct"])


def test_load_that_rises_with_the_workload_is_not_its_effect():
    """Where a workload is launched with load, the effect stays that at equal load."""
    latency, load = writer()
    mine = scattered()
    busy = design(latency, load, mine).exposed[:, 0] > 0
    row = reader_impact.effects(
        design(latency.mul(1.1 ** (0.5 * busy), axis=0), load * 1.2**busy, mine)
    ).iloc[0]
    assert np.isnan(row["throughput_pct"])


def test_an_effect_in_the_tail_is_that_on_the_average():
    """One exposed minute in ten takes three times as long: +20 % on average, and bad minutes twice as frequent."""
    latency, load = writer(14)
    mine = scattered(14, each=5)
    exposed = design(latency, load, mine).exposed[:, 0] > 0
    struck = exposed & (np.random.default_rng(4).random(len(exposed)) < 0.1)
    made = design(latency.mul(np.where(struck, 3, 1), axis=0), load, mine)
    estimates = reader_impact.effects(made)
    row = estimates.iloc[0]
    quantiles = reader_impact.quantile_effects(made, quantiles=tuple(reader_impact.SIDES))
    (beside,) = reader_impact.side_by_side(estimates, quantiles).to_dict("records")
    assert float(beside["typical minute [%]"].split()[0]) < 3
    assert beside["average minute [%]"].startswith(signed(row["average_effect_pct"]))
    assert float(beside["p95 of minute means [%]"].split()[0]) > 50
    assert row["level"] == "slows"
    assert row["average_low_pct"] < 100 * 2 * struck.sum() / exposed.sum() < row["average_high_pct"]
    assert row["effect_pct"] == row["average_effect_pct"]
    assert row["bad_minutes"] == pytest.approx(1.9, abs=0.2)
    assert "the writer's average commit latency" in row["sentence"]
    assert (
        f"bad minutes (the slowest tenth) are {row['bad_minutes']:.1f} times as frequent" in row["sentence"]
    )
    assert "counts no minute as more than 10 times slower" in row["sentence"]


def test_the_interval_of_an_average_effect_covers_large_effects():
    """The exposed mean is observed; what it would be without the workload is uncertain, the more so the larger the effect."""
    rng, held = np.random.default_rng(5), 0
    for effect in rng.normal(0.6, 0.1, 400):
        fit = distribution.relative_effect(Fit(np.array([effect]), np.array([0.1]), 1e6), np.array([1.6]))
        _, low, high, _ = fit.percent(0, 0.05)
        held += low <= 60 <= high
    assert 0.93 <= held / 400 <= 0.98
    unlimited = {"average_effect_pct": 260.0, "average_low_pct": -96.0, "average_high_pct": 35_000.0}
    row = pd.DataFrame([{"workload": "etl", "metric": "commit_latency", "bad_minutes": 2.0, **unlimited}])
    none = pd.DataFrame(columns=["workload", "metric", "quantile", "effect_pct", "ci_low_pct", "ci_high_pct"])
    assert reader_impact.side_by_side(row, none)["average minute [%]"].tolist() == ["–"]


def test_an_even_effect_is_that_on_the_typical_minute():
    """Where all minutes slow alike, average and typical minute agree, and the sentence names no tail."""
    latency, load = writer()
    mine = scattered()
    row = reader_impact.effects(design(slowed(latency, mine, 10), load, mine)).iloc[0]
    assert row["average_effect_pct"] == pytest.approx(row["effect_pct"], abs=1.5)
    assert "tail" not in row["sentence"]


@pytest.mark.parametrize("seconds", [-80, 0, 80])
def test_clocks_that_differ_by_more_than_a_minute_do_not_shrink_the_effect(seconds):
    """Runs of five minutes whose log is 80 s off: the estimate stays near 10 %; as if all clocks agreed, it is below 8."""
    rng = np.random.default_rng(7)
    latency, load = writer(10)
    starts = (START + pd.to_timedelta(np.sort(rng.uniform(0, 24 * 10 - 1, 120)), unit="h")).floor("min")
    mine = pd.DataFrame({"workload": "extract", "start": starts, "end": starts + pd.Timedelta("299s")})
    seen = mine.assign(**{name: mine[name] + pd.Timedelta(seconds=seconds) for name in ("start", "end")})
    made = design(slowed(latency, mine, 10), load, seen)
    row = reader_impact.effects(made).iloc[0]
    assert row["level"] == "slows"
    assert row["effect_pct"] == pytest.approx(10, abs=1.2)
    variants = reader_impact.sensitivity(made).set_index("variant")
    assert (variants.loc[EQUAL_CLOCKS, "effect_pct"] < 8) == (seconds != 0)
