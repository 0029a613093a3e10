"""Doctor: check what of a cluster is reachable, permitted and enabled, and state the exact fix of each gap.

`probe` makes the smallest request of each kind that a fetch makes; `checks` evaluates the answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from aurora_analysis import engines
from aurora_analysis.engines.parameter_check import ParameterCheck
from aurora_analysis.fetch.chunks import Clients
from aurora_analysis.fetch.fixes import (
    ADVANCED_DAYS,
    Check,
    State,
    backtrack_fix,
    export_fix,
    failover_fix,
    insights_fix,
    parameter_fix,
)
from aurora_analysis.sources.aws import cloudwatch, clusters, enhanced_monitoring, log_export, recommendations
from aurora_analysis.sources.aws.answers import pages
from aurora_analysis.sources.aws.errors import explained
from aurora_analysis.sources.aws.performance_insights_series import LIMIT, LOAD
from aurora_analysis.sources.aws.rds import Instance, Topology, next_writers, stream_instance
from aurora_analysis.sources.aws.recommendations import Recommendation
from aurora_analysis.window import Window

STORAGE = {"aurora": "Aurora Standard", "aurora-iopt1": "Aurora I/O-Optimized"}
"""RDS's name of Aurora's storage → its name in the console."""


@dataclass(frozen=True)
class Probes:
    """The answers of the services.

    Attributes
    ----------
    refused : mapping of (request, instance) to str
        One line for each refused request.
    answered : frozenset of (request, instance)
        The requests that were permitted.
    metrics : mapping of str to frozenset of str
        CloudWatch's metric names of each instance.
    exported : frozenset of str
        Instances with a stream of the exported slow log.
    os_streams : frozenset of str
        Resource ids with a stream of Enhanced Monitoring.
    recommendations : tuple of Recommendation
        AWS's own recommendations for the cluster.
    counters : mapping of str to frozenset of str
        Performance Insights' database counters of the writer, in lower case.
    backtrack : frozenset of (str, float)
        CloudWatch's metrics of backtracking, with the largest value of the last day.
    now : datetime, optional
        The present.
    """

    refused: Mapping[tuple[str, str], str] = field(default_factory=dict)
    answered: frozenset[tuple[str, str]] = frozenset()
    metrics: Mapping[str, frozenset[str]] = field(default_factory=dict)
    exported: frozenset[str] = frozenset()
    os_streams: frozenset[str] = frozenset()
    recommendations: tuple[Recommendation, ...] = ()
    counters: Mapping[str, frozenset[str]] = field(default_factory=dict)
    backtrack: frozenset[tuple[str, float]] = frozenset()
    now: datetime | None = None


# Probe

RECOMMENDED = timedelta(days=90)
"""Recommendations that were not updated for so long are not requested."""

SERIOUS = {"high", "medium"}
"""Severities of a recommendation that make it a gap."""


def probe(clients: Clients, found: Topology, now: datetime) -> Probes:
    """Make the smallest request of each kind that a fetch makes, for each instance."""
    refused: dict[tuple[str, str], str] = {}
    answers: dict[tuple[str, str], Any] = {}
    for what, instance, request in _requests(clients, found, now):
        try:
            answers[what, instance] = request()
        except Exception as problem:  # whatever fails in one request must not stop the others
            refused[what, instance] = explained(problem)
    return Probes(
        refused,
        frozenset(answers),
        {name: answers[what, name] for what, name in answers if what == "cloudwatch:ListMetrics"},
        frozenset(map(stream_instance, answers.get(("logs:DescribeLogStreams", "")) or ())),
        frozenset(row for what, name in answers if what == "RDSOSMetrics" for row in answers[what, name]),
        tuple(answers.get(("rds:DescribeDBRecommendations", ""), ())),
        {name: answers[what, name] for what, name in answers if what == "pi:ListAvailableResourceMetrics"},
        frozenset(answers.get(("cloudwatch:GetMetricData", ""), ())),
        now,
    )


Request = tuple[str, str, Callable[[], Any]]
"""(Name of the request, instance or empty for the cluster, how to make it)."""


def _requests(clients: Clients, found: Topology, now: datetime) -> Iterator[Request]:
    hour = {"StartTime": now - timedelta(hours=1), "EndTime": now}
    yield "rds:DescribeEvents", "", lambda: clients["rds"].describe_events(**hour, MaxRecords=20)
    yield (
        "logs:DescribeLogStreams",
        "",
        lambda: log_export.streams(clients["logs"], found.cluster, found.engine),
    )
    yield (
        "rds:DescribeDBRecommendations",
        "",
        lambda: recommendations.request(clients["rds"], found, now - RECOMMENDED),
    )
    if found.backtrack and found.writer:
        yield "cloudwatch:GetMetricData", "", lambda: _backtrack_metrics(clients["cloudwatch"], found, now)
    for each in found.instances:
        yield from _instance_requests(clients, found, each, hour)


def _instance_requests(
    clients: Clients, found: Topology, each: Instance, hour: Mapping[str, datetime]
) -> Iterator[Request]:
    yield "cloudwatch:ListMetrics", each.name, lambda: _names(clients["cloudwatch"], each.name)
    yield (
        "cloudwatch:GetMetricData",
        each.name,
        lambda: _one_metric(clients["cloudwatch"], found, each.name, hour),
    )
    if each.pi_retention_days:
        yield "pi:GetResourceMetrics", each.name, lambda: _load(clients["pi"], each.resource_id, hour)
        if each.is_writer and engines.module(found.engine, "metrics").HOLDERS:
            counters = "pi:ListAvailableResourceMetrics"
            yield counters, each.name, lambda: _counters(clients["pi"], each.resource_id)
    if each.monitoring_interval_s:
        yield "RDSOSMetrics", each.name, lambda: _os_stream(clients["logs"], each.resource_id)
    if log_export.is_exported(found):
        group = log_export.group(found.cluster, found.engine)
        yield (
            "logs:FilterLogEvents",
            each.name,
            lambda: clients["logs"].filter_log_events(logGroupName=group, limit=1),
        )
    else:
        yield "rds:DescribeDBLogFiles", each.name, lambda: _log_files(clients["rds"], each.name, found.engine)


def _names(client: Any, instance: str) -> frozenset[str]:
    found = pages(
        client.list_metrics,
        "NextToken",
        Namespace=cloudwatch.NAMESPACE,
        Dimensions=[{"Name": "DBInstanceIdentifier", "Value": instance}],
    )
    return frozenset(row["MetricName"] for page in found for row in page["Metrics"])


def _one_metric(client: Any, found: Topology, instance: str, hour: Mapping[str, datetime]) -> Any:
    metric = engines.module(found.engine, "metrics").INSTANCE_METRICS["CPUUtilization"]
    query = cloudwatch.Query("CPUUtilization", metric, instance, "Average", 300)
    return client.get_metric_data(MetricDataQueries=[cloudwatch.request(query, "", "q0")], **hour)


def _backtrack_metrics(client: Any, found: Topology, now: datetime) -> list[tuple[str, float]]:
    """Return the largest value of the last day of each of the writer's metrics of backtracking that has data."""
    known = engines.module(found.engine, "metrics").INSTANCE_METRICS
    names = _backtrack_names(found.engine)
    listed = [cloudwatch.Query(name, known[name], found.writer, "Maximum", 3600) for name in names]
    planned = dict(enumerate(listed))
    frame = pd.concat(
        [
            cloudwatch.parse(page, planned)
            for page in cloudwatch.pages(client, found.cluster, planned, Window(now - timedelta(days=1), now))
        ]
    )
    most = frame.groupby(frame["name"].astype(str))["value"].max()
    return [(name, float(most[known[name].name])) for name in names if known[name].name in most]


