"""Doctor: checks of a cluster, and the exact fix of each gap."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime

import botocore.session
import pandas as pd
import pytest
from botocore import xform_name
from botocore.model import StructureShape
from botocore.validate import ParamValidator
from click.testing import CliRunner
from fetching import DAY, KEPT, day, endpoint, environment

from aurora_analysis.cli import main
from aurora_analysis.fetch import doctor
from aurora_analysis.fetch.doctor import Probes
from aurora_analysis.sources.aws import rds
from aurora_analysis.sources.aws.rds import Instance, Topology
from aurora_analysis.sources.aws.recommendations import Recommendation

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
        request[name] = int(value) if member.type_name in {"integer", "long"} else value
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


def backtracked(
    alerts: float = 0.0, since: datetime | None = datetime(2026, 11, 9, 12, tzinfo=UTC)
) -> doctor.Check:
    """Return the check of a cluster with a target of 24 hours, at midnight of the tenth."""
    metrics = {("BacktrackWindowActual", 720.0), ("BacktrackWindowAlert", alerts)}
    probes = Probes(
        exported=frozenset({"a"}), backtrack=frozenset(metrics), now=datetime(2026, 11, 10, tzinfo=UTC)
    )
    return checked(probes, topology={"insights_mode": "standard", "backtrack": rds.Backtrack(24.0, since)})[
        "backtrack"
    ]


def test_a_backtrack_window_is_listed():
    """Its target, how far it really reaches, and the metric, about which AWS's pages disagree."""
    check = backtracked()
    assert (check.state, check.found) == (
        "ok",
        "target of 24 h, reaches back 12.0 h to 2026-11-09 12:00 UTC; BacktrackWindowActual 720 min",
    )
    assert checked()["backtrack"].found.startswith("off;")


def test_a_backtrack_window_that_falls_short_is_a_gap():
    """The fix is the window that is kept, in whole hours."""
    check = backtracked(alerts=3.0)
    assert check.state == "gap"
    call(check.fix.split("; CLI: aws ")[1].split("; CloudFormation")[0])
    assert "--backtrack-window 43200" in check.fix


def test_a_backtrack_window_of_unknown_reach_is_unknown():
    """RDS states no earliest time."""
    assert backtracked(since=None).state == "unknown"


@pytest.mark.parametrize(
    ("severity", "status", "state"),
    [("high", "active", "gap"), ("informational", "active", "ok"), ("high", "resolved", None)],
)
def test_aws_own_recommendations_are_listed(severity, status, state):
    """A serious one is a gap with AWS's advice; a resolved one is not listed."""
    now = datetime(2026, 11, 9, tzinfo=UTC)
    one = Recommendation(now, "a", severity, status, "The history list grew", "End long transactions")
    check = checked(Probes(exported=frozenset({"a"}), recommendations=(one,))).get("AWS recommends")
    assert (check and check.state) == state
    if check:
        assert (check.found, check.fix) == (f"{severity}: The history list grew", "End long transactions")


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


def examined(*denied: str, flags: Sequence[str] = (), **how: object) -> tuple[int, str]:
    with endpoint(**how) as aws:  # type: ignore[arg-type]
        for action in denied:
            aws.deny(action)
        command = ["doctor", "--cluster", "shop", "--now", aws.now.isoformat(), *flags]
        result = CliRunner(env=environment(aws)).invoke(main, command, catch_exceptions=False)
    return result.exit_code, result.output


def test_the_command_prints_one_table():
    """Against a cluster on loopback, doctor lists every instance and exits with 0."""
    code, output = examined()
    assert code == 0, output
    assert all(name in output for name in KEPT)
    assert "keeps 31 days" in output


