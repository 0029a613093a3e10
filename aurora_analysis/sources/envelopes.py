"""Take a slow log out of what a tool wrapped around it: JSON, CSV, a document, or a prefix before each event or line.

Each event of CloudWatch Logs is an entry, or a banner of the server. The boundaries between events are kept: an event
that ends within its statement was cut, and gets the marker that RDS writes.

Where the forms come from: the AWS CLI reference (`logs create-export-task`, `tail`, `filter-log-events`,
`get-log-events`, `get-query-results`, `rds download-db-log-file-portion`), the CloudWatch Logs user guide
("Real-time processing of log data with subscriptions"; exported query results), and what syslog, docker and
kubectl put before a line.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from aurora_analysis import engines
from aurora_analysis.engines.log_events import MARKER
from aurora_analysis.sources import documents
from aurora_analysis.sources.compression import Damaged, Refused, decompressed, peek

HEAD_BYTES = 2**18
"""Size of a log's start that determines its envelope [bytes]."""

LONGEST_LINE = 8 * 2**20
"""Longest line or JSON string that is held as a whole [bytes]; the rest of a longer one comes separately."""

Unwrap = Callable[[Iterable[bytes]], Iterator[bytes]]


def is_wrapped(head: bytes) -> bool:
    """Return whether a log with these first bytes has an envelope."""
    return _unwrapper(head) is not None


def unwrapped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a slow log as the server wrote it, in chunks; a log without an envelope stays as it is."""
    head, chunks = peek(chunks, HEAD_BYTES)
    unwrap = _unwrapper(head[:HEAD_BYTES])
    return chunks if unwrap is None else unwrap(chunks)


def event(message: bytes) -> bytes:
    """Return an event's message as the text of a log file; the marker shows where it was cut."""
    text = message.rstrip(b"\r\n")
    is_entry = text.startswith((b"# Time: ", b"# User@Host: ")) and b"\n# Query_time: " in text
    if is_entry and not text.endswith((b";", MARKER)):
        return text + MARKER + b"\n"
    return message if message.endswith(b"\n") else message + b"\n"


def _unwrapper(head: bytes) -> Unwrap | None:
    start = head.lstrip()
    if start[:1] in b"{[" and engines.of_log(head) not in {None, engines.DEFAULT}:
        return None  # PostgreSQL writes JSON itself
    if _JSON_START.match(start) or (_JSON_BEHIND.match(start) and _ENTRY_STRING.search(head)):
        forms = _json_forms(head)
        return lambda chunks: _oldest_first(_with_line_ends(_from_json(chunks, forms)))
    if _YAML.search(head):
        return lambda chunks: _refuse(chunks, "is YAML, which is not read: export it with --output json")
    if _XML.match(start):
        return lambda chunks: _refuse(
            chunks, "is XML or HTML, which is not read: export it as JSON, CSV or text"
        )
    if (columns := _csv_columns(head)) is not None:
        return lambda chunks: _oldest_first(_with_line_ends(_from_csv(chunks, columns)))
    if documents.has_blocks(head):
        return lambda chunks: documents.from_blocks(_lines(chunks))
    if reason := documents.lost_line_ends(head) or documents.quoted_printable(head):
        return lambda chunks: _refuse(chunks, reason)
    if _is_joined(head):
        return _from_joined
    return _unprefixed(head) or _without_columns(head)


_YAML = re.compile(
    rb"\A\s*(?:- )?(?:events|results|message|eventId|AdditionalDataPending|LogFileData|next\w*Token):[\s'\"]"
)
"""The first key of what `--output yaml` writes."""


_XML = re.compile(rb"<[?!a-zA-Z]")


def _refuse(chunks: Iterable[bytes], reason: str) -> Iterator[bytes]:
    raise Refused(reason)
    yield from chunks


def _with_line_ends(messages: Iterator[bytes]) -> Iterator[bytes]:
    """Pass messages on, unless the first one shows that a tool replaced their line ends."""
    for n, message in enumerate(messages):
        if n == 0 and documents.lost_line_ends(message[:HEAD_BYTES]):
            raise Refused("has events that lost their line ends. Export the log again, as JSON or as a file")
        yield message


