"""log_line_prefix: a format of PostgreSQL's → the pattern of a log's entries; and the format that a log was written with.

Escapes: PostgreSQL manual, "Error Reporting and Logging". RDS and Aurora allow the first two of `FORMATS` only.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

FORMATS = (
    "%t:%r:%u@%d:[%p]:",
    "%m:%r:%u@%d:[%p]:%l:%e:%s:%v:%x:%c:%q%a",
    "%m [%p] ",
    "%m [%p] %q%u@%d ",
    "%t [%p]: ",
    "%t [%p] ",
    "%t [%p-%l] %q%u@%d ",
    "%m [%p] %q[user=%u,db=%d,app=%a] ",
    "%m [%p] %q[user=%u,db=%d,app=%a,host=%h] ",
    "%t [%p]: [%l-1] user=%u,db=%d,app=%a,client=%h ",
    "%t [%p]: [%l-1] user=%u,db=%d ",
    "%m [%p]: [%l-1] user=%u,db=%d,app=%a,client=%h ",
    "%m %r %u %a [%c] [%p] ",
    "%p-%s-%c-%l-%h-%u-%d-%m ",
    "%m [%p][%v] : [%l-1] %q[app=%a] ",
    "%m [%p][%b][%v][%x] %q[user=%u,db=%d,app=%a] ",
    "%t [%p] %q%u@%d %h ",
    "%t-%c-",
)
"""Formats of services, packages and tools, tried before one is derived from the log itself."""

SEVERITIES = ("LOG", "ERROR", "FATAL", "PANIC", "WARNING", "NOTICE", "INFO", "DEBUG", "DEBUG1", "DEBUG2", "DEBUG3", "DEBUG4", "DEBUG5")  # fmt: skip
FURTHER = ("DETAIL", "HINT", "CONTEXT", "STATEMENT", "QUERY", "LOCATION", "BACKTRACE")
"""The words that begin an entry, and those that begin a further part of the entry before it."""

_WORDS = "|".join((*SEVERITIES, *FURTHER))
_ZONE = r"(?:[A-Za-z]{1,6}|[+-]\d\d(?::?\d\d)*)"
_TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"

_NAMED = {
    "t": ("time", rf"{_TIME} {_ZONE}"),
    "m": ("time", rf"{_TIME}\.\d{{3,6}} {_ZONE}"),
    "n": ("time", r"\d{9,11}\.\d{3}"),
    "r": ("host", r"[^\s()]*?"),
    "h": ("host", r"[^\s()]*?"),
    "u": ("user", ""),
    "d": ("database", ""),
    "a": ("application", ""),
    "p": ("pid", r"\d+"),
    "c": ("session", r"[0-9a-f]+\.[0-9a-f]+"),
}
"""Escape → the field that it holds, and its pattern; that of a name depends on what follows."""

_UNNAMED = {
    "l": r"\d*", "e": r"[0-9A-Z]{0,5}", "s": rf"{_TIME} {_ZONE}", "v": r"(?:-?\d+/-?\d+)?", "x": r"\d*", "i": r"[A-Za-z ]*", "b": r"[a-z ]*",
    "Q": r"-?\d*", "P": r"\d*", "L": r"\S*",
}  # fmt: skip

FIELDS = ("time", "host", "user", "database", "application", "pid", "session")

_ESCAPE = re.compile(r"%(-?\d+)?([A-Za-z%])")
_NAME = r"[^\n]{0,200}?"


def is_usable(format_: str) -> bool:
    """Return whether entries with this prefix have a time and a process or session."""
    escapes = {found[2] for found in _ESCAPE.finditer(format_)}
    return bool(escapes & set("tmn")) and bool(escapes & set("pc"))


@lru_cache(maxsize=64)
def pattern(format_: str, *, is_lenient: bool = False) -> str:
    """Return the pattern of a prefix; its groups are named after `FIELDS`.

    Parameters
    ----------
    format_ : str
        A log_line_prefix.
    is_lenient : bool
        Let a name hold the character that follows it, which is rare and slower to match.
    """
    made, at, groups, optional = "", 0, set[str](), False
    for escape in _ESCAPE.finditer(format_):
        made += re.escape(format_[at : escape.start()])
        at, name = escape.end(), escape[2]
        if name == "%":
            made += "%"
        elif name == "q":
            made, optional = made + "(?:", True
        else:
            made += _of_escape(
                name, format_[at:], groups, padded=escape[1] is not None, is_lenient=is_lenient
            )
    made += re.escape(format_[at:])
    made += ")?" if optional else ""
    return made + "".join(f"(?P<{field}>)" for field in FIELDS if field not in groups)


def _of_escape(name: str, after: str, groups: set[str], *, padded: bool, is_lenient: bool) -> str:
    field, text = _NAMED.get(name, ("", _UNNAMED.get(name, _NAME)))
    if name in "uda":
        text = _NAME if is_lenient else _until(after)
    if field and field not in groups:
        groups.add(field)
        text = f"(?P<{field}>{text})"
    text += r"(?:\(\d+\))?" if name == "r" else ""
    return rf" *{text} *" if padded else text


def _until(after: str) -> str:
    """Return the pattern of a name before this part of a format: a user's name may be an address."""
    literal = re.sub(r"^%q", "", after)[:1]
    if literal == "@":
        return r"(?:\[unknown\]|[^\s:]*)"
    if literal in {"", "%"}:
        return _NAME
    return rf"(?:\[unknown\]|[^\n={re.escape(literal)}]{{0,200}})"


@lru_cache(maxsize=64)
def prefix(format_: str) -> re.Pattern[bytes]:
    """Return the pattern of an entry's first line up to its message."""
    return re.compile(f"{pattern(format_)}{level(format_)}: {{1,2}}".encode())


