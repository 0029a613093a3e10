"""The package stays readable: small files, few parameters, and docstrings with sections where others call."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from numpydoc.docscrape import NumpyDocString

PACKAGE = Path(__file__).parent.parent / "aurora_analysis"
FILES = sorted(PACKAGE.rglob("*.py"))

LONGEST_FILE = 500
"""Lines of a file."""

LONG_FILES: dict[str, str] = {
    "store/store.py": "the public class; more than half of the lines document it",
}
"""Exceptions: file → reason."""

MOST_PARAMETERS = 6
"""Parameters of a function, of any kind, without `self` and `cls`."""

MANY_PARAMETERS: dict[str, str] = {
    "store/store.py::Store.read": "independent keywords of one query, each with a default",
}
"""Exceptions: file::function → reason."""

DOCUMENTED = ("analysis/", "store/", "plots/", "__init__.py")
"""Where public functions need the sections Parameters and Returns."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
Documented = Function | ast.ClassDef


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def functions(path: Path) -> Iterator[tuple[str, Function]]:
    """Each function of a file, by `file::Class.function`."""
    for name, node in definitions(ast.parse(path.read_text()), ""):
        if not isinstance(node, ast.ClassDef):
            yield f"{name_of(path)}::{name}", node


def definitions(parent: ast.AST, prefix: str) -> Iterator[tuple[str, Documented]]:
    """Each function and class below a node, nested ones included."""
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, Documented):
            yield f"{prefix}{node.name}", node
            yield from definitions(node, f"{prefix}{node.name}.")
        else:
            yield from definitions(node, prefix)


def public(path: Path) -> Iterator[tuple[str, Documented]]:
    """Public functions and classes of a module, and public methods of these classes."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, Documented) and not node.name.startswith("_"):
            yield f"{name_of(path)}::{node.name}", node
            if isinstance(node, ast.ClassDef):
                for member in node.body:
                    if isinstance(member, Function) and not member.name.startswith("_"):
                        yield f"{name_of(path)}::{node.name}.{member.name}", member


def parameters(function: Function) -> list[str]:
    """The names of all parameters, without `self` and `cls`."""
    arguments = function.args
    listed = [
        *arguments.posonlyargs,
        *arguments.args,
        arguments.vararg,
        *arguments.kwonlyargs,
        arguments.kwarg,
    ]
    return [one.arg for one in listed if one is not None and one.arg not in {"self", "cls"}]


def returns(function: Function) -> bool:
    """Whether a function returns a value, by its annotation."""
    return function.returns is not None and ast.unparse(function.returns) not in {"None", "NoReturn", "Never"}


def is_property(function: Function) -> bool:
    """Whether a method is read as an attribute, or only declares an overload."""
    names = {ast.unparse(one).split("(")[0].rpartition(".")[2] for one in function.decorator_list}
    return bool(names & {"property", "cached_property", "overload"})


def missing_sections(function: Function) -> list[str]:
    """Sections that a function's docstring lacks (numpydoc's PR01 and RT01); a generator may have Yields."""
    written = NumpyDocString(ast.get_docstring(function) or "")
    described = {name.strip().lstrip("*") for one in written["Parameters"] for name in one.name.split(",")}
    lacking = [f"parameter {name}" for name in parameters(function) if name not in described]
    has_value = bool(written["Returns"] or written["Yields"])
    return lacking + ["Returns"] * (returns(function) and not is_property(function) and not has_value)


def incomplete_docstrings() -> dict[str, list[str]]:
    """Public functions of the documented rooms whose docstring lacks a section → what it lacks."""
    rooms = [path for path in FILES if name_of(path).startswith(DOCUMENTED)]
    found = {name: node for path in rooms for name, node in public(path)}
    return {
        name: lacking
        for name, node in found.items()
        if not isinstance(node, ast.ClassDef) and (lacking := missing_sections(node))
    }


def test_files_are_short():
    """A file above the limit has a reason."""
    long = {name_of(path) for path in FILES if len(path.read_text().splitlines()) > LONGEST_FILE}
    assert long == set(LONG_FILES)


def test_functions_take_few_parameters():
    """A function above the limit has a reason; more belong into a dataclass."""
    many = {
        name for path in FILES for name, node in functions(path) if len(parameters(node)) > MOST_PARAMETERS
    }
    assert many == set(MANY_PARAMETERS)


def test_exceptions_stay_few():
    """A handful, each with a reason."""
    assert len(LONG_FILES) <= 5 and all(LONG_FILES.values())
    assert len(MANY_PARAMETERS) <= 5 and all(MANY_PARAMETERS.values())


def test_public_functions_have_sections():
    """Parameters and Returns, in `analysis`, `store`, `plots` and the package root."""
    assert incomplete_docstrings() == {}


ONE_CHARACTER = {"LITERAL", "NOT_LITERAL", "IN", "ANY"}


def unsafe_repetitions(pattern: str) -> list[str]:
    """Names of what a possessive quantifier repeats, other than one character or an atomic group."""
    if not re.search(r"\)(?:[*+?]|\{[\d,]*\})\+", pattern):
        return []
    try:
        parts = [*re._parser.parse(pattern, re.VERBOSE)]
    except re.error:
        return []
    found = []
    while parts:
        name, argument = parts.pop()
        inner = [argument] if isinstance(argument, re._parser.SubPattern) else argument
        for one in inner if isinstance(inner, tuple | list) else []:
            parts += one if isinstance(one, re._parser.SubPattern) else []
            for branch in one if isinstance(one, list) else []:
                parts += branch if isinstance(branch, re._parser.SubPattern) else []
        if str(name) == "POSSESSIVE_REPEAT":
            names = [str(one) for one, _ in argument[2]]
            captures = re.search(r"\(SUBPATTERN, \(\d", repr(argument[2].data))
            if captures or len(names) != 1 or names[0] not in {*ONE_CHARACTER, "ATOMIC_GROUP"}:
                found.append(" ".join(names))
    return found


def patterns(tree: ast.AST) -> Iterator[str]:
    """Texts of a module that may be patterns; what an f-string inserts is one character here."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            yield node.value if isinstance(node.value, str) else node.value.decode("latin-1")


