"""A fetch of a cluster: survey it, plan what is missing, and bring it.

survey    RDS: instances, settings, events; who was writer when; what was in the cluster and is no more
plan      a chunk for each day of each instance and source that coverage does not mark as done
plan.run  all chunks, concurrently, each within its service's rate
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

import pandas as pd
from botocore.exceptions import BotoCoreError, ClientError

from aurora_analysis.config import Cluster, Prices, Rates
from aurora_analysis.errors import Error
from aurora_analysis.fetch.chunks import (
    Chunk,
    Clients,
    Outcome,
    Part,
    Rate,
    coverage_rows,
    explained,
    is_credentials,
    run,
)
from aurora_analysis.sources.aws import (
    cloudwatch,
    enhanced_monitoring,
    log_export,
    performance_insights,
)
from aurora_analysis.sources.aws import (
    rds as topology,
)
from aurora_analysis.sources.aws.rds import Change, Topology
from aurora_analysis.store import Store
from aurora_analysis.window import Window

SOURCES = (
    cloudwatch.SOURCE,
    performance_insights.SOURCE,
    enhanced_monitoring.SOURCE,
    log_export.SOURCE,
)


@dataclass(frozen=True)
class Survey:
    """The cluster as it is and was: `exported` are the instances whose slow logs are in CloudWatch Logs.

    `parts` are the tables `instances` and `events`; `failures` says in one line each what could not be asked.
    """

    topology: Topology
    exported: tuple[str, ...]
    changes: tuple[Change, ...]
    parts: tuple[Part, ...]
    failures: tuple[str, ...]


def survey(clients: Clients, known: pd.DataFrame, identifier: str, window: Window, now: datetime) -> Survey:
    """Ask what the cluster is and was. `known` is the store's `instances`: it remembers what RDS forgets."""
    failures: list[str] = []
    described = _asked(failures, lambda: topology.fetch(clients["rds"], identifier), None)
    found = described or _from_memory(known, identifier, failures)
    exported = _exported(clients, found, failures)
    remembers = Window(now - topology.EVENTS_KEPT, now)
    told = _asked(failures, lambda: topology.fetch_events(clients["rds"], found, remembers), None)
    gone = topology.former(found, known, told or [], exported)
    found = replace(found, instances=(*found.instances, *gone))
    names = [each.name for each in found.instances]
    seen = _asked(failures, lambda: cloudwatch.presence(clients["cloudwatch"], names, window, now), _NOBODY)
    changes = _changes(found, told, seen, window, now)
    parts = (_instances(found, changes, window), *_events(told, window, now))
    return Survey(found, tuple(exported), tuple(changes), parts, tuple(failures))


def _exported(clients: Clients, found: Topology, failures: list[str]) -> list[str]:
    """The instances with a stream of slow queries; where that may not be asked, all, if the cluster exports them."""
    all_of_them = [each.name for each in found.instances] if "slowquery" in found.log_exports else []
    return _asked(failures, lambda: log_export.streams(clients["logs"], found.cluster) or [], all_of_them)


class Refused(Error):
    """The credentials are not valid: nothing of AWS can be asked."""


_NOBODY = pd.DataFrame({"time": cloudwatch.times([]), "instance": [], "writer": pd.Series(dtype=bool)})

Answer = TypeVar("Answer")


def _asked(failures: list[str], ask: Callable[[], Answer], otherwise: Answer) -> Answer:
    """The answer; where it is refused, the other one and a line that says why. Without credentials nothing goes on."""
    try:
        return ask()
    except (ClientError, BotoCoreError) as problem:
        if is_credentials(problem):
            raise Refused(explained(problem)) from None
        failures.append(explained(problem))
        return otherwise


def described(clients: Clients, identifier: str) -> Topology:
    """The cluster as it is now; where it may not be asked, one line says why."""
    refused: list[str] = []
    found = _asked(refused, lambda: topology.fetch(clients["rds"], identifier), None)
    if found is None:
        raise Error(refused[-1])
    return found


