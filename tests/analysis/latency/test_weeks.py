"""A shift that earlier weeks also show is ordinary."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from latency_cases import WEEK, cuts, lognormal, slow_queries

from aurora_analysis.analysis import latency
from aurora_analysis.window import Window


def wandering(seed: int, weeks: int, spread: float = 0.1, shift: float = 1.0) -> latency.Comparison:
    """Weeks whose latency differs by `spread` for no reason; the last one is slower by `shift`."""
    rng = np.random.default_rng(seed)
    levels = np.exp(spread * rng.standard_normal(weeks))
    spans = [
        Window(WEEK.start - pd.Timedelta(weeks=n), WEEK.end - pd.Timedelta(weeks=n)) for n in range(weeks)
    ]
    samples = [
        latency.Sample(span, latency.counts(slow_queries(level * lognormal(4000, 1.0, 100 * seed + n), span)))
        for n, (span, level) in enumerate(zip(spans, levels * np.array([shift] + [1.0] * (weeks - 1))))
    ]
    return latency.compare(samples[0], samples[1], cuts(), samples[1:])


def test_weeks_that_wander_are_ordinary():
    """Latency differs by 10 % between weeks. With nine of them in the store, few are flagged; the sentence names them."""
    verdicts = [latency.verdicts(wandering(seed, 9))[0] for seed in range(8, 13)]
    assert sum(verdict.level in {"slower", "faster"} for verdict in verdicts) == 0
    ordinary = [verdict for verdict in verdicts if verdict.level == "ordinary"]
    assert ordinary
    assert all("from the mean of 8 earlier weeks" in verdict.sentence for verdict in ordinary)
    (short,) = latency.verdicts(wandering(1, 2))
    assert "How much ordinary weeks differ is not known" in short.sentence


@pytest.mark.parametrize(("weeks", "known"), [(2, "1"), (4, "3")])
def test_few_weeks_are_compared_without_an_interval(weeks, known):
    """The page shows what the store has, and one line names what is missing and how to get it."""
    found = wandering(1, weeks=weeks).weeks
    assert len(found) and found["from_usual_pct"].notna().all()
    assert found[["low_pct", "high_pct", "spread_pct"]].isna().all(axis=None)
    line = latency.weeks_note(found)
    assert f"the store has {known} of the 4 earlier weeks that are needed. Fetch {5 - weeks} more" in line
    assert "has none of the 4" in latency.weeks_note(found.iloc[:0])
    assert latency.weeks_note(wandering(1, weeks=5).weeks).startswith("4 earlier weeks show")


@pytest.mark.parametrize(("now_known", "then_known", "weeks"), [(1, 1, 4), (1, 0, 0), (0, 1, 4), (0, 0, 4)])
def test_a_share_of_all_statements_is_never_compared_with_a_number(now_known, then_known, weeks):
    """The total is known in the window or in earlier weeks only: the same log every week is no change of 100 %."""
    total = pd.Series({"db-2": 50.0})
    samples = []
    for n in range(5):
        span = Window(WEEK.start - pd.Timedelta(weeks=n), WEEK.end - pd.Timedelta(weeks=n))
        is_known = then_known if n else now_known
        executions = latency.counts(slow_queries(lognormal(1000), span))
        samples.append(latency.Sample(span, executions, total if is_known else total[:0]))
    found = latency.compare(samples[0], samples[1], cuts(), samples[1:]).weeks
    rate = found[found["of"] == "rate"]
    assert rate["earlier_weeks"].to_list() == [weeks] * bool(weeks)
    assert rate["from_usual_pct"].abs().to_list() == pytest.approx([0.0] * bool(weeks))


def test_a_shift_beyond_ordinary_weeks_is_slower():
    """Twice the latency stands out from weeks that differ by 10 %."""
    (verdict,) = latency.verdicts(wandering(3, 9, shift=2.0))
    assert verdict.level == "slower"
