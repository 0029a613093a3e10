"""Types that the tools return: plain data, with a reason wherever something is unknown.

Every text is data from databases and reports, made printable. An unknown number is null; a number beyond
the recorded range is the word `beyond`.
"""

from __future__ import annotations

from dataclasses import dataclass

Value = float | int | str | None


@dataclass(frozen=True)
class Coverage:
    """Completeness of a table in a window: `received` of `expected` in `unit`; `covered` is the share of its time [0 to 1]."""

    table: str
    instance: str | None
    source: str | None
    covered: Value
    expected: Value
    received: Value
    lost: Value
    unit: str | None
    note: str | None


@dataclass(frozen=True)
class Instance:
    """An instance of a cluster and its role."""

    instance: str
    role: str


@dataclass(frozen=True)
class Cluster:
    """A cluster in one report: its window, and why it has no findings if it could not be read."""

    cluster: str
    report: str
    window_start: str
    window_end: str
    problem: str | None
    simulated: str | None
    instances: list[Instance]


@dataclass(frozen=True)
class Clusters:
    """The clusters of all reports, the newest report first."""

    clusters: list[Cluster]


@dataclass(frozen=True)
class Finding:
    """A verdict. `reason` says why there is none if the severity is `unknown`, and is null otherwise."""

    id: str
    cluster: str
    window_start: str
    window_end: str
    topic: str
    subject: str
    level: str
    severity: str
    headline: str
    sentence: str
    numbers: dict[str, Value]
    reason: str | None
    action: str


@dataclass(frozen=True)
class Findings:
    """Findings, the most severe first, and the problems of the reports that they come from."""

    findings: list[Finding]
    problems: list[str]


@dataclass(frozen=True)
class Evidence:
    """A finding with what supports it: where to look, its statement, and the coverage of its cluster's window."""

    finding: Finding
    evidence: str
    statement: dict[str, Value]
    coverage: list[Coverage]
    page: str
    report: str


@dataclass(frozen=True)
class Limit:
    """Longest hold of a read view that begins in one hour, before the writer is slower by `objective_pct`.

    `minutes` is the median with its 95 % prediction interval; `beyond` if it is longer than `most_minutes`, the longest
    time that the records cover. Without a limit, `reason` says why, and `next_step` says what would settle it.
    """

    cluster: str
    hour: str
    learned_from_start: str
    learned_from_end: str
    objective_pct: float
    minutes: Value
    low_minutes: Value
    high_minutes: Value
    most_minutes: Value
    metric: str | None
    holds: int | None
    reason: str | None
    next_step: str | None
    is_sample: bool


@dataclass(frozen=True)
class Interval:
    """A prediction and its 95 % prediction interval."""

    value: Value
    low: Value
    high: Value


@dataclass(frozen=True)
class Plan:
    """One way to run a query, and what it does to the writer."""

    name: str
    how: str
    start: str
    level: str
    history_list: Interval
    slowdown_pct: Interval
    minutes_over_objective: Interval
    drained_after_min: Interval


@dataclass(frozen=True)
class Review:
    """Predicted effect of a planned reader query on the writer. `reason` is there if the level is `cannot tell`."""

    cluster: str
    level: str
    headline: str
    sentences: list[str]
    reason: str | None
    learned_from_start: str
    learned_from_end: str
    hold_min: float
    objective_pct: float
    digest: str | None
    fingerprint: str | None
    as_planned: Plan | None
    alternatives: list[Plan]
    safest_hours: list[Plan]
    is_sample: bool