def _from_memory(known: pd.DataFrame, identifier: str, failures: Sequence[str]) -> Topology:
    if known.empty:
        raise Error(f"{failures[-1]} Without it nothing is known of {identifier}.")
    return topology.remembered(known, identifier)


def _changes(
    found: Topology,
    told: Sequence[dict[str, Any]] | None,
    seen: pd.DataFrame,
    window: Window,
    now: datetime,
) -> list[Change]:
    remembers = Window(now - topology.EVENTS_KEPT, now)
    events = topology.events(told or [], remembers)
    known_since = remembers.start if told is not None else now
    return topology.writers(
        topology.failovers(events),
        topology.seen_writers(seen),
        Change(now, found.writer),
        window,
        known_since,
    )


def _instances(found: Topology, changes: Sequence[Change], window: Window) -> Part:
    frame = topology.instances(found, changes, window)
    unknown = [change for change in changes if change.writer is None]
    said = [*found.notes, *(["the writer is not known throughout"] if unknown else [])]
    return Part("instances", frame, len(frame), len(frame), unit="rows", note="; ".join(said))


def _events(told: Sequence[dict[str, Any]] | None, window: Window, now: datetime) -> list[Part]:
    if told is None:
        return [Part("events", None, received=None, unit="rows", note="DescribeEvents was refused")]
    remembers = Window(now - topology.EVENTS_KEPT, now)
    inside = window.intersection(remembers)
    frame = topology.events(told, inside or remembers)
    note = (
        ""
        if window.start >= remembers.start
        else f"RDS keeps events for 14 days: none before {remembers.start:%Y-%m-%d %H:%M}"
    )
    rows = len(frame) if inside else 0
    return [Part("events", frame if inside else None, rows, rows, unit="rows", note=note)]


def write_survey(store: Store, found: Survey, window: Window, now: datetime, *, cluster: str) -> None:
    """Commit the survey: roles and events of the window, the roles of now, and their coverage."""
    remembers = Window(now - topology.EVENTS_KEPT, now)
    for part in found.parts:
        span = window if part.table == "instances" else window.intersection(remembers)
        if part.frame is not None and span is not None:
            store.write(part.table, part.frame, span, cluster=cluster, source=topology.SOURCE)
    _remember_now(store, found.topology, now, cluster)
    _cover(store, found, window, cluster)


def _remember_now(store: Store, found: Topology, now: datetime, cluster: str) -> None:
    """The roles and resource ids of now: once an instance is gone, only the store knows them."""
    day = Window(now, now + timedelta(seconds=1))
    frame = topology.instances(_present(found), [Change(now, found.writer)], day)
    store.write("instances", frame, day, cluster=cluster, source=topology.SOURCE)


def _present(found: Topology) -> Topology:
    return replace(found, instances=tuple(each for each in found.instances if not each.gone))


def _cover(store: Store, found: Survey, window: Window, cluster: str) -> None:
    chunk = Chunk(topology.SOURCE, "rds", None, window, 0, lambda clients: [])
    rows = coverage_rows(Outcome(chunk, found.parts), window.end)
    store.write("coverage", rows, window, cluster=cluster, source=topology.SOURCE)


def plan(
    found: Survey,
    store: Store,
    window: Window,
    now: datetime,
    *,
    cluster: str,
    sources: Sequence[str] = SOURCES,
    instances: Sequence[str] = (),
    examples: bool = False,
) -> list[Chunk]:
    """The chunks of the window that coverage does not mark as done, of the sources and instances asked for."""
    whole = found.topology
    some = replace(
        whole, instances=tuple(each for each in whole.instances if not instances or each.name in instances)
    )
    unknown = sorted(set(instances) - {each.name for each in whole.instances})
    coverage = store.read("coverage", cluster=cluster)
    window = Window(window.start, min(window.end, now.replace(second=0, microsecond=0)))
    statements = store.read("statements", cluster=cluster)
    planned = {
        cloudwatch.SOURCE: lambda: cloudwatch.chunks(whole, coverage, window, now),
        performance_insights.SOURCE: lambda: performance_insights.chunks(
            some, statements, coverage, window, now
        ),
        enhanced_monitoring.SOURCE: lambda: enhanced_monitoring.chunks(some, coverage, window, now),
        log_export.SOURCE: lambda: log_export.chunks(
            some, found.exported, coverage, window, now, examples=examples
        ),
    }
    asked = [chunk for source in sources for chunk in planned[source]()]
    return asked + [failing(topology.SOURCE, name, window, _not_there(name, whole)) for name in unknown]


