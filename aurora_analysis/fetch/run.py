"""Run of a fetch: workers fetch the planned chunks, within each service's rate; this process commits them one by one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from datetime import datetime

import pandas as pd

from aurora_analysis.engines.digests import Digests
from aurora_analysis.executors import Pool
from aurora_analysis.fetch import survey
from aurora_analysis.fetch.chunks import Chunk, Clients, Part, coverage_rows
from aurora_analysis.fetch.plan import Plan
from aurora_analysis.fetch.work import Access, Fetched, Packed, failed, is_full_disk, work
from aurora_analysis.sources.aws import performance_insights
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


def fetch(
    plan: Plan,
    connect: Callable[[], Clients],
    store: Store,
    pools: Mapping[str, Pool],
    progress: Callable[[Outcome], object] = lambda outcome: None,
) -> list[Outcome]:
    """Commit the survey, then fetch and commit every chunk.

    Parameters
    ----------
    plan : Plan
        What to fetch.
    connect : callable
        Returns one boto3 client per service, which keeps to this process's share of the service's rate. Called once in
        each process that fetches; it must be picklable if the pools are of other processes or machines.
    store : Store
        The store to write into.
    pools : mapping of str to Pool
        One pool per service, whose workers limit the chunks of the service in flight: threads, processes, or another
        machine's. Workers fetch; this process commits.
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
    access = Access(connect, digests, options.examples)
    outcomes = run(plan.chunks, access, Target(store, cluster, options.now), pools, progress)
    join_statements(store, window, cluster=cluster)
    return outcomes


def run(
    chunks: Iterable[Chunk],
    access: Access,
    target: Target,
    pools: Mapping[str, Pool],
    progress: Callable[[Outcome], object] = lambda outcome: None,
) -> list[Outcome]:
    """Fetch every chunk on its service's pool, and commit it with its coverage as soon as it is fetched.

    A chunk that fails leaves a coverage row with the reason. Chunks that would fail in the same way are not requested.
    A pool gets the next chunk when the caller takes the last one, so at most one chunk per worker waits in memory.
    """
    numbered = list(enumerate(chunks))
    queues = {service: deque(each for each in numbered if each[1].service == service) for service in pools}
    in_flight: dict[Future[Fetched], tuple[int, Chunk]] = {}
    refusals: dict[object, str] = {}
    outcomes: dict[int, Outcome] = {}

    def finish(number: int, chunk: Chunk, fetched: Fetched) -> None:
        outcomes[number] = _committed(chunk, fetched, target)
        progress(outcomes[number])

    def submit_next(service: str) -> None:
        while queues[service]:
            number, chunk = queues[service].popleft()
            known = refusals.get("all") or refusals.get((chunk.source, chunk.instance))
            if not known:
                in_flight[pools[service].executor.submit(work, chunk, access)] = number, chunk
                return
            finish(number, chunk, Fetched(failure=known))

    for service, pool in pools.items():
        for _ in range(pool.workers):
            submit_next(service)
    while in_flight:
        for done in wait(in_flight, return_when=FIRST_COMPLETED).done:
            number, chunk = in_flight.pop(done)
            problem = done.exception()
            if is_full_disk(problem):
                done.result()  # raises: no other chunk could be written either
            fetched = failed(problem) if problem else done.result()
            if fetched.refusal:
                whom = "all" if fetched.refusal == "all" else (chunk.source, chunk.instance)
                refusals[whom] = fetched.failure
            submit_next(chunk.service)
            finish(number, chunk, fetched)
    return [outcomes[number] for number, _ in numbered]


def _committed(chunk: Chunk, fetched: Fetched, target: Target) -> Outcome:
    """Commit the parts of a chunk, and then its coverage, which marks it as done."""
    outcome = Outcome(chunk, (), fetched.failure)
    if not fetched.failure:
        try:
            outcome = Outcome(chunk, tuple(_commit(part, chunk, target) for part in fetched.parts))
        except Exception as problem:  # what one chunk cannot write must not stop the others
            if is_full_disk(problem):
                raise
            outcome = Outcome(chunk, (), failed(problem).failure)
    if outcome.failure:
        outcome = replace(outcome, parts=_without_rows(chunk, outcome.failure))
    _write_coverage(outcome, target)
    return outcome


def _without_rows(chunk: Chunk, line: str) -> tuple[Part, ...]:
    return tuple(Part(table, received=None, note=line, instance=chunk.instance) for table in chunk.tables)


def _commit(found: Part | Packed, chunk: Chunk, target: Target) -> Part:
    """Write the rows of a part, and return the part without them: a run must not hold what it has written."""
    part = found.unpacked() if isinstance(found, Packed) else found
    if part.frame is None:
        return part
    store, cluster = target.store, target.cluster
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
