"""Read the findings of the reports in a folder: one report, or an archive. Every number is copied from a findings.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aurora_analysis.analysis.verdict import SEVERITIES
from aurora_analysis.errors import Error
from aurora_analysis.mcp import models
from aurora_analysis.printable import printable
from aurora_analysis.report import records
from aurora_analysis.window import Window, week

Documents = Mapping[str, Mapping[str, Any]]
"""Contents of findings.json, by the run's id."""


@dataclass(frozen=True)
class Found:
    """A finding, its report, and its position there."""

    id: str
    document: Mapping[str, Any]
    content: Mapping[str, Any]


def documents(folder: Path) -> Documents:
    """Read the reports of a folder: its own findings.json, or those one level below; the newest first.

    Raises
    ------
    Error
        If there is none.
    """
    own = folder / records.NAME
    found = records.read({"": own}) if own.exists() else records.all_in(folder)
    by_run = {str(one["run"]["id"]): one for one in found.values()}
    if not by_run:
        raise Error(f"{folder} has no report: name the folder of `report --output` or `report --archive`.")
    return {name: by_run[name] for name in sorted(by_run, reverse=True)}


def clusters(found: Documents) -> models.Clusters:
    """Return each cluster of each report."""
    return models.Clusters(
        [_cluster(name, one) for name, document in found.items() for one in document["clusters"]]
    )


def _cluster(report: str, one: Mapping[str, Any]) -> models.Cluster:
    return models.Cluster(
        cluster=text(one["cluster"]),
        report=report,
        window_start=one["start"],
        window_end=one["end"],
        problem=text(one["error"] or one.get("no_data")) or None,
        simulated=text(one["simulated"]) or None,
        instances=[models.Instance(text(each["instance"]), text(each["role"])) for each in one["instances"]],
    )


def findings(found: Documents, window: str, cluster: str, severity: str) -> models.Findings:
    """Return the findings of a window; without one, those of each cluster's newest report.

    Parameters
    ----------
    found : mapping
        The reports.
    window : str
        `2026-W46`, or start and end as `2026-11-09/2026-11-16`: reports that overlap it. Empty: the newest of each cluster.
    cluster, severity : str
        Only those of this cluster, and of this severity; empty for all.

    Raises
    ------
    Error
        If there is no such cluster, severity or window.
    """
    if severity and severity not in SEVERITIES:
        raise Error(f"A severity is one of {', '.join(SEVERITIES)}.")
    if cluster and cluster not in {one.cluster for one in clusters(found).clusters}:
        raise Error("No report has a cluster of this name: call `clusters` for the names.")
    chosen = _in_window(found, window) if window else _newest(found)
    listed = [
        finding(one)
        for one in chosen
        if text(one.content["cluster"]) == cluster or not cluster
        if one.content["severity"] == severity or not severity
    ]
    ordered = sorted(listed, key=lambda one: SEVERITIES.index(one.severity))
    reports = {id(one.document): one.document for one in chosen} or dict(enumerate(found.values()))
    problems = [text(line) for document in reports.values() for line in records.failures(document)]
    return models.Findings(ordered, problems)


def _all(found: Documents) -> Iterator[Found]:
    for name, document in found.items():
        for number, content in enumerate(document["findings"], start=1):
            yield Found(f"{name}-{number}", document, content)


def _newest(found: Documents) -> list[Found]:
    """Return the findings of each cluster's newest report."""
    newest: dict[str, int] = {}
    for document in found.values():
        for one in document["clusters"]:
            newest.setdefault(one["cluster"], id(document))
    return [one for one in _all(found) if newest.get(one.content["cluster"]) == id(one.document)]


def _in_window(found: Documents, text_: str) -> list[Found]:
    wanted = week(text_) if "/" not in text_ else Window(*text_.split("/", 1))
    return [one for one in _all(found) if _window(one).start < wanted.end and wanted.start < _window(one).end]


def _window(one: Found) -> Window:
    return Window(*one.document["run"]["windows"][one.content["cluster"]])


def by_id(found: Documents, name: str) -> Found:
    """Return the finding of this id.

    Raises
    ------
    Error
        If there is none.
    """
    wanted = next((one for one in _all(found) if one.id == name), None)
    if wanted is None:
        raise Error("No finding has this id: call `findings` for the ids.")
    return wanted


def finding(one: Found) -> models.Finding:
    """Return a finding as plain data."""
    content = one.content
    start, end = one.document["run"]["windows"][content["cluster"]]
    is_unknown = content["severity"] == "unknown"
    return models.Finding(
        id=one.id,
        cluster=text(content["cluster"]),
        window_start=start,
        window_end=end,
        topic=text(content["topic"]),
        subject=text(content["subject"]),
        level=text(content["level"]),
        severity=content["severity"],
        headline=text(content["headline"]),
        sentence=text(content["sentence"]),
        numbers=_values(content["numbers"]),
        reason=text(content["sentence"] or content["headline"]) if is_unknown else None,
        action=text(content["action"]),
    )


def evidence(one: Found) -> models.Evidence:
    """Return what supports a finding."""
    cluster = next(
        each for each in one.document["clusters"] if each["cluster"] == one.content["cluster"]
    )  # a finding's cluster is in its report
    return models.Evidence(
        finding=finding(one),
        evidence=text(one.content["evidence"]),
        statement=_values(one.content.get("statement", {})),
        coverage=[_coverage(row) for row in cluster["coverage"]],
        page=text(one.content["page"]),
        report=one.document["run"]["id"],
    )


def _coverage(row: Mapping[str, Any]) -> models.Coverage:
    names = ("table", "instance", "source", "covered", "expected", "received", "lost", "unit", "note")
    return models.Coverage(**_values({name: row.get(name) for name in names}))  # type: ignore[arg-type]


def _values(found: Mapping[str, Any]) -> dict[str, models.Value]:
    return {text(name): text(value) if isinstance(value, str) else value for name, value in found.items()}


def text(value: object) -> str:
    """Return a text of a report without characters that act on a terminal; empty for None."""
    return "" if value is None else printable(value)
