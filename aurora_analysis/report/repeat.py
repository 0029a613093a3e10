"""Read what `--versions` repeats: the run that an earlier findings.json records.

The file may come from another person. It must not choose code to run, so that it can name the suite's notebooks only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aurora_analysis.bundled import bundled
from aurora_analysis.errors import Error
from aurora_analysis.report import records
from aurora_analysis.window import Window

ANOTHER = "Pass the findings.json of a report."


def recorded(path: Path, *, notebooks_given: bool) -> dict[str, Any]:
    """Return the run that a findings.json, or the one in a folder, records.

    Parameters
    ----------
    path
        The file, or its folder.
    notebooks_given
        Whether the user names the notebooks; the file's notebooks are then ignored.

    Raises
    ------
    Error
        If the file is missing or malformed, was written by a newer version, or names a notebook outside the suite.
    """
    run = records.recorded(path)
    for name, (expected, fits) in FIELDS.items():
        if name not in run:
            raise Error(f"{path} lacks run.{name}. {ANOTHER}")
        if not fits(run[name]):
            raise Error(f"run.{name} in {path} is not {expected}. {ANOTHER}")
    if not notebooks_given:
        _check_notebooks(path, run["notebooks"])
    return run


def _check_notebooks(path: Path, names: list[str]) -> None:
    known = {notebook.stem for notebook in bundled("notebooks").glob("*.ipynb")}
    for name in names:
        if name not in known:
            raise Error(
                f"{path} names the notebook {name!r}, which is not one of the suite's ({', '.join(sorted(known))}). "
                "If you trust it, pass it with --notebook."
            )


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _maps_to(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, Mapping) and all(map(fits, value.values()))


def _is_window(value: Any) -> bool:
    if not _is_texts(value) or len(value) != 2:
        return False
    try:
        Window(*value)
    except Error:
        return False
    return True


def _is_version(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


FIELDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "store": ("a text", _is_text),
    "windows": (
        "a start and an end for each cluster",
        _maps_to(_is_window),
    ),
    "notebooks": ("a list of names", _is_texts),
    "timezone": ("a text", _is_text),
    "parameters": ("a text for each name", _maps_to(_is_text)),
    "versions": (
        "a version number for each table of each cluster, as since stores have a table for each cluster",
        _maps_to(_maps_to(_is_version)),
    ),
}
"""Fields of a recorded run: what each holds, in words and as a check."""
