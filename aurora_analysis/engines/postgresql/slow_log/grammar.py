"""The grammar of a message: executions, plans, reports of vacuum, and events worth keeping."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

DURATION = re.compile(
    rb"duration: (\d+\.\d+) ms(?: {1,2}(?:(statement|parse|bind|execute|plan|fastpath function call)\b([^\n:]*):[ \n]?))?"
)
"""A duration: milliseconds, the kind of step, the name of the prepared statement or portal; its text follows."""

OTHER_LANGUAGE = re.compile(
    rb"(?!duration: )[^\s\d:][^\d:\n]{0,40}: ?\d+[.,]\d+ \S{1,12}(?:  [^\n:]{1,60}: |\s*\Z)"
)
"""A duration in another language than English (lc_messages)."""

EXECUTED = re.compile(rb"(?:statement|execute [^\n:]*): ")
"""The start of a statement's text without its duration (log_statement)."""

EXECUTIONS = frozenset({b"statement", b"execute"})
"""The steps that execute a statement; `parse` and `bind` of the same statement have durations of their own."""

# Reports of autovacuum

_VACUUM = re.compile(
    rb'automatic (?:aggressive )?vacuum (?:to prevent wraparound )?of table "([^\n]*)": index scans: \d+'
)
_TUPLES = re.compile(
    rb"\n\ttuples: (\d+) removed, \d+ remain(?:, (\d+) are dead but not yet removable(?:, oldest xmin: (\d+))?)?"
)
_CUTOFF = re.compile(rb"\n\tremovable cutoff: (\d+), which was (\d+) XIDs old when operation ended")
_ELAPSED = re.compile(rb"elapsed:? (\d+(?:\.\d+)?) s")

IS_VACUUM = re.compile(rb"automatic (?:aggressive )?vacuum ")


@dataclass(frozen=True)
class VacuumReport:
    """Autovacuum's report on one table: row versions, transaction ids as the log writes them, and seconds."""

    database: str
    table: str
    removed: int
    dead_not_removable: int | None
    cutoff: int | None
    next_xid: int | None
    elapsed_s: float


def vacuum(message: bytes) -> VacuumReport | None:
    """Return a report of autovacuum; None if it is not complete.

    The log writes 32 bits of a transaction id. The next id is the cutoff plus its age, and may pass 2**32.
    """
    found, tuples, elapsed = _VACUUM.match(message), _TUPLES.search(message), _ELAPSED.search(message)
    if found is None or tuples is None or elapsed is None:
        return None
    cutoff, old = _CUTOFF.search(message), tuples[3]
    boundary = int(cutoff[1]) if cutoff else int(old) if old else None
    database, _, table = found[1].decode("utf-8", "replace").partition(".")
    return VacuumReport(
        database,
        table,
        int(tuples[1]),
        int(tuples[2]) if tuples[2] else None,
        boundary,
        int(cutoff[1]) + int(cutoff[2]) if cutoff else None,
        float(elapsed[1]),
    )


# Events

_KNOWN_PARAMETER = (
    r"(?:log_\w+|\w+_timeout|max_standby_\w+|hot_standby_feedback|autovacuum\w*|auto_explain\.\w+)"
)
_EVENTS = {
    "lock wait": r"process \d+ (?:still waiting for|acquired|detected deadlock while waiting for|avoided deadlock for) [^\n]* after \d+\.\d+ ms",
    "deadlock": "deadlock detected",
    "recovery conflict": r"(?:terminating connection|canceling statement) due to conflict with recovery|recovery (?:still|finished) waiting after \d+\.\d+ ms: recovery conflict on [\w ]+",
    "timeout": r"(?:canceling statement|terminating connection) due to (?:[\w-]+ )?timeout",
    "cancellation": r"canceling statement due to user request|terminating connection due to administrator command|canceling autovacuum task",
    "configuration change": rf'parameter "{_KNOWN_PARAMETER}" (?:changed to "[^"\n]{{0,100}}"|removed from configuration file, reset to default)',
    "log files deleted": "The oldest PostgreSQL log files were deleted due to local storage constraints",
}
"""Category → the messages that are kept. None of them holds a literal of a statement."""

EVENT = re.compile("|".join(f"({message})" for message in _EVENTS.values()).encode())
CATEGORIES = tuple(_EVENTS)

_DETAILS = re.compile(
    rb"User query might have needed to see row versions that must be removed\.|User was holding a relation lock for too long\."
    rb"|User was holding shared buffer pin for too long\.|User (?:was or might have been|transaction caused|query)[\w ,]+\."
    rb'|Process(?:es)? holding the lock: [\d, ]+\. Wait queue: [\d, ]*\.|automatic (?:vacuum|analyze) of table "[^"\n]+"'
)


def detail(text: bytes) -> str | None:
    """Return a DETAIL or CONTEXT that holds no literal of a statement; None for another one."""
    found = _DETAILS.match(text)
    return found[0].decode("utf-8", "replace") if found else None


# Plans of auto_explain

_TEXT_PLAN = re.compile(rb"Query Text: (.*?)(?=\n\t?(?:Query Parameters: |Query Identifier: )|\n\t?\S[^\n]*  \((?:cost|actual)|\Z)", re.DOTALL)  # fmt: skip
_JSON_PLAN = re.compile(rb'"Query Text": ("(?>[^"\\]|\\.)*+")')
_XML_PLAN = re.compile(rb"<Query-Text>(.*?)(?:</Query-Text>|\Z)", re.DOTALL)
_YAML_PLAN = re.compile(rb'Query Text: ("(?>[^"\\]|\\.)*+")')


def text_of_plan(plan: bytes) -> bytes:
    """Return the statement of a plan, in any of auto_explain's formats; empty if the plan does not have it."""
    start = plan.lstrip()[:400]
    if start.startswith(b"<"):
        from html import unescape

        found = _XML_PLAN.search(plan)
        return unescape(found[1].decode("utf-8", "replace")).encode() if found else b""
    quoted = (_JSON_PLAN if start.startswith((b"{", b"[")) else _YAML_PLAN).search(plan)
    if quoted:
        try:
            return str(json.loads(quoted[1].replace(b"\n\t", b"\n"), strict=False)).encode(
                "utf-8", "surrogatepass"
            )
        except ValueError:
            return b""
    found = _TEXT_PLAN.search(plan)
    return found[1] if found else b""
