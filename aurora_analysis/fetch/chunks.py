"""The fetch: chunks planned as data, brought concurrently within each service's rate, committed one by one.

A chunk is what is committed as a whole: one source's window of one instance (or of all of them). Its coverage
is written last, so that a killed fetch loses at most the chunks in flight, and the next one asks only for
what coverage does not mark as done.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
)

from aurora_analysis.errors import Error, NotEnabled
from aurora_analysis.store import Store
from aurora_analysis.tables import TABLES
from aurora_analysis.window import Window

LATE = timedelta(minutes=15)
"""Metrics this young may still change: they are fetched, and never marked complete."""

LATE_LOGS = timedelta(minutes=60)
"""Log events this young may still arrive."""

Clients = Mapping[str, Any]
"""boto3's clients by service: pi, cloudwatch, logs, rds."""


@dataclass(frozen=True)
class Part:
    """What a chunk brought for one table, and how much of what was expected that is.

    `received` is None where asking failed: the next fetch asks again. A part without a unit is one of many of
    its table; another one counts them all.
    """

    table: str
    frame: pd.DataFrame | None = None
    expected: float = 0.0
    received: float | None = 0.0
    lost: float = 0.0
    unit: str = "points"
    note: str = ""
    instance: str | None = None


@dataclass(frozen=True)
class Chunk:
    """One source's window of one instance, or of the cluster, and how to bring it.

    `calls` is how many calls of the service it plans for; `late` how young data may be to be marked complete.
    """

    source: str
    service: str
    instance: str | None
    window: Window
    calls: int
    bring: Callable[[Clients], Iterable[Part]] = field(repr=False, compare=False)
    tables: tuple[str, ...] = ("metrics",)
    late: timedelta = LATE
    cost: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """A chunk that is through: what coverage says of it, and in one line why it failed, if it did."""

    chunk: Chunk
    parts: tuple[Part, ...] = ()
    failure: str = ""


class Rate:
    """A token bucket: `take` returns when the service may be called again. Counts what was taken."""

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self.taken = 0
        self._next = 0.0
        self._lock = threading.Lock()

    def take(self, **_: object) -> None:
        """Wait for a token; calls that were not made do not add up to a burst."""
        with self._lock:
            moment = max(self._next, time.monotonic())
            self._next = moment + 1 / self.per_second
            self.taken += 1
        time.sleep(max(0.0, moment - time.monotonic()))


CALL_S = 0.2
"""A call and the reading of its answer take about so long: that many calls in flight fill the rate."""


def threads(rates: Mapping[str, Rate], most: int) -> dict[str, int]:
    """Service → the threads that fill its rate, `most` at most: every further one holds memory and saves no time.

    Two at least: while one commits, the other asks.
    """
    return {
        service: min(most, max(2, math.ceil(rate.per_second * CALL_S))) for service, rate in rates.items()
    }


def limit(client: Any, rate: Rate) -> Any:
    """The client, every HTTP request of which (retries included) takes a token first."""
    client.meta.events.register("before-send", rate.take)
    return client


def quicken(client: Any) -> Any:
    """The client, whose JSON answers are read as they are: numbers for times.

    botocore takes 15 us to shape a point and its datetime, which at 350 points a series is more than the
    service's rate allows for. Other formats are left to it.
    """
    client.meta.events.register("before-parse", _read_json)
    return client


