"""`doctor`: what is reachable, permitted and enabled, and the fix of each gap."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from aurora_analysis import config
from aurora_analysis.cli import connections, options, output
from aurora_analysis.errors import Error

if TYPE_CHECKING:
    from aurora_analysis.cli.options import AwsOptions


@dataclass(frozen=True)
class SqlOptions:
    """Servers whose grants are checked, and the certificates that verify them."""

    urls: tuple[str, ...]
    ca: str


@click.command(
    short_help="Check a cluster's access, permissions and settings.",
    epilog=options.exit_codes("there is a gap, or a grant is missing"),
)
@options.cluster()
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
    cluster: str | None,
    settings: str,
    aws: AwsOptions,
    pretended_now: str,
    sql: SqlOptions,
    as_json: bool,
) -> None:
    """Check a cluster's access, permissions and settings, and print the exact fix for each gap.

    Pass --cluster to check AWS, or --sql to check the grants of servers.
    """
    if sql.urls:
        sys.exit(_print_grants(sql, as_json=as_json))
    if not cluster:
        raise Error("Pass --cluster NAME to check a cluster, or --sql URL to check the grants of a server.")
    from aurora_analysis.fetch import doctor as diagnosis
    from aurora_analysis.fetch import rates, survey

    read = config.load(settings)
    where = read.cluster(cluster, region=aws.region, profile=aws.profile)
    clients = connections.aws_clients(where, rates.by_service(read.rates), read.fetch.threads)
    found = survey.describe(clients, where.identifier)
    checks = diagnosis.checks(found, diagnosis.probe(clients, found, options.moment(pretended_now)))
    _print(diagnosis.table(checks), checks, as_json=as_json)
    sys.exit(any(check.state in {"gap", "refused"} for check in checks))


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
