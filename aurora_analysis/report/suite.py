"""The suite: which notebooks there are, what each asks for, and a copy of them for an analyst."""

from __future__ import annotations

import difflib
import logging
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import papermill

from aurora_analysis.errors import Error
from aurora_analysis.store import Store
from aurora_analysis.window import Window

STANDARD = ("store", "cluster", "start", "end", "timezone")
"""Parameters that every notebook has, all text; the report fills them in."""


@dataclass(frozen=True)
class Parameter:
    """A parameter that a notebook declares: `name: type = default  # meaning`."""

    name: str
    type: str
    default: str
    meaning: str


PACKAGE = Path(__file__).parents[1]


def folder() -> Path:
    """Return the folder of the suite's notebooks: beside the package in a checkout, inside it when installed."""
    installed = PACKAGE / "notebooks"
    return installed if installed.is_dir() else PACKAGE.parent / "notebooks"


def notebooks(names: Sequence[str] = ()) -> list[Path]:
    """The notebooks of these names: of the suite, or files of the analyst's own. No names: the whole suite."""
    suite = {path.stem: path for path in sorted(folder().glob("*.ipynb"))}
    if not names and not suite:
        raise Error(f"There is no notebook in {folder()}: install aurora-analysis anew.")
    chosen = [_notebook(name, suite) for name in dict.fromkeys(names)] or list(suite.values())
    doubled = _doubled([path.stem for path in chosen])
    if doubled:
        raise Error(f"Two notebooks are named {doubled!r}: rename one, the name is that of its page.")
    return chosen


def concerns(notebook: Path, store: Store, cluster: str, window: Window) -> bool:
    """Whether a notebook has something to say of a cluster: `experiment` of trials alone, all others always."""
    if notebook.stem != "experiment":
        return True
    trials = store.read("trials", window, cluster=cluster)
    return bool(trials["on_share"].between(0, 1, inclusive="neither").any())


def parameters(notebook: Path) -> dict[str, Parameter]:
    """What a notebook lets its reader choose: the annotated names of its cell tagged `parameters`."""
    # papermill warns of what is checked here, and again on every run.
    logging.getLogger("papermill").setLevel(logging.ERROR)
    try:
        found = papermill.inspect_notebook(str(notebook))
    except Exception as problem:  # whatever a file that is no notebook makes nbformat raise
        raise Error(f"Cannot read the notebook {notebook}: {_first_line(problem)}") from problem
    return {
        name: Parameter(name, told["inferred_type_name"], told["default"], told["help"])
        for name, told in found.items()
    }


def checked(chosen: Sequence[Path], given: Mapping[str, str]) -> dict[Path, dict[str, Any]]:
    """The values that each notebook is to get of those given as text, by the types that it declares.

    A name that no notebook declares, or a value of another type, is an error before anything runs.
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
    """Copy the suite into a folder; a notebook there that differs is kept unless forced, by an error."""
    pairs = [(notebook, folder / notebook.name) for notebook in notebooks()]
    changed = [target.name for source, target in pairs if target.exists() and not _same(source, target)]
    if changed and not force:
        raise Error(
            f"{', '.join(changed)} in {folder} would be overwritten: name another folder, or use --force."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [Path(shutil.copyfile(source, target)) for source, target in pairs]
    except OSError as problem:
        raise Error(
            f"Cannot write to {folder}: {problem.strerror}. Name a folder that you may write."
        ) from None


def _notebook(name: str, suite: Mapping[str, Path]) -> Path:
    if name in suite:
        return suite[name]
    if name.endswith(".ipynb") and Path(name).is_file():
        return Path(name).resolve()
    raise Error(
        f"There is no notebook {name!r}{_similar(name, suite)}: name one of {', '.join(suite)}, or a file .ipynb."
    )


def _doubled(names: Sequence[str]) -> str | None:
    return next((name for name in names if names.count(name) > 1), None)


def _check_standard(notebook: Path, known: Mapping[str, Parameter]) -> None:
    missing = [name for name in STANDARD if name not in known or known[name].type != "str"]
    if missing:
        raise Error(
            f"The notebook {notebook.name} has no text parameter {', '.join(missing)}: "
            f'write `{missing[0]}: str = ""  # …` into its cell tagged parameters.'
        )


def _check_known(name: str, declared: Mapping[Path, Mapping[str, Parameter]]) -> None:
    if name in STANDARD:
        raise Error(f"The parameter {name} has an option of its own: use it instead of -p.")
    others = sorted({one for known in declared.values() for one in known} - set(STANDARD))
    if name not in others:
        told = ", ".join(others) or "none"
        raise Error(f"No notebook has a parameter {name!r}{_similar(name, others)}: there are {told}.")


def _typed(parameter: Parameter, text: str, notebook: Path) -> Any:
    read = READERS.get(parameter.type)
    if read is None:
        raise Error(
            f"{parameter.name} of {notebook.name} is a {parameter.type}, which -p cannot give: "
            f"it gives {', '.join(READERS)}."
        )
    try:
        return read(text)
    except (ValueError, KeyError):
        raise Error(
            f"{parameter.name}={text} does not fit {notebook.name}: give a value of type {parameter.type}"
            f" ({parameter.meaning or 'as in ' + parameter.default})."
        ) from None


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


READERS: dict[str, Callable[[str], Any]] = {
    "str": str,
    "int": int,
    "float": _finite,
    "bool": lambda text: {"true": True, "false": False}[text.lower()],
}
"""How a value is read from text, by the type that the notebook declares."""


def _same(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()


def _similar(name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _first_line(problem: Exception) -> str:
    return next(iter(str(problem).splitlines()), type(problem).__name__)