LONGEST_REVERSED = 2**30
"""Size up to which messages that come newest first are turned round [bytes]. Consoles export some 10,000 of them."""

_ENDED = re.compile(rb"# Time: ([12]\d{3}-\d\d-\d\dT\S+)")


def _oldest_first(messages: Iterator[bytes]) -> Iterator[bytes]:
    """Yield messages in the order of the log: search tools export the newest first, and a database is named once."""
    held: list[bytes] = []
    times: list[bytes] = []
    for message in messages:
        held.append(message)
        found = _ENDED.match(message)
        times += [found[1]] if found else []
        if len(times) == 20 or len(held) == 2000:
            break
    if sum(b < a for a, b in zip(times, times[1:])) <= len(times) // 2:
        yield from held
        yield from messages
        return
    size = sum(map(len, held))
    for message in messages:
        held.append(message)
        size += len(message)
        if size > LONGEST_REVERSED:
            raise Refused("is too large and sorted from newest to oldest: export it sorted by time")
    yield from reversed(held)


# JSON

_JSON_START = re.compile(rb'[\[{][\[{\s]*(?:"|\])|"(?:\#|\\u0023) (?:Time|User@Host): [^"\n]*\\n\#')
"""The first bytes of an object, a list, or a string that holds an entry (`jq '.events[].message'`)."""

_JSON_BEHIND = re.compile(rb'[^\n"{\[]{1,200}\{\s*"(?>[^"\\\n]|\\.)*+"\s*:')
"""A line of JSON behind a time and a tag, as Fluentd writes it."""

_ENTRY_STRING = re.compile(rb'"(?:\#|\\u0023) (?:Time: \d|User@Host: )')

_STRING = rb'"(?P<%s>(?>[^"\\]|\\.)*+)"'

_MESSAGE_KEYS = rb"@?message|Message|MESSAGE|log"

_VALUE = (
    rb'(?:"(?:KEYS)"\s*:\s*|"field"\s*:\s*"@message"\s*,\s*"value"\s*:\s*|\[\s*"\d{16,19}"\s*,\s*)'
    + _STRING % b"message"
    + rb'|"LogFileData"\s*:\s*'
    + _STRING % b"portion"
    + rb'|"(?:[dD]ata|rawData)"\s*:\s*'
    + _STRING % b"packed"
    + rb'|(?<!\\)"(?P<bare>(?:\#|\\u0023) (?:Time: \d|User@Host: )(?>[^"\\]|\\.)*+)"'
)
"""A log's text in a JSON document, under the names that AWS, docker and journald give it, or behind a time in Loki's
pairs; a packed record; or any other string that begins as an entry does.

Within a JSON string each quote has a backslash, so that no text of a statement matches.
"""

_STARTS = rb'"(?:KEYS|LogFileData|[dD]ata|rawData|field"\s*:\s*"@message)"|\[\s*"\d{16,19}"'

_HEADER_KEY = re.compile(
    rb'"(\w(?:[^"\\]){0,60})"\s*:\s*"(?:\#|\\u0023) (?:Time: \d|User@Host: |Query_time: \d)'
)
"""The key of a header line: other tools have other names for their message, such as `line` or `_raw`."""

Forms = tuple[re.Pattern[bytes], re.Pattern[bytes]]
"""Patterns of the log's texts in a document, and of the start of one that goes on."""


def _json_forms(head: bytes) -> Forms:
    found = map(re.escape, sorted({key[1] for key in _HEADER_KEY.finditer(head)})[:10])
    keys = b"|".join([_MESSAGE_KEYS, *(key for key in found if key not in {b"LogFileData", b"value"})])
    return (
        re.compile(_VALUE.replace(b"KEYS", keys), re.DOTALL),
        re.compile(_STARTS.replace(b"KEYS", keys)),
    )


_PORTION = re.compile(rb'"LogFileData"\s*:\s*"')
_INSIDE = re.compile(rb'(?>[^"\\]|\\.)*+', re.DOTALL)
_CONTROL = b"CWL CONTROL MESSAGE"
"""Message by which CloudWatch Logs checks a subscription's destination."""


