"""The report's front page: the verdicts of all notebooks and clusters, most severe first, and the same as data."""

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

from aurora_analysis.analysis.verdict import SEVERITIES
from aurora_analysis.errors import Error
from aurora_analysis.report import html, tiles
from aurora_analysis.report.runner import Outcome, place
from aurora_analysis.window import Window

SCHEMA = 1
"""Raised when a field of findings.json changes its meaning."""

NOTHING: dict[str, Any] = {
    "simulated": "",
    "compressed": "",
    "coverage": [],
    "instances": [],
    "failovers": [],
}
"""What is told of a cluster that could not be read."""

LEADING = 5
"""So many findings stand in full before the others, where they ask for something."""

KIND = "aurora-analysis report"
NAME = "findings.json"
PAGE = "index.html"


def record(
    run: Mapping[str, Any], clusters: Sequence[Mapping[str, Any]], outcomes: Sequence[Outcome]
) -> dict[str, Any]:
    """What findings.json holds: the run, what its clusters' data covered, its notebooks, and their findings.

    `run` says what was asked for and what was read (`--versions` repeats it); findings stand most severe first.
    """
    found = [_finding(outcome, n, told) for outcome in outcomes for n, told in enumerate(outcome.findings, 1)]
    return {
        "kind": KIND,
        "schema": SCHEMA,
        "run": dict(run),
        "clusters": [dict(cluster) for cluster in clusters],
        "notebooks": [_notebook(outcome) for outcome in outcomes],
        "findings": sorted(found, key=lambda finding: SEVERITIES.index(finding["severity"])),
    }


def write(folder: Path, told: Mapping[str, Any]) -> None:
    """index.html and findings.json, into the folder where the pages are."""
    text = json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / NAME).write_text(text + "\n", encoding="utf-8")
    (folder / PAGE).write_text(page(told, folder), encoding="utf-8")


def page(told: Mapping[str, Any], folder: Path) -> str:
    """index.html of a record; it links the pages that are there."""
    clusters = {cluster["cluster"]: cluster for cluster in told["clusters"]}
    titles = {
        (notebook["cluster"], notebook["notebook"]): notebook["title"] for notebook in told["notebooks"]
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
        for finding in told["findings"]
    ]
    severities = Counter(finding["severity"] for finding in findings)
    leading = _leading(findings)
    return html.render(
        "index.html.j2",
        run=told["run"],
        clusters=[_shown_cluster(cluster, told) for cluster in told["clusters"]],
        leading=leading,
        others=[finding for finding in findings if finding not in leading and finding["level"] != "unknown"],
        untold=_untold(findings),
        counts=[(severity, severities[severity]) for severity in SEVERITIES if severities[severity]],
        pages=[_shown_page(notebook, told["findings"], folder) for notebook in told["notebooks"]],
        statements=[(name, quote(href)) for name, href in _statements(told) if (folder / href).exists()],
    )


