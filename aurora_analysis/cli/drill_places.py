"""Choose the place of a drill: private servers, or a cluster that AWS describes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from aurora_analysis.cli import connections, output
from aurora_analysis.errors import Error

if TYPE_CHECKING:
    from aurora_analysis.cli.options import StoreOptions
    from aurora_analysis.live.drill import Place


@dataclass(frozen=True)
class PlaceArguments:
    """Where a drill runs: a lab, a clone or production."""

    is_lab: bool
    engine: str
    clone: bool
    production: bool
    cluster: str
    endpoint: str
    schema: str
    iam: bool
    ca: str
    region: str
    profile: str


@contextmanager
def place(
    faults: Sequence[str], where: PlaceArguments, store_options: StoreOptions
) -> Iterator[tuple[Place, str]]:
    """Yield the place of a drill, and the database or schema of its table.

    Raises
    ------
    Error
        If a fault cannot be injected there, or the cluster is not the one that was meant.
    """
    from aurora_analysis.lab import drill_mysql, drill_postgresql

    if not where.is_lab:
        yield _cluster(faults, where, store_options)
    elif where.engine == "postgresql":
        with drill_postgresql.running() as pair:
            yield pair, "public"
    else:
        _check(faults, drill_mysql.refusal)
        with drill_mysql.running() as server:
            yield server, drill_mysql.DATABASE


def _check(faults: Sequence[str], refusal: Any) -> None:
    for fault in faults:
        if reason := refusal(fault):
            raise Error(f"The fault {fault} cannot be injected here: {reason}")


def _cluster(faults: Sequence[str], where: PlaceArguments, store_options: StoreOptions) -> tuple[Place, str]:
    """Describe the cluster, check that it is the one that was meant, and have production's name typed."""
    from aurora_analysis.engines import of, parsed_url
    from aurora_analysis.fetch import rates
    from aurora_analysis.live.drill import aurora

    settings = store_options.config()
    named = settings.cluster(where.cluster, region=where.region, profile=where.profile)
    url = parsed_url(where.endpoint)
    rds = connections.aws_clients(named, {"rds": rates.by_service(settings.rates)["rds"]}, 1)["rds"]
    found = aurora.describe(rds, named.identifier)
    endpoint = found.endpoints["writer"].host
    if url.host != endpoint:
        raise Error(
            f"--endpoint leads to {url.host}, but the cluster endpoint of {found.identifier} is {endpoint}."
        )
    if of(found.engine) is not of(url.get_backend_name()):
        raise Error(
            f"--endpoint is a URL of {url.get_backend_name()}, but {found.identifier} is {found.engine}."
        )

    def connect(host: str, port: int, pool_s: float) -> Any:
        address = url.set(host=host, port=port).render_as_string(hide_password=False)
        return connections.engine(address, iam=where.iam, ca=where.ca, region=named.region, pool_s=pool_s)

    kind = aurora.PRODUCTION if where.production else aurora.CLONE
    made = aurora.AuroraPlace(rds, found, kind, connect)
    _check(faults, made.refusal)
    schema = where.schema or ("public" if url.get_backend_name() == "postgresql" else url.database or "")
    if not schema:
        raise Error("Name the database for the drill's table with --schema, or in the URL of --endpoint.")
    if where.production:
        _confirm(found.identifier, faults)
    return made, schema


def _confirm(identifier: str, faults: Sequence[str]) -> None:
    """Have the cluster's name typed; refuse any other text, also no text where nobody can type."""
    output.echo(
        f"This drill breaks production: {', '.join(faults)} on {identifier}. Clients will see errors.",
        err=True,
    )
    try:
        typed = click.prompt("Type the cluster's name to go on", default="", show_default=False, err=True)
    except click.Abort:
        typed = ""
    if typed.strip() != identifier:
        raise Error(f"The typed name is not {identifier}. Nothing was injected.")
