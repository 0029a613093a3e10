"""Build a report: run all notebooks for a window of each cluster, write their pages and an index of the findings.

All notebooks read the store at the same recorded versions.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from deltalake.exceptions import DeltaError

from aurora_analysis import __version__, executors
from aurora_analysis.bundled import PACKAGE, bundled
from aurora_analysis.errors import Error, first_line
from aurora_analysis.report import (
    fleet,
    history,
    index,
    pdf,
    record,
    records,
    replacement,
    runner,
    statements,
    suite,
)
from aurora_analysis.store import Store, location
from aurora_analysis.store.observations import observe
from aurora_analysis.store.store import Versions
from aurora_analysis.window import Window, zone

ATTEMPTS = 10
"""Most attempts to keep the newest versions while others commit."""

WHILE_REPORTING = timedelta(days=1)
"""Time for which the versions that a report reads stay readable, so that it can finish."""

DAYS = 7
"""Length of the default window: the newest days that the store holds for a cluster."""


@dataclass(frozen=True)
class Request:
    """The options of a report. Defaults: the sample store, all its clusters, the newest seven days, all notebooks.

    Attributes
    ----------
    store
        Folder or s3:// prefix.
    clusters
        Cluster names.
    window
        The window of all clusters.
    windows
        Windows by cluster, as an earlier report recorded them.
    notebooks
        Names of the suite's notebooks, or paths.
    timezone
        Time zone for readers; data stay UTC.
    parameters
        Notebook parameters as text.
    versions
        Versions to read, by cluster and table; None reads the newest.
    keep_going
        If True, the report flags a cluster that cannot be read and goes on with the others.
    settings
        Settings file that the notebooks read.
    pdf
        If True, each page is also printed as a PDF beside it.
    pools
        Cluster → the pool over which the archive's page pools effects.
    """

    store: str = ""
    clusters: Sequence[str] = ()
    window: Window | None = None
    windows: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notebooks: Sequence[str] = ()
    timezone: str = "UTC"
    parameters: Mapping[str, str] = field(default_factory=dict)
    versions: Versions | None = None
    keep_going: bool = False
    settings: str = ""
    pdf: bool = False
    pools: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Execution:
    """Options of running a report.

    Attributes
    ----------
    jobs
        Notebooks that run at the same time; 0 means one per CPU.
    timeout_s
        Time limit for one cell [s].
    done
        Called with each outcome as it is finished.
    executor
        Runs the notebooks; without one, local processes do.
    """

    jobs: int = 0
    timeout_s: float = 600.0
    done: Callable[[runner.Outcome], None] = lambda outcome: None
    executor: Executor | None = None


def requested(options: Mapping[str, Any], run: Mapping[str, Any]) -> Request:
    """Return the request: the given options, and an earlier `run`'s record for everything not given.

    Parameters
    ----------
    options
        Fields of `Request`; empty values count as not given.
    run
        The run that an earlier findings.json recorded, or empty.

    Returns
    -------
    Request
        If there is a `run`, it reads the versions that the run read.
    """
    names = ("store", "windows", "notebooks", "timezone", "parameters", "versions")
    recorded = {name: run[name] for name in names if run}
    clusters = {"clusters": list(run["windows"])} if run else {}
    return Request(**recorded | clusters | {name: value for name, value in options.items() if value})


def report(
    request: Request, output: Path, *, archived: bool = False, execution: Execution | None = None
) -> tuple[dict[str, Any], Path]:
    """Build a report in a folder.

    Parameters
    ----------
    request
        What to report.
    output
        The report's folder, or the archive's.
    archived
        If True, the report gets a folder of its own inside `output`.
    execution
        How to run it.

    Returns
    -------
    document : dict
        The content of findings.json.
    folder : Path
        The report's folder.
    """
    execution = execution or Execution()
    zone(request.timezone)
    printer = pdf.browser() if request.pdf else ""
    store = _opened(request)
    chosen = suite.of_report(request.notebooks)
    values = suite.checked(chosen, request.parameters)
    clusters = _clusters(request, store)
    run = _run(request, store, clusters, chosen, datetime.now(UTC)) | {"archived": archived}
    output = replacement.own_folder(output / _place(request, run) if archived else output)
    readable = [cluster for cluster in clusters if not cluster["error"]]
    with replacement.built(output, archived=archived) as folder:
        tasks = [
            _task(
                suite.of_engine(notebook.read_bytes(), _cleanup(store, cluster)),
                _manifest(run, cluster, notebook, values[notebook]),
                request,
                execution,
            )
            for cluster in readable
            for notebook in chosen
            if len(chosen) == 1 or _concerns(notebook, store, cluster)
        ]
        outcomes = _run_all(tasks, folder, execution)
        unwritten = statements.write(folder, store, readable, outcomes, request.timezone)
        for outcome in unwritten:
            execution.done(outcome)
        outcomes += unwritten
        document = index.record(run, clusters, outcomes)
        document["fleet"] = fleet.rows(document) if len(clusters) > 1 else []
        index.write(folder, document)
        fleet.write(folder, document)
    if printer:
        pdf.write(output, printer)
    return document, output


def _concerns(notebook: Path, store: Store, cluster: Mapping[str, Any]) -> bool:
    return suite.concerns(notebook, store, cluster["cluster"], Window(cluster["start"], cluster["end"]))


def _cleanup(store: Store, cluster: Mapping[str, Any]) -> str:
    """The cluster's word for cleanup."""
    return observe(store, Window(cluster["start"], cluster["end"]), cluster["cluster"]).words.cleanup


