"""A profile as a page for the terminal: at least 80 columns wide, and as wide as the terminal."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from aurora_analysis.engines.log_events import Account
from aurora_analysis.printable import printable
from aurora_analysis.statement_labels import short_id

NARROWEST = 80
"""Width that every page fits into [characters]."""

Values = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """A column of the table: its heading, its width, the text of a row's value, and how wide a page must be for it.

    `figure` names a figure that some engines do not log; the column is left out then.
    """

    heading: str
    width: int
    text: Callable[[Values], str]
    from_width: int = 0
    to_width: int = 10**9
    figure: str = ""

    def cell(self, text: str) -> str:
        """Align a text: the digest to the left, numbers to the right."""
        return text.ljust(self.width) if self.heading == "Digest" else text.rjust(self.width)


def _time(name: str) -> Callable[[Values], str]:
    return lambda row: seconds(row[name])


WIDE, MIDDLE = 118, 94
"""Widths from which the page has exact numbers and whole digests, and the numbers of rows [characters]."""

COLUMNS = (
    Column("Rank", 6, lambda row: f"{row['rank']:d}"),
    Column("Digest", 16, lambda row: str(row["digest"]), WIDE),
    Column("Digest", 8, lambda row: short_id(row["digest"]), 0, WIDE),
    Column("Time", 7, _time("response_time_s")),
    Column("Share", 6, lambda row: f"{row['share']:.1%}"),
    Column("Calls", 10, lambda row: f"{row['calls']:,d}", WIDE),
    Column("Calls", 6, lambda row: count(row["calls"]), 0, WIDE),
    Column("Mean", 7, _time("mean_s")),
    Column("p50", 7, _time("p50_s")),
    Column("p95", 7, _time("p95_s")),
    Column("p99", 7, _time("p99_s")),
    Column("Max", 7, _time("max_s")),
    Column("Examined", 15, lambda row: f"{row['rows_examined']:,d}", WIDE, figure="rows_examined"),
    Column("Sent", 11, lambda row: f"{row['rows_sent']:,d}", WIDE, figure="rows_sent"),
    Column("Examined", 8, lambda row: count(row["rows_examined"]), MIDDLE, WIDE, "rows_examined"),
    Column("Sent", 6, lambda row: count(row["rows_sent"]), MIDDLE, WIDE, "rows_sent"),
)


def text(summary: dict[str, Any], width: int = NARROWEST, *, colour: bool = False) -> str:
    """Render a summary: the ranked statements, then each one's text and clients.

    Parameters
    ----------
    summary : dict
        What `profile.summary` returns.
    width : int
        Width of the page [characters]; a narrower one than `NARROWEST` is not used.
    colour : bool
        Use the terminal's colours.
    """
    width = max(width, NARROWEST)
    return "\n".join(_styled(line, colour) for line in _lines(summary, width))


def _lines(summary: Values, width: int) -> Iterator[str]:
    yield from _remarks(_head(summary), width)
    if not summary["coverage"]["bytes"]:
        yield "# The log is empty: there was nothing to read."
        yield ""
        return
    columns = [
        column
        for column in COLUMNS
        if column.from_width <= width < column.to_width and is_known(summary, column.figure)
    ]
    yield ""
    yield "# " + _row(columns, [column.heading for column in columns])[2:]
    for row in summary["profile"]:
        yield _row(columns, [column.text(row) for column in columns])
    for row in summary["profile"]:
        yield ""
        yield from _remarks(_details(row, with_rows=width < MIDDLE), width)
        fingerprint = printable(row["fingerprint"]) or "(no statement)"
        yield from _wrapped(fingerprint, width)
    yield ""


def _head(summary: Values) -> Iterator[str]:
    yield (
        f"{summary['events']:,} executions of {summary['digests']:,} statements: "
        f"{seconds(summary['sums']['query_time_s'])} in all"
    )
    if summary["events"]:
        yield span(summary)
    yield str(Account(**summary["coverage"]))


def _row(columns: list[Column], texts: list[str]) -> str:
    return " ".join(column.cell(text) for column, text in zip(columns, texts)).rstrip()


def _details(row: Values, *, with_rows: bool) -> Iterator[str]:
    yield f"{row['rank']} {row['digest']}  users: {most(row['users'])}  hosts: {most(row['hosts'])}"
    if with_rows and row["rows_sent"] is not None:
        yield f"  rows examined: {row['rows_examined']:,}  sent: {row['rows_sent']:,}"


def is_known(summary: Values, figure: str) -> bool:
    """Return whether the logs have a figure."""
    return summary["sums"].get(figure, 0) is not None


def span(summary: Values) -> str:
    """Return when the first and the last execution ended, or why that is unknown."""
    if summary["first_ended_at"] is None or summary["last_ended_at"] is None:
        return (
            "when: unknown, because the log's times name no offset from UTC (PostgreSQL: pass --log-timezone)"
        )
    return f"{summary['first_ended_at']} to {summary['last_ended_at']}"


def most(calls: dict[str, int], number: int = 3) -> str:
    """Return the most frequent names with their calls, and how many more there are."""
    named = [f"{printable(name) or '(none)'} {count:,}" for name, count in list(calls.items())[:number]]
    return ", ".join(named + [f"{len(calls) - number} more"] * (len(calls) > number))


def _remarks(lines: Iterator[str], width: int) -> Iterator[str]:
    for line in lines:
        yield from _wrapped(f"# {line}", width, "#   ")


def _wrapped(line: str, width: int, indent: str = "    ") -> list[str]:
    """Wrap a line between words; a word that is longer than the page stays whole, to be copied."""
    if len(line) <= width:
        return [line]
    return textwrap.wrap(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _styled(line: str, colour: bool) -> str:
    """Print headings bold and remarks faint; the data hold no escape sequence."""
    if not colour or not line.startswith("# "):
        return line
    code = "1" if line.startswith(("# Rank", "#   Rank")) else "2"
    return f"\x1b[{code}m{line}\x1b[0m"


def count(number: int) -> str:
    """Return a number in at most six characters.

    >>> count(85_103), count(427_944_373), count(2_123_346)
    ('85,103', '428M', '2.12M')
    """
    if number < 100_000:
        return f"{number:,}"
    for unit, size in (("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12), ("P", 1e15)):
        if number < 999.5 * size:
            return f"{number / size:.{_decimals(number / size)}f}{unit}"
    return f"{number:.0e}"


def seconds(value: float) -> str:
    """Return a duration with three significant digits.

    >>> seconds(0.01234), seconds(98.7), seconds(1234.5)
    ('12.3ms', '98.7s', '1234s')
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{value / size:.{_decimals(value / size)}f}{unit}"
    return f"{value * 1e6:.0f}us"


def _decimals(value: float) -> int:
    """Number of decimals that give three significant digits."""
    return max(0, 2 - math.floor(math.log10(value)))
