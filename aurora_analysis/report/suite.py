"""The suite: list notebooks, read and check their parameters, and copy them for an analyst."""

from __future__ import annotations

import difflib
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
import papermill

from aurora_analysis.bundled import bundled
from aurora_analysis.errors import Error, first_line
from aurora_analysis.parameters import is_sensible
from aurora_analysis.store import Store
from aurora_analysis.window import Window

STANDARD = ("store", "cluster", "start", "end", "timezone")
"""Text parameters that every notebook must declare; the report sets them."""


@dataclass(frozen=True)
class Parameter:
    """A parameter declared in a notebook as `name: type = default  # meaning`."""

    name: str
    type: str
    default: str
    meaning: str


def notebooks(names: Sequence[str] = ()) -> list[Path]:
    """Find notebooks by the suite's names or by path.

    Parameters
    ----------
    names
        Names or paths; none selects the whole suite.

    Returns
    -------
    list of Path
        Each notebook once, in the order of `names`.

    Raises
    ------
    Error
        If a notebook does not exist, or two have the same name.
    """
    suite = {path.stem: path for path in sorted(bundled("notebooks").glob("*.ipynb"), key=_order)}
    if not names and not suite:
        raise Error(f"{bundled('notebooks')} contains no notebook. Reinstall aurora-analysis.")
    chosen = [_notebook(name, suite) for name in dict.fromkeys(names)] or list(suite.values())
    doubled = _doubled([path.stem for path in chosen])
    if doubled:
        raise Error(
            f"Two notebooks are named {doubled!r}. Rename one, because the page takes the notebook's name."
        )
    return chosen


BENCH = "explore"
"""The notebook of recipes, which reaches no verdict of its own: a report runs it only if it is named."""


def of_report(names: Sequence[str] = ()) -> list[Path]:
    """Find the notebooks of a report: the named ones, else the suite without its recipes.

    Parameters
    ----------
    names
        Names or paths; see `notebooks`.

    Returns
    -------
    list of Path
    """
    chosen = notebooks(names)
    return chosen if names else [path for path in chosen if path.stem != BENCH]


CLEANUPS = ("purge", "vacuum")
"""Tags of cells that concern one engine only: the engine's word for cleanup."""


def of_engine(source: bytes, cleanup: str) -> bytes:
    """Drop the cells of a notebook that concern another engine.

    Parameters
    ----------
    source
        The notebook's file.
    cleanup
        The cluster's word for cleanup, one of `CLEANUPS`: cells tagged with another one are dropped.

    Returns
    -------
    bytes
        The notebook's file; the same bytes if no cell is tagged so.
    """
    notebook = nbformat.reads(source.decode("utf-8"), as_version=4)
    others = set(CLEANUPS) - {cleanup}
    kept = [cell for cell in notebook.cells if not others & set(cell.metadata.get("tags", ()))]
    if len(kept) == len(notebook.cells):
        return source
    notebook.cells = kept
    return str(nbformat.writes(notebook)).encode()


FIRST = ("reader_impact", "undo_log", "latency", "db_load", "workload_change")
"""The order of a report: the question that the suite is for, then its evidence."""


def _order(path: Path) -> tuple[int, str]:
    return FIRST.index(path.stem) if path.stem in FIRST else len(FIRST), path.stem


def concerns(notebook: Path, store: Store, cluster: str, window: Window) -> bool:
    """Return whether a notebook applies to a cluster: `experiment` needs a trial, `drill` a drill; others always apply."""
    if notebook.stem == "drill":
        return not store.read("drills", window, cluster=cluster).empty
    if notebook.stem != "experiment":
        return True
    trials = store.read("trials", window, cluster=cluster)
    return bool(trials["on_share"].between(0, 1, inclusive="neither").any())


def parameters(notebook: Path) -> dict[str, Parameter]:
    """Return a notebook's parameters by name: the annotated names in its cell tagged `parameters`.

    Raises
    ------
    Error
        If the file is not a notebook.
    """
    # papermill would repeat on every run a warning about what is checked here.
    logging.getLogger("papermill").setLevel(logging.ERROR)
    try:
        found = papermill.inspect_notebook(str(notebook))
    except Exception as problem:  # nbformat raises many types for a file that is not a notebook
        raise Error(f"Cannot read the notebook {notebook}: {first_line(problem)}") from problem
    return {
        name: Parameter(name, one["inferred_type_name"], one["default"], one["help"])
        for name, one in found.items()
    }


