"""Read the findings.json of reports. It needs no notebook, page or frame, so that a reader starts at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aurora_analysis.errors import Error

SCHEMA = 1
"""Version of findings.json; increased when a field changes its meaning."""

KIND = "aurora-analysis report"
NAME = "findings.json"


def recorded(path: Path) -> dict[str, Any]:
    """Return the run that a findings.json, or the one in a folder, records.

    Raises
    ------
    Error
        If the file is missing, belongs to another program, or was written by a newer version.
    """
    file = path / NAME if path.is_dir() else path
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as problem:
        raise Error(f"Cannot read {file}: {problem.strerror}. Pass the findings.json of a report.") from None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise Error(f"{file} was not written by a report. Pass the findings.json of a report.")
    schema, run = document.get("schema"), document.get("run")
    if isinstance(schema, int) and schema > SCHEMA:
        raise Error(
            f"{file} was written by a newer aurora-analysis (schema {schema}). Upgrade aurora-analysis."
        )
    if not isinstance(schema, int) or not isinstance(run, dict):
        raise Error(f"{file} is damaged: it lacks its schema or its run. Pass the findings.json of a report.")
    return run


def all_in(root: Path) -> dict[str, dict[str, Any]]:
    """Read the findings.json of each report in an archive, by the report's folder."""
    return read({path.parent.name: path for path in sorted(root.glob(f"*/{NAME}"))})


def read(files: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """Read all records; skip files of other programs and files that are being replaced."""
    found = {}
    for folder, path in files.items():
        try:
            recorded(path)
            found[folder] = json.loads(path.read_text(encoding="utf-8"))
        except (Error, OSError):
            continue
    return found


def failures(document: Mapping[str, Any]) -> list[str]:
    """Return one line per cluster without data, per cluster that could not be read and per notebook that failed."""
    clusters = [one.get("error") or one.get("no_data") for one in document["clusters"]]
    return [line for line in (*clusters, *(one["error"] for one in document["notebooks"])) if line]