def _read_json(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
    if response_dict["status_code"] == 200 and "json" in response_dict["headers"].get("content-type", ""):
        customized_response_dict.update(json.loads(response_dict["body"]))
        response_dict["body"] = b"{}"


# What is missing


def missing(coverage: pd.DataFrame, source: str, instance: str | None, window: Window) -> list[Window]:
    """The parts of the window that no earlier fetch marked as done for every table, in order."""
    rows = coverage[coverage["source"] == source]
    rows = rows[rows["instance"].isna() if instance is None else rows["instance"] == instance]
    failed = set(rows[rows["received"].isna()][["time", "end"]].itertuples(index=False, name=None))
    spans = sorted(set(rows[["time", "end"]].itertuples(index=False, name=None)) - failed)
    return _gaps([(start.to_pydatetime(), end.to_pydatetime()) for start, end in spans], window)


def _gaps(spans: Sequence[tuple[datetime, datetime]], window: Window) -> list[Window]:
    gaps, reached = [], window.start
    for start, end in spans:
        if start > reached:
            gaps.append((reached, min(start, window.end)))
        reached = max(reached, end)
        if reached >= window.end:
            break
    gaps.append((reached, window.end))
    return [Window(start, end) for start, end in gaps if start < end]


def by_day(windows: Iterable[Window]) -> list[Window]:
    """The windows, cut at each UTC midnight."""
    return [piece for window in windows for piece in split(window, timedelta(days=1))]


def split(window: Window, step: timedelta) -> list[Window]:
    """The window in pieces of at most `step`, cut where whole steps since midnight end."""
    midnight = window.start.replace(hour=0, minute=0, second=0, microsecond=0)
    cut = midnight + step * ((window.start - midnight) // step + 1)
    pieces, start = [], window.start
    while start < window.end:
        pieces.append(Window(start, min(cut, window.end)))
        start, cut = cut, cut + step
    return pieces


# Running


def run(
    chunks: Sequence[Chunk],
    clients: Clients,
    store: Store,
    *,
    cluster: str,
    now: datetime,
    threads: Mapping[str, int],
    tell: Callable[[Outcome], object] = lambda outcome: None,
) -> list[Outcome]:
    """Bring every chunk and commit it with its coverage; `tell` hears of each as it is through, in any order.

    `threads` is how many chunks of a service are in flight at once.
    A chunk that fails leaves a coverage row that says why; what would fail in the same way is not tried.
    """
    hopeless: dict[object, str] = {}
    committing = {table: threading.Lock() for table in TABLES}  # two commits of a table would only conflict

    def keep(part: Part, chunk: Chunk) -> Part:
        with committing[part.table]:
            return _written(store, part, chunk, cluster)

    def work(chunk: Chunk) -> Outcome:
        outcome = _brought(chunk, clients, hopeless, keep)
        with committing["coverage"]:
            _cover(store, outcome, cluster=cluster, now=now)
        return outcome

    services = {chunk.service for chunk in chunks}
    pools = {service: ThreadPoolExecutor(threads[service], service) for service in services}
    try:
        futures = [pools[chunk.service].submit(work, chunk) for chunk in chunks]
        for done in as_completed(futures):
            tell(done.result())
        return [future.result() for future in futures]
    finally:
        for pool in pools.values():
            pool.shutdown(cancel_futures=True)


def _brought(
    chunk: Chunk, clients: Clients, hopeless: dict[object, str], keep: Callable[[Part, Chunk], Part]
) -> Outcome:
    known = hopeless.get("all") or hopeless.get((chunk.source, chunk.instance))
    if known:
        return _failed(chunk, known)
    try:
        return Outcome(chunk, tuple(keep(part, chunk) for part in chunk.bring(clients)))
    except Exception as problem:  # one source's trouble, of whatever kind, is not another's
        line = explained(problem)
        if is_credentials(problem):
            hopeless["all"] = line
        elif code(problem) in DENIED or isinstance(problem, NotEnabled):
            hopeless[chunk.source, chunk.instance] = line
        return _failed(chunk, line)


def _failed(chunk: Chunk, line: str) -> Outcome:
    parts = (Part(table, received=None, note=line, instance=chunk.instance) for table in chunk.tables)
    return Outcome(chunk, tuple(parts), line)


def _cover(store: Store, outcome: Outcome, *, cluster: str, now: datetime) -> None:
    """Write a chunk's coverage: the mark that it is through."""
    chunk = outcome.chunk
    store.write(
        "coverage",
        coverage_rows(outcome, now - chunk.late),
        chunk.window,
        cluster=cluster,
        source=chunk.source,
        instance=chunk.instance,
    )


def _written(store: Store, part: Part, chunk: Chunk, cluster: str) -> Part:
    """Write what a part brought, and let go of it."""
    if part.frame is None:
        return part
    if TABLES[part.table].identity:
        store.merge(part.table, part.frame, cluster=cluster, source=chunk.source)
    else:
        whose = part.instance or chunk.instance
        store.write(
            part.table, part.frame, chunk.window, cluster=cluster, source=chunk.source, instance=whose
        )
    return replace(part, frame=None)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
COVERAGE = ["time", "end", "instance", "table", "expected", "received", "lost", "unit", "note"]


def coverage_rows(outcome: Outcome, complete_until: datetime) -> pd.DataFrame:
    """Coverage's rows of a chunk: what is younger than `complete_until` is not marked complete.

    Nor is a part of five minutes: the volume's metrics have that period, and are asked for whole.
    """
    whole = complete_until - (complete_until - _EPOCH) % timedelta(minutes=5)
    start, end = outcome.chunk.window.start, min(outcome.chunk.window.end, whole)
    counted = [part for part in outcome.parts if part.unit]
    rows = [_coverage_row(part, start, end) for part in counted] if start < end else []
    frame = pd.DataFrame(rows, columns=COVERAGE)
    kinds = dict.fromkeys(("time", "end"), "datetime64[us, UTC]") | dict.fromkeys(
        ("expected", "received", "lost"), "float64"
    )
    return frame.astype(kinds)


def _coverage_row(part: Part, start: datetime, end: datetime) -> list[object]:
    counts = [part.expected, part.received, None if part.received is None else part.lost]
    return [start, end, part.instance, part.table, *counts, part.unit, part.note]


# What went wrong, in one line

DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "NotAuthorizedException",
    "UnauthorizedOperation",
    "AuthorizationError",
}
CREDENTIALS = {
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
}
THROTTLED = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "RequestThrottled",
}