def checked(chosen: Sequence[Path], given: Mapping[str, str]) -> dict[Path, dict[str, Any]]:
    """Convert parameter values to the types that each notebook declares, before anything runs.

    Parameters
    ----------
    chosen
        The notebooks to run.
    given
        Parameter values as text.

    Returns
    -------
    dict of Path to dict
        The typed values of the parameters that each notebook declares.

    Raises
    ------
    Error
        If no notebook declares a name, or a value does not fit its type.
    """
    declared = {notebook: parameters(notebook) for notebook in chosen}
    for notebook, known in declared.items():
        _check_standard(notebook, known)
    for name in given:
        _check_known(name, declared)
    return {
        notebook: {name: _typed(known[name], text, notebook) for name, text in given.items() if name in known}
        for notebook, known in declared.items()
    }


def copy(folder: Path, *, force: bool = False) -> list[Path]:
    """Copy the suite into a folder.

    Parameters
    ----------
    folder
        Created if missing.
    force
        If True, overwrite notebooks that differ.

    Returns
    -------
    list of Path
        The copies.

    Raises
    ------
    Error
        If a notebook there differs and `force` is False, or the folder cannot be written.
    """
    pairs = [(notebook, folder / notebook.name) for notebook in notebooks()]
    changed = [target.name for source, target in pairs if target.exists() and not _same(source, target)]
    if changed and not force:
        raise Error(
            f"{', '.join(changed)} in {folder} would be overwritten. Choose another folder, or pass --force."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [Path(shutil.copyfile(source, target)) for source, target in pairs]
    except OSError as problem:
        raise Error(
            f"Cannot write to {folder}: {problem.strerror}. Choose a folder that you can write to."
        ) from None


def _notebook(name: str, suite: Mapping[str, Path]) -> Path:
    if name in suite:
        return suite[name]
    if name.endswith(".ipynb") and Path(name).is_file():
        return Path(name).resolve()
    raise Error(
        f"No notebook is named {name!r}{_similar(name, suite)}. Use one of {', '.join(suite)}, or the path of an .ipynb file."
    )


def _doubled(names: Sequence[str]) -> str | None:
    return next((name for name in names if names.count(name) > 1), None)


def _check_standard(notebook: Path, known: Mapping[str, Parameter]) -> None:
    missing = [name for name in STANDARD if name not in known or known[name].type != "str"]
    if missing:
        raise Error(
            f"{notebook.name} lacks the text parameter {', '.join(missing)}. "
            f'Add `{missing[0]}: str = ""  # …` to its cell tagged "parameters".'
        )


def _check_known(name: str, declared: Mapping[Path, Mapping[str, Parameter]]) -> None:
    if name in STANDARD:
        raise Error(f"{name} has its own option: use --{name} instead of -p.")
    own = {notebook: sorted(set(known) - set(STANDARD)) for notebook, known in declared.items()}
    others = sorted({one for names in own.values() for one in names})
    if name in others:
        return
    similar = _similar(name, others)
    if len(own) == 1:
        (notebook,) = own
        raise Error(
            f"{notebook.name} has no parameter {name!r}{similar}; it has: {', '.join(others) or 'none'}."
        )
    each = "; ".join(f"{notebook.name} has: {', '.join(names) or 'none'}" for notebook, names in own.items())
    raise Error(f"No notebook has a parameter {name!r}{similar}. {each}.")


def _typed(parameter: Parameter, text: str, notebook: Path) -> Any:
    read = READERS.get(parameter.type)
    if read is None:
        raise Error(
            f"{parameter.name} of {notebook.name} has the type {parameter.type}, which -p cannot set. "
            f"It can set {', '.join(READERS)}."
        )
    least = ", at least 0" if parameter.type in ("int", "float") else ""
    try:
        return read(text)
    except (ValueError, KeyError):
        raise Error(
            f"{parameter.name}={text} does not fit {notebook.name}. It takes a value of type {parameter.type}{least}"
            f" ({parameter.meaning or 'as in ' + parameter.default})."
        ) from None


def _sensible(number: Callable[[str], float], text: str) -> float:
    value = number(text)
    if not is_sensible(value):
        raise ValueError(text)
    return value


READERS: dict[str, Callable[[str], Any]] = {
    "str": str,
    "int": partial(_sensible, int),
    "float": partial(_sensible, float),
    "bool": lambda text: {"true": True, "false": False}[text.lower()],
}
"""Converters from text, by the type that the notebook declares."""


def _same(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()


def _similar(name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""
