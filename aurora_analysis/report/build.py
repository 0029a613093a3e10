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
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aurora_analysis import __version__, resources
from aurora_analysis.errors import Error
from aurora_analysis.report import index, runner, suite
from aurora_analysis.store import Store
from aurora_analysis.window import Window, zone

DAYS = 7
"""The window where none is named: the newest days that the store holds of a cluster."""


@dataclass(frozen=True)
class Request:
    """What a report is to say. What is left empty is the sample, every cluster, the newest week, every notebook.

    `window` is that of all clusters; `windows` are those of single ones, as an earlier report recorded them.
    `versions` are the tables' versions to read; None is the newest.
    """

    store: str = ""
    clusters: Sequence[str] = ()
    window: Window | None = None
    windows: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notebooks: Sequence[str] = ()
    timezone: str = "UTC"
    parameters: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, int] | None = None


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
    jobs: int | None = None,
    timeout_s: float = 600.0,
    now: datetime | None = None,
    done: Callable[[runner.Outcome], None] = lambda outcome: None,
) -> list[runner.Outcome]:
    """Make the report in the folder `output`; the outcomes tell which notebooks failed."""
    zone(request.timezone)
    output = _own_folder(output)
    store = _opened(request)
    chosen = suite.notebooks(request.notebooks)
    values = suite.checked(chosen, request.parameters)
    windows = _windows(request, store)
    run = _run(request, store, windows, chosen, now or datetime.now(UTC))
    clusters = [_cluster(store, cluster, window) for cluster, window in windows.items()]
    with _built(output) as folder:
        tasks = [
            runner.Task(
                notebook, folder, _manifest(run, cluster, notebook, values[notebook]), timeout_s=timeout_s
            )
            for cluster in clusters
            for notebook in chosen
        ]
        environment = {"AURORA_ANALYSIS_VERSIONS": json.dumps(run["versions"])}
        outcomes = runner.run(tasks, jobs=jobs or os.cpu_count() or 1, environment=environment, done=done)
        index.write(folder, index.record(run, clusters, outcomes))
    return outcomes


def _opened(request: Request) -> Store:
    """The store at fixed versions: what is written while the report runs does not reach it."""
    newest = Store(request.store)
    location = newest.location if "://" in newest.location else str(Path(newest.location).resolve())
    versions = newest.versions() if request.versions is None else request.versions
    return Store(location, versions=versions)


def _windows(request: Request, store: Store) -> dict[str, Window]:
    """The window of each cluster that the report is about."""
    clusters = list(dict.fromkeys(request.clusters)) or store.clusters()
    if not clusters:
        raise Error(f"The store {store.location} is empty: fetch, ingest or record something first.")
    return {cluster: _window(request, cluster, store.span(cluster)) for cluster in clusters}


def _window(request: Request, cluster: str, span: Window) -> Window:
    if request.window is not None:
        return request.window
    if cluster in request.windows:
        return Window(*request.windows[cluster])
    return Window(max(span.start, span.end - timedelta(days=DAYS)), span.end)


def _run(
    request: Request, store: Store, windows: Mapping[str, Window], chosen: Sequence[Path], now: datetime
) -> dict[str, Any]:
    """What was asked for and what was read: enough to run it again."""
    return {
        "id": f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
        "store": store.location,
        "versions": store.versions(),
        "windows": {cluster: _bounds(window) for cluster, window in windows.items()},
        "notebooks": [_named(notebook) for notebook in chosen],
        "timezone": request.timezone,
        "parameters": dict(request.parameters),
        "package_version": __version__,
        "git_sha": git_sha(),
    }


def _cluster(store: Store, cluster: str, window: Window) -> dict[str, Any]:
    rows = store.coverage(window, cluster=cluster)
    start, end = _bounds(window)
    return {
        "cluster": cluster,
        "start": start,
        "end": end,
        "simulated": index.simulated(store.read("coverage", cluster=cluster)),
        "coverage": index.coverage(rows, window),
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
        new, old = beside / "new", beside / "old"
        new.mkdir()
        yield new
        if output.exists():
            output.rename(old)
        new.rename(output)
    except BaseException:
        if old.exists():
            old.rename(output)
        raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _bounds(window: Window) -> list[str]:
    return [moment.isoformat().replace("+00:00", "Z") for moment in (window.start, window.end)]


def _named(notebook: Path) -> str:
    """As `--notebook` takes it: by name where it is of the suite."""
    return notebook.stem if notebook.parent == resources.notebooks() else str(notebook)