def _backtrack_names(engine: str) -> list[str]:
    """Return the instance metrics of backtracking; none where the engine cannot backtrack."""
    if not clusters.is_aurora(engine):
        return []
    known = engines.module(engine, "metrics").INSTANCE_METRICS
    return [name for name in known if name.startswith("Backtrack")]


def _counters(client: Any, resource_id: str) -> frozenset[str]:
    """Return the database counters that Performance Insights has of an instance, in lower case."""
    found = pages(
        client.list_available_resource_metrics,
        "NextToken",
        ServiceType="RDS",
        Identifier=resource_id,
        MetricTypes=["db"],
        MaxResults=LIMIT,
    )
    return frozenset(row["Metric"].lower() for page in found for row in page.get("Metrics", []))


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


def _log_files(client: Any, instance: str, engine: str) -> Any:
    return client.describe_db_log_files(
        DBInstanceIdentifier=instance, FilenameContains=log_export.log_type(engine)
    )


# Checks


def checks(found: Topology, probes: Probes) -> list[Check]:
    """Evaluate the answers: the cluster's checks first, then each instance's, then refused requests."""
    listed = [
        *_cluster_checks(found, probes),
        *(check for each in found.instances for check in _instance_checks(each, found, probes)),
    ]
    refused = [
        Check(name or found.cluster, what, "refused", line, line)
        for (what, name), line in sorted(probes.refused.items())
    ]
    return listed + refused