def _task(source: bytes, manifest: Mapping[str, Any], request: Request, execution: Execution) -> runner.Task:
    environment = {
        "AURORA_ANALYSIS_STORE": manifest["parameters"]["store"],
        "AURORA_ANALYSIS_VERSIONS": json.dumps({manifest["cluster"]: manifest["versions"]}),
    }
    settings = Path(request.settings).read_text(encoding="utf-8") if request.settings else ""
    return runner.Task(manifest["notebook"], source, manifest, execution.timeout_s, environment, settings)


def _run_all(tasks: Sequence[runner.Task], folder: Path, execution: Execution) -> list[runner.Outcome]:
    """Run the tasks, and write each page into the folder as it arrives."""

    def keep(page: runner.Page) -> None:
        _write(page, folder)
        execution.done(page.outcome)

    if execution.executor is not None:
        return runner.run(tasks, execution.executor, keep)
    with executors.processes(execution.jobs or os.cpu_count() or 1) as executor:
        return runner.run(tasks, executor, keep)


def _write(page: runner.Page, folder: Path) -> None:
    """Write a page and its notebook; a worker that ended early has left neither."""
    if page.html:
        place = folder / page.outcome.place
        place.parent.mkdir(parents=True, exist_ok=True)
        place.with_name(f"{place.name}.ipynb").write_bytes(page.notebook)
        place.with_name(f"{place.name}.html").write_bytes(page.html)


def _place(request: Request, run: Mapping[str, Any]) -> str:
    """Name the report's folder in an archive; a report of some clusters or notebooks must not replace the whole week's."""
    parts = [*([] if request.keep_going else request.clusters), *(run["notebooks"] * bool(request.notebooks))]
    return "-".join(
        [history.span(run), *(quote(Path(part).stem, safe="").replace(".", "%2E") for part in parts)]
    )


def _opened(request: Request) -> Store:
    """Open the store at fixed versions, so that writes during the report do not change what it reads."""
    newest = Store(request.store)
    place = newest.location if "://" in newest.location else str(Path(newest.location).resolve())
    versions = request.versions
    if versions is None:
        versions = newest.versions(request.clusters or None, missing_ok=True)
        if set(request.clusters) - set(versions):
            versions = newest.versions()  # the error about an unknown cluster names the known ones
    if not location.is_sample(place):
        is_newest = request.versions is None
        versions = {
            cluster: _kept(newest, cluster, tables, is_newest) for cluster, tables in versions.items()
        }
    return Store(place, versions=versions)


