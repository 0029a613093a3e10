"""Doctor: checks of a cluster, and the exact fix of each gap."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime

import botocore.session
import pytest
from botocore import xform_name
from botocore.model import StructureShape
from botocore.validate import ParamValidator
from click.testing import CliRunner
from fetching import KEPT, endpoint, environment

from aurora_analysis.cli import main
from aurora_analysis.fetch import doctor
from aurora_analysis.fetch.doctor import Probes
from aurora_analysis.sources.aws import rds
from aurora_analysis.sources.aws.rds import Instance, Topology

GOOD = {"slow_query_log": "1", "log_output": "FILE", "long_query_time": "0.5", "innodb_monitor_enable": "all"}
V3 = "8.0.mysql_aurora.3.08.0"


def checked(
    probes: Probes | None = None,
    exports: tuple[str, ...] = ("slowquery",),
    topology: dict[str, object] | None = None,
    **more: object,
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
    cluster = topology or {"insights_mode": "standard"}
    found = Topology("shop", V3, exports, "", (Instance(**one),), **cluster)  # type: ignore[arg-type]
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
            "AWS::RDS::DBCluster DatabaseInsightsMode: standard, PerformanceInsightsEnabled: true",
        ),
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
    call(check.fix.split("; CLI: aws ")[1].split("; CloudFormation")[0])


def call(command: str) -> None:
    """Check a command of the AWS CLI against botocore's model: its operation, options, and types of values."""
    service, operation, *words = shlex.split(command)
    model = botocore.session.get_session().get_service_model(service)
    shape = next(
        model.operation_model(name).input_shape
        for name in model.operation_names
        if xform_name(name, "-") == operation
    )
    assert isinstance(shape, StructureShape)
    named = {f"--{xform_name(name, '-')}": (name, member) for name, member in shape.members.items()}
    request: dict[str, object] = {}
    while words:
        name, member = named[words.pop(0).replace("--no-", "--")]
        value = words.pop(0) if words and not words[0].startswith("--") else True
        request[name] = int(value) if member.type_name == "integer" else value
        if isinstance(value, str) and "=" in value:
            pairs = dict(each.split("=", 1) for each in value.split(","))
            request[name] = (
                [pairs] if member.type_name == "list" else {key: [each] for key, each in pairs.items()}
            )
    report = ParamValidator().validate(request, shape)
    assert not report.has_errors(), report.generate_report()


@pytest.mark.parametrize(
    ("mode", "kept", "state", "found"),
    [
        ("", 7, "unknown", "RDS does not state the mode"),
        ("standard", 7, "ok", "Standard mode"),
        ("advanced", 465, "ok", "Advanced mode"),
        ("advanced", 31, "gap", "Advanced mode needs 465 days, and a keeps less"),
    ],
)
def test_the_mode_of_database_insights_is_the_clusters(mode, kept, state, found):
    """The mode is read, not assumed; the fix of the Advanced mode sets the retention that it needs."""
    check = checked(topology={"insights_mode": mode}, pi_retention_days=kept)["database insights"]
    assert (check.state, check.found) == (state, found)
    if state == "gap":
        assert "--performance-insights-retention-period 465" in check.fix
        call(check.fix.split("; CLI: aws ")[1].split("; CloudFormation")[0])


def failover(*readers: Instance, **more: object) -> doctor.Check:
    """Return doctor's first check of the failover from a to these readers."""
    writer = Instance("a", is_writer=True)
    found = Topology("shop", V3, ("slowquery",), "", (writer, *readers), **more)  # type: ignore[arg-type]
    return next(each for each in doctor.checks(found, Probes()) if each.what == "failover")


def test_a_failover_that_brings_an_endpoint_to_the_writer_is_a_gap():
    """The fix moves the reader to the last tier, if another reader can take over."""
    serving = Instance("b", promotion_tier=1, endpoints_as_writer=("analytics",))
    check = failover(serving, Instance("c", promotion_tier=2))
    assert check.state == "gap"
    assert (
        "b would become the writer, and queries by custom endpoint analytics would run on it" in check.found
    )
    assert "--db-instance-identifier b --promotion-tier 15" in check.fix
    call(check.fix.split("; CLI: aws ")[1].split("; CloudFormation")[0])


def test_if_all_readers_serve_an_endpoint_the_endpoint_is_changed():
    """A tier would only name another of them."""
    check = failover(Instance("b", promotion_tier=1, endpoints_as_writer=("analytics",)))
    assert "--promotion-tier" not in check.fix
    call(check.fix.split("; CLI: aws ")[1].split("; CloudFormation")[0])
    assert "--endpoint-type READER" in check.fix


def test_a_failover_that_leaves_endpoints_alone_is_ok():
    """Unknown endpoints are not taken for none."""
    assert failover(Instance("b", promotion_tier=1)).state == "ok"
    assert failover(Instance("b", promotion_tier=1), has_endpoints=False).state == "unknown"


def test_a_backtrack_window_is_listed():
    """Its target, and the time to which it reaches."""
    window = rds.Backtrack(24.0, datetime(2026, 11, 9, 12, tzinfo=UTC))
    assert checked(topology={"insights_mode": "standard", "backtrack": window})["backtrack"].found == (
        "window of 24 h, reaches back to 2026-11-09 12:00 UTC"
    )
    assert checked()["backtrack"].found == "off"


def test_enhanced_monitoring_is_optional():
    """No analysis needs it, so that its absence is no gap."""
    check = checked(monitoring_interval_s=0)["enhanced monitoring"]
    assert (check.state, check.found) == ("ok", "off; no analysis needs it")


def test_an_instance_without_a_cluster_is_explained():
    """RDS for MySQL: the remark says what it means for the question, and the fixes name the instance."""
    alone = {
        "engine": "mysql",
        "remarks": ("shop is RDS for mysql, not Aurora",),
        "insights_mode": "standard",
    }
    found = checked(topology=alone, pi_retention_days=0, exports=())
    assert (found["kind"].state, found["engine"].found) == ("unknown", f"mysql {V3}")
    for what in ("performance insights", "slow log export"):
        assert "rds modify-db-instance --db-instance-identifier shop --" in found[what].fix
        call(found[what].fix.split("; CLI: aws ")[1].split("; CloudFormation")[0])


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


def test_an_instances_name_is_one_line():
    """An instance given as the cluster: the line names its cluster, and the exit code is 2."""
    with endpoint() as aws:
        result = CliRunner(env=environment(aws)).invoke(main, ["doctor", "--cluster", "shop-2"])
    line = "aurora-analysis: 'shop-2' is an instance of cluster 'shop': pass --cluster shop.\n"
    assert (result.exit_code, result.output) == (2, line)


def test_a_gap_and_a_refusal_are_exit_code_1():
    """Performance Insights is off for one instance, and CloudWatch refuses ListMetrics."""
    code, output = examined("cloudwatch:ListMetrics", overrides=KEPT | {"shop-2": {"pi_retention_days": 0}})
    assert code == 1
    assert (
        "shop-2, performance insights: console: Modify DB cluster > Database Insights: Standard mode"
        in output
    )
    assert "ListMetrics is not permitted" in output