def _from_json(chunks: Iterable[bytes], forms: Forms) -> Iterator[bytes]:
    """Yield the texts in JSON documents, one after the other or in lines, without holding a document."""
    pending, is_inside = b"", False
    start, chunks = peek(chunks, HEAD_BYTES)
    is_found = _EMPTY.search(start) is not None
    for chunk in chunks:
        pending += chunk
        if is_inside:
            text, pending, is_inside = _until_quote(pending)
            yield text
        if is_inside:
            continue
        at = 0
        for found in forms[0].finditer(pending):
            is_found = True
            yield from _texts(found, forms)
            at = found.end()
        pending = _unfinished(pending[at:], forms)
        if len(pending) > LONGEST_LINE // 4 and (opened := _PORTION.match(pending)):
            text, pending, is_inside = _until_quote(pending[opened.end() :])
            is_found = True
            yield text
        elif len(pending) > LONGEST_LINE:
            raise Damaged(f"a string of the JSON document is longer than {LONGEST_LINE // 2**20} MiB")
    if not is_found:
        yield start[:HEAD_BYTES]  # so that it is counted as lost: nothing in it is a log


_EMPTY = re.compile(rb'"(?:events|logEvents|results|[rR]ecords|LogFileData)"\s*:\s*(?:\[\s*\]|""|null)')
"""A document of a log without an event."""


def _until_quote(text: bytes) -> tuple[bytes, bytes, bool]:
    """Return the text up to the end of a JSON string, the bytes behind, and whether the string goes on."""
    found = _INSIDE.match(text)
    end = found.end() if found else 0
    if text[end : end + 1] == b'"':
        return _unescaped(text[:end]), text[end + 1 :], False
    at = end
    while (at := text.rfind(b"\\n", 0, at)) >= 0:
        before = text[:at]
        if (len(before) - len(before.rstrip(b"\\"))) % 2 == 0:
            return _unescaped(text[: at + 2]), text[at + 2 :], True
    return b"", text, True


def _unfinished(text: bytes, forms: Forms) -> bytes:
    """Return what of a text may be the start of a value that the next chunk ends: from its last key on."""
    start = max(0, len(text) - 64)
    for key in forms[1].finditer(text):
        start = key.start()
    return text[start:]


def _texts(found: re.Match[bytes], forms: Forms) -> Iterator[bytes]:
    if found["message"] is not None or found["bare"] is not None:
        text = _unescaped(found["message"] if found["message"] is not None else found["bare"])
        if _JSON_START.match(text) and text.startswith(b"{"):  # a message that is JSON itself
            yield from _from_json([text], _json_forms(text))
        elif not text.startswith(_CONTROL):
            yield event(text)
        return
    if found["portion"] is not None:
        yield _unescaped(found["portion"])
        return
    import base64

    try:
        record = base64.b64decode(found["packed"], validate=True)
        inside = b"".join(decompressed([record]))
    except (ValueError, Damaged):
        return
    if inside.lstrip()[:1] in {b"{", b"["}:
        yield from _from_json([inside], forms)


def _unescaped(text: bytes) -> bytes:
    import json

    try:
        value = json.loads(b'"' + text + b'"', strict=False)
    except ValueError as problem:
        raise Damaged(f"a string of the JSON document is not valid: {problem}") from None
    return str(value).encode("utf-8", "surrogatepass")


# CSV

_COLUMNS = ("@message", "message", "Message")


def _csv_columns(head: bytes) -> tuple[int | None, str] | None:
    """Return the column of the messages and the delimiter, if the log is a CSV export; None for an unknown column."""
    first = head.split(b"\n", 1)[0].strip().decode("utf-8", "replace")
    for delimiter in ",;\t|":
        names = [name.strip().strip('"') for name in first.split(delimiter)]
        if (len(names) > 1 or names[0] == "@message") and not _is_unquoted(head):
            for column in _COLUMNS:
                if column in names and all(re.fullmatch(r"@?[\w. ()]*", name) for name in names):
                    return names.index(column), delimiter
    quoted = _QUOTED.findall(head)
    if quoted and len(quoted) >= FEWEST * head.count(b"# User@Host: "):
        return None, (max(quoted, key=quoted.count) or b",").decode()
    return None


def _is_unquoted(head: bytes) -> bool:
    """Return whether the entries stand without quotation marks: then commas and line ends do not end a field."""
    return _QUOTED.search(head) is None and _UNQUOTED.search(head) is not None


