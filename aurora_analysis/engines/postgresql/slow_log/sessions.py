"""Records → executions, reports of vacuum and events: each record is joined to those of its own process.

- `parse`, `bind` and `execute` of a statement have a duration each: the last one is the execution.
- log_statement writes the text first and log_duration the duration later: they are one execution.
- A plan of auto_explain comes before the duration line of the same execution: it is one only if no such line follows.
- DETAIL, CONTEXT and STATEMENT belong to the last message of the same process; other processes' lines may stand between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

from aurora_analysis.engines.log_events import Account, Entry, Logged, ServerEvent, Vacuum
from aurora_analysis.engines.postgresql.fingerprint import FingerprintCache
from aurora_analysis.engines.postgresql.slow_log import grammar, prefix
from aurora_analysis.engines.postgresql.slow_log.clock import moment
from aurora_analysis.engines.postgresql.slow_log.records import Record

MOST, MOST_TEXT = 5_000, 8 * 2**20
"""Processes, and bytes of statements, that wait for a further record: the oldest is given up."""

_FURTHER = frozenset(word.encode() for word in prefix.FURTHER)


@dataclass(slots=True)
class _Session:
    """Records that wait for a further record of their process."""

    identity: tuple[bytes, bytes, bytes]
    statement: bytes | None = None
    plan: Entry | None = None
    message: Record | None = None
    parts: dict[bytes, bytes] = field(default_factory=dict)

    @property
    def size(self) -> int:
        plan, message = self.plan, self.message
        return (
            len(self.statement or b"")
            + (len(plan.sql) if plan else 0)
            + (len(message.message) if message else 0)
        )


class Sessions:
    """The processes of a log that have records waiting for a further one."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._waiting: dict[bytes, _Session] = {}
        self._text = 0
        self._statements = FingerprintCache()

    def read(self, found: Iterable[Sequence[Entry | Record]]) -> Iterator[Logged]:
        """Yield what the records hold, in about the order of the log."""
        return chain.from_iterable(self._several(found))

    def executions(self, found: Iterable[Sequence[Entry | Record]]) -> Iterator[Entry]:
        """Yield the executions that the records hold."""
        runs = self._several(found)
        return chain.from_iterable([one for one in run if isinstance(one, Entry)] for run in runs)

    def _several(self, found: Iterable[Sequence[Entry | Record]]) -> Iterator[Iterable[Logged]]:
        """Yield runs of what the records hold; a run of executions for which no process waits passes as it is."""
        waiting = self._waiting
        for several in found:
            if not waiting and isinstance(several[0], Entry):
                yield several  # type: ignore[misc]
                continue
            for one in several:
                if isinstance(one, Record):
                    yield self._add(one)
                else:
                    yield self._executed(one, one.thread_id or b"")
        for pid in list(waiting):
            yield self._given_up(pid)

    def _add(self, record: Record) -> Iterator[Logged]:
        if record.level in _FURTHER:
            self._further(record.pid, record.level, record.message)
            return
        pid = record.pid or record.session
        session = self._waiting.get(pid)
        if session is not None:
            if _is_other(session.identity, _identity(record)):
                yield from self._given_up(pid)
            elif session.message is not None:
                yield self._event(session)
                session.message = None
        yield from self._message(record, pid)
        for level, text in (
            (b"DETAIL", record.detail),
            (b"CONTEXT", record.context),
            (b"STATEMENT", record.statement),
        ):
            if text:
                self._further(pid, level, text)

    def _message(self, record: Record, pid: bytes) -> Iterator[Logged]:
        message = record.message
        if record.level == b"LOG":
            if message.startswith(b"duration: "):
                yield from self._duration(record, pid)
                return
            if found := grammar.EXECUTED.match(message):
                self._hold(record, pid).statement = message[found.end() :]
                yield from self._limited(len(message))
                return
            if grammar.IS_VACUUM.match(message):
                yield from self._vacuum(record)
                return
            if message.startswith((b"disconnection: ", b"connection received: ", b"connection authorized: ")):
                yield from self._given_up(pid)
                return
            if grammar.OTHER_LANGUAGE.match(message):
                self._account.unknown += 1
                self._account.add_loss(len(message))
                return
        elif (session := self._waiting.get(pid)) is not None:
            session.statement = None  # it failed, and no duration follows
        if grammar.EVENT.match(message):
            session = self._hold(record, pid)
            session.message, session.parts = record, {}
            yield from self._limited(len(message))

    def _duration(self, record: Record, pid: bytes) -> Iterator[Logged]:
        found = grammar.DURATION.match(record.message)
        if found is None:
            self._account.add_loss(len(record.message))
            return
        step, text = found[2], record.message[found.end() :]
        if step in grammar.EXECUTIONS:
            self._account.events += 1
            self._account.cut += record.cut
            yield from self._executed(_entry(record, found[1], text), pid)
        elif step == b"plan":
            yield from self._planned(record, found[1], text, pid)
        elif step is None:
            session = self._waiting.get(pid)
            if session is not None and session.statement is not None:
                self._account.events += 1
                yield from self._executed(_entry(record, found[1], session.statement), pid)
            else:
                self._account.without_text += 1

    def _executed(self, entry: Entry, pid: bytes) -> Iterator[Logged]:
        """Yield an execution, which ends what waited for it; the plan of another one is an execution of its own."""
        session = self._waiting.pop(pid, None)
        if session is not None:
            if session.message is not None:
                yield self._event(session)
            if session.plan is not None and float(session.plan.query_time) > float(entry.query_time):
                self._account.events += 1
                yield session.plan
        yield entry

    def _planned(self, record: Record, ms: bytes, plan: bytes, pid: bytes) -> Iterator[Logged]:
        text = grammar.text_of_plan(plan)
        if not text:
            self._account.add_loss(len(record.message))
            return
        session = self._hold(record, pid)
        if session.plan is not None:
            self._account.events += 1
            yield session.plan
        session.plan = _entry(record, ms, text)
        yield from self._limited(len(text))

    def _vacuum(self, record: Record) -> Iterator[Logged]:
        report, (time_us, _) = grammar.vacuum(record.message), moment(record.time)
        if report is None:
            self._account.add_loss(len(record.message))
        else:
            yield Vacuum(
                time_us,
                None if time_us is None else time_us - round(report.elapsed_s * 1e6),
                report.database,
                report.table,
                report.removed,
                report.dead_not_removable,
                report.cutoff,
                report.next_xid,
                report.elapsed_s,
            )

    def _further(self, pid: bytes, level: bytes, text: bytes) -> None:
        session = self._waiting.get(pid)
        if session is not None and session.message is not None:
            session.parts.setdefault(level, text)

    def _hold(self, record: Record, pid: bytes) -> _Session:
        session = self._waiting.get(pid)
        if session is None:
            session = self._waiting[pid] = _Session(_identity(record))
        return session

    def _limited(self, size: int) -> Iterator[Logged]:
        """Give up the half that has waited longest if there is too much, after so many more bytes."""
        self._text += size
        if self._text > MOST_TEXT:
            self._text = sum(each.size for each in self._waiting.values())
        if len(self._waiting) > MOST or self._text > MOST_TEXT:
            for pid in list(self._waiting)[: len(self._waiting) // 2 + 1]:
                self._account.lost += self._waiting[pid].statement is not None
                yield from self._given_up(pid)

    def _given_up(self, pid: bytes) -> Iterator[Logged]:
        """Yield the waiting records of a process that writes nothing more."""
        session = self._waiting.pop(pid, None)
        if session is None:
            return
        if session.message is not None:
            yield self._event(session)
        if session.plan is not None:
            self._account.events += 1
            yield session.plan

    def _event(self, session: _Session) -> ServerEvent:
        record = session.message
        assert record is not None
        found = grammar.EVENT.match(record.message)
        assert found is not None and found.lastindex is not None
        parts = [found[0].decode("utf-8", "replace")]
        for level in (b"DETAIL", b"CONTEXT"):
            if text := grammar.detail(session.parts.get(level, b"")):
                parts.append(text.rstrip("."))
        named = (
            ("process", record.pid),
            ("user", record.user),
            ("database", record.database),
            ("application", record.application),
        )
        parts += [
            f"{name} {value.decode('utf-8', 'replace')}"
            for name, value in named
            if value not in {b"", b"[unknown]"}
        ]
        if statement := session.parts.get(b"STATEMENT"):
            parts.append("statement " + self._statements(statement.replace(b"\n\t", b"\n")).digest)
        time_us, _ = moment(record.time)
        return ServerEvent(time_us, grammar.CATEGORIES[found.lastindex - 1], ", ".join(parts))


def _identity(record: Record) -> tuple[bytes, bytes, bytes]:
    return record.user, record.database, record.session


def _is_other(one: tuple[bytes, bytes, bytes], other: tuple[bytes, bytes, bytes]) -> bool:
    """Return whether two records are of different sessions, because the process id came again."""
    return any(a != b for a, b in zip(one, other) if a and b)


def _entry(record: Record, ms: bytes, sql: bytes) -> Entry:
    return Entry(
        time=record.time,
        user=record.user,
        host=record.host,
        thread_id=record.pid,
        query_time=ms + b"e-3",
        lock_time=None,
        rows_sent=None,
        rows_examined=None,
        more=record.application,
        database=record.database or None,
        timestamp=None,
        timestamp_is_start=False,
        sql=sql.replace(b"\n\t", b"\n"),
        cut=record.cut,
        database_is_inferred=False,
    )
