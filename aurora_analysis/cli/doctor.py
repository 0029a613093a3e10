"""`doctor`: what is reachable, permitted and enabled, and the fix of each gap."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from aurora_analysis import config
from aurora_analysis.cli import connections, fleet, options, output
from aurora_analysis.errors import Error

if TYPE_CHECKING:
    from datetime import datetime

    from aurora_analysis.cli.options import AwsOptions
    from aurora_analysis.fetch.fixes import Check


@dataclass(frozen=True)
class Which:
    """The clusters to check."""

    cluster: str | None
    all_clusters: bool


@dataclass(frozen=True)
class SqlOptions:
    """Servers whose grants are checked, and the certificates that verify them."""

    urls: tuple[str, ...]
    ca: str


@click.command(
    short_help="Check a cluster's access, permissions and settings.",
    epilog=options.exit_codes("there is a gap, or a grant is missing"),
)
@options.together("which", Which, options.cluster(), options.ALL)
@options.CONFIG
@options.AWS
@options.NOW
@options.together(
    "sql",
    SqlOptions,
    click.option(
        "--sql",
        "urls",
        multiple=True,
        metavar="URL",
        help="Check the grants for live evidence on a server, as mysql://user@host:3306/; repeat for several.",
    ),
    options.CA,
)
@options.JSON
def doctor(
    which: Which,
    settings: str,
    aws: AwsOptions,
    pretended_now: str,
    sql: SqlOptions,
    as_json: bool,
) -> None:
    """Check a cluster's access, permissions and settings, and print the exact fix for each gap.

    Pass --cluster or --all to check AWS, or --sql to check the grants of servers.
    """
    if sql.urls:
        sys.exit(_print_grants(sql, as_json=as_json))
    if not which.cluster and not which.all_clusters:
        raise Error(
            "Pass --cluster NAME or --all to check clusters, or --sql URL to check the grants of a server."
        )
    read, now = config.load(settings), options.moment(pretended_now)
    accounts = connections.Accounts(read, shared=which.all_clusters)

    def checks(name: str) -> list[Check]:
        return _checks(read.cluster(name, region=aws.region, profile=aws.profile), accounts, now)

    if which.all_clusters:
        given = (which.cluster,) if which.cluster else ()
        names = fleet.every_cluster(given, read)
        found = {name: fleet.attempted(name, partial(checks, name)) for name in names}
        sys.exit(_print_all(found, as_json=as_json))
    one = checks(which.cluster or "")
    _print(_table(one), one, as_json=as_json)
    sys.exit(_has_gap(one))


def _checks(cluster: config.Cluster, accounts: connections.Accounts, now: datetime) -> list[Check]:
    from aurora_analysis.fetch import doctor as diagnosis
    from aurora_analysis.fetch import survey

    clients = accounts.of(cluster).clients
    found = survey.describe(clients, cluster.identifier)
    return diagnosis.checks(found, diagnosis.probe(clients, found, now))


def _table(checks: list[Check]) -> list[str]:
    from aurora_analysis.fetch import doctor as diagnosis

    return diagnosis.table(checks)


def _has_gap(checks: list[Check]) -> bool:
    return any(check.state in {"gap", "refused"} for check in checks)


def _print_all(found: Mapping[str, list[Check] | None], *, as_json: bool) -> bool:
    """Print the checks of every cluster that could be checked; return whether one has a gap or could not be checked."""
    checked = {name: checks for name, checks in found.items() if checks is not None}
    if as_json:
        output.echo_rows(
            [{"cluster": name, **asdict(check)} for name, checks in checked.items() for check in checks]
        )
    for name, checks in () if as_json else checked.items():
        output.echo("\n".join([f"{name}:", *_table(checks), ""]))
    return len(checked) < len(found) or any(map(_has_gap, checked.values()))


def _print(lines: list[str], found: Sequence[Any], *, as_json: bool) -> None:
    """Print the lines of a table, or what was found as JSON."""
    if as_json:
        output.echo_rows([asdict(each) for each in found])
    else:
        output.echo("\n".join(lines))


def _print_grants(sql: SqlOptions, *, as_json: bool) -> bool:
    """Print which probes each server grants, and the statements that grant the rest; return whether any is missing."""
    from aurora_analysis import engines
    from aurora_analysis.engines.live_evidence import ConnectionLost
    from aurora_analysis.live.probes import probe

    probes = [
        probe(connections.engine(url, ca=sql.ca), f"server {n}", "writer")
        for n, url in enumerate(sql.urls, 1)
    ]
    lines: list[str] = []
    grants: list[Any] = []
    try:
        for each in probes:
            live = engines.module(each.engine_name, "live")
            found = live.grants(each)
            lines += live.table(found)
            grants += found
    except ConnectionLost as problem:
        raise Error(f"A server does not answer: {problem}.") from None
    finally:
        for each in probes:
            each.close()
    _print(lines, grants, as_json=as_json)
    return any(grant.state == "not granted" for grant in grants)
