"""The archive's page. Answers: how did each cluster develop from week to week?"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from aurora_analysis import window
from aurora_analysis.analysis import trend
from aurora_analysis.analysis.trend import WeekEffect
from aurora_analysis.analysis.verdict import SEVERITIES, Verdict, by_severity
from aurora_analysis.report import fleet, html, index, records
from aurora_analysis.window import Window

FAILED = "failed"
"""Used in place of a severity if a notebook failed or produced no finding."""


def span(run: Mapping[str, Any]) -> str:
    """Name a run's window: its ISO week if it is one, such as 2026-W46; otherwise first and last day."""
    windows = [Window(*bounds) for bounds in run["windows"].values()]
    if not windows:
        return f"failed-{run['id'][:8]}"
    start, end = min(one.start for one in windows), max(one.end for one in windows)
    year, week, _ = start.astimezone(window.zone(run["timezone"])).isocalendar()
    name = f"{year}-W{week:02}"
    if Window(start, end) == window.week(name, run["timezone"]):
        return name
    return f"{start:%Y-%m-%d}_{end:%Y-%m-%d}"


def write(root: Path) -> Path:
    """Write the page of all reports in a folder; repeat if another run added a report meanwhile."""
    while True:
        found = records.all_in(root)
        text = page(found)
        _replace(root / index.PAGE, text)
        if clusters := fleet_page(found, root):
            _replace(root / fleet.PAGE, clusters)
        if records.all_in(root) == found:
            return root / index.PAGE


def fleet_page(found: Mapping[str, Mapping[str, Any]], root: Path) -> str:
    """Render the table of all clusters by harm from the newest report of each; empty if no report compares clusters."""
    rows: dict[str, dict[str, Any]] = {}
    hrefs: dict[str, str] = {}
    for folder, document in sorted(found.items(), key=lambda item: item[1]["run"]["id"]):
        for row in document.get("fleet") or []:
            rows[row["cluster"]] = dict(row)
            hrefs[row["cluster"]] = f"{quote(folder)}/{fleet.hrefs(root / folder, document)[row['cluster']]}"
    reported = weeks(found)
    for name, row in rows.items():
        lines = [one for one in trends(reported, name) if one["notebook"] == fleet.TOPIC]
        row["trend"] = sparkline(lines[0]["severities"]) if lines else ""
    return fleet.page(sorted(rows.values(), key=fleet.order), hrefs) if len(rows) > 1 else ""


