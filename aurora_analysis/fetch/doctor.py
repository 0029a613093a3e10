"""What of a cluster is reachable, permitted and enabled, and the exact fix of each gap.

`probe` asks every service once, in the smallest way; `checks` thinks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from aurora_analysis.fetch.chunks import Clients, explained
from aurora_analysis.sources.aws import cloudwatch, enhanced_monitoring, log_export, rds
from aurora_analysis.sources.aws.performance_insights import LOAD
from aurora_analysis.sources.aws.rds import Instance, Topology, number

State = Literal["ok", "gap", "refused", "unknown"]

PURGE_SINCE = {2: (2, 11), 3: (3, 8)}
"""Major version → the version since which Aurora publishes PurgeBoundary and its kin."""

AGE_SINCE = {3: (3, 8)}
"""Major version → the version since which Aurora publishes TransactionAgeMaximum."""


class Fix(NamedTuple):
    """How a gap is closed: in the console's words, on the command line, and in CloudFormation."""

    console: str
    cli: str
    cloudformation: str

    def said(self, instance: str, cluster: str) -> str:
        """The fix of one instance, in one line."""
        cli = self.cli.format(instance=instance, cluster=cluster)
        return f"console: {self.console}; CLI: aws {cli}; CloudFormation: {self.cloudformation}"


def _parameter(name: str, value: str) -> Fix:
    return Fix(
        f"Parameter groups > the DB parameter group of {{instance}} > {name} = {value}".replace(
            "{instance}", "the instance"
        ),
        "rds modify-db-parameter-group --db-parameter-group-name GROUP --parameters "
        f"ParameterName={name},ParameterValue={value},ApplyMethod=immediate",
        f"AWS::RDS::DBParameterGroup Parameters: {{{name}: '{value}'}}",
    )


FIXES = {
    "performance insights": Fix(
        "Modify DB instance > Monitoring > Turn on Performance Insights",
        "rds modify-db-instance --db-instance-identifier {instance} --enable-performance-insights --apply-immediately",
        "AWS::RDS::DBInstance EnablePerformanceInsights: true",
    ),
    "enhanced monitoring": Fix(
        "Modify DB instance > Monitoring > Enable Enhanced Monitoring, Granularity 60 seconds",
        "rds modify-db-instance --db-instance-identifier {instance} --monitoring-interval 60 "
        "--monitoring-role-arn ROLE --apply-immediately",
        "AWS::RDS::DBInstance MonitoringInterval: 60, MonitoringRoleArn",
    ),
    "slow log export": Fix(
        "Modify DB cluster > Log exports > Slow query log",
        "rds modify-db-cluster --db-cluster-identifier {cluster} "
        "--cloudwatch-logs-export-configuration EnableLogTypes=slowquery",
        "AWS::RDS::DBCluster EnableCloudwatchLogsExports: [slowquery]",
    ),
    "slow_query_log": _parameter("slow_query_log", "1"),
    "log_output": _parameter("log_output", "FILE"),
    "long_query_time": _parameter("long_query_time", "1"),
    "innodb_monitor_enable": _parameter("innodb_monitor_enable", "all"),
}
"""What is lacking → how to get it."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: what was found, and how to fix it where it is a gap."""

    instance: str
    what: str
    state: State
    found: str
    fix: str = ""


@dataclass(frozen=True)
class Probes:
    """What the services answered. `refused`: (what, instance) → one line; `metrics`: instance → CloudWatch's names.

    `exported` are the instances with a slow-log stream, `os_streams` the resource ids with an Enhanced Monitoring
    one; `answered` are the (what, instance) that were permitted.
    """

    refused: Mapping[tuple[str, str], str] = field(default_factory=dict)
    answered: frozenset[tuple[str, str]] = frozenset()
    metrics: Mapping[str, frozenset[str]] = field(default_factory=dict)
    exported: frozenset[str] = frozenset()
    os_streams: frozenset[str] = frozenset()


# Probe


def probe(clients: Clients, found: Topology, now: datetime) -> Probes:
    """Ask each service for each instance what a fetch would ask, as little of it as there is."""
    refused: dict[tuple[str, str], str] = {}
    answers: dict[tuple[str, str], Any] = {}
    for what, instance, ask in _questions(clients, found, now):
        try:
            answers[what, instance] = ask()
        except (ClientError, BotoCoreError) as problem:
            refused[what, instance] = explained(problem)
    return Probes(
        refused,
        frozenset(answers),
        {name: answers[what, name] for what, name in answers if what == "cloudwatch:ListMetrics"},
        frozenset(answers.get(("logs:DescribeLogStreams", "")) or ()),
        frozenset(row for what, name in answers if what == "RDSOSMetrics" for row in answers[what, name]),
    )


