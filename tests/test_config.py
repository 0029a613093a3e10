"""Settings: where each comes from, and what a wrong one says."""

from __future__ import annotations

from datetime import time

import pytest

from aurora_analysis import config
from aurora_analysis.errors import Error


@pytest.fixture
def write(tmp_path):
    """A settings file of this content."""

    def written(content: str):
        path = tmp_path / "aurora-analysis.toml"
        path.write_text(content)
        return path

    return written


def test_without_a_file_all_is_default(tmp_path, monkeypatch):
    """No file, no variable: the defaults, and a cluster is its own identifier."""
    monkeypatch.chdir(tmp_path)
    settings = config.load(environ={})
    assert settings == config.Config()
    assert settings.cluster("shop") == config.Cluster("shop", "shop")


def test_the_environment_goes_before_the_file(write):
    """A variable wins over the file, the file over the default."""
    path = write("store = 'there'\n[rates]\nlogs = 7\nrds = 3\n")
    settings = config.load(path, environ={"AURORA_ANALYSIS_RATES_LOGS": "9", "AURORA_ANALYSIS_STORE": "here"})
    assert (settings.rates.logs, settings.rates.rds, settings.rates.cloudwatch) == (9.0, 3.0, 10.0)
    assert settings.store == "here"


def test_a_flag_goes_before_all(write, monkeypatch):
    """A region of the command line wins over the environment, which wins over the file."""
    settings = config.load(write("[clusters.shop]\nidentifier = 'shop-prod'\nregion = 'eu-west-1'\n"))
    assert settings.cluster("shop").region == "eu-west-1"
    monkeypatch.setenv("AURORA_ANALYSIS_REGION", "eu-west-2")
    assert settings.cluster("shop").region == "eu-west-2"
    found = settings.cluster("shop", region="eu-west-3")
    assert (found.region, found.identifier) == ("eu-west-3", "shop-prod")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("rates = 3", r"rates is 3; a table is expected, as in \[rates\]"),
        (
            "[rates]\npi = 3",
            r"\[rates\] has no setting 'pi'; valid settings are cloudwatch, logs, performance_insights",
        ),
        ("[rates]\nlogs = 'many'", "rates.logs is 'many'; a number is expected"),
        ("[rates]\nlogs = 0", r"rates.logs is 0.0; a number above 0 is expected"),
        ("[fetch]\nthreads = 1.5", "fetch.threads is 1.5; a whole number is expected"),
        ("[fetch]\nexamples = 1", "fetch.examples is 1; true or false is expected"),
        ("[fetch]\nthreads = true", "fetch.threads is True; a whole number is expected"),
        ("[clusters.shop]\nsecret = 'x'", r"\[clusters.shop\] has no setting 'secret'"),
        ("[clusters.shop]\nregion = 1", "clusters.shop.region is 1; text is expected"),
        ("colour = 'red'", "the top level has no setting 'colour'"),
        ("[rates", "is not valid TOML"),
    ],
)
def test_a_wrong_setting_names_file_key_and_expectation(write, content, message):
    """One line that says where and what."""
    with pytest.raises(Error, match=message) as raised:
        config.load(write(content), environ={})
    assert "aurora-analysis.toml" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_wrong_variable_names_itself():
    """The message names the environment variable, not the file."""
    with pytest.raises(Error, match="environment: AURORA_ANALYSIS_FETCH_THREADS is 'x'; a whole number"):
        config.load(environ={"AURORA_ANALYSIS_FETCH_THREADS": "x"})


def test_a_named_file_must_be_there(tmp_path):
    """A missing file is an error if it was named; the default file may be missing."""
    with pytest.raises(Error, match=r"Cannot read .*none.toml"):
        config.load(tmp_path / "none.toml", environ={})


def test_objectives_name_metric_and_unit(write):
    """The most that a minute mean should be, and the budget; the environment has no say in them."""
    settings = config.load(
        write(
            "[objectives]\ncommit_latency_minute_mean_ms = 5\ncpu_utilization_minute_mean_pct = 80\nbudget_pct = 2\n"
        )
    )
    assert settings.objectives == config.Objectives({"commit_latency": 5.0, "cpu_utilization": 80.0}, 2.0)


