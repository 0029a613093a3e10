"""Write the front page and findings.json: all verdicts of all clusters, most severe first."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from aurora_analysis import engines
from aurora_analysis.analysis.verdict import SEVERITIES, Verdict, moment
from aurora_analysis.report import html, markdown, ranking, records, tiles
from aurora_analysis.report.runner import Outcome, place
from aurora_analysis.window import Window

NOTHING: dict[str, Any] = {
    "no_data": "",
    "simulated": "",
    "compressed": "",
    "coverage": [],
    "instances": [],
    "failovers": [],
}
"""The empty description of a cluster that could not be read."""

LEADING = 5
"""Number of `act` and `watch` findings shown in full; the page lists the others below."""

PAGE = "index.html"


def record(
    run: Mapping[str, Any], clusters: Sequence[Mapping[str, Any]], outcomes: Sequence[Outcome]
) -> dict[str, Any]:
    """Return the content of findings.json.

    Parameters
    ----------
    run
        The request and the table versions read, which `--versions` reruns.
    clusters
        Each cluster's window, coverage and instances.
    outcomes
        The outcome of each notebook.

    Returns
    -------
    dict
        `run`, `clusters`, `notebooks` and `findings`, most severe and most harmful first.
    """
    found = [_finding(outcome, n, one) for outcome in outcomes for n, one in enumerate(outcome.findings, 1)]
    return {
        "kind": records.KIND,
        "schema": records.SCHEMA,
        "run": dict(run),
        "clusters": [dict(cluster) for cluster in clusters],
        "notebooks": [_notebook(outcome) for outcome in outcomes],
        "findings": ranking.ranked(found),
    }


def write(folder: Path, document: Mapping[str, Any]) -> None:
    """Write index.html, findings.json and findings.md into the folder of the pages."""
    findings = ranking.counted(document["findings"])
    brief = markdown.text(document, _leading(findings), _unknown(findings), records.failures(document))
    (folder / markdown.NAME).write_text(brief, encoding="utf-8")
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / records.NAME).write_text(text + "\n", encoding="utf-8")
    (folder / PAGE).write_text(page(document, folder), encoding="utf-8")


def page(document: Mapping[str, Any], folder: Path) -> str:
    """Render index.html; it links the pages that exist in the folder."""
    clusters = {cluster["cluster"]: cluster for cluster in document["clusters"]}
    titles = {
        (notebook["cluster"], notebook["notebook"]): notebook["title"] for notebook in document["notebooks"]
    }
    findings = [
        finding
        | {
            "title": titles[finding["cluster"], finding["notebook"]],
            "simulated": clusters[finding["cluster"]]["simulated"],
            "compressed": clusters[finding["cluster"]].get("compressed", ""),
            "href": quote(finding["page"], safe="/#"),
            "folder": _folder(finding["cluster"]),
        }
        for finding in ranking.counted(document["findings"])
    ]
    severities = Counter(finding["severity"] for finding in findings)
    leading = _leading(findings)
    return html.render(
        "index.html.j2",
        run=document["run"],
        fleet="fleet.html" if len(document.get("fleet") or []) > 1 else "",
        clusters=[_shown_cluster(cluster, document) for cluster in document["clusters"]],
        leading=leading,
        others=[
            finding for finding in findings if finding not in leading and finding["severity"] != "unknown"
        ],
        unknown=_unknown(findings),
        outcome=_outcome(document, bool(leading)),
        counts=[(severity, severities[severity]) for severity in SEVERITIES if severities[severity]],
        pages=[_shown_page(notebook, document["findings"], folder) for notebook in document["notebooks"]],
        limits=[_limits(notebook) for notebook in document["notebooks"] if _has_limits(notebook, folder)],
        statements=[(name, quote(href)) for name, href in _statements(document) if (folder / href).exists()],
    )


def _has_limits(notebook: Mapping[str, Any], folder: Path) -> bool:
    """Whether a page has the longest reader query of each hour; the review of the cluster's own query stands below it."""
    page = folder / notebook["page"]
    return page.exists() and LONGEST_HOLD in page.read_text("utf-8")


LONGEST_HOLD = 'id="longest-hold"'


def _limits(notebook: Mapping[str, Any]) -> tuple[str, str]:
    return notebook["cluster"], quote(notebook["page"])


def _outcome(document: Mapping[str, Any], has_leading: bool) -> str:
    """Sum up the findings in a word; only a report without a gap and with a verdict may be `calm`."""
    if has_leading or not document["findings"]:
        return ""
    if all(finding["severity"] == "unknown" for finding in document["findings"]):
        return "unknown"
    return "partial" if records.failures(document) else "calm"