def test_possessive_quantifiers_repeat_only_what_every_python_repeats_right():
    """Python 3.11.2, which Debian 12 has, misses matches of `(?:a?b|c)*+`, and any 3.11 may raise if a group inside captures."""
    found = {
        (name_of(path), pattern): unsafe
        for path in FILES
        for pattern in patterns(ast.parse(path.read_text()))
        if (unsafe := unsafe_repetitions(pattern))
    }
    assert found == {}
    assert unsafe_repetitions("x(?:(?:a?b|c)*+)?") and unsafe_repetitions("(?>(a)|(b))++")
    assert not unsafe_repetitions(r"(?>a?b|c)*+\s++[ab]?+")


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_modules_and_public_objects_have_docstrings(path):
    """Whoever opens a file or calls `help` finds a sentence."""
    lacking = (
        [] if path.name == "__main__.py" or ast.get_docstring(ast.parse(path.read_text())) else ["module"]
    )
    lacking += [name for name, node in public(path) if not ast.get_docstring(node)]
    assert lacking == []


def test_a_missing_section_is_found():
    """The checks above can fail."""
    undocumented = ast.parse('def shift(series: str, *, hours: int) -> int:\n    """Shift a series."""').body[
        0
    ]
    assert missing_sections(undocumented) == ["parameter series", "parameter hours", "Returns"]
    text = "Shift.\n\n    Parameters\n    ----------\n    series, hours\n        What.\n\n    Returns\n    -------\n    int\n        Sum."
    documented = ast.parse(f'def shift(series: str, *, hours: int) -> int:\n    """{text}\n    """').body[0]
    assert missing_sections(documented) == []
