"""Write the fleet's page: in which clusters do readers harm the writer most?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aurora_analysis.analysis import fleet
from aurora_analysis.analysis.fleet import Caused
from aurora_analysis.analysis.verdict import SEVERITIES
from aurora_analysis.report import html

PAGE = "fleet.html"
TOPIC = "reader_impact"
SHORTEST_S = 10.0
"""Reader statements shorter than this are left out [s]; the notebook's default."""

NO_ESTIMATE = "minutes unknown: no effect was estimated from ordinary days"


def rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one row per cluster of a report, most harmed first; clusters without an estimate come last.

    Parameters
    ----------
    document
        The content of findings.json.
    """
    found = {one["cluster"]: _row(one, _findings(document, one["cluster"])) for one in document["clusters"]}
    caused = {
        name: one for name in found if (one := _caused(found[name], _findings(document, name))) is not None
    }
    for name, shrunk in fleet.shrunk(caused).items():
        found[name] |= {"minutes": shrunk.minutes, "low": shrunk.low, "high": shrunk.high}
        found[name] |= {"limit": caused[name].limit, "is_stated": caused[name].is_stated}
    for row in found.values():
        if row["minutes"] is None:
            row["severity"], row["note"] = _worst(row["severity"], "unknown"), row["note"] or NO_ESTIMATE
    return sorted(found.values(), key=order)


def order(row: Mapping[str, Any]) -> tuple[bool, float, str]:
    """Sort key of rows: most minutes first, clusters without an estimate last."""
    return row["minutes"] is None, -(row["minutes"] or 0.0), str(row["cluster"])


def _caused(row: Mapping[str, Any], findings: Iterable[Mapping[str, Any]]) -> Caused | None:
    """Return the minutes in a cluster's findings; None if nothing was estimated or the cluster has no data."""
    numbers = next((one["numbers"] for one in findings if "fleet_minutes" in one["numbers"]), None)
    if numbers is None or row["note"]:
        return None
    return Caused(
        numbers["fleet_minutes"],
        numbers["fleet_minutes_error"],
        numbers["fleet_limit"],
        bool(numbers["fleet_limit_stated"]),
    )


def _findings(document: Mapping[str, Any], cluster: str) -> list[Mapping[str, Any]]:
    return [one for one in document["findings"] if one["cluster"] == cluster and one["topic"] == TOPIC]


def _row(cluster: Mapping[str, Any], findings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a cluster's row without its minutes: the worst workload with its effect, and what is not known."""
    note = cluster["error"] or cluster.get("no_data") or ("" if findings else "reader_impact did not finish")
    severity = "unknown" if note else min((one["severity"] for one in findings), key=SEVERITIES.index)
    worst = max(findings, key=_rank, default=None)
    numbers = dict(worst["numbers"]) if worst and not note else {}
    shares = [one["numbers"]["coverage"] for one in findings if one["numbers"].get("coverage") is not None]
    return {
        "cluster": cluster["cluster"],
        "severity": severity,
        "note": note,
        "minutes": None,
        "workload": worst["subject"] if worst and numbers.get("effect_pct") is not None else None,
        **{name: numbers.get(name) for name in ("metric", "effect_pct", "ci_low_pct", "ci_high_pct")},
        "coverage": max(shares, default=None),
        "undecided": sum(one["severity"] == "unknown" for one in findings),
    }


def _rank(finding: Mapping[str, Any]) -> tuple[int, float]:
    effect = finding["numbers"].get("effect_pct")
    return -SEVERITIES.index(finding["severity"]), -1e9 if effect is None else float(effect)


def _worst(one: str, other: str) -> str:
    return min(one, other, key=SEVERITIES.index)


# The page


def write(folder: Path, document: Mapping[str, Any]) -> None:
    """Write the page of a report of several clusters into its folder."""
    found = document.get("fleet") or []
    if len(found) > 1:
        (folder / PAGE).write_text(page(found, hrefs(folder, document)), encoding="utf-8")


def hrefs(folder: Path, document: Mapping[str, Any]) -> dict[str, str]:
    """Return the link of each cluster's row: its page on reader impact, else the report's index."""
    there = {
        one["cluster"]: one["page"]
        for one in document["notebooks"]
        if one["notebook"] == TOPIC and (folder / one["page"]).exists()
    }
    return {one["cluster"]: quote(there.get(one["cluster"], "index.html")) for one in document["clusters"]}


def page(found: Iterable[Mapping[str, Any]], hrefs: Mapping[str, str]) -> str:
    """Render the table of clusters.

    Parameters
    ----------
    found
        As from `rows`; `trend`, if any, is a sparkline over weeks.
    hrefs
        The address of each cluster's report.
    """
    shown = [{**row, "href": hrefs.get(row["cluster"], ""), **_texts(row)} for row in found]
    return html.render(
        "fleet.html.j2",
        rows=shown,
        has_trend=any(row.get("trend") for row in shown),
        all_stated=all(row.get("is_stated") for row in shown if row["minutes"] is not None),
    )


def _texts(row: Mapping[str, Any]) -> dict[str, str]:
    known = row["minutes"] is not None
    low, high, effect = row.get("ci_low_pct"), row.get("ci_high_pct"), row.get("effect_pct")
    return {
        "minutes_text": f"{max(row['minutes'], 0.0):,.0f}" if known else "–",
        "minutes_range": f"{max(row['low'], 0.0):,.0f} to {max(row['high'], 0.0):,.0f}" if known else "–",
        "effect_text": "–" if effect is None else f"{effect:+.1f}",
        "effect_range": "–" if low is None or high is None else f"{low:+.1f} to {high:+.1f}",
        "coverage_text": "–" if row["coverage"] is None else f"{100 * row['coverage']:.0f}",
    }