NOT_SIGNED = (NoCredentialsError, NoRegionError, PartialCredentialsError, CredentialRetrievalError)
NOT_SIGNED_IN = (SSOError, TokenRetrievalError)
"""boto3 has no credentials to sign a call with, or its single sign-on has expired."""


def code(problem: BaseException) -> str:
    """The service's name for the error, or nothing."""
    return str(problem.response["Error"].get("Code", "")) if isinstance(problem, ClientError) else ""


def is_credentials(problem: BaseException) -> bool:
    """Whether nothing else will work either."""
    return code(problem) in CREDENTIALS or isinstance(problem, (*NOT_SIGNED, *NOT_SIGNED_IN))


def explained(problem: BaseException) -> str:
    """One line: the culprit, and the next step. Never the request, which is signed."""
    if isinstance(problem, Error):
        return str(problem)
    if isinstance(problem, ClientError):
        return _refused(problem)
    if isinstance(problem, NOT_SIGNED):
        return (
            f"{_line(problem)}: set up boto3's credentials and region (aws configure, AWS_PROFILE, a role)."
        )
    if isinstance(problem, NOT_SIGNED_IN):
        return f"{_line(problem)}: sign in again (aws sso login), and run it again."
    if isinstance(problem, EndpointConnectionError):
        return f"{_line(problem)}: check the region and the network."
    if isinstance(problem, ParamValidationError):
        return f"This boto3 does not take the request: {_line(problem)}"
    if isinstance(problem, BotoCoreError):
        return f"{_line(problem)}: run it again."
    return f"The answer could not be read ({type(problem).__name__}: {_line(problem)}): please report it."


def _refused(problem: ClientError) -> str:
    name, action = code(problem), problem.operation_name
    said = str(problem.response["Error"].get("Message", "")).strip().split("\n")[0]
    if name in DENIED:
        return f"{action} is not permitted: allow it as deploy/iam-policy.json does."
    if name in CREDENTIALS:
        return f"The credentials are not valid ({name}): renew them, and run it again."
    if name in THROTTLED:
        return (
            f"{action} was throttled to the end of its retries: lower its rate in [rates], and run it again."
        )
    return f"{action} failed ({name}: {said}): run it again, or look at aurora-analysis doctor."


def _line(problem: BaseException) -> str:
    return next(iter(str(problem).splitlines()), type(problem).__name__).rstrip(".")
