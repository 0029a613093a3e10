"""The archive: a folder of reports, and the page of them all. How has it gone, cluster by cluster, week by week?"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from aurora_analysis import window
from aurora_analysis.analysis.verdict import SEVERITIES
from aurora_analysis.errors import Error
from aurora_analysis.report import html, index
from aurora_analysis.window import Window

FAILED = "failed"
"""What stands for a severity where a notebook did not finish, or came to no finding."""


def span(run: Mapping[str, Any]) -> str:
    """The name of what a run is about: its ISO week where it is one, as in 2026-W46; else the days, first to last."""
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
    """The page of all reports in a folder; written anew where another run put its own there meanwhile."""
    while True:
        found = records(root)
        text = page(found)
        _replace(root / index.PAGE, text)
        if records(root) == found:
            return root / index.PAGE


def records(root: Path) -> dict[str, dict[str, Any]]:
    """What the findings.json of each report in the folder says, by the report's folder."""
    return read({path.parent.name: path for path in sorted(root.glob(f"*/{index.NAME}"))})


def read(files: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """The records that can be read; another file, or one that is just being replaced, is none."""
    found = {}
    for folder, path in files.items():
        try:
            index.recorded(path)
            found[folder] = json.loads(path.read_text(encoding="utf-8"))
        except (Error, OSError):
            continue
    return found


def weeks(found: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each window of each cluster, newest first: the severity of each notebook there, from its newest run.

    `topics` maps a notebook to its severity, or to `failed`; `hrefs` to its page.
    """
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for folder, told in sorted(found.items(), key=lambda item: item[1]["run"]["id"]):
        for cluster in told["clusters"]:
            if cluster["start"]:
                key = (cluster["end"], cluster["start"], cluster["cluster"])
                _add(rows.setdefault(key, _row(cluster, told)), folder, cluster, told)
    return [rows[key] for key in sorted(rows, reverse=True)]


def _row(cluster: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    bounds = {name: cluster[name] for name in ("cluster", "start", "end", "simulated")}
    bounds["compressed"] = cluster.get("compressed", "")
    return {**bounds, "timezone": told["run"]["timezone"], "topics": {}, "hrefs": {}, "titles": {}}


def _add(row: dict[str, Any], folder: str, cluster: Mapping[str, Any], told: Mapping[str, Any]) -> None:
    """What a later run says of a notebook takes the place of what an earlier one said."""
    row |= {
        "href": quote(f"{folder}/{index.PAGE}"),
        "run": told["run"]["id"],
        "error": cluster.get("error", ""),
    }
    for notebook in told["notebooks"]:
        if notebook["cluster"] == row["cluster"]:
            name = notebook["notebook"]
            row["topics"][name] = _severity(notebook, told["findings"])
            row["titles"][name] = notebook["title"]
            row["hrefs"][name] = f"{quote(folder)}/{quote(notebook['page'])}"


def _severity(notebook: Mapping[str, Any], findings: Iterable[Mapping[str, Any]]) -> str:
    key = (notebook["cluster"], notebook["notebook"])
    told = [one["severity"] for one in findings if (one["cluster"], one["notebook"]) == key]
    return FAILED if notebook["status"] == "failed" else min(told, key=SEVERITIES.index, default=FAILED)


def trends(rows: Sequence[Mapping[str, Any]], cluster: str) -> list[dict[str, Any]]:
    """How each topic of a cluster has gone, oldest first, and in a word how its newest window differs from the one before."""
    own = [row for row in reversed(rows) if row["cluster"] == cluster]
    names = sorted({name for row in own for name in row["topics"]})
    return [_trend(name, own) for name in names]


def _trend(name: str, own: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    severities = [row["topics"].get(name, "") for row in own]
    title = next(row["titles"][name] for row in reversed(own) if name in row["titles"])
    return {"notebook": name, "title": title, "severities": severities, "word": word(severities)}


RANKS = {"ok": 0, "watch": 1, "act": 2}


def word(severities: Sequence[str]) -> str:
    """The newest against the one before it: better, worse, as before, new; unknown where either is not known."""
    newest, before = severities[-1], next(iter(severities[-2:-1]), "")
    if not newest:
        return "not run"
    if not before:
        return "new"
    if newest not in RANKS or before not in RANKS:
        return "unknown"
    change = RANKS[newest] - RANKS[before]
    return "worse" if change > 0 else "better" if change < 0 else "as before"


STEP, HEIGHT = 14, 24
"""Of a sparkline: the width that a window takes, and its height [px]."""


def sparkline(severities: Sequence[str]) -> Markup:
    """Severity by window, oldest left: the higher the worse; hollow on the ground where it is not known."""
    spoken = ", ".join(severity or "not run" for severity in severities)
    drawn = Markup("").join(_point(n, severity) for n, severity in enumerate(severities) if severity)
    return Markup(
        '<svg class="spark" role="img" aria-label="Oldest first: {}" width="{}" height="{}" viewBox="0 0 {} {}">{}{}</svg>'
    ).format(spoken, *[STEP * len(severities) + 4, HEIGHT] * 2, _line(severities), drawn)


def _line(severities: Sequence[str]) -> Markup:
    """Joins windows that follow each other and are both known."""
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
    """The page of all windows and clusters, newest first."""
    rows = weeks(found)
    clusters = sorted({row["cluster"] for row in rows})
    return html.render(
        "history.html.j2",
        clusters=[_shown(rows, cluster) for cluster in clusters],
    )


def _shown(rows: Sequence[Mapping[str, Any]], cluster: str) -> dict[str, Any]:
    own = [dict(row) | {"window_text": html.window_text(row)} for row in rows if row["cluster"] == cluster]
    shown = [trend | {"sparkline": sparkline(trend["severities"])} for trend in trends(rows, cluster)]
    marks = {name: own[0][name] for name in ("simulated", "compressed")}
    return {"cluster": cluster, "rows": own, "trends": shown, **marks}


def _replace(path: Path, text: str) -> None:
    """Whoever looks sees the earlier page or the new one."""
    handle, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(beside, 0o644)
    os.replace(beside, path)
