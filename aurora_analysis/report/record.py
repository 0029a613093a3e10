"""Record a report's findings in the store, as rows of the tables `runs` and `findings`.

A notebook's run for one window of one cluster replaces the earlier run, so that a repeated week is stored once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pandas as pd
from deltalake.exceptions import DeltaError

from aurora_analysis.analysis.verdict import SEVERITIES
from aurora_analysis.errors import Error, Unfinished, first_line
from aurora_analysis.store import Store, location
from aurora_analysis.store.opening import KEPT_WEEKS
from aurora_analysis.window import Window

TABLES = ("runs", "findings")
"""Tables that a report writes and never reads; its record names no versions for them."""

KEPT = timedelta(weeks=KEPT_WEEKS)
"""Time for which the versions that a recorded report read stay readable."""

TEXTS = (
    "notebook",
    "page",
    "topic",
    "subject",
    "level",
    "severity",
    "headline",
    "sentence",
    "evidence",
    "action",
)


def check(place: str) -> None:
    """Refuse to record findings in the bundled sample, which is the same for every user.

    Raises
    ------
    Error
        If `place` is the sample.
    """
    if location.is_sample(place):
        raise Error("The bundled sample is read-only. Name your own store with --store, or omit --record.")


def write(store: Store, document: Mapping[str, Any]) -> None:
    """Write each notebook's findings of a findings.json; its run comes last and marks them as complete.

    Raises
    ------
    Error
        If the store cannot be written; the report itself exists by then.
    """
    try:
        store.keep(KEPT, document["run"]["versions"])
        for notebook in document["notebooks"]:
            _write(store, document, notebook)
    except (Error, DeltaError, OSError) as problem:
        reason = first_line(problem)
        kind = Unfinished if isinstance(problem, Unfinished) else Error
        raise kind(
            f"The report is complete, but its findings could not be written to {store.location}: {reason}"
        ) from problem


def _write(store: Store, document: Mapping[str, Any], notebook: Mapping[str, Any]) -> None:
    cluster = notebook["cluster"]
    window = Window(*document["run"]["windows"][cluster])
    key = (cluster, notebook["notebook"])
    found = [one for one in document["findings"] if (one["cluster"], one["notebook"]) == key]
    moment = Window(window.start, window.start + timedelta(microseconds=1))
    source = f"report {notebook['notebook']} until {window.end:%Y-%m-%dT%H:%M:%SZ}"
    severities = [one["severity"] for one in found]
    runs = [_run(document["run"], notebook, severities)]
    for table, rows in (("findings", [_finding(one, document["run"]) for one in found]), ("runs", runs)):
        store.write(table, _timed(rows, window), moment, cluster=cluster, source=source)


def _run(run: Mapping[str, Any], notebook: Mapping[str, Any], severities: list[str]) -> dict[str, Any]:
    return {
        "run": run["id"],
        "severity": min(severities, key=SEVERITIES.index, default=None),
        "parameters": json.dumps(notebook["parameters"], ensure_ascii=False),
        "versions": json.dumps(run["versions"].get(notebook["cluster"], {})),
        **{name: run[name] for name in ("package_version", "git_sha")},
        **{name: notebook[name] for name in ("notebook", "status", "error", "seconds")},
    }


def _finding(found: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    numbers = json.dumps(found["numbers"], ensure_ascii=False)
    return {"run": run["id"], "numbers": numbers} | {name: found[name] for name in TEXTS}


def _timed(rows: list[dict[str, Any]], window: Window) -> pd.DataFrame:
    start, end = (pd.Timestamp(moment).as_unit("us") for moment in (window.start, window.end))
    times = pd.DataFrame({"time": [start] * len(rows), "end": [end] * len(rows)})
    return pd.concat([times.astype("datetime64[us, UTC]"), pd.DataFrame(rows)], axis=1)
