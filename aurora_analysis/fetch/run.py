"""Run of a fetch: fetch the planned chunks at once, within each service's rate, and commit them one by one."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass, field, replace
from datetime import datetime

import pandas as pd

from aurora_analysis.engines.digests import Digests
from aurora_analysis.errors import NotEnabled
from aurora_analysis.fetch import survey
from aurora_analysis.fetch.chunks import (
    Chunk,
    Clients,
    Context,
    NoLongerKept,
    Part,
    Unavailable,
    coverage_rows,
)
from aurora_analysis.fetch.plan import SOURCES, Plan
from aurora_analysis.sources.aws import errors, performance_insights
from aurora_analysis.store import Store
from aurora_analysis.tables import TABLES
from aurora_analysis.window import Window


@dataclass(frozen=True)
class Outcome:
    """A finished chunk: the parts that its coverage records, and one line if it failed."""

    chunk: Chunk
    parts: tuple[Part, ...] = ()
    failure: str = ""


@dataclass(frozen=True)
class Target:
    """The store to which the chunks of a run are committed.

    Attributes
    ----------
    store : Store
        The store to write into.
    cluster : str
        The cluster's name in the store.
    now : datetime
        The present: data younger than a chunk's settling time are not marked complete.
    """

    store: Store
    cluster: str
    now: datetime


def _locks() -> dict[str, threading.Lock]:
    return {table: threading.Lock() for table in TABLES}


@dataclass(frozen=True)
class _Run:
    """State that the chunks of one run share, beyond what their sources see."""

    context: Context
    target: Target
    refusals: dict[object, str] = field(default_factory=dict)
    committing: Mapping[str, threading.Lock] = field(default_factory=_locks)
    """One commit of a table at a time: two at once would only conflict and retry."""


def fetch(
    plan: Plan,
    clients: Clients,
    store: Store,
    executors: Mapping[str, Executor],
    progress: Callable[[Outcome], object] = lambda outcome: None,
) -> list[Outcome]:
    """Commit the survey, then fetch and commit every chunk.

    Parameters
    ----------
    plan : Plan
        What to fetch.
    clients : mapping of str to boto3 client
        One client per service, which keeps to the service's rate.
    store : Store
        The store to write into.
    executors : mapping of str to Executor
        One executor per service, whose workers limit the chunks of the service in flight. The workers commit what
        they fetch and share clients, digests and locks with this process, so they must be threads. A pool of other
        processes or machines can run `fetch_chunk` with a context of its own and return the parts.
    progress : callable
        Called with each outcome as its chunk finishes, in any order.

    Returns
    -------
    list of Outcome
        One for each chunk, in the order of the plan.
    """
    options = plan.options
    cluster, window = options.cluster.name, options.window
    if plan.survey is not None:
        survey.write(store, plan.survey, window, options.now, cluster=cluster)
    digests = Digests.from_statements(store.read("statements", cluster=cluster, missing_ok=True), "pi_id")
    context = Context(clients, digests, options.examples)
    outcomes = run(plan.chunks, context, Target(store, cluster, options.now), executors, progress)
    join_statements(store, window, cluster=cluster)
    return outcomes


def run(
    chunks: Iterable[Chunk],
    context: Context,
    target: Target,
    executors: Mapping[str, Executor],
    progress: Callable[[Outcome], object] = lambda outcome: None,
) -> list[Outcome]:
    """Fetch every chunk on its service's executor, and commit it with its coverage.

    A chunk that fails leaves a coverage row with the reason. Chunks that would fail in the same way are not requested.
    """
    state = _Run(context, target)
    futures = [executors[chunk.service].submit(_fetch_and_commit, chunk, state) for chunk in chunks]
    for done in as_completed(futures):
        progress(done.result())
    return [future.result() for future in futures]


def fetch_chunk(chunk: Chunk, context: Context) -> Iterable[Part]:
    """Fetch the parts of one chunk from its source.

    Raises
    ------
    NotEnabled
        If the chunk is known to be unavailable.
    """
    match chunk.arguments:
        case Unavailable(reason):
            raise NotEnabled(reason)
        case NoLongerKept(parts):
            return parts
        case _:
            return SOURCES[chunk.source].fetch(chunk, context)


def _fetch_and_commit(chunk: Chunk, state: _Run) -> Outcome:
    outcome = _outcome(chunk, state)
    with state.committing["coverage"]:
        _write_coverage(outcome, state.target)
    return outcome


def _outcome(chunk: Chunk, state: _Run) -> Outcome:
    known = state.refusals.get("all") or state.refusals.get((chunk.source, chunk.instance))
    if known:
        return _failed(chunk, known)
    try:
        parts = tuple(_commit(part, chunk, state) for part in fetch_chunk(chunk, state.context))
        return Outcome(chunk, parts)
    except OSError as problem:
        if problem.errno != errno.ENOSPC:
            return _failed(chunk, errors.explained(problem))
        state.refusals["all"] = f"The disk of the store is full: {problem.filename}."
        raise
    except Exception as problem:  # whatever fails in one source must not stop the others
        line = errors.explained(problem)
        if errors.is_credentials(problem):
            state.refusals["all"] = line
        elif errors.code(problem) in errors.DENIED or isinstance(problem, NotEnabled):
            state.refusals[chunk.source, chunk.instance] = line
        return _failed(chunk, line)


def _failed(chunk: Chunk, line: str) -> Outcome:
    parts = (Part(table, received=None, note=line, instance=chunk.instance) for table in chunk.tables)
    return Outcome(chunk, tuple(parts), line)


def _commit(part: Part, chunk: Chunk, state: _Run) -> Part:
    """Write the rows of a part, and return the part without them: a run must not hold what it has written."""
    if part.frame is None:
        return part
    store, cluster = state.target.store, state.target.cluster
    with state.committing[part.table]:
        if TABLES[part.table].identity:
            store.merge(part.table, part.frame, cluster=cluster, source=chunk.source)
        else:
            instance = part.instance or chunk.instance
            store.write(
                part.table, part.frame, chunk.window, cluster=cluster, source=chunk.source, instance=instance
            )
    return replace(part, frame=None)


def _write_coverage(outcome: Outcome, target: Target) -> None:
    """Write a chunk's coverage, which marks the chunk as done."""
    chunk = outcome.chunk
    target.store.write(
        "coverage",
        coverage_rows(outcome.parts, chunk.window, target.now - chunk.settling_time),
        chunk.window,
        cluster=target.cluster,
        source=chunk.source,
        instance=chunk.instance,
    )


