"""A profile as a page for the terminal."""

from __future__ import annotations

import math
from typing import Any

from aurora_analysis.engines.log_events import Account


def text(summary: dict[str, Any]) -> str:
    """Render a summary: the ranked statements, then each one's text and clients.

    Parameters
    ----------
    summary : dict
        What `profile.summary` returns.
    """
    head = _HEAD.format(
        **summary,
        span=", {first_ended_at} to {last_ended_at}".format(**summary) if summary["events"] else "",
        time=_seconds(summary["sums"]["query_time_s"]),
        size=summary["coverage"]["bytes"] / 1e6,
        account=Account(**summary["coverage"]),
    )
    if not summary["coverage"]["bytes"]:
        return f"{head}# The log is empty: there was nothing to read.\n"
    rows = [_ROW.format(**row, **_human(row)) for row in summary["profile"]]
    return "\n".join([head, _COLUMNS, *rows, "", *map(_details, summary["profile"])])


_HEAD = """\
# {events:,} executions of {digests:,} statements{span}: {time} in all
# {account}
"""
_COLUMNS = """\
# Rank Digest           Response time       Calls   R/Call      p50      p95      p99      max  Rows exam.  Rows sent
# ==== ================ ============== ========== ======== ======== ======== ======== ======== =========== =========="""
_ROW = (
    "{rank:6d} {digest:16} {total:>7} {share:6.1%} {calls:10,d} {mean:>8} {p50:>8} {p95:>8} {p99:>8} {max:>8}"
    " {rows_examined:11,d} {rows_sent:10,d}"
)


def _human(row: dict[str, Any]) -> dict[str, str]:
    times = {name.removesuffix("_s"): _seconds(row[name]) for name in row if name.endswith("_s")}
    return {"total": times["response_time"], **times}


def _details(row: dict[str, Any]) -> str:
    return (
        f"# {row['rank']} {row['digest']}  users: {_most(row['users'])}  hosts: {_most(row['hosts'])}\n"
        f"{row['fingerprint'] or '(no statement)'}\n"
    )


def _most(calls: dict[str, int], count: int = 3) -> str:
    named = [f"{_printable(name) or '(none)'} {number:,}" for name, number in list(calls.items())[:count]]
    return ", ".join(named + [f"{len(calls) - count} more"] * (len(calls) > count))


def _printable(name: str) -> str:
    """Replace characters that a terminal would act on; a fingerprint has none."""
    return "".join(one if one.isprintable() else "?" for one in name)


def _seconds(value: float) -> str:
    """Return a duration with three significant digits.

    >>> _seconds(0.01234), _seconds(98.7), _seconds(1234.5)
    ('12.3ms', '98.7s', '1234s')
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            digits = max(0, 2 - math.floor(math.log10(value / size)))
            return f"{value / size:.{digits}f}{unit}"
    return f"{value * 1e6:.0f}us"