Question = tuple[str, str, Callable[[], Any]]


def _questions(clients: Clients, found: Topology, now: datetime) -> Iterator[Question]:
    """(What, instance or empty for the cluster, how to ask it)."""
    hour = {"StartTime": now - timedelta(hours=1), "EndTime": now}
    yield "rds:DescribeEvents", "", lambda: clients["rds"].describe_events(**hour, MaxRecords=20)
    yield "logs:DescribeLogStreams", "", lambda: log_export.streams(clients["logs"], found.cluster)
    for each in found.instances:
        yield from _instance_questions(clients, found, each, hour)


def _instance_questions(
    clients: Clients, found: Topology, each: Instance, hour: Mapping[str, datetime]
) -> Iterator[Question]:
    yield "cloudwatch:ListMetrics", each.name, lambda: _names(clients["cloudwatch"], each.name)
    yield "cloudwatch:GetMetricData", each.name, lambda: _one_metric(clients["cloudwatch"], each.name, hour)
    if each.pi_retention_days:
        yield "pi:GetResourceMetrics", each.name, lambda: _load(clients["pi"], each.resource_id, hour)
    if each.monitoring_interval_s:
        yield "RDSOSMetrics", each.name, lambda: _os_stream(clients["logs"], each.resource_id)
    if "slowquery" in found.log_exports:
        yield "logs:FilterLogEvents", each.name, lambda: _one_event(clients["logs"], found.cluster)
    else:
        yield "rds:DescribeDBLogFiles", each.name, lambda: _log_files(clients["rds"], each.name)


def _names(client: Any, instance: str) -> frozenset[str]:
    pages = client.get_paginator("list_metrics").paginate(
        Namespace=cloudwatch.NAMESPACE, Dimensions=[{"Name": "DBInstanceIdentifier", "Value": instance}]
    )
    return frozenset(row["MetricName"] for page in pages for row in page["Metrics"])


def _one_metric(client: Any, instance: str, hour: Mapping[str, datetime]) -> Any:
    query = cloudwatch.request(cloudwatch.Query("CPUUtilization", instance, "Average", 300), "", "q0")
    return client.get_metric_data(MetricDataQueries=[query], **hour)


def _load(client: Any, resource_id: str, hour: Mapping[str, datetime]) -> Any:
    return client.get_resource_metrics(
        ServiceType="RDS",
        Identifier=resource_id,
        MetricQueries=[{"Metric": LOAD}],
        PeriodInSeconds=300,
        **hour,
    )


def _os_stream(client: Any, resource_id: str) -> list[str]:
    answer = client.describe_log_streams(
        logGroupName=enhanced_monitoring.GROUP, logStreamNamePrefix=resource_id
    )
    return [row["logStreamName"] for row in answer["logStreams"]]


def _one_event(client: Any, cluster: str) -> Any:
    return client.filter_log_events(logGroupName=log_export.group(cluster), limit=1)


def _log_files(client: Any, instance: str) -> Any:
    return client.describe_db_log_files(DBInstanceIdentifier=instance, FilenameContains="slowquery")


# Checks


def checks(found: Topology, probes: Probes) -> list[Check]:
    """Everything that was looked at, gaps with their fixes: the cluster's first."""
    listed = [
        *_of_cluster(found, probes),
        *(check for each in found.instances for check in _of(each, found, probes)),
    ]
    refused = [
        Check(name or found.cluster, what, "refused", line, line)
        for (what, name), line in sorted(probes.refused.items())
    ]
    return listed + refused


def _of_cluster(found: Topology, probes: Probes) -> Iterator[Check]:
    yield Check(found.cluster, "engine", "ok", f"Aurora MySQL {found.engine_version}")
    if "slowquery" in found.log_exports:
        yield Check(found.cluster, "slow log export", "ok", "to CloudWatch Logs")
    else:
        fix = FIXES["slow log export"].said("", found.cluster)
        yield Check(found.cluster, "slow log export", "gap", "off: RDS keeps the files for 24 hours", fix)
    actions = sorted({what for what, _ in probes.answered} - {what for what, _ in probes.refused})
    yield Check(found.cluster, "permitted", "ok", ", ".join(actions))
    for note in found.notes:
        yield Check(found.cluster, "permission", "refused", note, "allow it as deploy/iam-policy.json does")


