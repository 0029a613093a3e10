"""Builds a report: all notebooks for a window of each cluster, their pages, and one index of the findings.

It is built in a folder beside its place and moved there at the end, so that whoever looks sees the earlier report
or the new one, and never half of one. All notebooks read the store at the same versions, which it records.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aurora_analysis import __version__, resources
from aurora_analysis.errors import Error
from aurora_analysis.report import history, index, record, runner, statements, suite
from aurora_analysis.store import Store
from aurora_analysis.window import Window, zone

DAYS = 7
"""The window where none is named: the newest days that the store holds of a cluster."""


@dataclass(frozen=True)
class Request:
    """What a report is to say. What is left empty is the sample, every cluster, the newest week, every notebook.

    `window` is that of all clusters; `windows` are those of single ones, as an earlier report recorded them.
    `versions` are the tables' versions to read; None is the newest. `keep_going`: a cluster of which nothing can be
    read is told in the report, and the others still run. `settings` is the file of those that notebooks read.
    """

    store: str = ""
    clusters: Sequence[str] = ()
    window: Window | None = None
    windows: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notebooks: Sequence[str] = ()
    timezone: str = "UTC"
    parameters: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, int] | None = None
    keep_going: bool = False
    settings: str = ""


def requested(asked: Mapping[str, Any], run: Mapping[str, Any]) -> Request:
    """The request as asked; where nothing is, as an earlier `run` recorded it, on the versions that it read."""
    recorded = {
        name: run[name]
        for name in ("store", "windows", "notebooks", "timezone", "parameters", "versions")
        if run
    }
    clusters = {"clusters": list(run["windows"])} if run else {}
    return Request(**recorded | clusters | {name: value for name, value in asked.items() if value})


def report(
    request: Request,
    output: Path,
    *,
    archived: bool = False,
    jobs: int | None = None,
    timeout_s: float = 600.0,
    now: datetime | None = None,
    done: Callable[[runner.Outcome], None] = lambda outcome: None,
) -> tuple[dict[str, Any], Path]:
    """Make the report in the folder `output`, or `archived` in a folder of its own there.

    Returns its record, which is what findings.json holds, and its folder.
    """
    zone(request.timezone)
    store = _opened(request)
    chosen = suite.notebooks(request.notebooks)
    values = suite.checked(chosen, request.parameters)
    clusters = _clusters(request, store)
    run = _run(request, store, clusters, chosen, now or datetime.now(UTC)) | {"archived": archived}
    output = _own_folder(output / _place(request, run) if archived else output)
    with _built(output) as folder:
        tasks = [
            runner.Task(
                notebook, folder, _manifest(run, cluster, notebook, values[notebook]), timeout_s=timeout_s
            )
            for cluster in clusters
            if not cluster["error"]
            for notebook in chosen
            if len(chosen) == 1
            or suite.concerns(notebook, store, cluster["cluster"], Window(cluster["start"], cluster["end"]))
        ]
        environment = {"AURORA_ANALYSIS_VERSIONS": json.dumps(run["versions"])}
        if request.settings:
            environment["AURORA_ANALYSIS_CONFIG"] = str(Path(request.settings).resolve())
        outcomes = runner.run(tasks, jobs=jobs or os.cpu_count() or 1, environment=environment, done=done)
        readable = [cluster for cluster in clusters if not cluster["error"]]
        statements.write(folder, store, readable, outcomes)
        told = index.record(run, clusters, outcomes)
        index.write(folder, told)
    return told, output


def _place(request: Request, run: Mapping[str, Any]) -> str:
    """The name of the report's folder in an archive: a part of the clusters or notebooks does not replace the whole."""
    parts = [*([] if request.keep_going else request.clusters), *(run["notebooks"] * bool(request.notebooks))]
    return "-".join(
        [history.span(run), *(quote(Path(part).stem, safe="").replace(".", "%2E") for part in parts)]
    )


def _opened(request: Request) -> Store:
    """The store at fixed versions: what is written while the report runs does not reach it."""
    newest = Store(request.store)
    location = newest.location if "://" in newest.location else str(Path(newest.location).resolve())
    versions = newest.versions() if request.versions is None else request.versions
    return Store(location, versions=versions)


def _clusters(request: Request, store: Store) -> list[dict[str, Any]]:
    """What the report says of each cluster: its window and what was read of it, or why nothing was."""
    clusters = list(dict.fromkeys(request.clusters)) or store.clusters()
    if not clusters:
        raise Error(f"The store {store.location} is empty: fetch, ingest or record something first.")
    return [_cluster_or_error(request, store, cluster) for cluster in clusters]