def _leading(findings: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The findings that stand in full: what asks for something, most severe first, and each subject once."""
    asking = [finding for finding in findings if finding["severity"] in ("act", "watch")]
    first = {(one["cluster"], one["subject"], one["level"]): one for one in reversed(asking)}.values()
    return [one for one in asking if any(one is other for other in first)][:LEADING]


def _untold(findings: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """By cluster, what came to no finding for want of data: one line each, lest they bury what was found."""
    untold: dict[str, list[dict[str, Any]]] = {}
    for finding in findings:
        if finding["level"] == "unknown":
            untold.setdefault(finding["cluster"], []).append(finding)
    return untold


def _statements(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(one["cluster"], f"{place(one['cluster'], 'statements')}.html") for one in told["clusters"]]


def _folder(cluster: str) -> str:
    """The address of a cluster's pages."""
    return quote(place(cluster, ""))


def recorded(path: Path) -> dict[str, Any]:
    """The run that a report's findings.json (or its folder) records, to be run again."""
    file = path / NAME if path.is_dir() else path
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except OSError as problem:
        raise Error(f"Cannot read {file}: {problem.strerror}. Name the findings.json of a report.") from None
    except ValueError:
        told = None
    if not isinstance(told, dict) or told.get("kind") != KIND:
        raise Error(f"{file} is not of a report: name the findings.json of one.")
    if told["schema"] > SCHEMA:
        raise Error(
            f"{file} is of a newer aurora-analysis (schema {told['schema']}): upgrade aurora-analysis."
        )
    run: dict[str, Any] = told["run"]
    return run


def exit_code(told: Mapping[str, Any], fail_on: str | None) -> int:
    """1 where a notebook did not finish or a cluster could not be read, 3 where a finding is as severe as `fail_on`."""
    failed = [one["error"] for one in [*told["clusters"], *told["notebooks"]] if one.get("error")]
    if failed:
        return 1
    alarming = SEVERITIES[: SEVERITIES.index(fail_on) + 1] if fail_on else ()
    return 3 if any(finding["severity"] in alarming for finding in told["findings"]) else 0


def coverage(rows: pd.DataFrame, window: Window) -> list[dict[str, Any]]:
    """What the store got of each table, source and instance in a window. Answers: what is missing?

    `rows` are the store's coverage rows that touch the window. `covered` is the share of the window that was
    asked for [0 to 1]; expected, received and lost are sums over those fetches, null where none tells.
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


def instances(seen: pd.DataFrame) -> list[dict[str, Any]]:
    """Each instance as it was seen in a window (`Store.instances`); what changed stands with an arrow.

    `long_query_time_s` was in force: below it the slow log is silent. `pi_retention_days` is how far back
    Performance Insights could still be asked.
    """
    return [
        {"instance": instance, **{name: _changes(group[name]) for name in FACTS}}
        for instance, group in seen.groupby("instance", sort=True)
    ]


FACTS = ("role", "instance_class", "engine_version", "long_query_time_s", "pi_retention_days")
"""What the page tells of an instance."""


def failovers(terms: pd.DataFrame) -> list[dict[str, str]]:
    """When the writer became another (`Store.writers`): `time` (UTC), `before` and `after`."""
    return [
        {"time": f"{start:%Y-%m-%dT%H:%M:%SZ}", "before": before, "after": after}
        for start, before, after in zip(terms["start"], terms["writer"].shift(), terms["writer"])
        if isinstance(before, str) and before != after
    ]


def _changes(values: pd.Series) -> str:
    """The values in their order, repetitions left out; empty where none is known."""
    told = [f"{value:g}" if isinstance(value, float) else str(value) for value in values.dropna()]
    return " → ".join(text for text, before in zip(told, ["", *told]) if text != before)


def simulated(coverage: pd.DataFrame, instances: pd.DataFrame) -> str:
    """Who says that data were generated, in its own words; empty where all were observed.

    Where they were fetched from a simulated cluster, its engine's version says so, and no source.
    """
    told = pd.concat([coverage["source"], instances["engine_version"]]).dropna().astype(str)
    return _joined(told[told.str.startswith("simulated")]) or ""


def compressed(rows: pd.DataFrame) -> str:
    """How much faster than it is told time really went, in the recorder's own words; empty where it did not."""
    notes = rows["note"][rows["source"] == "compressed"].str.split("; ").str[-1]
    return _joined(notes) or ""


def _covered(group: pd.DataFrame, window: Window) -> float:
    """The share of the window that the rows' spans cover together, overlaps counted once."""
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


def _finding(outcome: Outcome, number: int, told: Mapping[str, Any]) -> dict[str, Any]:
    page = f"{outcome.place}.html#finding-{number}"
    return {"cluster": outcome.cluster, "notebook": outcome.notebook, "page": page, **told}


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


def _shown_cluster(cluster: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    window = {"start": cluster["start"], "end": cluster["end"], "timezone": told["run"]["timezone"]}
    name = cluster["cluster"]
    lines = [line for one in told["notebooks"] if one["cluster"] == name for line in one["sparklines"]]
    rows = [row | _shown_row(row) for row in cluster["coverage"]]
    text = html.window_text(window) if cluster["start"] else "window unknown"
    shown = {"seats": tiles.rows(lines), "folder": _folder(name)}
    return {**cluster, "window_text": text, "coverage": rows, **shown}


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
    severities = [told["severity"] for told in findings if (told["cluster"], told["notebook"]) == key]
    there = (folder / notebook["page"]).exists()
    href = quote(notebook["page"]) if there else ""
    return {
        **notebook,
        "severity": next(iter(severities), ""),
        "href": href,
        "notebook_href": href.removesuffix(".html") + ".ipynb",
    }


def _percent(share: float) -> str:
    """Rounded down, so that 100 % is said only of all."""
    return f"{math.floor(1000 * share) / 10:g} %"


def _count(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"