def _of(each: Instance, found: Topology, probes: Probes) -> Iterator[Check]:
    yield _service(each, found, "performance insights", each.pi_retention_days, "keeps {} days")
    yield _service(each, found, "enhanced monitoring", each.monitoring_interval_s, "every {} s")
    yield from _slow_log(each, found)
    yield from _streams(each, found, probes)
    yield _set(
        each,
        found,
        "innodb_monitor_enable",
        lambda value: value == "all",
        "without it ActiveTransactions is not published",
    )
    yield from _purge_metrics(each, found, probes)


def _service(each: Instance, found: Topology, what: str, value: int, said: str) -> Check:
    if value:
        return Check(each.name, what, "ok", said.format(value))
    return Check(each.name, what, "gap", "off", FIXES[what].said(each.name, found.cluster))


def _slow_log(each: Instance, found: Topology) -> Iterator[Check]:
    yield _set(each, found, "slow_query_log", lambda value: value.lower() in rds.ON, "nothing is logged")
    yield _set(each, found, "log_output", lambda value: value.upper() == "FILE", "only FILE can be fetched")
    yield _set(
        each,
        found,
        "long_query_time",
        lambda value: (number(value) or 0) < SLOW_DEFAULT_S,
        "shorter statements are not seen",
    )


def _streams(each: Instance, found: Topology, probes: Probes) -> Iterator[Check]:
    """What is switched on and has not arrived."""
    if "slowquery" in found.log_exports and each.name not in probes.exported:
        yield Check(each.name, "slow log stream", "unknown", "nothing has reached CloudWatch Logs yet")
    asked = ("RDSOSMetrics", each.name) in probes.answered
    if asked and each.resource_id not in probes.os_streams:
        yield Check(each.name, "monitoring stream", "unknown", "nothing has reached RDSOSMetrics yet")


SLOW_DEFAULT_S = 10
"""MySQL's default long_query_time: a log that begins there tells little of latency."""


def _set(each: Instance, found: Topology, name: str, good: Callable[[str], bool], otherwise: str) -> Check:
    value = each.parameters.get(name)
    if value is None and found.notes:
        return Check(each.name, name, "unknown", "the parameters may not be read")
    if value is not None and good(value):
        return Check(each.name, name, "ok", value)
    return Check(
        each.name,
        name,
        "gap",
        f"{value or 'not set'}: {otherwise}",
        FIXES[name].said(each.name, found.cluster),
    )


def _purge_metrics(each: Instance, found: Topology, probes: Probes) -> Iterator[Check]:
    """The metrics of purge, which only newer versions publish, and only the writer for certain."""
    if not each.is_writer or each.name not in probes.metrics:
        return
    for name, since in (("PurgeBoundary", PURGE_SINCE), ("TransactionAgeMaximum", AGE_SINCE)):
        if name in probes.metrics[each.name]:
            yield Check(each.name, name, "ok", "published")
        else:
            yield Check(each.name, name, *_why_absent(each.engine_version, since))


def _why_absent(version: str, since: Mapping[int, tuple[int, int]]) -> tuple[State, str, str]:
    found = version_of(version)
    needed = since.get(found[0]) if found else None
    if found and needed is None:
        return "gap", f"not in Aurora MySQL {found[0]}", f"upgrade to {_text(min(since.values()))} or later"
    if found and needed and found < needed:
        return "gap", f"not in {_text(found)}", f"upgrade to {_text(needed)} or later"
    return "unknown", "not published in the last two weeks", "look again when the writer has had load"


def version_of(text: str) -> tuple[int, int] | None:
    """Aurora MySQL's own version.

    >>> version_of("8.0.mysql_aurora.3.08.1")
    (3, 8)
    """
    found = re.search(r"aurora\.(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def _text(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]:02}"


def table(found: list[Check]) -> list[str]:
    """The checks as lines of one table, and below it the fix of each gap."""
    rows = [
        ("instance", "what", "state", "found"),
        *((each.instance, each.what, each.state, each.found) for each in found),
    ]
    widths = [max(len(row[n]) for row in rows) for n in range(3)]
    lines = ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[3]]) for row in rows]
    fixes = [f"{each.instance}, {each.what}: {each.fix}" for each in found if each.fix]
    return [*lines, *(["", "To fix:"] if fixes else []), *fixes]