def _not_there(name: str, whole: Topology) -> str:
    known = ", ".join(each.name for each in whole.instances)
    return f"There is no instance {name} in the cluster (it has: {known})."


def failing(source: str, instance: str | None, window: Window, line: str) -> Chunk:
    """A chunk that cannot be had, and says why."""

    def bring(clients: Clients) -> Sequence[Part]:
        raise Error(line)

    return Chunk(source, "rds", instance, window, 0, bring, tables=("instances",))


# What the command does, step by step


@dataclass(frozen=True)
class Wanted:
    """What is to be fetched."""

    cluster: Cluster
    window: Window
    now: datetime
    sources: tuple[str, ...] = SOURCES
    instances: tuple[str, ...] = ()
    examples: bool = False


@dataclass(frozen=True)
class Work:
    """What is to be done: the survey (None where even that was refused), and the chunks that are missing."""

    wanted: Wanted
    survey: Survey | None
    chunks: tuple[Chunk, ...]

    def counts(self) -> dict[str, int]:
        """Source → its chunks."""
        return dict(Counter(chunk.source for chunk in self.chunks))


def named(sources: Sequence[str]) -> tuple[str, ...]:
    """The sources of these names, which may be written with hyphens; all where none is named."""
    found = tuple(source.replace("-", " ").lower() for source in sources) or SOURCES
    for source in found:
        if source not in SOURCES:
            raise Error(f"There is no source {source!r}: name {', '.join(SOURCES)}.")
    return found


def rates(asked: Rates) -> dict[str, Rate]:
    """A token bucket for each service, by boto3's name of it."""
    return {
        "pi": Rate(asked.performance_insights),
        "cloudwatch": Rate(asked.cloudwatch),
        "logs": Rate(asked.logs),
        "rds": Rate(asked.rds),
    }


def prepare(clients: Clients, store: Store, wanted: Wanted) -> Work:
    """Survey the cluster and plan what is missing. Refused credentials leave one failing chunk a source."""
    name, window = wanted.cluster.name, wanted.window
    if window.start >= wanted.now.replace(second=0, microsecond=0):
        raise Error(f"The window {window} has not begun: name one that lies in the past.")
    known = store.read("instances", cluster=name)
    try:
        found = survey(clients, known, wanted.cluster.identifier, window, wanted.now)
    except Refused as problem:
        return Work(wanted, None, tuple(failing(each, None, window, str(problem)) for each in wanted.sources))
    chunks = plan(
        found,
        store,
        window,
        wanted.now,
        cluster=name,
        sources=wanted.sources,
        instances=wanted.instances,
        examples=wanted.examples,
    )
    return Work(wanted, found, tuple(chunks))


def foretold(work: Work, asked: Rates, prices: Prices) -> list[str]:
    """The calls that the chunks plan for, how long they take at least, and what they cost."""
    calls = Counter[str]()
    for chunk in work.chunks:
        calls[chunk.service] += chunk.calls
    allowed = {service: rate.per_second for service, rate in rates(asked).items()}
    lines = [
        f"{service}: up to {count:,} calls, {count / allowed[service]:,.0f} s at {allowed[service]:g} a second"
        + (" (an assumption: AWS publishes no limit)" if service == "pi" else "")
        for service, count in sorted(calls.items())
    ]
    if not work.chunks:
        return [f"Nothing is missing of {work.wanted.cluster.name} in {work.wanted.window}."]
    metrics = sum(chunk.cost for chunk in work.chunks if chunk.service == "cloudwatch")
    insights = calls["pi"] / 1000 * prices.performance_insights_calls
    return [
        *lines,
        f"cost: {metrics / 1000 * prices.cloudwatch_metrics:.2f} USD for {metrics:,.0f} CloudWatch metrics, "
        f"{insights:.2f} USD for Performance Insights beyond its free million calls a month (prices: settings)",
    ]


