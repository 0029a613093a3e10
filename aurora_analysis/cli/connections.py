"""Connections to AWS and to servers: the only place that makes boto3 clients and SQLAlchemy engines."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aurora_analysis import __version__
from aurora_analysis.errors import Error

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from aurora_analysis.cli.options import ServerOptions
    from aurora_analysis.config import Cluster, Config
    from aurora_analysis.fetch.account import Account
    from aurora_analysis.fetch.rates import Leased, Rate

READ_TIMEOUT_S = 5.0
"""A server that is silent for longer counts as lost: our own statements time out after two seconds."""


MOST_POOLED = 20
"""Largest number of connections in the pool of a drill's client."""

DATA_API_TIMEOUT_S = 45.0
"""The Data API cancels a statement after this time."""


def s3_client() -> Any:
    """Return boto3's client of S3."""
    import boto3
    from botocore.config import Config

    return boto3.session.Session().client("s3", config=Config(retries=_retries()))


def _retries() -> dict[str, Any]:
    """Return how often boto3 repeats a call that a service refuses for now."""
    return {"mode": "standard", "max_attempts": int(os.environ.get("AWS_MAX_ATTEMPTS", "8"))}


def aws_clients(cluster: Cluster, rates: Mapping[str, Rate | Leased], threads: int) -> dict[str, Any]:
    """Return boto3's client of each service, held to the service's rate.

    Raises
    ------
    Error
        If boto3 finds no region or no such profile.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError, NoRegionError, ProfileNotFound
    from botocore.parsers import ResponseParserError

    from aurora_analysis.fetch.rates import limit_rate
    from aurora_analysis.sources.aws.answers import check_answers
    from aurora_analysis.sources.aws.errors import explained

    agent = f"aurora-analysis/{__version__}"
    options = Config(retries=_retries(), max_pool_connections=2 * threads, user_agent_extra=agent)
    try:
        session = boto3.session.Session(
            profile_name=cluster.profile or None, region_name=cluster.region or None
        )
        if credentials := session.get_credentials():
            credentials.get_frozen_credentials()
        clients = {service: session.client(service, config=options) for service in rates}
    except (NoRegionError, ProfileNotFound) as problem:
        raise Error(
            f"{str(problem).rstrip('.')}: pass --region and --profile, or configure them for boto3."
        ) from None
    except (BotoCoreError, ClientError, ResponseParserError) as problem:
        raise Error(explained(problem)) from None
    except OSError as problem:
        raise Error(
            f"boto3 cannot get credentials: {problem.strerror or problem}: {problem.filename}. Check "
            "AWS_WEB_IDENTITY_TOKEN_FILE, and credential_process in ~/.aws/config."
        ) from None
    return {service: check_answers(limit_rate(client, rates[service])) for service, client in clients.items()}


def leased_clients(cluster: Cluster, services: Sequence[str], threads: int) -> dict[str, Any]:
    """Return boto3's clients for a worker of a Dask cluster: each call keeps to the lease that its thread holds."""
    from aurora_analysis.fetch.rates import Leased

    return aws_clients(cluster, {service: Leased(service) for service in services}, threads)


class Accounts:
    """The clients of each account and region, made once for all of its clusters.

    Parameters
    ----------
    settings : Config
        Rates and threads.
    shared : bool
        Whether clusters of one account and region share the answers of describing calls. They share the rates in any case:
        AWS counts calls by account and region.
    """

    def __init__(self, settings: Config, *, shared: bool) -> None:
        self._settings, self._shared = settings, shared
        self._made: dict[tuple[str, str], Account] = {}

    def of(self, cluster: Cluster) -> Account:
        """Return the clients and rates of a cluster's account and region.

        Raises
        ------
        Error
            If boto3 finds no region or no such profile.
        """
        from aurora_analysis.fetch import account, rates

        key = (cluster.profile, cluster.region)
        if key not in self._made:
            limits = rates.by_service(self._settings.rates)
            clients = aws_clients(cluster, limits, self._settings.fetch.threads)
            found = account.Account(clients, limits)
            self._made[key] = account.shared(clients, limits) if self._shared else found
        return self._made[key]


ARN = re.compile(r"arn:[\w-]+:rds:(?P<region>[\w-]+):\d+:cluster:.+")


def data_api_client(cluster_arn: str, region: str) -> Any:
    """Return boto3's client of the Data API, in the cluster's region.

    Raises
    ------
    Error
        If the text is not the ARN of a cluster.
    """
    import boto3
    from botocore.config import Config

    from aurora_analysis.sources.aws.answers import check_answers

    found = ARN.fullmatch(cluster_arn)
    if found is None:
        raise Error(
            f"--data-api {cluster_arn!r} is not a cluster's ARN (arn:aws:rds:REGION:ACCOUNT:cluster:NAME)."
        )
    limits = Config(
        read_timeout=DATA_API_TIMEOUT_S,
        retries={"mode": "standard", "max_attempts": 2},
        user_agent_extra=f"aurora-analysis/{__version__}",
    )
    return check_answers(boto3.client("rds-data", region_name=region or found["region"], config=limits))


def sns_client(region: str) -> Any:
    """Return boto3's client of SNS."""
    import boto3
    from botocore.config import Config

    return boto3.client("sns", region_name=region, config=Config(read_timeout=20, connect_timeout=10))


def server_engines(servers: ServerOptions, *, query_s: float = 0.0) -> list[Engine]:
    """Return an engine for each server, the writer's first; `query_s` is the longest that a query may run [s]."""
    return [
        engine(url, iam=servers.iam, ca=servers.ca, region=servers.region, query_s=query_s)
        for url in servers.urls
    ]


def engine(
    url: str, *, iam: bool = False, ca: str = "", region: str = "", query_s: float = 0.0, pool_s: float = 0.0
) -> Engine:
    """Return an engine; without a pool, or with one that checks its connections and replaces them after `pool_s` [s].

    A server that is silent for READ_TIMEOUT_S longer than `query_s` counts as lost. An IAM token is signed for each
    connection, and is sent only over TLS.

    Raises
    ------
    Error
        If an IAM token would be sent without TLS, or the URL is wrong.
    """
    import sqlalchemy

    from aurora_analysis import engines

    if iam and not ca:
        raise Error("An IAM token is sent only over TLS: name the RDS certificate bundle with --ca.")
    if ca:
        _check_bundle(ca)
    live = engines.module(engines.parsed_url(url).get_backend_name(), "live")
    for name in live.DRIVER_VARIABLES:  # of another program: they must not lead us elsewhere
        os.environ.pop(name, None)
    arguments = live.connect_arguments(READ_TIMEOUT_S + query_s, ca)
    pooling: dict[str, Any] = {"poolclass": sqlalchemy.NullPool}
    if pool_s:
        pooling = {"pool_size": MOST_POOLED, "pool_pre_ping": True, "pool_recycle": round(pool_s)}
    made = sqlalchemy.create_engine(live.url(url, os.environ), connect_args=arguments, **pooling)
    if iam:
        import boto3

        live.with_tokens(made, boto3.client("rds", region_name=region or None).generate_db_auth_token)
    return made


def _check_bundle(ca: str) -> None:
    """Raise an error if a file has no certificate that a server could be verified with."""
    import ssl  # `digest` starts without it

    try:
        ssl.create_default_context(cafile=ca)
    except FileNotFoundError:
        raise Error(f"--ca {ca}: no such file.") from None
    except OSError as problem:  # also ssl.SSLError
        raise Error(f"--ca {ca} is not a file of PEM certificates: {problem.strerror or problem}.") from None