def _cluster_checks(found: Topology, probes: Probes) -> Iterator[Check]:
    title = (
        engines.module(found.engine, "settings").TITLE if clusters.is_aurora(found.engine) else found.engine
    )
    yield Check(found.cluster, "engine", "ok", f"{title} {found.engine_version}")
    for remark in found.remarks:
        yield Check(found.cluster, "kind", "unknown", remark)
    if found.storage_type:
        yield Check(found.cluster, "storage", "ok", STORAGE.get(found.storage_type, found.storage_type))
    yield _insights_mode(found)
    if _backtrack_names(found.engine):
        yield _backtrack(found, probes)
    yield from _failover(found)
    yield from _recommended(found, probes)
    if log_export.is_exported(found):
        yield Check(found.cluster, "slow log export", "ok", "to CloudWatch Logs")
    else:
        fix = export_fix(found).line("", found.cluster)
        settings = engines.module(found.engine, "settings")
        hours = min((settings.files_kept(each.parameters) for each in found.instances), default=timedelta())
        kept = f"off: RDS keeps the files for {hours.total_seconds() / 3600:g} hours"
        yield Check(found.cluster, "slow log export", "gap", kept, fix)
    actions = sorted({what for what, _ in probes.answered} - {what for what, _ in probes.refused})
    yield Check(found.cluster, "permitted", "ok", ", ".join(actions))
    for note in found.notes:
        yield Check(found.cluster, "permission", "refused", note, note)


def _instance_checks(each: Instance, found: Topology, probes: Probes) -> Iterator[Check]:
    settings = engines.module(found.engine, "settings")
    yield _performance_insights(each, found)
    interval = each.monitoring_interval_s
    yield Check(
        each.name,
        "enhanced monitoring",
        "ok",
        f"every {interval} s" if interval else "off; no analysis needs it",
    )
    yield from (_parameter(each, found, check) for check in settings.SLOW_LOG_CHECKS)
    yield from _streams(each, found, probes)
    if clusters.is_aurora(found.engine):
        yield from (_parameter(each, found, check) for check in settings.METRIC_CHECKS)
        yield from _writer_metrics(each, found, probes)
    yield from _holders(each, found, probes)


def _insights_mode(found: Topology) -> Check:
    """Check the mode of Database Insights against what its instances keep."""
    mode = found.insights_mode
    if not mode:
        return Check(found.cluster, "database insights", "unknown", "RDS does not state the mode")
    short = [each.name for each in found.instances if 0 < each.pi_retention_days < ADVANCED_DAYS]
    if mode == "advanced" and short:
        problem = f"Advanced mode needs {ADVANCED_DAYS} days, and {', '.join(short)} keeps less"
        return Check(
            found.cluster, "database insights", "gap", problem, insights_fix(found).line("", found.cluster)
        )
    return Check(found.cluster, "database insights", "ok", f"{mode.title()} mode")


def _backtrack(found: Topology, probes: Probes) -> Check:
    """State how far back the cluster can really be rewound, against the target."""
    if found.backtrack is None:
        return Check(
            found.cluster, "backtrack", "ok", "off; it can only be turned on for a new or restored cluster"
        )
    target, since = found.backtrack
    metrics = dict(probes.backtrack)
    alerts = metrics.get("BacktrackWindowAlert", 0.0)
    minutes = metrics.get("BacktrackWindowActual")
    reached = f"; BacktrackWindowActual {minutes:,.0f} min" if minutes is not None else ""
    if since is None or probes.now is None:
        what = f"target of {target:g} h; RDS does not state how far back it reaches{reached}"
        return Check(found.cluster, "backtrack", "unknown", what)
    hours = (probes.now - since).total_seconds() / 3600
    what = f"target of {target:g} h, reaches back {hours:.1f} h to {since:%Y-%m-%d %H:%M} UTC{reached}"
    if alerts:
        short = f"{what}; Aurora alerted in the last day that it falls short of the target"
        return Check(found.cluster, "backtrack", "gap", short, backtrack_fix(hours, found))
    return Check(found.cluster, "backtrack", "ok", what)


def _recommended(found: Topology, probes: Probes) -> Iterator[Check]:
    """Yield AWS's own recommendations that nobody has resolved."""
    for each in probes.recommendations:
        if each.status in recommendations.PRESENT:
            state: State = "gap" if each.severity in SERIOUS else "ok"
            text = f"{each.severity or 'no severity'}: {each.detection}"
            yield Check(each.instance or found.cluster, "AWS recommends", state, text, each.advice)