def bring(
    work: Work,
    clients: Clients,
    store: Store,
    *,
    threads: Mapping[str, int],
    tell: Callable[[Outcome], object] = lambda outcome: None,
) -> list[Outcome]:
    """Commit the survey, then every chunk."""
    wanted = work.wanted
    if work.survey is not None:
        write_survey(store, work.survey, wanted.window, wanted.now, cluster=wanted.cluster.name)
    outcomes = run(
        work.chunks, clients, store, cluster=wanted.cluster.name, now=wanted.now, threads=threads, tell=tell
    )
    join_statements(store, wanted.window, cluster=wanted.cluster.name)
    return outcomes


def join_statements(store: Store, window: Window, *, cluster: str) -> None:
    """Give Performance Insights' statements the digests that the slow log gave them, where it came second.

    The two spell a statement differently; where they agree in the join key, it is the same.
    """
    same = same_statements(store.read("statements", cluster=cluster))
    where = {"source": performance_insights.SOURCE}
    for table, column in (("db_load", "member"), ("statement_metrics", "digest")) if same else ():
        rows = store.read(table, window, cluster=cluster, where=where)
        if rows[column].isin(list(same)).any():
            renamed = rows.assign(**{column: rows[column].replace(same)}).drop(
                columns=["cluster", "day", "source"]
            )
            store.write(table, renamed, window, cluster=cluster, source=performance_insights.SOURCE)


def same_statements(statements: pd.DataFrame) -> dict[str, str]:
    """Performance Insights' digest → the slow log's, of statements that have one join key."""
    keyed = statements.dropna(subset=["join_key"])
    logged = keyed[keyed["source"] != performance_insights.SOURCE].drop_duplicates("join_key")
    both = keyed[keyed["source"] == performance_insights.SOURCE].merge(logged, on="join_key")
    different = both[both["digest_x"] != both["digest_y"]]
    return dict(zip(different["digest_x"], different["digest_y"]))


def failures(work: Work, outcomes: Sequence[Outcome]) -> list[str]:
    """What could not be had, one line a reason."""
    surveyed = work.survey.failures if work.survey else ()
    sources: dict[str, list[str]] = {}
    for each in outcomes:
        sources.setdefault(each.failure, []).append(each.chunk.source)
    lines = [f"{', '.join(dict.fromkeys(of))}: {line}" for line, of in sources.items() if line]
    beyond = [
        f"{each.chunk.source}, {part.instance or each.chunk.instance or 'cluster'}: {part.note}, so {each.chunk.window} is not to be had"
        for each in outcomes
        for part in each.parts
        if not each.failure and part.frame is None and each.chunk.calls == 0
    ]
    return list(dict.fromkeys([*surveyed, *lines, *beyond]))


def failed(work: Work, outcomes: Sequence[Outcome]) -> bool:
    """Whether anything could not be had."""
    return bool(failures(work, outcomes))


def summary(work: Work, outcomes: Sequence[Outcome], taken: Mapping[str, Rate]) -> list[str]:
    """What was brought by how many calls, and one line for each thing that could not be had."""
    done = sum(not outcome.failure for outcome in outcomes)
    calls = ", ".join(f"{service} {rate.taken:,}" for service, rate in sorted(taken.items()) if rate.taken)
    first = f"{work.wanted.cluster.name}, {work.wanted.window}: {done} of {len(outcomes)} chunks brought; calls: {calls}"
    return [first, *failures(work, outcomes)]
