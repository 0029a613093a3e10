"""The answer about reader impact: the headlines that the page shows, and nothing from an empty window."""

from __future__ import annotations

import re

import pytest

from aurora_analysis import Store, Window, config, observe
from aurora_analysis.analysis import reader_impact, workloads
from aurora_analysis.analysis.verdict import percent
from aurora_analysis.store import location

SHOP = Window("2026-11-09", "2026-11-16")
LAB = Window("2026-11-23T11:08:53", "2026-11-23T11:50:53")
FEW = reader_impact.Options(placebos=0)


def answer(cluster: str, window: Window) -> reader_impact.Answer:
    data = observe(Store(location.sample()), window, cluster)
    return reader_impact.answer(data, config.Groups(), FEW)


@pytest.fixture(scope="module")
def shop() -> reader_impact.Answer:
    return answer("shop", SHOP)


def test_each_headline_names_the_workload_and_the_writer(shop):
    """Ordinary days: one workload slows the writer, one is tied to the batch, one is harmless."""
    snowflake, *others = shop.verdicts
    assert (snowflake.subject, snowflake.level) == ("snowflake", "slows")
    assert re.fullmatch(
        r"snowflake's `select o\.\* from orders o where o\.change…` makes commits 0\.2\d? ms "
        rf"\({percent(float(snowflake.numbers['effect_pct']))} %\) slower for 27 h a week",
        snowflake.headline,
    )
    assert "Read in chunks by key that take less than" in snowflake.action
    assert "If it no longer ran on the cluster, commits would be 0.2" in snowflake.action
    assert [(one.subject, one.level, one.headline) for one in others] == [
        ("finance", "cannot tell", "Cannot tell whether finance slows the writer"),
        ("tableau", "no material effect", "tableau does not slow the writer materially"),
    ]


def test_each_card_has_the_statement_that_a_reader_checks_first(shop):
    """Text, reader, runs, total time, last run and thread agree with the runs behind the verdict."""
    for one in shop.verdicts:
        runs = workloads.overlapping(shop.runs[shop.runs["workload"] == one.subject], SHOP)
        own = runs[runs["digest"] == one.statement["digest"]].sort_values("start")
        assert (one.statement["runs"], one.statement["thread"]) == (len(own), own["thread_id"].iloc[-1])
        assert one.statement["total_s"] <= (own["end"] - own["start"]).dt.total_seconds().sum() + 0.1
        assert one.statement["last"] == f"{own['start'].iloc[-1]:%Y-%m-%d %H:%M} UTC"
        assert str(one.statement["text"]).startswith("select ")


def test_ordinary_days_reach_further_back_than_the_window(shop):
    """Ordinary days are compared over a fortnight; trial and mechanism belong to the window itself."""
    assert shop.compared == SHOP.at_least(14)
    assert shop.exposure.runs["start"].min() < SHOP.start <= shop.history.index.min()
    assert shop.trials.empty


def test_the_writers_own_runs_are_marked(shop):
    """They are listed with the readers' runs, and no workload has their name."""
    marked = shop.runs["workload"].str.startswith("(writer) ")
    assert marked.sum() == len(shop.jobs) > 0
    assert (~marked).sum() == len(shop.exposure.runs)


def test_the_result_of_a_trial_decides():
    """The lab's trial finds the effect of snowflake; airflow, which only live samples show, had no trial."""
    found = answer("lab", LAB)
    assert {one.subject: one.level for one in found.verdicts} == {
        "snowflake": "slows",
        "bi": "inconclusive",
        "airflow": "unknown",
    }
    assert found.verdicts[0].numbers["source"] == "trial"
    assert len(found.trial_effects) and found.metric in found.latency


def test_an_empty_window_is_unknown():
    """Without data the only verdict is `unknown`."""
    found = answer("shop", Window("2025-01-01", "2025-01-08"))
    assert [(one.level, one.headline) for one in found.verdicts] == [
        ("unknown", "Unknown whether any reader slows the writer")
    ]
    assert found.estimates.empty and found.trial_effects.empty and found.growth.empty and found.runs.empty