def _kept(store: Store, cluster: str, tables: Mapping[str, int], is_newest: bool) -> Mapping[str, int]:
    """Keep the versions of a cluster's tables while the report reads them.

    Of newest versions, those that are no longer the newest once they are kept are taken anew: `store compact` may have
    deleted their files before it could see that they are kept.
    """
    wanted, found = dict(tables), dict(tables)
    for _ in range(ATTEMPTS):
        with suppress(DeltaError, OSError):  # a store that may only be read is read all the same
            for name, version in wanted.items():
                with suppress(Error):  # of a version that is gone by now
                    store.keep(WHILE_REPORTING, {cluster: {name: version}})
        newest = store.versions([cluster]).get(cluster, {}) if is_newest else {}
        wanted = {
            name: newest[name] for name, version in found.items() if newest.get(name, version) != version
        }
        if not wanted:
            break
        found |= wanted
    return found


def _clusters(request: Request, store: Store) -> list[dict[str, Any]]:
    """Describe each cluster: its window and what the store holds for it, or why it cannot be read."""
    clusters = list(dict.fromkeys(request.clusters)) or store.clusters()
    if not clusters:
        raise Error(f"The store {store.location} is empty. Run fetch, ingest or lab record first.")
    return [_cluster_or_error(request, store, cluster) for cluster in clusters]


def _cluster_or_error(request: Request, store: Store, cluster: str) -> dict[str, Any]:
    try:
        window = _window(request, cluster, store.span(cluster))
        found = _cluster(store, cluster, window, request.timezone)
        _cleanup(store, found)  # reads the roles, which every page needs
        return found
    except Exception as problem:  # a broken table can fail in any way; the other clusters are still reported
        if not request.keep_going:
            raise
        start, end = _bounds(request.window) if request.window else ("", "")
        reason = first_line(problem)
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
    """Record the request and the versions read: enough to run the report again."""
    return {
        "id": f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
        "store": store.location,
        "sample": location.is_sample(store.location),
        "versions": {
            cluster: {name: n for name, n in tables.items() if name not in record.TABLES}
            for cluster, tables in store.versions().items()
        },
        "windows": {
            cluster["cluster"]: [cluster["start"], cluster["end"]]
            for cluster in clusters
            if not cluster["error"]
        },
        "notebooks": [_named(notebook) for notebook in chosen],
        "timezone": request.timezone,
        "pools": dict(request.pools),
        "parameters": dict(request.parameters),
        "package_version": __version__,
        "git_sha": git_sha(),
    }


def _cluster(store: Store, cluster: str, window: Window, timezone: str) -> dict[str, Any]:
    rows, ever = store.coverage(window, cluster=cluster), store.read("coverage", cluster=cluster)
    start, end = _bounds(window)
    return {
        "cluster": cluster,
        "start": start,
        "end": end,
        "error": "",
        "no_data": index.no_data(ever, window, cluster, timezone),
        "simulated": index.simulated(ever, store.read("instances", cluster=cluster)),
        "compressed": index.compressed(ever),
        "coverage": index.coverage(rows, window),
        "instances": index.instances(store.instances(window, cluster=cluster)),
        "log_limit": index.log_limit(store.instances(window, cluster=cluster)),
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
    kept = ("package_version", "git_sha")
    return {
        "schema": records.SCHEMA,
        "run_id": run["id"],
        "notebook": notebook.stem,
        "cluster": cluster["cluster"],
        "sample": run["sample"],
        "simulated": cluster["simulated"],
        "compressed": cluster["compressed"],
        "parameters": standard | dict(values),
        "versions": run["versions"].get(cluster["cluster"], {}),
        **{name: run[name] for name in kept},
    }


def git_sha() -> str:
    """Return the checkout's commit, with `-dirty` if it has changes; empty for an installed package."""
    root = PACKAGE.parent
    if not (root / ".git").exists():
        return ""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _bounds(window: Window) -> list[str]:
    return [moment.isoformat().replace("+00:00", "Z") for moment in (window.start, window.end)]


def _named(notebook: Path) -> str:
    """Name a notebook as `--notebook` accepts it: a name of the suite, or a path."""
    return notebook.stem if notebook.parent == bundled("notebooks") else str(notebook)