def test_backtracking_and_recommendations_are_requested():
    """A cluster with a backtrack window of two days that falls short, and a recommendation for one of its readers."""
    moment = datetime(2026, 11, 9, 12, tzinfo=UTC).timestamp()
    arn = "arn:aws:rds:eu-central-1:123456789012:db:"
    advice = {"Severity": "medium", "Status": "active", "CreatedTime": moment, "UpdatedTime": moment}
    advice |= {"Detection": "The **history list**\ngrew", "Recommendation": "End long transactions"}
    own, other = advice | {"ResourceArn": f"{arn}shop-2"}, advice | {"ResourceArn": f"{arn}elsewhere"}
    settings = {"BacktrackWindow": 172800, "EarliestBacktrackTime": moment}
    times = pd.date_range(DAY.start, DAY.end, freq="min", inclusive="left", unit="us")
    alerts = pd.DataFrame(
        {"time": times, "period_s": 60.0, "statistic": "sum", "value": 1.0, "instance": "shop-2"}
    )
    frames = day() | {"metrics": pd.concat([day()["metrics"], alerts.assign(name="backtrack_alerts")])}
    code, output = examined(frames=frames, settings=settings, recommendations=(own, other))
    assert code == 1
    lines = [" ".join(line.split()) for line in output.splitlines()]
    assert "shop-2 AWS recommends gap medium: The history list grew" in lines
    assert "elsewhere" not in output
    assert any(
        "falls short of the target" in line and "backtrack gap target of 48 h" in line for line in lines
    )
    assert examined("rds:DescribeDBRecommendations", settings=settings)[0] == 1


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


def test_json_has_every_check_with_its_fix():
    """A program reads the same checks as a person: one list, the gap with its fix, and the same exit code."""
    how = {"overrides": KEPT | {"shop-2": {"pi_retention_days": 0}}}
    code, output = examined("cloudwatch:ListMetrics", flags=["--json"], **how)
    found = json.loads(output)
    assert code == 1
    assert {frozenset(each) for each in found} == {frozenset(field.name for field in fields(doctor.Check))}
    assert {each["state"] for each in found} <= {"ok", "gap", "refused", "unknown"}
    assert {each["instance"] for each in found} >= set(KEPT)
    by_place = {(each["instance"], each["what"]): each for each in found}
    gap = by_place["shop-2", "performance insights"]
    assert (gap["state"], gap["fix"][:8]) == ("gap", "console:")
    refused = [each for each in found if each["state"] == "refused"]
    assert refused and all("ListMetrics is not permitted" in each["found"] for each in refused)
    assert by_place["shop-1", "performance insights"]["state"] == "ok"


def test_an_error_is_no_json():
    """The line goes to standard error, so that a program reads nothing instead of half a document."""
    with endpoint() as aws:
        result = CliRunner(env=environment(aws)).invoke(main, ["doctor", "--cluster", "shop-2", "--json"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "pass --cluster shop" in result.stderr


def test_all_clusters_are_checked_and_one_that_fails_is_a_line(tmp_path):
    """The cluster that does not exist is named on standard error, the other one is checked; exit code 1."""
    settings = tmp_path / "aurora-analysis.toml"
    settings.write_text('[clusters.lost]\nidentifier = "lost"\n[clusters.shop]\nidentifier = "shop"\n')
    with endpoint() as aws:
        command = ["doctor", "--all", "--config", str(settings), "--now", aws.now.isoformat()]
        shown, as_json, both = (
            CliRunner(env=environment(aws)).invoke(main, [*command, *more], catch_exceptions=False)
            for more in ((), ("--json",), ("--cluster", "shop"))
        )
        describing = [call.operation for call in aws.calls].count("DescribeDBClusters")
    assert shown.exit_code == 1
    assert "lost: There is no cluster 'lost' in eu-central-1" in shown.stderr
    assert "shop" in shown.stdout and "performance insights" in shown.stdout
    assert {row["cluster"] for row in json.loads(as_json.stdout)} == {"shop"}
    assert as_json.exit_code == 1
    assert both.exit_code == 2
    assert (
        describing <= 4
    )  # one listing for both clusters of each run, and the refusal of the one that is lost
