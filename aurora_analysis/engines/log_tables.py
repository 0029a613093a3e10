"""Logged executions as rows of the store's tables `slow_queries`, `statements` and `examples`.

Literals go into no table, except for the text of one execution per digest in `examples`, on request. Columns are plain
lists of values until they become frames, so that `ingest` needs no pandas.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from aurora_analysis.engines.log_events import FIGURES, Account, Event, decoded
from aurora_analysis.engines.statement import Statement, kind

if TYPE_CHECKING:
    import pandas as pd

BATCH = 20_000
"""Default number of executions in a batch: some 15 MB as a frame."""

EXAMPLE_BYTES = 4096
"""Longest example text [bytes]: as much as Performance Insights keeps of a statement."""

Columns = dict[str, Sequence[Any]]

Span = tuple[Statement, int, int]
"""A statement, and when its first and its last execution ended [us since 1970, UTC]."""


@dataclass(frozen=True)
class Coded(Sequence[Any]):
    """A column with few distinct values: they, and each row's position among them."""

    values: Sequence[Any]
    codes: memoryview[int]

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return Coded(self.values, self.codes[place])
        return self.values[self.codes[place]]


@dataclass(frozen=True)
class Layout:
    """The options of turning a log into tables.

    Attributes
    ----------
    instance : str or None
        Value of the column `instance`; None leaves the column out.
    batch : int
        Maximum number of executions in a batch.
    examples : bool
        Keep the text, with its literals, of one execution per digest and batch.
    """

    instance: str | None = None
    batch: int = BATCH
    examples: bool = False


@dataclass(frozen=True)
class Batch:
    """A batch of a log as columns of three tables. Times are in microseconds since 1970 (UTC)."""

    slow_queries: Columns
    statements: Columns
    examples: Columns


@dataclass(frozen=True)
class LogTables:
    """A batch of a log as frames of three tables; times are UTC. `examples` is empty unless requested."""

    slow_queries: pd.DataFrame
    statements: pd.DataFrame
    examples: pd.DataFrame


def batches(
    events: Iterable[Event], account: Account, join_key: Callable[[str], str], layout: Layout
) -> Iterator[Batch]:
    """Yield the executions in batches; `account` is complete at the end.

    An execution without any time, and one cut by the end of the log, cannot be identified. It is left out and
    counted as lost.

    Parameters
    ----------
    events : iterable of Event
        The executions, in the log's order.
    account : Account
        The account of the log that the events come from.
    join_key : callable
        The engine's `fingerprint.join_key`.
    layout : Layout
        Batch size, instance, examples.
    """
    ordinals = _Ordinals()
    kept: dict[str, Event] = {}
    stored = _storable(events, account)
    stored = _remembered(stored, kept) if layout.examples else stored
    while rows := [_row(event, ordinals.before(event)) for event in islice(stored, layout.batch)]:
        columns: Columns = dict(zip(_COLUMNS, zip(*rows)))
        statements = columns.pop("statement")
        columns["digest"] = [statement.digest for statement in statements]
        yield Batch(
            slow_query_rows(columns, layout.instance),
            statement_rows(_spans(statements, columns["ended_at"]), join_key),
            _examples(kept, layout.instance),
        )
        kept.clear()


def to_frames(batch: Batch) -> LogTables:
    """Return a batch as frames."""
    return LogTables(_frame(batch.slow_queries), _frame(batch.statements), _frame(batch.examples))


_TIMES = {"started_at", "ended_at", "first_seen", "last_seen", "time"}


def _frame(columns: Columns) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    def times(micros: Sequence[int]) -> pd.DatetimeIndex:
        return pd.DatetimeIndex(np.array(micros, dtype="datetime64[us]")).tz_localize("UTC")

    return pd.DataFrame(
        {name: times(values) if name in _TIMES else values for name, values in columns.items()}
    )


def _remembered(events: Iterable[Event], kept: dict[str, Event]) -> Iterator[Event]:
    """Pass the events on, and keep the first of each digest in `kept`."""
    for event in events:
        kept.setdefault(event.statement.digest, event)
        yield event


def _storable(events: Iterable[Event], account: Account) -> Iterator[Event]:
    held = None
    for event in events:
        if held is not None:
            yield held
        held = event if event.ended_us is not None else None
        account.lost += held is None
    if held is not None and held.cut:
        account.cut, account.lost = account.cut - 1, account.lost + 1
    elif held is not None:
        yield held


_COLUMNS = ("started_at", "ended_at", *FIGURES, "ordinal", "tags", "extras", "statement")
"""An event without its text, as the tables keep it."""


def _row(event: Event, ordinal: int) -> tuple[Any, ...]:
    return (*event[:12], ordinal, json_text(event.tags), json_text(event.extras), event.statement)


def slow_query_rows(columns: Columns, instance: str | None) -> Columns:
    """Return rows of `slow_queries`, with the instance if there is one."""
    return columns if instance is None else columns | {"instance": [instance] * len(columns["ended_at"])}


def _examples(kept: Mapping[str, Event], instance: str | None) -> Columns:
    """Return one execution of each digest, with its text."""
    return {
        "time": [event.ended_us for event in kept.values()],
        "instance": [instance] * len(kept),
        "digest": list(kept),
        "query_time_s": [event.query_time_s for event in kept.values()],
        "text": [decoded(event.sql[:EXAMPLE_BYTES]) for event in kept.values()],
    }


def _spans(statements: Iterable[Statement], ended: Iterable[int]) -> Iterator[Span]:
    """Return when the executions of each statement ended."""
    times: dict[Statement, list[int]] = {}
    for statement, ended_us in zip(statements, ended):
        times.setdefault(statement, []).append(ended_us)
    return ((statement, min(found), max(found)) for statement, found in times.items())


def statement_rows(spans: Iterable[Span], join_key: Callable[[str], str]) -> Columns:
    """Return rows of `statements`: each statement's fingerprint, and its first and last time."""
    statements, first, last = zip(*spans)
    texts = [statement.fingerprint for statement in statements]
    return {
        "digest": [statement.digest for statement in statements],
        "fingerprint": texts,
        "join_key": [join_key(text) for text in texts],
        "kind": [kind(text) for text in texts],
        "first_seen": first,
        "last_seen": last,
    }


def json_text(value: dict[str, Any]) -> str | None:
    """Return tags or further figures as the tables hold them; None if there are none."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) if value else None


class _Ordinals:
    """Numbers executions that are equal in everything that identifies them, across batches.

    Two generations bound the memory, each of at most HORIZON_US of log time and MOST entries. A log that repeats
    itself later (overlapping files, joined) is numbered from 0 again, and so its rows merge.
    """

    HORIZON_US = 10_000_000
    MOST = 20_000

    def __init__(self) -> None:
        self._recent: dict[tuple[Any, ...], int] = {}
        self._older: dict[tuple[Any, ...], int] = {}
        self._since = 0

    def before(self, event: Event) -> int:
        """Return the number of equal executions before this one."""
        assert event.ended_us is not None
        is_recent = 0 <= event.ended_us - self._since < self.HORIZON_US
        if not is_recent or len(self._recent) >= self.MOST:
            self._older, self._recent, self._since = self._recent, {}, event.ended_us
        figures = (event.query_time_s, event.lock_time_s, event.statement.digest)
        identity = (event.ended_us, event.thread_id, *figures)
        count = self._recent.get(identity, self._older.get(identity, 0))
        self._recent[identity] = count + 1
        return count