_UNQUOTED = re.compile(rb"^[^\n\"]*[,;\t|][ ]?# (?:Time: \d|User@Host: )", re.MULTILINE)

_QUOTED = re.compile(rb'(?:^|([,;\t|]) ?)"# (?:Time: \d|User@Host: )', re.MULTILINE)
"""The start of a field that holds an entry, and the delimiter before it."""

_ENTRY = ("# Time: ", "# User@Host: ")


def _from_csv(chunks: Iterable[bytes], columns: tuple[int | None, str]) -> Iterator[bytes]:
    import csv

    column, delimiter = columns
    csv.field_size_limit(LONGEST_LINE)
    lines = (line.decode("utf-8", "surrogateescape") for line in _lines(chunks))
    try:
        rows = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
        if column is not None:
            names = next(rows)
        for row in rows:
            if column is not None and row == names:
                continue  # exports that were joined
            messages = row[column : column + 1] if column is not None else row
            for message in messages:
                if message and (column is not None or message.startswith(_ENTRY)):
                    yield event(message.encode("utf-8", "surrogateescape"))
    except csv.Error as problem:
        raise Damaged(f"the CSV is not valid: {problem}") from None


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines with their ends."""
    for text in _whole_lines(chunks):
        yield from (
            text.splitlines(keepends=True) if b"\r" not in text else re.findall(rb"[^\n]*\n|[^\n]+", text)
        )


def _whole_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the chunks so that each ends at the end of a line."""
    pending: list[bytes] = []
    for chunk in chunks:
        before, end, after = chunk.rpartition(b"\n")
        if end:
            yield b"".join([*pending, before, end])
            pending = [after]
        else:
            pending.append(chunk)
        if sum(map(len, pending)) > LONGEST_LINE:
            yield b"".join(pending)
            pending = []
    yield b"".join(pending)


# Messages one behind the other: by tabs (`--query 'events[*].message' --output text`), or by nothing (Firehose with
# message extraction)

_JOINED = re.compile(
    rb"(?<=[^\n \t])[ \t]*(?=# (?:Time: \d[^\n]{,60}(?:\n|\Z)|User@Host: [^\n\[]*\[[^\n]*(?:\n|\Z)))"
)
"""A header within a line."""


def _is_joined(head: bytes) -> bool:
    """Return whether most entries begin right behind the end of the one before."""
    ended = sum(head[found.start() - 1 : found.start()] == b";" for found in _JOINED.finditer(head))
    return ended > 0 and ended >= FEWEST * (head.count(b"# User@Host: ") - 1)


