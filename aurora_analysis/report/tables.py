"""Make a DataFrame's HTML readable: one row of titles with units, human units, local times, and – for what is missing.

The HTML is parsed into a `Table` and written again. Cells keep a raw value where the page sorts by another value than it shows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from html.parser import HTMLParser

from aurora_analysis.analysis.verdict import duration, three_digits
from aurora_analysis.window import zone

TITLES = {
    "per_exposed_hour": "growth per exposed hour",
    "growth": "growth [transactions]",
    "peak_length": "episode's peak [transactions]",
    "peak_while_held": "peak while held [transactions]",
    "start_length": "at the start [transactions]",
    "p": "p (raw)",
    "p_adjusted": "p (adjusted)",
    "vcpus": "vCPUs",
    "over_vcpus_pct": "over vCPUs [%]",
    "held_s": "held for",
    "longest_min": "longest",
    "load": "db load",
    "share": "share [%]",
    "judged_share": "judged [%]",
    "runs_open": "runs open in the window",
    "limit_min": "limit",
    "max_execution_time": "max_execution_time, in ms",
    "statement_timeout": "statement_timeout, in ms",
    "coverage": "observed [%]",
    "seen": "weeks seen",
}
"""Titles that do not follow from the column's name."""

UNITS = {
    "_pct": " [%]",
    "_ms": " [ms]",
    "_per_hour": " [1/h]",
    "_per_s": " [1/s]",
    "_hours": " [h]",
    "_s": "",
    "_min": "",
}
"""Suffix of a column's name → unit in its title; durations have their units in the cells."""

INTERVALS = {
    "ci_low_pct": ("ci_high_pct", "interval [%]"),
    "low_pct": ("high_pct", "interval [%]"),
    "low_per_hour": ("high_per_hour", "interval [1/h]"),
    "low_minutes": ("high_minutes", "interval [min]"),
    "ci_low": ("ci_high", "interval"),
    "rate_low_pct": ("rate_high_pct", "interval [%]"),
}
"""Column with the lower end of an interval → the column with its upper end, and the title of both as one column."""

WIDEST_PCT = 1000.0
"""An interval of a relative change that is wider says nothing [%], and one that begins at -99 % cannot exclude any fall."""

SECONDS = {"_s": 1.0, "_min": 60.0}
"""Suffixes of durations → their unit [s]."""
LONG_MS = 10_000.0
"""Latency from which a column of milliseconds has its units in the cells."""

NAMES = {"metric", "measure", "of"}
"""Columns whose cells are names of metrics."""
SHARES = {"share", "coverage", "judged_share"}
"""Columns of fractions, which the page shows in per cent."""

MISSING = {"", "NaN", "nan", "NaT", "None", "&lt;NA&gt;", "inf", "-inf"}
DASH = "–"
SHORT = 28
"""Longest text that stays on one line [characters]."""

FIGURE = r"[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[-+]?\d+)?"
NUMBER = re.compile(
    rf"\s*((?:[±≤≥~]|&lt;|&gt;)\s*)?{FIGURE}\s*%?\s*|–|\d[\d.]* (?:ms|s|min|h|d)( \d+ (?:h|min))?"
)
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d(\.\d+)?)?\+00:00")
PLAIN = re.compile(r"[-+\w.: ]+")
"""Raw values that need no escaping in an attribute."""
RANGE = re.compile(rf"({FIGURE}) \[({FIGURE}), ({FIGURE})\]")


@dataclass(frozen=True)
class Cell:
    """A cell: its tag, its text as HTML, its raw value if it sorts by another, and how many cells it spans."""

    tag: str
    text: str
    raw: str = ""
    columns: int = 1
    rows: int = 1


NO_ROWS = '<p class="none">No rows in this window for the table of: '
"""Begins what stands in for a table without rows."""

Row = list[Cell]


@dataclass
class Table:
    """A parsed table."""

    is_frame: bool = False
    head: list[Row] = field(default_factory=list)
    body: list[Row] = field(default_factory=list)


def readable(fragment: str, timezone: str = "UTC", caption: str = "") -> str:
    """Return clean HTML with its table made readable; empty for a table without rows and columns.

    A table without rows is replaced by the titles of its columns, so that the page says what is missing.

    Parameters
    ----------
    fragment
        Clean HTML; other content than one table is returned as it is.
    timezone
        Time zone of the times, which are UTC in the fragment.
    caption
        Text above the table, such as its window with the time zone.
    """
    reader = _Reader()
    reader.feed(fragment)
    reader.close()
    table = reader.table
    if not reader.is_alone or not table.head:
        return fragment
    if not table.body:
        return _without_rows(table.head)
    if table.is_frame and all(cell.columns == 1 for row in table.head + table.body for cell in row):
        table = _titled(_without_numbers(_flat(table)), timezone, is_named=bool(caption))
    elif any(cell.columns > 1 or cell.rows > 1 for row in table.head + table.body for cell in row):
        return fragment
    return _written(table, caption if table.is_frame else "")


