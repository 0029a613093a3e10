"""Make a DataFrame's HTML readable: column titles with units, durations in human units, and – for missing values."""

from __future__ import annotations

import re
from collections.abc import Callable

from aurora_analysis.analysis.verdict import duration

TITLES = {
    "ci_low_pct": "interval from [%]",
    "ci_high_pct": "interval to [%]",
    "low_pct": "interval from [%]",
    "high_pct": "interval to [%]",
    "low_per_hour": "interval from [1/h]",
    "high_per_hour": "interval to [1/h]",
    "per_exposed_hour": "growth per exposed hour",
    "growth": "growth [transactions]",
    "peak_length": "peak [transactions]",
    "start_length": "at the start [transactions]",
    "p": "p (raw)",
    "p_adjusted": "p (adjusted)",
    "vcpus": "vCPUs",
    "over_vcpus_pct": "over vCPUs [%]",
    "held_s": "held for",
    "longest_min": "longest",
    "load": "db load",
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

SECONDS = {"_s": 1.0, "_min": 60.0}
"""Suffixes of durations → their unit [s]."""

NAMES = {"metric", "measure", "of"}
"""Columns whose cells are names of metrics."""

MISSING = {"NaN", "nan", "NaT", "None", "&lt;NA&gt;"}
ROW = re.compile(r"<tr>(.*?)</tr>", re.DOTALL)
CELL = re.compile(r"(<t[dh][^>]*>)(.*?)(</t[dh]>)", re.DOTALL)
NO_ROWS = re.compile(r"<tbody>\s*</tbody>")


def is_empty(fragment: str) -> bool:
    """Return whether HTML is a table that has a header and no row."""
    return bool(NO_ROWS.search(fragment))


def titled(fragment: str) -> str:
    """Give a DataFrame's table titles, human units, and – for what is missing; other tables stay as they are."""
    if 'class="dataframe"' not in fragment or "rowspan" in fragment or "colspan" in fragment:
        return fragment
    head, rule, body = fragment.partition("</thead>")
    names: dict[int, str] = {}
    for row in ROW.findall(head):
        names |= {n: text.strip() for n, (_, text, _) in enumerate(CELL.findall(row)) if text.strip()}
    return (
        _mapped(head, lambda n, start, text: start + title(text))
        + rule
        + _mapped(body, lambda n, start, text: _cell(names.get(n, ""), start, text))
    )


def _mapped(part: str, change: Callable[[int, str, str], str]) -> str:
    """Replace the tag and the text of each cell by its column."""

    def row(found: re.Match[str]) -> str:
        cells = enumerate(CELL.findall(found[1]))
        return f"<tr>{''.join(change(n, start, text) + end for n, (start, text, end) in cells)}</tr>"

    return ROW.sub(row, part)


def _cell(name: str, start: str, text: str) -> str:
    """Return a cell without its end; a duration keeps its raw value, by which the page sorts."""
    shown = value(name, text)
    raw = text.strip().replace(",", "")
    is_changed = shown != text and shown != "–" and name not in NAMES
    return f'{start[:-1]} data-value="{raw}">{shown}' if is_changed else start + shown


def title(name: str) -> str:
    """Return a column's title.

    >>> title("shift_pct"), title("held_s"), title("change [%]")
    ('shift [%]', 'held for', 'change [%]')
    """
    if name in TITLES:
        return TITLES[name]
    suffix = next((one for one in UNITS if name.endswith(one)), "")
    return name.removesuffix(suffix).replace("_", " ") + UNITS.get(suffix, "")


def value(name: str, text: str) -> str:
    """Return a cell's text, by its column's name.

    >>> value("held_s", "2,875.4"), value("metric", "commit_latency"), value("p", "NaN")
    ('48 min', 'commit latency', '–')
    """
    if text.strip() in MISSING:
        return "–"
    if name in NAMES:
        return text.replace("_", " ")
    seconds = next((unit for suffix, unit in SECONDS.items() if name.endswith(suffix)), None)
    if seconds is None or name.endswith("_per_s"):
        return text
    try:
        return duration(seconds * float(text.replace(",", "")))
    except ValueError:
        return text