def _failover(found: Topology) -> Iterator[Check]:
    """Check that a failover now would not send a custom endpoint's queries to the writer."""
    candidates = next_writers(found)
    names = " or ".join(each.name for each in candidates)
    if candidates and not found.has_endpoints:
        problem = f"{names} would become the writer; whether custom endpoints lead to it is unknown"
        yield Check(found.cluster, "failover", "unknown", problem)
        return
    for each in candidates:
        if each.endpoints_as_writer:
            served = ", ".join(each.endpoints_as_writer)
            problem = (
                f"{names} would become the writer, and queries by custom endpoint {served} would run on it"
            )
            yield Check(each.name, "failover", "gap", problem, failover_fix(each, found))
    if candidates and not any(each.endpoints_as_writer for each in candidates):
        yield Check(found.cluster, "failover", "ok", f"{names} would become the writer")


def _performance_insights(each: Instance, found: Topology) -> Check:
    if each.pi_retention_days:
        return Check(each.name, "performance insights", "ok", f"keeps {each.pi_retention_days} days")
    fix = insights_fix(found).line(each.name, found.cluster)
    return Check(each.name, "performance insights", "gap", "off", fix)


def _parameter(each: Instance, found: Topology, check: ParameterCheck) -> Check:
    value = each.parameters.get(check.name)
    if value is None and (found.notes or not clusters.is_aurora(found.engine)):
        why = "the parameters may not be read" if found.notes else "RDS lists no value"
        return Check(each.name, check.name, "unknown", why)
    if value is not None and check.is_good(value):
        return Check(each.name, check.name, "ok", value)
    fix = parameter_fix(check, value).line(each.name, found.cluster)
    return Check(each.name, check.name, "gap", f"{value or 'not set'}: {check.consequence}", fix)


def _streams(each: Instance, found: Topology, probes: Probes) -> Iterator[Check]:
    """Yield the services that are on and have not delivered anything yet."""
    if log_export.is_exported(found) and each.name not in probes.exported:
        yield Check(each.name, "slow log stream", "unknown", "nothing has reached CloudWatch Logs yet")
    answered = ("RDSOSMetrics", each.name) in probes.answered
    if answered and each.resource_id not in probes.os_streams:
        yield Check(each.name, "monitoring stream", "unknown", "nothing has reached RDSOSMetrics yet")


def _writer_metrics(each: Instance, found: Topology, probes: Probes) -> Iterator[Check]:
    """Check the metrics that only newer versions publish, and that only the writer is certain to publish."""
    if not each.is_writer or each.name not in probes.metrics:
        return
    metrics = engines.module(found.engine, "metrics")
    for name, since in metrics.PUBLISHED_SINCE.items():
        if name in probes.metrics[each.name]:
            yield Check(each.name, name, "ok", "published")
        else:
            version = metrics.aurora_version(each.engine_version)
            title = engines.module(found.engine, "settings").TITLE
            yield Check(each.name, name, *_why_absent(title, version, since))


def _holders(each: Instance, found: Topology, probes: Probes) -> Iterator[Check]:
    """Check the counters that say which kind of holder blocks cleanup: no list of versions that have them is public."""
    holders = engines.module(found.engine, "metrics").HOLDERS
    if each.name not in probes.counters or not holders:
        return
    offered = probes.counters[each.name]
    absent = [kind for kind, names in holders.items() if not offered & set(names)]
    if not absent:
        yield Check(each.name, "holder counters", "ok", f"of {', '.join(holders)}")
        return
    why = f"{each.engine_version} has no counter of {', '.join(absent)}: what holds vacuum may go unseen"
    fix = "upgrade to a later minor version, or run aurora-analysis watch, which reads the holders by SQL"
    yield Check(each.name, "holder counters", "gap", why, fix)


Version = tuple[int, int]


def _why_absent(title: str, found: Version | None, since: Mapping[int, Version]) -> tuple[State, str, str]:
    needed = since.get(found[0]) if found else None
    if found and needed is None:
        return "gap", f"not in {title} {found[0]}", f"upgrade to {_text(min(since.values()))} or later"
    if found and needed and found < needed:
        return "gap", f"not in {_text(found)}", f"upgrade to {_text(needed)} or later"
    return "unknown", "not published in the last two weeks", "check again when the writer has had load"


def _text(version: Version) -> str:
    return f"{version[0]}.{version[1]:02}"


def table(found: list[Check]) -> list[str]:
    """Return the checks as lines of one table, followed by the fix of each gap."""
    rows = [
        ("instance", "what", "state", "found"),
        *((each.instance, each.what, each.state, each.found) for each in found),
    ]
    widths = [max(len(row[n]) for row in rows) for n in range(3)]
    lines = ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[3]]) for row in rows]
    fixes = [f"{each.instance}, {each.what}: {each.fix}" for each in found if each.fix]
    return [*lines, *(["", "To fix:"] if fixes else []), *fixes]