def _without_rows(head: Sequence[Row]) -> str:
    """Name the columns of a table without rows, so that the page says what is missing; empty without columns."""
    names = dict.fromkeys(cell.text for row in reversed(head) for cell in row if cell.text)
    titles = [title(name) for name, _ in _joined([(name, []) for name in names])]
    return f"{NO_ROWS}{', '.join(titles)}.</p>" if titles else ""


class _Reader(HTMLParser):
    """Read one table; cells keep their HTML."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.table, self.is_alone = Table(), True
        self._rows: list[Row] = []
        self._cell: list[str] | None = None
        self._opened = self._seen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "table":
            self._opened += 1
            self._seen += 1
            self.is_alone &= self._seen == 1
            self.table.is_frame = "dataframe" in (given.get("class") or "").split()
        elif tag in ("thead", "tbody"):
            self._rows = self.table.head if tag == "thead" else self.table.body
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._cell = []
            spans = (int(given.get(name) or 1) for name in ("colspan", "rowspan"))
            self._rows[-1].append(Cell(tag, "", "", *spans))
        elif self._cell is not None:
            self._cell.append(self.get_starttag_text() or "")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th") and self._cell is not None:
            self._rows[-1][-1] = replace(self._rows[-1][-1], text="".join(self._cell).strip())
            self._cell = None
        elif tag == "table":
            self._opened -= 1
        elif self._cell is not None:
            self._cell.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)
        elif not self._opened and data.strip():
            self.is_alone = False

    def handle_entityref(self, name: str) -> None:
        self.handle_data(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self.handle_data(f"&#{name};")


def _flat(table: Table) -> Table:
    """Repeat cells that span rows, and merge the row of index names into that of the columns."""
    head, body = _repeated(table.head), _repeated(table.body)
    if len(head) == 2 and not any(cell.text for cell in head[1][_index_size(body) :]):
        head = [[below if below.text else above for above, below in zip(*head)]]
    return Table(table.is_frame, head, body)


def _index_size(body: Sequence[Row]) -> int:
    return next((n for n, cell in enumerate(body[0]) if cell.tag == "td"), len(body[0])) if body else 0


def _repeated(rows: Sequence[Row]) -> list[Row]:
    waiting: dict[int, Cell] = {}
    flat: list[Row] = []
    for row in rows:
        cells: Row = []
        given = iter(row)
        while True:
            above = waiting.pop(len(cells), None)
            cell = above or next(given, None)
            if cell is None:
                break
            if cell.rows > 1:
                waiting[len(cells)] = replace(cell, rows=cell.rows - 1)
            cells.append(replace(cell, rows=1))
        flat.append(cells)
    return flat


def _without_numbers(table: Table) -> Table:
    """Drop a frame's row numbers if they only count."""
    first = [row[0].text for row in table.body if row]
    if table.head[0] and not table.head[0][0].text and first == [str(n) for n in range(len(table.body))]:
        return Table(True, [row[1:] for row in table.head], [row[1:] for row in table.body])
    return table


def _titled(table: Table, timezone: str, *, is_named: bool) -> Table:
    """Give each column its title, its units and its dashes; a caption has named the time zone."""
    if len(table.head) != 1 or {len(row) for row in table.body} != {len(table.head[0])}:
        return table
    columns = [(head.text, [row[n] for row in table.body]) for n, head in enumerate(table.head[0])]
    shown = [column(name, cells, timezone) for name, cells in _joined(columns)]
    zones = f" [{timezone}]" if is_named else ""
    heads = [Cell("th", name.removesuffix(zones)) for name, _ in shown]
    return Table(True, [heads], [list(row) for row in zip(*(cells for _, cells in shown))])


Column = tuple[str, list[Cell]]


def _joined(columns: Sequence[Column]) -> list[Column]:
    """Join the two ends of an interval into one column."""
    by_name = dict(columns)
    ends = {INTERVALS[name][0] for name in by_name if name in INTERVALS}
    joined = []
    for name, cells in columns:
        high, heading = INTERVALS.get(name, ("", ""))
        if name in INTERVALS and high in by_name:
            pairs = zip(cells, by_name[high])
            joined.append((heading, [replace(low, text=_ends(low.text, top.text)) for low, top in pairs]))
        elif name not in ends:
            joined.append((name, cells))
    return joined


def _ends(low: str, high: str) -> str:
    if low in MISSING or high in MISSING:
        return DASH
    return f"{_rounded(low)} to {_rounded(high)}" if _says_something(low, high) else "too wide to judge"


def _says_something(low: str, high: str) -> bool:
    try:
        bottom, top = (float(end.replace(",", "").replace("−", "-")) for end in (low, high))
    except ValueError:
        return True
    return abs(bottom) > WIDEST_PCT or (top - bottom <= WIDEST_PCT and bottom > -99)