def level(format_: str) -> str:
    """Return the pattern of a severity, `level`: in any language, unless the prefix ends in a name, right before it."""
    is_apart = format_ and not _ESCAPE.match(format_[-2:])
    return r"(?P<level>[^\s:\x00-\x1f]{2,30})" if is_apart else rf"(?P<level>{_WORDS})"


_ENGLISH = re.compile(rf"(?:{_WORDS}): ".encode())

_LINES = 200
"""Lines of a log's start from which its format is inferred."""


def inferred(head: bytes) -> str | None:
    """Return the format of most lines of a log's start; None if there is none that is usable.

    Parameters
    ----------
    head : bytes
        The start of a log, in the server's own text form.
    """
    first = [line for line in _first_lines(head) if _ENGLISH.search(line)]
    lines = first or [line for line in _first_lines(head) if _ANY_LEVEL.search(line)]
    for known in FORMATS[:2]:
        if lines and all(_matches(known, line) for line in lines):
            return known
    counts = Counter({known: sum(_matches(known, line) for line in lines) for known in FORMATS})
    best, count = max(counts.items(), key=lambda each: each[1])
    if lines and count > len(lines) // 2:
        return best
    derived = Counter(format_ for line in lines for format_ in _derived(line))
    for format_, _ in derived.most_common(5):
        if is_usable(format_) and sum(_matches(format_, line) for line in lines) > len(lines) // 2:
            return format_
    return best if count else None


_ANY_LEVEL = re.compile(rb"\d:?[^\n]*?\b\w+: {1,2}\S")


def _first_lines(head: bytes) -> list[bytes]:
    lines = head.replace(b"\r", b"").split(b"\n")[:_LINES]
    return [line.lstrip(b"\x00") for line in lines if line and line[:1] not in b"\t "]


def _matches(format_: str, line: bytes) -> bool:
    return prefix(format_).match(line) is not None


def of_line(line: bytes) -> str | None:
    """Return a known format that an entry's first line has; None if it has none."""
    return next((known for known in FORMATS if _matches(known, line)), None)


_SPACED_TIME = _TIME.replace(" ", r"\ ")
_PARTS = re.compile(
    rf"""(?P<m>{_SPACED_TIME}\.\d{{3,6}}\ {_ZONE})|(?P<t>{_SPACED_TIME}\ {_ZONE})|(?P<n>(?<![\w.])\d{{9,11}}\.\d{{3}}(?![\w.]))
      |(?P<c>(?<![\w.])[0-9a-f]{{7,8}}\.[0-9a-f]{{1,8}}(?![\w.]))
      |(?P<key>(?<![A-Za-z])[A-Za-z_]+=)(?P<value>\[\w+\]|\S*?(?:\(\d+\))?)(?=[,;\])\s]|\Z)
      |(?P<line>\[\d+-(?=\d+\]))|(?P<p>(?<=\[)\d+(?=\]))
      |(?P<r>\d+\.\d+\.\d+\.\d+\(\d+\)|\[local\])|(?P<h>\d+\.\d+\.\d+\.\d+)
      |(?P<user>[^\s@\[\]:]*)@(?P<database>[^\s@\[\]:]*)|(?P<v>(?<!\w)\d+/\d+)|(?P<e>(?<![\w.])[0-9A-Z]{{5}}(?!\w))|(?P<number>(?<![\w.])\d+(?![\w.]))""",
    re.VERBOSE,
)
_KEYS = {
    **dict.fromkeys(("user", "usr", "u", "username"), "u"), **dict.fromkeys(("db", "database", "d", "dbname"), "d"),
    **dict.fromkeys(("app", "appli", "application", "application_name", "a"), "a"), **dict.fromkeys(("client", "host", "h", "remote", "r", "ip"), "h"),
    **dict.fromkeys(("pid", "p"), "p"), "queryid": "Q", "session": "c", "xid": "x", "txid": "x", "sqlstate": "e",
}  # fmt: skip


def _derived(line: bytes) -> Iterator[str]:
    """Yield the format that a line itself shows: times, brackets and `key=value` are unambiguous, other words are not."""
    level = _ENGLISH.search(line)
    if level is None:
        return
    text = line[: level.start()].decode("utf-8", "replace").replace("%", "%%")
    seen: set[str] = set()
    format_ = _PARTS.sub(lambda found: _escape(found, seen), text)
    if _BEGINS.match(format_):
        yield _OF_SESSIONS.sub("%q", format_, count=1)


_BEGINS = re.compile(r"(?:[A-Za-z_]+=|\[)?%[mtnpcudarh](?!.*[{}\"])")
"""A prefix begins with one of its fields: other text before it was put there by a tool."""

_OF_SESSIONS = re.compile(r"(?=(?:\w+=)?%[udahr])")
"""The first part of a prefix that background processes may leave out."""


def _escape(found: re.Match[str], seen: set[str]) -> str:
    kind = found.lastgroup or ""
    if kind == "value":
        escape = _KEYS.get(found["key"][:-1].lower(), "x" if found["value"].isdigit() else "a")
        escape = "r" if escape == "h" and found["value"].endswith(")") else escape
        return f"{found['key']}%{escape}"
    if kind == "database":
        return "%u@%d"
    if kind == "line":
        is_first = not seen & {"p"}
        seen.add("p")
        return "[%p-" if is_first else "[%l-"
    if kind == "number":
        return "%x"
    if kind == "p" and "p" in seen:
        return "%x"
    seen.add(kind)
    return f"%{kind}"


def is_of_rds(head: bytes) -> bool:
    """Return whether the first line has a prefix that RDS allows, which no other format resembles."""
    lines = _first_lines(head[: head.rfind(b"\n")])
    return bool(lines) and any(_matches(known, lines[0]) for known in FORMATS[:2])