def _cluster_or_error(request: Request, store: Store, cluster: str) -> dict[str, Any]:
    try:
        return _cluster(store, cluster, _window(request, cluster, store.span(cluster)))
    except (
        Exception
    ) as problem:  # a table that cannot be read fails in any way; the others are still reported
        if not request.keep_going:
            raise
        start, end = _bounds(request.window) if request.window else ("", "")
        reason = next(iter(str(problem).splitlines()), type(problem).__name__)
        return {"cluster": cluster, "start": start, "end": end, "error": reason} | index.NOTHING


def _window(request: Request, cluster: str, span: Window) -> Window:
    if request.window is not None:
        return request.window
    if cluster in request.windows:
        return Window(*request.windows[cluster])
    return Window(max(span.start, span.end - timedelta(days=DAYS)), span.end)


def _run(
    request: Request,
    store: Store,
    clusters: Sequence[Mapping[str, Any]],
    chosen: Sequence[Path],
    now: datetime,
) -> dict[str, Any]:
    """What was asked for and what was read: enough to run it again."""
    return {
        "id": f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
        "store": store.location,
        "versions": {name: n for name, n in store.versions().items() if name not in record.TABLES},
        "windows": {
            cluster["cluster"]: [cluster["start"], cluster["end"]]
            for cluster in clusters
            if not cluster["error"]
        },
        "notebooks": [_named(notebook) for notebook in chosen],
        "timezone": request.timezone,
        "parameters": dict(request.parameters),
        "package_version": __version__,
        "git_sha": git_sha(),
    }


def _cluster(store: Store, cluster: str, window: Window) -> dict[str, Any]:
    rows, ever = store.coverage(window, cluster=cluster), store.read("coverage", cluster=cluster)
    start, end = _bounds(window)
    return {
        "cluster": cluster,
        "start": start,
        "end": end,
        "error": "",
        "simulated": index.simulated(ever, store.read("instances", cluster=cluster)),
        "compressed": index.compressed(ever),
        "coverage": index.coverage(rows, window),
        "instances": index.instances(store.instances(window, cluster=cluster)),
        "failovers": index.failovers(store.writers(window, cluster=cluster)),
    }


def _manifest(
    run: Mapping[str, Any], cluster: Mapping[str, Any], notebook: Path, values: Mapping[str, Any]
) -> dict[str, Any]:
    standard = {
        "store": run["store"],
        "cluster": cluster["cluster"],
        "start": cluster["start"],
        "end": cluster["end"],
        "timezone": run["timezone"],
    }
    kept = ("versions", "package_version", "git_sha")
    return {
        "schema": index.SCHEMA,
        "run_id": run["id"],
        "notebook": notebook.stem,
        "cluster": cluster["cluster"],
        "simulated": cluster["simulated"],
        "compressed": cluster["compressed"],
        "parameters": standard | dict(values),
        **{name: run[name] for name in kept},
    }


def git_sha() -> str:
    """The commit of the checkout that the package runs from, marked where it was changed; empty where installed."""
    root = resources.PACKAGE.parent
    if not (root / ".git").exists():
        return ""
    asked = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _own_folder(output: Path) -> Path:
    """Where the report goes: a new or empty folder, or that of an earlier report; nothing else is replaced."""
    output = output.resolve()
    if output.is_dir() and any(output.iterdir()):
        try:
            index.recorded(output)
        except Error:
            raise Error(f"{output} holds something else than a report: name another folder.") from None
    elif output.exists() and not output.is_dir():
        raise Error(f"{output} is a file: name a folder.")
    return output


@contextmanager
def _built(output: Path) -> Iterator[Path]:
    """A folder beside `output` that takes its place if all goes well, and vanishes if not."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    except OSError as problem:
        raise Error(f"Cannot write to {output.parent}: {problem.strerror}. Name another --output.") from None
    try:
        new = beside / "new"
        new.mkdir()
        yield new
        _put(new, output, beside)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _put(new: Path, output: Path, beside: Path) -> None:
    """Move a report to its place and the earlier one out of it; another run may do the same at the same moment."""
    for attempt in range(ATTEMPTS):
        old = beside / f"old-{attempt}"
        try:
            if output.exists():
                output.rename(old)
            new.rename(output)
            return
        except OSError:  # the other run came between our two moves: its report is there now, or has just gone
            continue
        finally:
            if old.exists() and not output.exists():
                with suppress(OSError):
                    old.rename(output)
    raise Error(f"Other reports took the place {output} {ATTEMPTS} times: name another --output.")


ATTEMPTS = 20
"""How often a report is put into its place again when another came between."""


def _bounds(window: Window) -> list[str]:
    return [moment.isoformat().replace("+00:00", "Z") for moment in (window.start, window.end)]


def _named(notebook: Path) -> str:
    """As `--notebook` takes it: by name where it is of the suite."""
    return notebook.stem if notebook.parent == resources.notebooks() else str(notebook)