def column(name: str, cells: Sequence[Cell], timezone: str) -> Column:
    """Return a column's title and its cells as the page shows them.

    >>> column("held_s", [Cell("td", "2,875.4")], "UTC")
    ('held for', [Cell(tag='td', text='48 min', raw='2875.4', columns=1, rows=1)])
    """
    known = [cell.text for cell in cells if cell.text not in MISSING]
    heading, change = title(name), _change(name)
    if known and all(map(TIME.fullmatch, known)):
        has_seconds = not all(re.search(r":00(\.0+)?\+", text) for text in known)
        heading, change = f"{heading} [{timezone}]", lambda text: _local(text, timezone, has_seconds)
    elif heading.endswith("[ms]") and any(_largest(text) >= LONG_MS for text in known):
        heading, change = heading.removesuffix(" [ms]"), _latencies
    return heading, [_changed(cell, change) for cell in cells]


def _changed(cell: Cell, change: Callable[[str], str]) -> Cell:
    if cell.text in MISSING:
        return replace(cell, text=DASH)
    shown = change(cell.text)
    raw = cell.text.split(" [")[0].replace(",", "")
    return replace(cell, text=shown, raw=raw if shown != cell.text and PLAIN.fullmatch(raw) else "")


def _change(name: str) -> Callable[[str], str]:
    """Return how a column's cells are written, by its name."""
    if name in NAMES:
        return lambda text: text.replace("_", " ")
    if name in SHARES:
        return _per_cent
    seconds = next((unit for suffix, unit in SECONDS.items() if name.endswith(suffix)), None)
    if seconds is not None and not name.endswith("_per_s"):
        return lambda text: _duration(text, seconds)
    return _range if name.endswith("]") or not name.endswith("id") else str


def _duration(text: str, unit: float) -> str:
    try:
        return duration(unit * float(text.replace(",", "")))
    except ValueError:
        return text


def _per_cent(text: str) -> str:
    try:
        return f"{100 * float(text):.10g}" if float(text) <= 1 else text
    except ValueError:
        return text


def _range(text: str) -> str:
    """Write a large number without decimals and with separators, and leave out an interval that says nothing."""
    found = RANGE.fullmatch(text)
    return (
        _rounded(text)
        if not found or _says_something(found[2], found[3])
        else f"{found[1]} [too wide to judge]"
    )


def _rounded(text: str) -> str:
    number = text.replace(",", "")
    is_large = re.fullmatch(FIGURE, text) and "e" not in text and abs(float(number)) >= 1000
    return f"{float(number):,.0f}" if is_large else text


def _latencies(text: str) -> str:
    """Write each number of milliseconds with its unit."""
    return re.sub(FIGURE, lambda number: _latency(float(number[0].replace(",", ""))), text)


def _latency(milliseconds: float) -> str:
    if milliseconds < LONG_MS:
        return f"{three_digits(milliseconds)} ms"
    seconds = milliseconds / 1000
    return f"{three_digits(seconds)} s" if seconds < 600 else f"{three_digits(seconds / 60)} min"


def _largest(text: str) -> float:
    numbers = re.findall(FIGURE, text) if "<" not in text else []
    return max((float(number.replace(",", "").replace("−", "-")) for number in numbers), default=0.0)


def _local(text: str, timezone: str, has_seconds: bool) -> str:
    moment = datetime.fromisoformat(text).astimezone(zone(timezone))
    return f"{moment:%Y-%m-%d %H:%M:%S}" if has_seconds else f"{moment:%Y-%m-%d %H:%M}"


def title(name: str) -> str:
    """Return a column's title.

    >>> title("shift_pct"), title("held_s"), title("change [%]")
    ('shift [%]', 'held for', 'change [%]')
    """
    if name in TITLES:
        return TITLES[name]
    suffix = next((one for one in UNITS if name.endswith(one)), "")
    return name.removesuffix(suffix).replace("_", " ") + UNITS.get(suffix, "")


def _written(table: Table, caption: str) -> str:
    """Write a table; numbers stand right, column by column, and dates and names on one line."""
    kinds: dict[int, str] = {}
    for n in range(max((len(row) for row in table.body), default=0)):
        texts = [row[n].text for row in table.body if n < len(row) and row[n].tag == "td"]
        kinds[n] = _kind(texts)
    head, body = ("".join(_row(row, kinds) for row in rows) for rows in (table.head, table.body))
    name = ' class="dataframe"' if table.is_frame else ""
    above = f"<caption>{caption}</caption>" if caption else ""
    return f"<table{name}>{above}<thead>{head}</thead><tbody>{body}</tbody></table>"


def _kind(texts: Sequence[str]) -> str:
    if texts and all(map(NUMBER.fullmatch, texts)):
        return "number"
    return "short" if all(len(text) <= SHORT for text in texts) else ""


def _row(row: Row, kinds: dict[int, str]) -> str:
    return f"<tr>{''.join(_cell(cell, kinds.get(n, '')) for n, cell in enumerate(row))}</tr>"


def _cell(cell: Cell, kind: str) -> str:
    tag = cell.tag if cell.text else "td"  # an empty corner must not be a header
    attributes = (f' class="{kind}"' if kind else "") + (f' data-value="{cell.raw}"' if cell.raw else "")
    return f"<{tag}{attributes}>{cell.text}</{tag}>"
