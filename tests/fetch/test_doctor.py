"""Doctor: checks of a cluster, and the exact fix of each gap."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from fetching import KEPT, endpoint, environment

from aurora_analysis.cli import main
from aurora_analysis.fetch import doctor
from aurora_analysis.fetch.doctor import Probes
from aurora_analysis.sources.aws.rds import Instance, Topology

GOOD = {"slow_query_log": "1", "log_output": "FILE", "long_query_time": "0.5", "innodb_monitor_enable": "all"}
V3 = "8.0.mysql_aurora.3.08.0"


def checked(
    probes: Probes | None = None, exports: tuple[str, ...] = ("slowquery",), **more: object
) -> dict[str, doctor.Check]:
    """Return each check by its name, for a well-configured cluster of one writer with the given changes."""
    one = {
        "name": "a",
        "resource_id": "db-A",
        "is_writer": True,
        "pi_retention_days": 7,
        "monitoring_interval_s": 60,
    }
    one |= {"engine_version": V3, "parameters": GOOD} | more
    found = Topology("shop", V3, exports, "", (Instance(**one),))  # type: ignore[arg-type]
    return {check.what: check for check in doctor.checks(found, probes or Probes(exported=frozenset({"a"})))}


def test_a_well_configured_cluster_has_no_gap():
    """Every check is ok."""
    assert {check.state for check in checked().values()} == {"ok"}


@pytest.mark.parametrize(
    ("what", "more", "cloudformation"),
    [
        (
            "performance insights",
            {"pi_retention_days": 0},
            "AWS::RDS::DBInstance EnablePerformanceInsights: true",
        ),
        ("enhanced monitoring", {"monitoring_interval_s": 0}, "AWS::RDS::DBInstance MonitoringInterval: 60"),
        ("slow log export", {"exports": ()}, r"EnableCloudwatchLogsExports: \[slowquery\]"),
        ("slow_query_log", {"parameters": GOOD | {"slow_query_log": "0"}}, "{slow_query_log: '1'}"),
        ("log_output", {"parameters": GOOD | {"log_output": "TABLE"}}, "{log_output: 'FILE'}"),
        ("long_query_time", {"parameters": GOOD | {"long_query_time": "10"}}, "{long_query_time: '1'}"),
        ("innodb_monitor_enable", {"parameters": {"slow_query_log": "1"}}, "{innodb_monitor_enable: 'all'}"),
    ],
)
def test_each_gap_has_a_fix(what, more, cloudformation):
    """The fix names the console, the command line and CloudFormation."""
    import re

    check = checked(**more)[what]
    assert check.state == "gap"
    assert re.search(rf"^console: .*; CLI: aws rds modify-.*; CloudFormation: .*{cloudformation}", check.fix)


def metrics(*names: str) -> Probes:
    return Probes(metrics={"a": frozenset(names)}, exported=frozenset({"a"}))


@pytest.mark.parametrize(
    ("version", "what", "state", "found"),
    [
        (V3, "PurgeBoundary", "unknown", "not published in the last two weeks"),
        ("8.0.mysql_aurora.3.07.1", "PurgeBoundary", "gap", "not in 3.07"),
        ("5.7.mysql_aurora.2.11.2", "PurgeBoundary", "unknown", "not published in the last two weeks"),
        ("5.7.mysql_aurora.2.10.2", "PurgeBoundary", "gap", "not in 2.10"),
        ("5.7.mysql_aurora.2.12.0", "TransactionAgeMaximum", "gap", "not in Aurora MySQL 2"),
    ],
)
def test_purge_metrics_need_a_version(version, what, state, found):
    """An old version is a gap; a new version without the metric is unknown."""
    check = checked(metrics(), engine_version=version)[what]
    assert (check.state, check.found) == (state, found)
    assert checked(metrics(what), engine_version=version)[what].state == "ok"


def test_a_refused_request_is_listed():
    """The check names the action and the next step."""
    line = "ListMetrics is not permitted: allow it as deploy/iam-policy.json does."
    check = checked(Probes({("cloudwatch:ListMetrics", "a"): line}, exported=frozenset({"a"})))[
        "cloudwatch:ListMetrics"
    ]
    assert (check.instance, check.state, check.found) == ("a", "refused", line)


def test_an_export_without_a_stream_is_unknown():
    """The slow log is exported, and no stream exists yet."""
    assert checked(Probes())["slow log stream"].state == "unknown"


def examined(*denied: str, **how: object) -> tuple[int, str]:
    with endpoint(**how) as aws:  # type: ignore[arg-type]
        for action in denied:
            aws.deny(action)
        command = ["doctor", "--cluster", "shop", "--now", aws.now.isoformat()]
        result = CliRunner(env=environment(aws)).invoke(main, command, catch_exceptions=False)
    return result.exit_code, result.output


def test_the_command_prints_one_table():
    """Against a cluster on loopback, doctor lists every instance and exits with 0."""
    code, output = examined()
    assert code == 0, output
    assert all(name in output for name in KEPT)
    assert "keeps 31 days" in output


def test_a_gap_and_a_refusal_are_exit_code_1():
    """Performance Insights is off for one instance, and CloudWatch refuses ListMetrics."""
    code, output = examined("cloudwatch:ListMetrics", overrides=KEPT | {"shop-2": {"pi_retention_days": 0}})
    assert code == 1
    assert "shop-2, performance insights: console: Modify DB instance" in output
    assert "ListMetrics is not permitted" in output