def _from_joined(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for text in _whole_lines(chunks):
        yield _JOINED.sub(_separated, text)


def _separated(found: re.Match[bytes]) -> bytes:
    """Return what ends an entry: its semicolon is there, or it was cut."""
    before = found.string[found.start() - 1 : found.start()]
    return b"\n" if before == b";" else MARKER + b"\n"


# Prefixes

_HEADER = re.compile(rb"# (?:Time: \d|User@Host: |Query_time: \d)")

LONGEST_PREFIX = 400
"""Longest prefix before a header [bytes]."""

_STAMPED = rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*[ \t]+(?:[^\s#]+[ \t]+){0,2}"
"""A time, and up to two words such as the stream's name: S3 exports, `aws logs tail`."""

_TABBED = rb"EVENTS\t(?:[^\t\n]*\t){1,4}?|(?:True|False)\t|RESULTS\t@message\t"
"""The columns before a message in the AWS CLI's `--output text`."""

_PORTION_START = re.compile(rb"(?:True|False)\t# (?:Time|User@Host): ")

_TABBED_END = re.compile(
    rb"\t\d{13}(?:\t\d{13})?[ \r]*$|(?<=;)\n?\t[\d:]+[ \r]*$|^\t[\d:]+[ \r]*$|^(?:[bf]/\d{20,}\S*\t?)+[ \r]*$|^(?:SEARCHEDLOGSTREAMS|STATISTICS|RESULTS\t@\w+)\t[^\n]*$|^(?:None|Complete|Running)$",
    re.MULTILINE,
)
"""The columns behind a message, and the lines of its tokens."""

_COLOUR = re.compile(rb"\x1b\[[\d;]*m")

_COLOUR_END = re.compile(rb"\x1b\[0?m")
"""Programs that colour a log end each colour. An escape sequence alone belongs to the name or statement that it is in."""

FEWEST = 0.5
"""A prefix is one if at least this share of the headers has it."""


def _unprefixed(head: bytes) -> Unwrap | None:
    """Return how to remove the prefix of events or lines; None if most headers begin their line."""
    coloured = _COLOUR_END.search(head) is not None
    plain = _COLOUR.sub(b"", head) if coloured else head
    before: dict[bytes, list[bytes]] = {b"T": [], b"U": [], b"Q": []}
    line = -1
    for header in _HEADER.finditer(plain):
        start = plain.rfind(b"\n", 0, header.start()) + 1
        if start != line and header.start() - start <= LONGEST_PREFIX:
            before[header[0][2:3]].append(plain[start : header.start()])
        line = start
    first, figures = before[b"T"] or before[b"U"], before[b"Q"]
    prefixes = [prefix for prefix in before[b"T"] + before[b"U"] if prefix]
    if _PORTION_START.match(plain):
        prefixes = prefixes[:1]
    elif sum(map(bool, first)) <= FEWEST * len(first) or len(prefixes) <= FEWEST * len(figures):
        return (lambda chunks: _without(_whole_lines(chunks), [_COLOUR])) if coloured else None
    each_line = sum(map(bool, figures)) > FEWEST * len(figures)
    pattern, is_tabbed = _pattern(prefixes, each_line)
    if not each_line:
        pattern = rb"(?:" + pattern + rb")(?=# (?:Time: \d|User@Host: ))"
    remove = [re.compile(rb"^(?:" + pattern + rb")", re.MULTILINE)]
    remove = [_COLOUR, *remove] if coloured else remove
    remove += [_TABBED_END] if is_tabbed else []
    return lambda chunks: _without(_whole_lines(chunks), remove)


_COLUMNS_BEFORE = (
    rb"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)[ \t]",  # S3 exports, docker logs -t
    rb"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)[ \t]+[A-Za-z][^\s:]*[ \t]",  # aws logs tail
    rb"^[A-Za-z][\w.\-]*[ \t]*\| ",  # docker compose logs
)
"""Prefix of every line of a log that has no header lines: a time, a time and a stream, a container."""


def _without_columns(head: bytes) -> Unwrap | None:
    """Return how to remove a known column before each line, if an engine recognises what is left and not the whole."""
    if not head or engines.of_log(head):
        return None
    for column in _COLUMNS_BEFORE:
        remove = re.compile(column, re.MULTILINE)
        plain, count = remove.subn(b"", head)  # further lines of an entry begin with a tab, and may have none
        if count > FEWEST * (head.count(b"\n") - head.count(b"\n\t")) and engines.of_log(plain):
            return lambda chunks, remove=remove: _without(_whole_lines(chunks), [remove])  # type: ignore[misc]
    return None


def _without(texts: Iterable[bytes], remove: Sequence[re.Pattern[bytes]]) -> Iterator[bytes]:
    for text in texts:
        kept = text
        for pattern in remove:
            kept = pattern.sub(b"", kept)
        yield kept


def _pattern(prefixes: Sequence[bytes], each_line: bool) -> tuple[bytes, bool]:
    """Return a pattern that matches the prefixes, and whether they are the columns of `--output text`."""
    if not each_line:
        for known in (_STAMPED, _TABBED):
            if all(re.fullmatch(known, prefix) for prefix in prefixes):
                return known, known is _TABBED
    counts = Counter(map(_general, prefixes))
    return b"|".join(pattern for pattern, _ in counts.most_common(50)), False


_PART = re.compile(
    rb"(\d+)|\b(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec|Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b|([ \t]+)"
)


def _general(prefix: bytes) -> bytes:
    """Return the pattern of a prefix whose numbers, months and weekdays vary from line to line."""
    pattern, at = b"", 0
    for found in _PART.finditer(prefix):
        pattern += re.escape(prefix[at : found.start()])
        pattern += rb"\d+" if found[1] else rb"[A-Z][a-z]{2}" if found[2] else rb"[ \t]+"
        at = found.end()
    return pattern + re.escape(prefix[at:])
