"""The cost of bad practices."""

from __future__ import annotations

import re
import shlex

import botocore.session
import numpy as np
import pandas as pd
import pytest
from botocore import xform_name
from db_load_cases import HOUR, INSTANCES, NO_METRICS, load

from aurora_analysis import engines
from aurora_analysis.analysis import db_load
from aurora_analysis.window import Window


def queries(**columns: object) -> pd.DataFrame:
    """One execution, half an hour long by default."""
    row = {
        "started_at": pd.Timestamp("2026-11-09 00:10", tz="UTC"),
        "ended_at": pd.Timestamp("2026-11-09 00:40", tz="UTC"),
        "instance": "db-1",
        "user": "etl",
        "digest": "d",
        "query_time_s": 1800.0,
        "rows_sent": 5,
        "rows_examined": 4_000_000,
        "extras": None,
    }
    return pd.DataFrame([row | columns])


def found_practices(rows: pd.DataFrame, role: str = "reader") -> pd.DataFrame:
    classes = db_load.with_vcpus(db_load.by_class(load(cpu=2.0)), INSTANCES, NO_METRICS)
    costs = db_load.costs(rows, pd.Series([role]), HOUR)
    return db_load.practices(costs, db_load.profile(classes, INSTANCES, HOUR), HOUR)


def test_a_bulk_extract_has_a_cost():
    """A run of half an hour in an hour is half a session, a quarter of a load of two."""
    found = found_practices(queries(rows_sent=4_000_000))
    assert found.loc[0, ["practice", "open_hours", "active_sessions", "load_pct"]].to_list() == [
        "bulk extract",
        0.5,
        0.5,
        25.0,
    ]
    [verdict] = db_load.practice_verdicts(found, pd.DataFrame(columns=["digest", "fingerprint"]))
    assert (verdict.subject, verdict.level, verdict.severity) == ("etl", "bulk extract", "watch")
    assert "25 % of the load of db-1" in verdict.sentence


def test_a_practice_without_db_load_has_an_unknown_share():
    """The sentence states no share."""
    found = found_practices(queries(rows_sent=4_000_000)).assign(load_pct=np.nan)
    [verdict] = db_load.practice_verdicts(found, pd.DataFrame(columns=["digest", "fingerprint"]))
    assert verdict.severity == "unknown"
    assert "of the load" not in verdict.sentence


def test_a_cost_on_an_instance_with_little_observed_load_is_unknown():
    """The mean of a tenth of the window is not the window's load."""
    classes = db_load.with_vcpus(db_load.by_class(load(cpu=100.0).iloc[:1]), INSTANCES, NO_METRICS)
    costs = db_load.costs(queries(rows_sent=4_000_000), pd.Series(["reader"]), HOUR)
    found = db_load.practices(costs, db_load.profile(classes, INSTANCES, HOUR), HOUR)
    [verdict] = db_load.practice_verdicts(found, pd.DataFrame(columns=["digest", "fingerprint"]))
    assert verdict.severity == "unknown"


def test_only_time_inside_the_window_is_counted():
    """A statement that began a day earlier counts for 40 minutes of the window's hour."""
    found = found_practices(queries(rows_sent=4e6, started_at=pd.Timestamp("2026-11-08", tz="UTC")))
    assert found.loc[0, "open_hours"] == pytest.approx(40 / 60)


def test_a_long_query_with_few_rows_sent_is_unoptimised_on_a_reader():
    """On the writer it may be a write, which sends no rows."""
    assert found_practices(queries())["practice"].to_list() == ["long unoptimised query"]
    assert found_practices(queries(), role="writer").empty


@pytest.mark.parametrize("harmless", [{"query_time_s": 5.0}, {"rows_examined": 4000}])
def test_a_short_or_a_lean_query_is_no_bad_practice(harmless):
    """A bad practice is both long and wasteful."""
    assert found_practices(queries(**harmless)).empty


NO_TEXTS = pd.DataFrame(columns=["digest", "fingerprint"])


def test_the_sentence_states_rows_and_bytes_of_all_runs():
    """Two runs of four million rows and 3 GB each; a log without log_slow_extra counts no bytes."""
    extras = '{"Rows_affected":0,"Bytes_sent":3000000000}'
    logged = pd.concat([queries(rows_sent=4_000_000, extras=extras)] * 2, ignore_index=True)
    found = found_practices(logged)
    assert found.loc[0, "bytes_sent"] == 3e9
    [verdict] = db_load.practice_verdicts(found, NO_TEXTS)
    assert "They sent 8 million rows and 6 GB in all." in verdict.sentence
    [silent] = db_load.practice_verdicts(found_practices(queries(rows_sent=4_000_000)), NO_TEXTS)
    assert "They sent 4 million rows in all; the log does not count bytes" in silent.sentence
    words = engines.words("aurora-postgresql")
    [other] = db_load.practice_verdicts(found_practices(queries(rows_sent=4_000_000)), NO_TEXTS, words=words)
    assert "the log does not count bytes. While" in other.sentence and "log_slow_extra" not in other.sentence


@pytest.mark.parametrize(
    ("practice", "runs", "first"),
    [
        ("bulk extract", 7 * 24, "zero-ETL or change data capture"),
        ("bulk extract", 7, "snapshot export to S3"),
        ("long unoptimised query", 35, "clone"),
    ],
)
def test_alternatives_fit_how_often_a_practice_runs(practice, runs, first):
    """Every hour, once a day, and a report."""
    found = pd.DataFrame({"user": ["etl"], "practice": [practice], "executions": [runs]})
    listed = db_load.alternatives(found, Window("2026-11-09", "2026-11-16"), "shop")
    assert listed["alternative"].iloc[0] == first
    assert listed["steps"].str.startswith("1. ").all()
    assert db_load.alternatives(found[:0], Window("2026-11-09", "2026-11-16"), "shop").empty


COMMANDS = re.compile(r"aws (rds [^;,.]*[^;,. ])")


def test_the_commands_of_alternatives_are_the_clis():
    """Each operation and option of the AWS CLI exists in botocore's model, and none that is required lacks."""
    model = botocore.session.get_session().get_service_model("rds")
    operations = {
        xform_name(name, "-"): model.operation_model(name).input_shape for name in model.operation_names
    }
    found = pd.DataFrame({"user": ["a", "b"], "practice": ["bulk extract"] * 2, "executions": [1, 999]})
    steps = db_load.alternatives(found, Window("2026-11-09", "2026-11-16"), "shop")["steps"].drop_duplicates()
    commands = [command for text in steps for command in COMMANDS.findall(text)]
    assert len(commands) >= 6
    for command in commands:
        operation, *words = shlex.split(command)[1:]
        options = {f"--{xform_name(name, '-')}": name for name in operations[operation].members}
        given = {options[word.replace("--no-", "--")] for word in words if word.startswith("--")}
        assert set(operations[operation].required_members) <= given, command
