"""All clusters of the settings file in one command, where a cluster that fails stops no other; work on a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from aurora_analysis import config
from aurora_analysis.cli import output
from aurora_analysis.errors import Error, Lost, first_line

if TYPE_CHECKING:
    from aurora_analysis.executors import Pool

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


@contextmanager
def workers(address: str, settings: config.Config) -> Iterator[Pool | None]:
    """Connect to the Dask cluster of --dask, else of the settings; yield None if neither names one."""
    if not (scheduler := address or settings.dask):
        yield None
        return
    from aurora_analysis import executors

    with executors.dask(scheduler) as pool:
        yield pool


def attempted(cluster: str, act: Callable[[], T]) -> T | None:
    """Return what a call returns; None if it fails, after one line on standard error that names the cluster."""
    from botocore.exceptions import BotoCoreError, ClientError
    from deltalake.exceptions import DeltaError

    from aurora_analysis.sources.aws.errors import explained

    try:
        return act()
    except Lost:
        raise  # a Dask cluster or a store that is lost is lost for every cluster
    except Error as problem:
        output.echo(f"{cluster}: {problem}", err=True)
    except (BotoCoreError, ClientError) as problem:
        output.echo(f"{cluster}: {explained(problem)}", err=True)
    except OSError as problem:
        reason = f"{problem.strerror or first_line(problem)}"
        output.echo(f"{cluster}: {reason}{f': {problem.filename}' if problem.filename else ''}", err=True)
    except DeltaError as problem:
        output.echo(f"{cluster}: {first_line(problem)}", err=True)
    return None
