"""Turn a log's records into rows of the store's tables: executions, statements, examples, reports of vacuum and events.

Literals go into no table, except for the text of one execution per digest in `examples`, on request. Columns are plain
lists of values until they become frames, so that `ingest` needs no pandas.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aurora_analysis.engines.log_events import FIGURES, Account, Event, ServerEvent, Vacuum, decoded
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
    """A batch of a log as columns of its tables. Times are in microseconds since 1970 (UTC)."""

    slow_queries: Columns
    statements: Columns
    examples: Columns
    vacuums: Columns = field(default_factory=dict)
    events: Columns = field(default_factory=dict)


@dataclass(frozen=True)
class LogTables:
    """A batch of a log as frames of its tables; times are UTC. `examples` is empty unless requested."""

    slow_queries: pd.DataFrame
    statements: pd.DataFrame
    examples: pd.DataFrame
    vacuums: pd.DataFrame
    events: pd.DataFrame


def batches(
    found: Iterable[Event | Vacuum | ServerEvent],
    account: Account,
    join_key: Callable[[str], str],
    layout: Layout,
) -> Iterator[Batch]:
    """Yield what a log holds in batches; `account` is complete at the end.

    An execution without any time, and one cut by the end of the log, cannot be identified. It is left out and
    counted.

    Parameters
    ----------
    found : iterable of Event, Vacuum or ServerEvent
        What the log holds, in its order.
    account : Account
        The account of the log that it comes from.
    join_key : callable
        The engine's `fingerprint.join_key`.
    layout : Layout
        Batch size, instance, examples.
    """
    ordinals, aside = _Ordinals(), _Aside(layout)
    kept: dict[str, Event] = {}
    stored = _storable(aside.without(found), account)
    stored = _remembered(stored, kept) if layout.examples else stored
    while (rows := _rows(stored, ordinals, layout.batch)) or aside:
        columns: Columns = dict(zip(_COLUMNS, zip(*rows))) if rows else dict.fromkeys(_COLUMNS, ())
        statements = columns.pop("statement")
        columns["digest"] = [statement.digest for statement in statements]
        yield Batch(
            slow_query_rows(columns, layout.instance),
            statement_rows(_spans(statements, columns["ended_at"]), join_key),
            _examples(kept, layout.instance),
            *aside.taken(),
        )
        kept.clear()


def to_frames(batch: Batch) -> LogTables:
    """Return a batch as frames."""
    columns = (batch.slow_queries, batch.statements, batch.examples, batch.vacuums, batch.events)
    return LogTables(*map(_frame, columns))


class _Aside:
    """Takes reports of vacuum and events out of a log, and holds them until a batch takes them."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._vacuums: list[Vacuum | ServerEvent] = []
        self._events: list[Vacuum | ServerEvent] = []

    def __len__(self) -> int:
        return len(self._vacuums) + len(self._events)

    def without(self, found: Iterable[Event | Vacuum | ServerEvent]) -> Iterator[Event | None]:
        """Yield the executions; None where a batch is to take what is held."""
        for one in found:
            if isinstance(one, Event):
                yield one
                continue
            if one.time_us is not None:
                (self._vacuums if isinstance(one, Vacuum) else self._events).append(one)
            if len(self) >= self._layout.batch:
                yield None

    def taken(self) -> tuple[Columns, Columns]:
        """Return rows of `vacuums` and of `events`, which are held no longer."""
        vacuums: Columns = dict(zip(_VACUUM_COLUMNS, zip(*self._vacuums))) or dict.fromkeys(
            _VACUUM_COLUMNS, ()
        )
        events: Columns = dict(zip(_EVENT_COLUMNS, zip(*self._events))) or dict.fromkeys(_EVENT_COLUMNS, ())
        self._vacuums, self._events = [], []
        if self._layout.instance is not None:
            for columns in (vacuums, events):
                columns["instance"] = [self._layout.instance] * len(columns["time"])
        return vacuums, events


_VACUUM_COLUMNS = ("time", *Vacuum._fields[1:])
_EVENT_COLUMNS = ("time", *ServerEvent._fields[1:])


_TIMES = {"started_at", "ended_at", "first_seen", "last_seen", "time"}


def _frame(columns: Columns) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    def times(micros: Sequence[int]) -> pd.DatetimeIndex:
        return pd.DatetimeIndex(np.array(micros, dtype="datetime64[us]")).tz_localize("UTC")

    return pd.DataFrame(
        {name: times(values) if name in _TIMES else values for name, values in columns.items()}
    )


def _remembered(events: Iterable[Event | None], kept: dict[str, Event]) -> Iterator[Event | None]:
    """Pass the events on, and keep the first of each digest in `kept`."""
    for event in events:
        if event is not None:
            kept.setdefault(event.statement.digest, event)
        yield event


def _storable(events: Iterable[Event | None], account: Account) -> Iterator[Event | None]:
    held = None
    for event in events:
        if event is None:
            yield None
            continue
        if held is not None:
            yield held
        held = event if event.ended_us is not None else None
        account.untimed += held is None
    if held is not None and held.cut:
        account.cut, account.lost = account.cut - 1, account.lost + 1
    elif held is not None:
        yield held


def _rows(events: Iterator[Event | None], ordinals: _Ordinals, most: int) -> list[tuple[Any, ...]]:
    """Return the rows of the next executions: at most this many, and fewer where there is a None."""
    rows: list[tuple[Any, ...]] = []
    for event in events:
        if event is None:
            break
        rows.append(_row(event, ordinals.before(event)))
        if len(rows) == most:
            break
    return rows


_COLUMNS = ("started_at", "ended_at", *FIGURES, "application", "ordinal", "tags", "extras", "statement")
"""An event without its text, as the tables keep it."""


def _row(event: Event, ordinal: int) -> tuple[Any, ...]:
    tags, extras = json_text(event.tags), json_text(event.extras)
    return (*event[:12], event.application, ordinal, tags, extras, event.statement)


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
    statements, first, last = zip(*spans) if (spans := list(spans)) else ((), (), ())
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
