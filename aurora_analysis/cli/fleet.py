"""All clusters of the settings file in one command: a cluster that fails is one line, and stops no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from aurora_analysis import config
from aurora_analysis.cli import output
from aurora_analysis.errors import Error

T = TypeVar("T")


def every_cluster(clusters: tuple[str, ...], settings: config.Config) -> tuple[str, ...]:
    """Return the names of all clusters of the settings file, for --all.

    Raises
    ------
    Error
        If --cluster is given too, or the settings file names no cluster.
    """
    if clusters:
        raise Error("Pass either --cluster or --all, not both.")
    if not settings.clusters:
        raise Error(
            f"{settings.origin or config.FILE} names no cluster: write [clusters.NAME] for each, or use --cluster."
        )
    return tuple(settings.clusters)


def attempted(cluster: str, act: Callable[[], T]) -> T | None:
    """Return what a call returns; None if it fails, after one line on standard error that names the cluster."""
    from botocore.exceptions import BotoCoreError, ClientError
    from deltalake.exceptions import DeltaError

    from aurora_analysis.sources.aws.errors import explained

    try:
        return act()
    except Error as problem:
        output.echo(f"{cluster}: {problem}", err=True)
    except (BotoCoreError, ClientError) as problem:
        output.echo(f"{cluster}: {explained(problem)}", err=True)
    except (DeltaError, OSError) as problem:
        output.echo(f"{cluster}: {next(iter(str(problem).splitlines()), type(problem).__name__)}", err=True)
    return None