def _leading(findings: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Choose the findings to show in full: `act` and `watch`, most severe first, each subject and level once."""
    urgent = [finding for finding in findings if finding["severity"] in ("act", "watch")]
    first = {(one["cluster"], one["subject"], one["level"]): one for one in reversed(urgent)}.values()
    return [one for one in urgent if any(one is other for other in first)][:LEADING]


def _unknown(findings: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Group the unknown findings by the action that would settle them, so that one setting is one line."""
    unknown: dict[str, list[dict[str, Any]]] = {}
    for finding in findings:
        if finding["severity"] == "unknown":
            unknown.setdefault(finding["action"] or "Find out what is missing.", []).append(finding)
    return dict(sorted(unknown.items(), key=lambda item: -len(item[1])))


def _statements(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(one["cluster"], f"{place(one['cluster'], 'statements')}.html") for one in document["clusters"]]


def _folder(cluster: str) -> str:
    """Return the address of a cluster's pages."""
    return quote(place(cluster, ""))


def exit_code(document: Mapping[str, Any], fail_on: str | None, trends: Sequence[Verdict] = ()) -> int:
    """Return the command's exit code.

    Parameters
    ----------
    document
        The content of findings.json.
    fail_on
        Severity from which findings raise an alarm.
    trends
        Verdicts over all reports of the archive; they count like findings.

    Returns
    -------
    int
        1 if a notebook or a cluster failed, or a cluster has no data for the window; 3 if a finding is at least as severe
        as `fail_on`; otherwise 0.
    """
    if records.failures(document):
        return 1
    severities = {finding["severity"] for finding in document["findings"]} | {one.severity for one in trends}
    return 3 if severities & alarming(fail_on) else 0


def alarming(fail_on: str | None) -> set[str]:
    """Return the severities that raise an alarm: that of --fail-on and every higher one."""
    return set(SEVERITIES[: SEVERITIES.index(fail_on) + 1]) if fail_on else set()


SETTINGS_TABLES = ("instances", "events", "statements")
"""Tables that describe a cluster. Without any other table no finding is possible, so that they do not count as data."""

WEEK = timedelta(days=7)


def no_data(ever: pd.DataFrame, window: Window, cluster: str, timezone: str = "UTC") -> str:
    """Return in one line that a cluster has no data for a window, and where its data are; empty if it has some.

    Parameters
    ----------
    ever
        All coverage rows of the cluster. A fetch that failed or received nothing is no data.
    window
        The window of the report.
    cluster
        The cluster's name.
    timezone
        Time zone of the times.
    """
    rows = ever[(ever["received"] > 0) & ~ever["table"].isin(SETTINGS_TABLES)]
    if ((rows["time"] < window.end) & (rows["end"] > window.start)).any():
        return ""
    ends, starts = rows["end"][rows["end"] <= window.start], rows["time"][rows["time"] >= window.end]
    parts = [f"end at {moment(ends.max(), timezone)}"] if len(ends) else []
    if len(starts):
        parts.append(f"begin {'again ' if parts else ''}at {moment(starts.min(), timezone)}")
    found = (
        f"the store's data of {cluster} {' and '.join(parts)}"
        if parts
        else f"the store has no data of {cluster}"
    )
    return f"No data for this {'week' if window.duration == WEEK else 'window'}: {found}"


def coverage(rows: pd.DataFrame, window: Window) -> list[dict[str, Any]]:
    """Sum up the coverage of each table, source and instance in a window. Answers: what is missing?

    Parameters
    ----------
    rows
        The store's coverage rows that overlap the window.
    window
        The window of the report.

    Returns
    -------
    list of dict
        `covered` is the fraction of the window that was fetched [0 to 1]; `expected`, `received` and `lost` are sums over
        the fetches, null if no fetch counted them.
    """
    groups = rows.fillna({"instance": ""}).groupby(["table", "source", "instance"], sort=True)
    return [
        {
            "table": table,
            "source": source,
            "instance": instance or None,
            "covered": round(_covered(group, window), 4),
            **{name: _sum(group[name]) for name in ("expected", "received", "lost")},
            "unit": _joined(group["unit"]),
            "note": _joined(group["note"][group["note"] != source]),
        }
        for (table, source, instance), group in groups
    ]


def instances(states: pd.DataFrame) -> list[dict[str, Any]]:
    """Describe each instance in a window; a value that changed lists its values in order of time.

    Parameters
    ----------
    states
        The rows of `Store.instances`.

    Returns
    -------
    list of dict
        One entry per instance with the facts of `FACTS`. The log has no statement below `long_query_time_s`;
        Performance Insights keeps `pi_retention_days` of history.
    """
    return [
        {"instance": instance, **{name: _changes(group[name]) for name in FACTS}}
        for instance, group in states.groupby("instance", sort=True)
    ]


FACTS = ("role", "instance_class", "engine_version", "long_query_time_s", "pi_retention_days")
"""Columns of the page's table of instances."""


def log_limit(states: pd.DataFrame) -> str:
    """Name the setting from which duration on the log has a statement, in the words of the cluster's engine."""
    known = states["engine"].dropna() if "engine" in states else pd.Series(dtype=str)
    return engines.words(str(known.iloc[-1]) if len(known) else engines.DEFAULT).log_limit


def failovers(terms: pd.DataFrame) -> list[dict[str, str]]:
    """List the changes of the writer in `Store.writers`: `time` (UTC), `before` and `after`."""
    return [
        {"time": f"{start:%Y-%m-%dT%H:%M:%SZ}", "before": before, "after": after}
        for start, before, after in zip(terms["start"], terms["writer"].shift(), terms["writer"])
        if isinstance(before, str) and before != after
    ]


def _changes(values: pd.Series) -> str:
    """Join the values in their order without repetitions; empty if there is none."""
    texts = [f"{value:g}" if isinstance(value, float) else str(value) for value in values.dropna()]
    return ", then ".join(text for text, before in zip(texts, ["", *texts]) if text != before)


def simulated(coverage: pd.DataFrame, instances: pd.DataFrame) -> str:
    """Return the sources that mark data as simulated; empty if all data were observed.

    For data fetched from a simulated cluster, the engine's version has the mark instead of the source.
    """
    marks = pd.concat([coverage["source"], instances["engine_version"]]).dropna().astype(str)
    return _joined(marks[marks.str.startswith("simulated")]) or ""


def compressed(rows: pd.DataFrame) -> str:
    """Return the recorder's note about compressed time; empty for data in real time."""
    notes = rows["note"][rows["source"] == "compressed"].str.split("; ").str[-1]
    return _joined(notes) or ""


def _covered(group: pd.DataFrame, window: Window) -> float:
    """Return the fraction of the window that the rows cover together, overlaps counted once."""
    covered, reached = timedelta(0), window.start
    for start, end in sorted(zip(group["time"], group["end"])):
        covered += max(min(end, window.end) - max(start, reached), timedelta(0))
        reached = max(reached, end)
    return covered / window.duration


def _sum(values: pd.Series) -> float | None:
    total = values.sum(min_count=1)
    return None if math.isnan(total) else float(total)


def _joined(texts: pd.Series) -> str | None:
    return "; ".join(texts.dropna().unique()) or None


def _finding(outcome: Outcome, number: int, finding: Mapping[str, Any]) -> dict[str, Any]:
    page = f"{outcome.place}.html#finding-{number}"
    return {"cluster": outcome.cluster, "notebook": outcome.notebook, "page": page, **finding}


def _notebook(outcome: Outcome) -> dict[str, Any]:
    return {
        "cluster": outcome.cluster,
        "notebook": outcome.notebook,
        "title": outcome.title,
        "status": "failed" if outcome.error else "done",
        "error": outcome.error,
        "seconds": outcome.seconds,
        "page": f"{outcome.place}.html",
        "parameters": dict(outcome.parameters),
        "sparklines": outcome.sparklines,
    }


def _shown_cluster(cluster: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    window = {"start": cluster["start"], "end": cluster["end"], "timezone": document["run"]["timezone"]}
    name = cluster["cluster"]
    lines = [line for one in document["notebooks"] if one["cluster"] == name for line in one["sparklines"]]
    rows = [row | _shown_row(row) for row in cluster["coverage"]]
    text = html.window_text(window) if cluster["start"] else "window unknown"
    changes = [
        one | {"time": moment(pd.Timestamp(one["time"]), window["timezone"], seconds=True)}
        for one in cluster["failovers"]
    ]
    shown = {"roles": tiles.rows(lines), "folder": _folder(name), "no_data": cluster.get("no_data", "")}
    return {**cluster, "window_text": text, "coverage": rows, "failovers": changes, **shown}


def _shown_row(row: Mapping[str, Any]) -> dict[str, Any]:
    received, expected, lost = (row[name] for name in ("received", "expected", "lost"))
    short = expected is not None and received is not None and received < expected
    of = f" of {_count(expected)}" if short else ""
    return {
        "covered_text": _percent(row["covered"]),
        "received_text": f"{_count(received)}{of} {row['unit'] or ''}".strip(),
        "lost_text": _count(lost),
        "incomplete": row["covered"] < 1 or short or bool(lost),
    }


def _shown_page(
    notebook: Mapping[str, Any], findings: Sequence[Mapping[str, Any]], folder: Path
) -> dict[str, Any]:
    key = (notebook["cluster"], notebook["notebook"])
    severities = [one["severity"] for one in findings if (one["cluster"], one["notebook"]) == key]
    there = (folder / notebook["page"]).exists()
    href = quote(notebook["page"]) if there else ""
    return {
        **notebook,
        "severity": next(iter(severities), ""),
        "href": href,
        "notebook_href": href.removesuffix(".html") + ".ipynb",
    }


def _percent(share: float) -> str:
    """Format a fraction, rounded down so that only a complete window shows 100 %."""
    return f"{math.floor(1000 * share) / 10:g} %"


def _count(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"