def test_a_drill_has_an_objective_for_each_fault():
    """A failover has a default, the others have none; neither counts as a metric."""
    assert config.objectives("budget_pct = 1").drills == {"failover": 30.0}
    found = config.objectives("failover_s = 12\ncrash_s = 5\nreader_restart_s = 6\nlag_s = 0.5\ndisk_s = 9")
    assert found.drills == {"failover": 12.0, "crash": 5.0, "reader-restart": 6.0, "lag": 0.5, "disk": 9.0}
    assert found.limits == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("failover_s = 0", "objectives.failover_s is 0.0; a number above 0"),
        ("failover_s = '30s'", "objectives.failover_s is '30s'; a number"),
        ("failover = 30", "unknown key 'failover'; write .* or one of failover_s"),
        ("commit_latency_minute_mean_s = 5", r"write <metric>_minute_mean_<unit>, as in commit_latency"),
        (
            "commit_latency_minute_mean_ms = 'low'",
            "objectives.commit_latency_minute_mean_ms is 'low'; a number",
        ),
        ("commit_latency", "is not valid TOML for objectives"),
    ],
)
def test_a_wrong_objective_is_one_clear_line(text, message):
    """As a notebook's parameter gives it."""
    with pytest.raises(Error, match=message):
        config.objectives(text)


def test_objectives_of_a_notebook_come_from_its_parameter_else_from_the_settings(write, monkeypatch):
    """A text wins over the file."""
    path = write("[objectives]\ndml_latency_minute_mean_ms = 3\n")
    monkeypatch.setenv("AURORA_ANALYSIS_CONFIG", str(path))
    assert config.objectives("commit_latency_minute_mean_ms = 5").limits == {"commit_latency": 5.0}
    assert config.objectives().limits == {"dml_latency": 3.0}


RULES = """
[workloads.snowflake]
user = ["snowflake*", "sf_*"]
[[workloads.extracts]]
host = "10.20.3.*"
tags.app = "airflow"
[[workloads.extracts]]
endpoint = "analytics"
[jobs.nightly]
user = "batch"
[jobs.backup]
daily = "02:00"
minutes = 40
"""


def test_workloads_are_rules_and_jobs_are_rules_or_hours(write):
    """In the order of the file; a tag is a field like any other."""
    groups = config.load(write(RULES), environ={}).groups
    assert list(groups.workloads) == ["snowflake", "extracts"]
    assert groups.workloads["snowflake"] == ({"user": ("snowflake*", "sf_*")},)
    assert groups.workloads["extracts"] == (
        {"host": ("10.20.3.*",), "tags.app": ("airflow",)},
        {"endpoint": ("analytics",)},
    )
    assert groups.jobs == {"nightly": ({"user": ("batch",)},)}
    assert groups.daily == {"backup": config.Daily(time(2), 40.0)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[workloads.etl]",
            r"\[workloads.etl\] has no condition, so it would match everything; set one of user",
        ),
        (
            "[workloads.etl]\nusr = 'x'",
            r"\[workloads.etl\] has no setting 'usr'; valid settings are application, database, digest",
        ),
        ("[workloads.etl]\nuser = 3", "workloads.etl.user is 3; a glob is expected"),
        ("[workloads.etl]\nuser = []", r"workloads.etl.user is \[\]; a glob is expected"),
        ("[workloads.etl]\nuser = ''", "workloads.etl.user is ''; a glob is expected"),
        ("[workloads.etl]\ntags = 'app'", "workloads.etl.tags is 'app'; a table is expected"),
        ("workloads.etl = []", "workloads.etl has no rule"),
        ("[workloads]\netl = 'etl_*'", r"workloads.etl is 'etl_\*'; a table is expected"),
        ("[jobs.nightly]\ndaily = '25:00'\nminutes = 5", "jobs.nightly.daily is '25:00'; a local time"),
        ("[jobs.nightly]\ndaily = '02:00'", "jobs.nightly.minutes is None; a number is expected"),
        (
            "[jobs.nightly]\ndaily = '02:00'\nuser = 'x'",
            "has no setting 'user'; valid settings are daily, minutes",
        ),
        (
            "[job.nightly]\nuser = 'x'",
            "the top level has no setting 'job'; valid settings are jobs, workloads",
        ),
        ("[workloads", "is not valid TOML for workloads and jobs"),
    ],
)
def test_a_wrong_rule_is_one_clear_line(text, message):
    """As a notebook's parameter gives it."""
    with pytest.raises(Error, match=message) as raised:
        config.groups(text)
    assert len(str(raised.value).splitlines()) == 1


def test_rules_are_found_wherever_the_kernel_was_started(write, monkeypatch, tmp_path):
    """JupyterLab starts kernels in the notebook's folder, papermill in the user's: the nearest file above counts."""
    path = write(RULES)
    below = path.parent / "notebooks" / "mine"
    below.mkdir(parents=True)
    for folder in (path.parent, below):
        monkeypatch.chdir(folder)
        assert list(config.groups().workloads) == ["snowflake", "extracts"]
    assert list(config.groups("[workloads.other]\nuser = 'x'").workloads) == ["other"]
