"""The checks of doctor, and the exact fix of each gap: in the console, on the command line, and in CloudFormation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from aurora_analysis import engines
from aurora_analysis.engines.parameter_check import ParameterCheck
from aurora_analysis.sources.aws import clusters
from aurora_analysis.sources.aws.rds import Instance, Topology

State = Literal["ok", "gap", "refused", "unknown"]


class Fix(NamedTuple):
    """The fix of a gap in the console, on the command line, and in CloudFormation."""

    console: str
    cli: str
    cloudformation: str

    def line(self, instance: str, cluster: str) -> str:
        """Return the fix for one instance as one line."""
        cli = self.cli.replace("{instance}", instance).replace("{cluster}", cluster)
        return f"console: {self.console}; CLI: aws {cli}; CloudFormation: {self.cloudformation}"


ADVANCED_DAYS, STANDARD_DAYS = 465, 31
"""Retention that the Advanced mode of Database Insights needs, and a month, which the Standard mode takes [days]."""


def insights_fix(found: Topology) -> Fix:
    """Return how to turn Performance Insights on. On Aurora, Database Insights is a setting of the whole cluster."""
    advanced = found.insights_mode == "advanced"
    mode, days = ("advanced", ADVANCED_DAYS) if advanced else ("standard", STANDARD_DAYS)
    kind = _resource(found)
    return Fix(
        f"Modify DB {kind.noun} > Database Insights: {mode.title()} mode, Enable Performance Insights",
        f"{kind.modify} --database-insights-mode {mode} --enable-performance-insights "
        f"--performance-insights-retention-period {days} --apply-immediately",
        f"{kind.resource} DatabaseInsightsMode: {mode}, {kind.insights}: true, "
        f"PerformanceInsightsRetentionPeriod: {days}",
    )


def export_fix(found: Topology) -> Fix:
    """Return how to export the slow log to CloudWatch Logs."""
    settings, kind = engines.module(found.engine, "settings"), _resource(found)
    return Fix(
        f"Modify DB {kind.noun} > Log exports > {settings.LOG_TITLE}",
        f"{kind.modify} --cloudwatch-logs-export-configuration EnableLogTypes={settings.LOG_TYPE}",
        f"{kind.resource} EnableCloudwatchLogsExports: [{settings.LOG_TYPE}]",
    )


class _Resource(NamedTuple):
    """Owner of a setting: the cluster, or an instance without one."""

    noun: str
    modify: str
    resource: str
    insights: str


def _resource(found: Topology) -> _Resource:
    if clusters.is_aurora(found.engine):
        modify = "rds modify-db-cluster --db-cluster-identifier {cluster}"
        return _Resource("cluster", modify, "AWS::RDS::DBCluster", "PerformanceInsightsEnabled")
    modify = "rds modify-db-instance --db-instance-identifier {cluster}"
    return _Resource("instance", modify, "AWS::RDS::DBInstance", "EnablePerformanceInsights")


def parameter_fix(check: ParameterCheck, current: str | None) -> Fix:
    """Return how to set a parameter of an instance's parameter group. A static one needs a reboot."""
    name, value = check.name, check.value_to_set(current)
    # The CLI's own syntax would split a list, and the shell a bracket.
    quoted = value if value.isalnum() else f"'{value}'"
    set_it = f"ParameterName={name},ParameterValue={quoted},ApplyMethod="
    set_it += "pending-reboot" if check.is_static else "immediate"
    reboot = " && aws rds reboot-db-instance --db-instance-identifier {instance}" if check.is_static else ""
    return Fix(
        f"Parameter groups > the DB parameter group of the instance > {name} = {value}"
        + (", then reboot the instance" if check.is_static else ""),
        "rds modify-db-parameter-group --db-parameter-group-name GROUP --parameters "
        + (f'"{set_it}"' if quoted != value else set_it)
        + reboot,
        f"AWS::RDS::DBParameterGroup Parameters: {{{name}: '{value}'}}",
    )


@dataclass(frozen=True)
class Check:
    """One check: its subject, its state, what was found, and how to fix a gap."""

    instance: str
    what: str
    state: State
    found: str
    fix: str = ""


def failover_fix(each: Instance, found: Topology) -> str:
    """Return how to promote another reader, or, where endpoints lead to all readers, to keep them off the writer."""
    readers = [one for one in found.instances if not one.is_writer and not one.gone]
    if all(one.endpoints_as_writer for one in readers):
        modify = [
            f"modify-db-cluster-endpoint --db-cluster-endpoint-identifier {name} --endpoint-type READER"
            for name in each.endpoints_as_writer
        ]
        return Fix(
            f"Endpoints > {', '.join(each.endpoints_as_writer)} > Edit: type Reader; or add a reader outside of them",
            f"rds {'; aws rds '.join(modify)}",
            "AWS::RDS::DBClusterEndpoint EndpointType: READER",
        ).line(each.name, found.cluster)
    return Fix(
        "Modify DB instance > Additional configuration > Failover priority: tier-15",
        f"rds modify-db-instance --db-instance-identifier {each.name} --promotion-tier 15 --apply-immediately",
        "AWS::RDS::DBInstance PromotionTier: 15",
    ).line(each.name, found.cluster)


def backtrack_fix(hours: float, found: Topology) -> str:
    """Return how to shorten the target window to the hours that are kept."""
    seconds = max(int(hours), 1) * 3600
    return Fix(
        f"Modify DB cluster > Target Backtrack window: {max(int(hours), 1)} hours",
        f"rds modify-db-cluster --db-cluster-identifier {found.cluster} --backtrack-window {seconds} --apply-immediately",
        f"AWS::RDS::DBCluster BacktrackWindow: {seconds}",
    ).line("", found.cluster)