def weeks(found: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one row per window and cluster, newest first, with each notebook's severity in its newest run.

    Parameters
    ----------
    found
        Contents of findings.json by report folder.

    Returns
    -------
    list of dict
        `topics` maps a notebook to its severity or `failed`; `hrefs` maps it to its page.
    """
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for folder, document in sorted(found.items(), key=lambda item: item[1]["run"]["id"]):
        for cluster in document["clusters"]:
            if cluster["start"]:
                key = (cluster["end"], cluster["start"], cluster["cluster"])
                _add(rows.setdefault(key, _row(cluster, document)), folder, cluster, document)
    return [rows[key] for key in sorted(rows, reverse=True)]


def _row(cluster: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    bounds = {name: cluster[name] for name in ("cluster", "start", "end", "simulated")}
    bounds["compressed"] = cluster.get("compressed", "")
    return {**bounds, "timezone": document["run"]["timezone"], "topics": {}, "hrefs": {}, "titles": {}}


def _add(row: dict[str, Any], folder: str, cluster: Mapping[str, Any], document: Mapping[str, Any]) -> None:
    """Add a run to a row; a later run of a notebook replaces an earlier one."""
    row |= {
        "href": quote(f"{folder}/{index.PAGE}"),
        "run": document["run"]["id"],
        "error": cluster.get("error", ""),
        "no_data": cluster.get("no_data", ""),
    }
    for notebook in document["notebooks"]:
        if notebook["cluster"] == row["cluster"]:
            name = notebook["notebook"]
            row["topics"][name] = _severity(notebook, document["findings"])
            row["titles"][name] = notebook["title"]
            row["hrefs"][name] = f"{quote(folder)}/{quote(notebook['page'])}"


def _severity(notebook: Mapping[str, Any], findings: Iterable[Mapping[str, Any]]) -> str:
    key = (notebook["cluster"], notebook["notebook"])
    severities = [one["severity"] for one in findings if (one["cluster"], one["notebook"]) == key]
    return FAILED if notebook["status"] == "failed" else min(severities, key=SEVERITIES.index, default=FAILED)


def trends(rows: Sequence[Mapping[str, Any]], cluster: str) -> list[dict[str, Any]]:
    """Return each topic's severities, oldest first, and one word for the change in the newest window."""
    own = [row for row in reversed(rows) if row["cluster"] == cluster]
    names = sorted({name for row in own for name in row["topics"]})
    return [_trend(name, own) for name in names]


def _trend(name: str, own: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    severities = [row["topics"].get(name, "") for row in own]
    title = next(row["titles"][name] for row in reversed(own) if name in row["titles"])
    return {"notebook": name, "title": title, "severities": severities, "word": word(severities)}


RANKS = {"ok": 0, "watch": 1, "act": 2}


def word(severities: Sequence[str]) -> str:
    """Compare the newest severity with the previous one: better, worse, as before, new, not run or unknown."""
    newest, before = severities[-1], next(iter(severities[-2:-1]), "")
    if not newest:
        return "not run"
    if not before:
        return "new"
    if newest not in RANKS or before not in RANKS:
        return "unknown"
    change = RANKS[newest] - RANKS[before]
    return "worse" if change > 0 else "better" if change < 0 else "as before"


MATERIALITY_PCT = 5.0
"""Default of reader_impact, for records that do not name its parameters."""


def across_weeks(found: Mapping[str, Mapping[str, Any]], cluster: str) -> list[Verdict]:
    """Judge each workload's effect on the writer over all reports of a cluster, most severe first.

    Parameters
    ----------
    found
        Contents of findings.json by report folder.
    cluster
        The cluster.

    Returns
    -------
    list of Verdict
        None for workloads with too few windows. A workload's metric is the one that most of its reports print, and so is
        the choice of the typical or the average minute. Every report that has this estimate counts, whatever it prints,
        because a choice by the result would bias the common effect.
    """
    judged = []
    for workload, reports in _by_workload(found, cluster).items():
        metric, basis = _outcome(reports)
        one = trend.verdict(
            workload,
            _named(metric, basis),
            _effects_on(reports, metric, basis),
            materiality_pct=_materiality(reports),
        )
        judged.append(one)
    return by_severity([one for one in judged if one])


def across_pools(
    found: Mapping[str, Mapping[str, Any]], judged: Collection[tuple[str, str]] | None = None
) -> list[Verdict]:
    """Judge each workload's effect over all reports of the clusters that the settings put into one pool.

    Parameters
    ----------
    found
        Contents of findings.json by report folder. The newest one's pools count.
    judged
        Only pools in which one of these pairs of cluster and workload is judged. Default: all.

    Returns
    -------
    list of Verdict
        Most severe first; none for workloads that are judged in too few clusters of a pool.
    """
    runs = [document["run"] for document in found.values()]
    newest: Mapping[str, Any] = max(runs, key=lambda run: str(run["id"]), default={})
    members: dict[str, list[str]] = {}
    for cluster, pool in (newest.get("pools") or {}).items():
        members.setdefault(pool, []).append(cluster)
    return by_severity(
        [
            one
            for pool, clusters in sorted(members.items())
            for one in _of_pool(found, pool, clusters)
            if judged is None or any((cluster, one.subject) in judged for cluster in clusters)
        ]
    )


def _of_pool(found: Mapping[str, Mapping[str, Any]], pool: str, clusters: Sequence[str]) -> Iterator[Verdict]:
    reports = {cluster: _by_workload(found, cluster) for cluster in clusters}
    for workload in sorted({name for own in reports.values() for name in own}):
        own = {cluster: each[workload] for cluster, each in reports.items() if workload in each}
        together = [one for each in own.values() for one in each]
        metric, basis = _outcome(together)
        one = trend.pool_verdict(
            workload,
            _named(metric, basis),
            pool,
            {cluster: _effects_on(each, metric, basis) for cluster, each in own.items()},
            materiality_pct=_materiality(together),
        )
        if one:
            yield one


@dataclass(frozen=True)
class _Report:
    """One report's estimates of a workload: the days that it compared, its figures, and how it judged them."""

    compared: Window
    numbers: Mapping[str, Any]
    materiality_pct: float
    timezone: str


def _by_workload(found: Mapping[str, Mapping[str, Any]], cluster: str) -> dict[str, list[_Report]]:
    """Estimates of each workload in all reports of a cluster; a later report replaces one on the same days."""
    known: dict[str, dict[Window, _Report]] = {}
    for document in sorted(found.values(), key=lambda one: one["run"]["id"]):
        for compared, parameters, finding in _effects(document, cluster):
            materiality = float(parameters.get("materiality_pct", MATERIALITY_PCT))
            one = _Report(compared, finding["numbers"], materiality, document["run"]["timezone"])
            known.setdefault(finding["subject"], {})[compared] = one
    return {workload: list(reports.values()) for workload, reports in known.items()}


def _materiality(reports: Sequence[_Report]) -> float:
    """Value of the newest report."""
    return max(reports, key=lambda one: one.compared.end).materiality_pct


def _outcome(reports: Sequence[_Report]) -> tuple[str, str]:
    """Metric and basis that most of the reports print."""
    printed = Counter((one.numbers["metric"], one.numbers["basis"]) for one in reports)
    return max(sorted(printed), key=lambda one: printed[one])


def _named(metric: str, basis: str) -> str:
    return f"{'average ' * (basis == 'average')}{metric}"


def _effects_on(reports: Sequence[_Report], metric: str, basis: str) -> list[WeekEffect]:
    """Estimates of one outcome in the reports that have it."""
    effect, error = (
        f"{metric}_{'average_' * (basis == 'average')}log_{name}" for name in ("effect", "error")
    )
    return [
        WeekEffect(
            one.compared.start.astimezone(window.zone(one.timezone)),
            one.compared.end.astimezone(window.zone(one.timezone)),
            effect=one.numbers[effect],
            error=one.numbers[error],
            df=one.numbers[f"{metric}_df"],
            complete=bool(one.numbers["complete"]),
        )
        for one in reports
        if one.numbers.get(error) is not None
    ]


def trends_of(root: Path, document: Mapping[str, Any]) -> tuple[Verdict, ...]:
    """Judge over all reports of an archive the workloads that its newest one judges.

    A workload that no longer runs has a trend on the archive's page, but raises no alarm for ever.

    Parameters
    ----------
    root
        The archive's folder.
    document
        The content of the newest report's findings.json.

    Returns
    -------
    tuple of Verdict
        The trends, most severe first within each cluster; then those of pools of clusters.
    """
    found = records.all_in(root)
    judged = {
        (one["cluster"], one["subject"]) for one in document["findings"] if one["topic"] == "reader_impact"
    }
    of_clusters = (
        one
        for cluster in document["clusters"]
        for one in across_weeks(found, cluster["cluster"])
        if (cluster["cluster"], one.subject) in judged
    )
    return (*of_clusters, *across_pools(found, judged))


def _effects(
    document: Mapping[str, Any], cluster: str
) -> Iterator[tuple[Window, Mapping[str, Any], Mapping[str, Any]]]:
    """Effects of ordinary days in one report of a cluster: the days compared, the parameters, the finding."""
    windows = {one["cluster"]: one for one in document["clusters"] if one["start"]}
    runs = {(one["cluster"], one["notebook"]): one for one in document["notebooks"]}
    for finding in document["findings"]:
        numbers, run = finding.get("numbers") or {}, runs.get((finding["cluster"], finding["notebook"]), {})
        known = numbers.get("source") == "days" and numbers.get("basis") is not None
        if (
            finding["cluster"] == cluster
            and finding["topic"] == "reader_impact"
            and known
            and cluster in windows
        ):
            parameters = run.get("parameters") or {}
            days = int(parameters.get("lookback_days", html.LOOKBACK_DAYS))
            reported = Window(windows[cluster]["start"], windows[cluster]["end"])
            yield reported.at_least(days), parameters, finding


STEP, HEIGHT = 14, 24
"""Width of one window in a sparkline, and the sparkline's height [px]."""


def sparkline(severities: Sequence[str]) -> Markup:
    """Draw severity by window, oldest left; higher is worse; a hollow ring at the bottom means unknown."""
    spoken = ", ".join(severity or "not run" for severity in severities)
    drawn = Markup("").join(_point(n, severity) for n, severity in enumerate(severities) if severity)
    return Markup(
        '<svg class="spark" role="img" aria-label="Oldest first: {}" width="{}" height="{}" viewBox="0 0 {} {}">{}{}</svg>'
    ).format(spoken, *[STEP * len(severities) + 4, HEIGHT] * 2, _line(severities), drawn)


def _line(severities: Sequence[str]) -> Markup:
    """Draw lines between consecutive windows that both have a severity."""
    known = [(n, RANKS.get(severity)) for n, severity in enumerate(severities)]
    pairs = [(one, two) for one, two in zip(known, known[1:]) if one[1] is not None and two[1] is not None]
    path = " ".join(f"M{_x(one[0])} {_y(one[1])}L{_x(two[0])} {_y(two[1])}" for one, two in pairs)
    return Markup('<path d="{}"/>').format(path) if path else Markup("")


def _point(n: int, severity: str) -> Markup:
    return Markup('<circle class="{}" cx="{}" cy="{}" r="{}"/>').format(
        severity, _x(n), _y(RANKS.get(severity, 0)), 3.5 if severity in RANKS else 3
    )


def _x(n: int) -> int:
    return STEP * n + STEP // 2 + 2


def _y(rank: int | None) -> int:
    return HEIGHT - 5 - 7 * (rank or 0)


def page(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Render the page of all windows and clusters, newest first."""
    rows = weeks(found)
    clusters = sorted({row["cluster"] for row in rows})
    return html.render(
        "history.html.j2",
        fleet=fleet.PAGE if any(len(one.get("fleet") or []) > 1 for one in found.values()) else "",
        pools=across_pools(found),
        clusters=[_shown(rows, cluster) | {"across": across_weeks(found, cluster)} for cluster in clusters],
    )


def _shown(rows: Sequence[Mapping[str, Any]], cluster: str) -> dict[str, Any]:
    own = [dict(row) | {"window_text": html.window_text(row)} for row in rows if row["cluster"] == cluster]
    shown = [trend | {"sparkline": sparkline(trend["severities"])} for trend in trends(rows, cluster)]
    marks = {name: own[0][name] for name in ("simulated", "compressed")}
    return {"cluster": cluster, "rows": own, "trends": shown, **marks}


def _replace(path: Path, text: str) -> None:
    """Replace a file at once: a reader sees the earlier page or the new one."""
    handle, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(beside, 0o644)
    os.replace(beside, path)
