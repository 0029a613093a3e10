"""Write a cluster's page of statements: their SQL, who ran them, where and for how long, and the pages that mention them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from aurora_analysis.analysis.verdict import duration, large
from aurora_analysis.errors import Error, first_line
from aurora_analysis.report import html
from aurora_analysis.report.runner import Outcome, place
from aurora_analysis.store import Store
from aurora_analysis.window import Window, zone

NAME = "statements"
LINK = re.compile(rf'href="{NAME}\.html#([0-9a-f]{{16}})"')

MOST = 40
"""Number of statements that the page lists because they took the most time, logged or counted, besides those mentioned."""

LOGGED = """
select digest, "user", instance, count(*) as runs, coalesce(sum(query_time_s), 0) as total_s, coalesce(max(query_time_s), 0) as longest_s,
    max(ended_at) as last
from slow_queries
where cluster = $cluster and ended_at >= $start and ended_at < $end
group by all order by total_s desc
"""

COUNTED = """
select digest, instance, sum(calls) as calls, coalesce(sum(calls * mean_latency_ms), 0) / 1000 as total_s
from statement_metrics
where cluster = $cluster and time >= $start and time < $end
group by all having sum(calls) > 0 order by total_s desc
"""


def write(
    folder: Path,
    store: Store,
    clusters: Sequence[Mapping[str, Any]],
    outcomes: Sequence[Outcome],
    timezone: str,
) -> list[Outcome]:
    """Write one page per cluster: the statements that its other pages mention, and those that took the most time.

    Return an outcome for each page that could not be written: the notebooks' pages are not lost with it.
    """
    failed = []
    for cluster in clusters:
        try:
            _write(folder, store, cluster, outcomes, timezone)
        except Error as problem:
            failed.append(
                Outcome(cluster["cluster"], NAME, "Statements in this report", 0.0, first_line(problem))
            )
    return failed


def _write(
    folder: Path, store: Store, cluster: Mapping[str, Any], outcomes: Sequence[Outcome], timezone: str
) -> None:
    named = mentions(folder, [one for one in outcomes if one.cluster == cluster["cluster"]])
    logged, counted = (_used(store, cluster, query) for query in (LOGGED, COUNTED))
    listed = dict.fromkeys([*named, *_costliest(logged), *_costliest(counted)])
    if listed:
        known = store.read("statements", cluster=cluster["cluster"])
        rows = _rows({digest: named.get(digest, []) for digest in listed}, known)
        for row in rows:
            row |= {
                "logged": _logged(logged, row["digest"], timezone),
                "counted": _counted(counted, row["digest"]),
            }
        window = html.window_text({**cluster, "timezone": timezone})
        page = html.render("statements.html.j2", cluster=cluster, rows=rows, window=window, timezone=timezone)
        path = folder / f"{place(cluster['cluster'], NAME)}.html"
        path.parent.mkdir(exist_ok=True)
        path.write_text(page, "utf-8")


def mentions(folder: Path, outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """Return the pages that link each digest; digests on more pages come first."""
    found: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        page = folder / f"{outcome.place}.html"
        text = page.read_text("utf-8") if page.exists() else ""
        for digest in dict.fromkeys(LINK.findall(text)):
            found.setdefault(digest, []).append(outcome)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def _used(store: Store, cluster: Mapping[str, Any], query: str) -> pd.DataFrame:
    """Return the use of each statement in the cluster's window, the costliest first."""
    window = Window(cluster["start"], cluster["end"])
    return store.sql(query, cluster=cluster["cluster"], start=window.start, end=window.end)


def _costliest(used: pd.DataFrame) -> list[str]:
    return [*used.groupby("digest")["total_s"].sum().nlargest(MOST).index]


def _logged(used: pd.DataFrame, digest: str, timezone: str) -> list[dict[str, Any]]:
    """Return who ran a statement, where, how often and for how long, by the slow log."""
    return [
        row
        | {
            "total": duration(row["total_s"]),
            "longest": duration(row["longest_s"]),
            "last": f"{row['last'].tz_convert(zone(timezone)):%Y-%m-%d %H:%M}",
        }
        for row in _records(used, digest)
    ]


def _counted(used: pd.DataFrame, digest: str) -> list[dict[str, Any]]:
    """Return how often a statement was called on each instance, and for how long, by its statistics."""
    return [
        row
        | {
            "called": large(round(row["calls"])),
            "total": duration(row["total_s"]),
            "mean_ms": 1000 * row["total_s"] / row["calls"],
        }
        for row in _records(used, digest)
    ]


def _records(used: pd.DataFrame, digest: str) -> list[dict[str, Any]]:
    return [
        {str(name): value for name, value in row.items()}
        for row in used[used["digest"] == digest].to_dict("records")
    ]


def _rows(named: Mapping[str, Sequence[Outcome]], known: pd.DataFrame) -> list[dict[str, Any]]:
    mine = known[known["digest"].isin([*named])].drop_duplicates("digest").set_index("digest")
    statements = mine[["fingerprint", "kind", "first_seen", "last_seen"]].to_dict("index")
    return [
        {"digest": digest, "pages": pages, "statement": statements.get(digest)}
        for digest, pages in named.items()
    ]
