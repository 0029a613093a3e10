"""Run of a fetch: workers fetch the planned chunks, within each service's rate; this process commits them in groups."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait

import pandas as pd

from aurora_analysis.engines.digests import Digests
from aurora_analysis.executors import Pool
from aurora_analysis.fetch import survey
from aurora_analysis.fetch.chunks import Chunk, Clients
from aurora_analysis.fetch.commits import Group, Outcome, Target
from aurora_analysis.fetch.plan import Plan
from aurora_analysis.fetch.rates import Leases
from aurora_analysis.fetch.work import Access, Fetched, failed, is_full_disk, work
from aurora_analysis.sources.aws import performance_insights
from aurora_analysis.store import Store, merging, upkeep
from aurora_analysis.tables import TABLES


def fetch(
    plan: Plan,
    connect: Callable[[], Clients],
    store: Store,
    pools: Mapping[str, Pool],
    progress: Callable[[Outcome], object] = lambda outcome: None,
    leases: Leases | None = None,
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
    leases : Leases, optional
        The account's rates, if the pools are of a Dask cluster.

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
    access = Access(connect, digests, options.examples, leases)
    outcomes = run(plan.chunks, access, Target(store, cluster, options.now), pools, progress)
    join_statements(store, cluster=cluster)
    upkeep.tidy_up(store, cluster)
    return outcomes


def run(
    chunks: Iterable[Chunk],
    access: Access,
    target: Target,
    pools: Mapping[str, Pool],
    progress: Callable[[Outcome], object] = lambda outcome: None,
) -> list[Outcome]:
    """Fetch every chunk on its service's pool, and commit it with its coverage, in groups (`commits`).

    A chunk that fails leaves a coverage row with the reason. Chunks that would fail in the same way are not requested.
    A pool gets the next chunk when the caller takes the last one, so at most one chunk per worker waits in memory.
    """
    numbered = list(enumerate(chunks))
    queues = {service: deque(one for _, one in numbered if one.service == service) for service in pools}
    in_flight: dict[Future[Fetched], Chunk] = {}
    refusals: dict[object, str] = {}
    outcomes: dict[int, Outcome] = {}
    group, numbers = Group(target), {id(chunk): number for number, chunk in numbered}

    def finish(done: Iterable[Outcome]) -> None:
        for outcome in done:
            outcomes[numbers[id(outcome.chunk)]] = outcome
            progress(outcome)

    def submit_next(service: str) -> None:
        while queues[service]:
            chunk = queues[service].popleft()
            known = refusals.get("all") or refusals.get((chunk.source, chunk.instance))
            if not known:
                in_flight[pools[service].executor.submit(work, chunk, access)] = chunk
                return
            finish(group.add(chunk, Fetched(failure=known)))

    for service, pool in pools.items():
        for _ in range(pool.workers):
            submit_next(service)
    while in_flight:
        for done in wait(in_flight, return_when=FIRST_COMPLETED).done:
            chunk = in_flight.pop(done)
            problem = done.exception()
            if is_full_disk(problem):
                done.result()  # raises: no other chunk could be written either
            fetched = failed(problem) if problem else done.result()
            if fetched.refusal:
                whom = "all" if fetched.refusal == "all" else (chunk.source, chunk.instance)
                refusals[whom] = fetched.failure
            submit_next(chunk.service)
            finish(group.add(chunk, fetched))
    finish(group.commit())
    return [outcomes[number] for number, _ in numbered]


# Digests


def join_statements(store: Store, *, cluster: str) -> None:
    """Give each statement one digest, if sources that spell it differently came before they could know of each other.

    If the join keys agree, it is the same statement. The table `statements` is renamed last, so that a fetch that is killed
    before leaves the rest to the next one.
    """
    same = same_statements(store.read("statements", cluster=cluster, missing_ok=True))
    columns = {"db_load": "member", "statement_metrics": "digest", "statements": "digest"}
    for table, column in columns.items() if same else ():
        merging.rename(store.location, TABLES[table], cluster, column, same)


def same_statements(statements: pd.DataFrame) -> dict[str, str]:
    """Map Performance Insights' digests to that of the same join key: the slow log's, else the first in the alphabet."""
    keyed = statements.dropna(subset=["join_key"])
    keyed = keyed.assign(is_theirs=keyed["source"] == performance_insights.SOURCE)
    chosen = keyed.sort_values(["is_theirs", "digest"]).drop_duplicates("join_key")
    theirs = keyed[keyed["is_theirs"]].merge(chosen[["join_key", "digest"]], on="join_key")
    different = theirs[theirs["digest_x"] != theirs["digest_y"]]
    return dict(zip(different["digest_x"], different["digest_y"]))