# Digests


def join_statements(store: Store, window: Window, *, cluster: str) -> None:
    """Rename statements of Performance Insights to the slow log's digests, if the slow log came second.

    The two sources spell a statement differently. If the join keys agree, it is the same statement.
    """
    same = same_statements(store.read("statements", cluster=cluster, missing_ok=True))
    where = {"source": performance_insights.SOURCE}
    for table, column in (("db_load", "member"), ("statement_metrics", "digest")) if same else ():
        rows = store.read(table, window, cluster=cluster, where=where, missing_ok=True)
        if rows[column].isin(list(same)).any():
            renamed = rows.assign(**{column: rows[column].replace(same)}).drop(
                columns=["cluster", "day", "source"]
            )
            store.write(table, renamed, window, cluster=cluster, source=performance_insights.SOURCE)


def same_statements(statements: pd.DataFrame) -> dict[str, str]:
    """Map Performance Insights' digests to the slow log's, for statements with the same join key."""
    keyed = statements.dropna(subset=["join_key"])
    logged = keyed[keyed["source"] != performance_insights.SOURCE].drop_duplicates("join_key")
    both = keyed[keyed["source"] == performance_insights.SOURCE].merge(logged, on="join_key")
    different = both[both["digest_x"] != both["digest_y"]]
    return dict(zip(different["digest_x"], different["digest_y"]))
