"""The notebooks report the sample's recorded and planted facts, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from cells import NOTEBOOKS, verdicts

from aurora_analysis import Store, Window
from aurora_analysis.analysis.verdict import Verdict
from aurora_analysis.errors import Error
from aurora_analysis.report import runner
from aurora_analysis.store import location

TOPICS = ("undo_log", "reader_impact", "latency", "experiment")


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample, to be written to."""
    return Path(shutil.copytree(location.sample(), tmp_path_factory.mktemp("sample") / "store"))


@pytest.mark.parametrize("cluster", ["lab", "shop"])
@pytest.mark.parametrize("topic", TOPICS)
def test_a_window_without_data_is_unknown(topic, cluster):
    """No data is no calm: every verdict is unknown, and nothing raises."""
    found = verdicts(topic, cluster=cluster, start="2025-01-01", end="2025-01-08")
    assert found
    assert {one.severity for one in found} == {"unknown"}
    assert {one.level for one in found} == {"unknown"}


@pytest.mark.parametrize("topic", TOPICS)
def test_a_cluster_that_is_not_there_is_an_error(topic):
    """A misspelled name is no empty cluster: the error lists the clusters that the store has."""
    with pytest.raises(Error, match="it has: lab, ledger, shop, trial"):
        verdicts(topic, cluster="nowhere")


LAB = {"cluster": "lab", "start": "2026-11-23T11:08:53", "end": "2026-11-23T11:50:53"}


def by_subject(topic: str, **parameters) -> dict[str, str]:
    return {one.subject: one.level for one in verdicts(topic, **parameters)}


def test_the_lab_names_the_extracts_and_not_their_control():
    """snowflake blocked purge, in one card for both extracts; so did the idle session in the live samples; bi did not."""
    found = {one.subject: one for one in verdicts("undo_log", **LAB)}
    assert found.pop("reader queries").level == "unknown"  # 42 minutes show no hour of the week
    assert set(found) == {"snowflake on lab-reader", "airflow on lab-reader"}
    assert {one.level for one in found.values()} == {"blocked"}
    assert "Its runs are of 2 different statements." in found["snowflake on lab-reader"].sentence
    assert found["airflow on lab-reader"].evidence.startswith("Live samples")


def test_without_samples_the_labs_idle_session_is_unknown(copied):
    """No log shows the session, and no other workload is blamed for it."""
    window = Window(LAB["start"], LAB["end"])
    store = Store(copied)
    live = store.read("open_transactions", window, cluster="lab")
    source = live["source"].iloc[0]
    store.write(
        "open_transactions",
        live[:0].drop(columns=["cluster", "week", "source"]),
        window,
        cluster="lab",
        source=source,
    )
    found = by_subject("undo_log", store=str(copied), **LAB)
    assert found.pop("reader queries") == "unknown"
    assert found == {"snowflake on lab-reader": "blocked", "sessions in no log": "unknown"}


def test_the_labs_trial_tells_what_the_extracts_cost():
    """The effect of snowflake is causal and large; no causal effect of bi is reported."""
    found = {one.subject: one for one in verdicts("reader_impact", **LAB)}
    assert found["snowflake"].level == "slows"
    assert found["snowflake"].numbers["source"] == "trial"
    assert found["bi"].level in {"no material effect", "inconclusive"}


def test_the_trial_tells_what_its_query_does_to_a_queue():
    """The delete at the queue's end slows, and the history list's growth says why; what was only planted is no trial."""
    (found,) = verdicts("experiment")
    assert (found.subject, found.level) == ("extract", "slows")
    assert found.numbers["ci_low_pct"] > 5
    assert "transactions/hour more while it ran" in found.evidence
    assert by_subject("experiment", cluster="lab", **ALWAYS)["snowflake"] == "slows"
    assert by_subject("experiment", cluster="shop", **ALWAYS) == {"no trial": "unknown"}


ALWAYS = {"start": "2026-11-01", "end": "2026-12-01"}
SHOP = {"cluster": "shop", "start": "2026-11-09", "end": "2026-11-16"}


def test_shop_says_what_it_can_and_cannot_say():
    """The culprit slows, the harmless workload does not, and the refusal of the tied one names the batch.

    In the outputs that are committed: that the notebook still says so is verified by nbval.
    """
    shown = nbformat.read(NOTEBOOKS / "reader_impact.ipynb", 4)
    found = {one.subject: one for one in runner.findings(shown)}
    assert set(found) == {"snowflake", "tableau", "finance"}
    assert found["snowflake"].level == "slows"
    assert found["tableau"].level in {"no material effect", "inconclusive"}
    assert found["finance"].level == "cannot tell"
    assert "batch" in found["finance"].sentence


@pytest.fixture(scope="module")
def blockers() -> dict[str, Verdict]:
    """Subject → what undo_log says of it in shop's week."""
    return {one.subject: one for one in verdicts("undo_log", **SHOP)}


def test_shops_holders_are_named(blockers):
    """Extracts, the batch-time export and the writer's own long transaction blocked purge; tableau never did."""
    found = {subject: one.level for subject, one in blockers.items()}
    assert found["snowflake on shop-3"] == "blocked"
    assert found["sessions in no log"] == "unknown"
    assert not [subject for subject in found if subject.startswith("tableau")]


RULES = """
[workloads.extracts]
user = "snow*"
instance = "*-reader"
[jobs.nightly]
user = "batch"
[jobs.month_end]
user = "deploy"
"""


def test_rules_name_the_workloads_from_the_parameter_or_the_settings(tmp_path, monkeypatch):
    """The same subjects either way."""
    given = by_subject("undo_log", rules=RULES, **LAB)
    settings = tmp_path / "aurora-analysis.toml"
    settings.write_text(RULES)
    monkeypatch.setenv("AURORA_ANALYSIS_CONFIG", str(settings))
    assert by_subject("undo_log", **LAB) == given
    assert given["extracts on lab-reader"] == "blocked"
    assert not [subject for subject in given if "snowflake" in subject]


def test_what_no_rule_takes_is_named_by_its_digest():
    """The month-end job is declared as a job of the writer, and its statement stays a holder without a workload."""
    given = by_subject("undo_log", rules=RULES.replace("*-reader", "shop-3"), **SHOP)
    assert given["extracts on shop-3"] == "blocked"
    assert "783d2e9a2e9c6b67 on shop-1" in given
    assert not [subject for subject in given if "snowflake" in subject or "finance" in subject]


def test_one_changed_number_changes_the_sentence(copied, blockers):
    """The longest history list, ten times as long, is another sentence and another severity."""
    store, window = Store(copied), Window(SHOP["start"], SHOP["end"])
    longest = store.metric("history_list_length", window, cluster="shop").idxmax()
    minute = Window(longest.to_pydatetime(), (longest + pd.Timedelta("1min")).to_pydatetime())
    there = store.read("metrics", minute, cluster="shop")
    changed = there["value"].mask(there["name"] == "history_list_length", 10 * there["value"])
    rows = there.assign(value=changed).drop(columns=["cluster", "week", "source"])
    store.write("metrics", rows, minute, cluster="shop", source=there["source"].iloc[0])
    after = {one.subject: one for one in verdicts("undo_log", store=str(copied), **SHOP)}
    assert {s: v.sentence for s, v in blockers.items()} != {s: v.sentence for s, v in after.items()}
    assert "act" in {one.severity for one in after.values()}
