"""The answer of a randomised trial: the headline that the page shows, and nothing from an empty window."""

from __future__ import annotations

import re

import pytest

from aurora_analysis import Store, Window, observe
from aurora_analysis.analysis import experiment
from aurora_analysis.store import location

TRIAL = Window("2026-11-26T21:02:02", "2026-11-26T21:13:21")
NO_DATA = Window("2025-01-01", "2025-01-08")


def answer(window: Window, **options: float) -> experiment.Answer:
    data = observe(Store(location.sample()), window, "trial")
    return experiment.answer(data, experiment.Options(**options))


@pytest.fixture(scope="module")
def found() -> experiment.Answer:
    return answer(TRIAL)


def test_the_headline_names_culprit_and_victim(found):
    """The extract slows the writer; its growth of the history list stands beside it."""
    (verdict,) = found.verdicts
    assert (verdict.level, verdict.severity) == ("slows", "act")
    digest = verdict.statement["digest"]
    assert verdict.numbers["metric"] == f"statement {digest[:8]}"
    assert verdict.headline.startswith(f"extract makes the writer's `{verdict.statement['text'][:30]}")
    slower_ms, effect_pct = re.search(r"` ([\d.]+) ms \((\d+) %\) slower$", verdict.headline).groups()
    assert int(effect_pct) == round(found.effects["effect_pct"].max())
    on = found.trials[found.trials["assigned"].astype(bool)]
    values = experiment.outcomes(found.latency, on).query("metric == @verdict.numbers['metric']")["value"]
    assert float(slower_ms) == pytest.approx(values.mean() * (1 - 1 / (1 + int(effect_pct) / 100)), rel=0.05)
    assert verdict.numbers["effect_pct"] == pytest.approx(found.effects["effect_pct"].max(), abs=0.05)
    assert found.growth["difference"].gt(0).all()


def test_the_table_has_the_p_value_of_the_card(found):
    """Adjusted for the number of tests, beside the raw one."""
    (verdict,) = found.verdicts
    row = found.effects.set_index("metric").loc[verdict.numbers["metric"]]
    assert verdict.numbers["p_adjusted"] == pytest.approx(row["p_adjusted"], abs=5e-5)
    assert row["p"] < row["p_adjusted"]


def test_the_statements_are_those_that_are_compared(found):
    """Each listed statement has a column of latencies, and no other statement has one."""
    named = {f"statement {digest[:8]}" for digest in found.statements["digest"]}
    assert named == {name for name in found.latency if name.startswith("statement ")}


def test_the_number_of_statements_is_an_option():
    """One statement is compared if one is requested."""
    assert len(answer(TRIAL, most_statements=1).statements) == 1


def test_an_empty_window_is_unknown():
    """Without a trial the only verdict is that none took place."""
    found = answer(NO_DATA)
    assert [(one.level, one.headline) for one in found.verdicts] == [
        ("unknown", "No randomised trial took place")
    ]
    assert found.planned.empty and found.effects.empty and found.growth.empty
