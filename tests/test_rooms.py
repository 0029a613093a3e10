"""Imports flow one way: two short chains of packages, which meet only in the notebooks."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "aurora_analysis"

SHARED = {
    "errors", "window", "tables", "glossary", "histogram", "engines", "config", "statement_labels", "bundled", "parameters", "printable",
    "hover",
}  # fmt: skip
"""Modules without a room of their own: words, units and settings that every room shares."""

PURE = SHARED - {"config"}
"""The same for rooms of pure functions, which read no settings."""

MAY_IMPORT = {
    # Shared modules import each other only; engines also read the store for their own tables.
    **{module: SHARED - {module} for module in SHARED},
    "engines": SHARED | {"store"},
    "executors": {"errors"},
    # First chain: from a source into the store.
    "store": SHARED | {"store"},
    "sources": SHARED
    | {"sources", "store", "executors", "fetch.chunks"},  # a chunk is the data type of every source
    "fetch": SHARED | {"fetch", "sources", "store", "executors"},
    "live": SHARED | {"live", "sources", "store"},
    "lab": SHARED | {"lab", "store", "sources", "live"},  # a stand-in cluster is recorded as a real one
    # Second chain: from the store to a verdict and a figure; both meet only in the notebooks.
    "analysis": PURE | {"analysis", "store.observations"},
    "plots": PURE | {"plots"},
    # The report runs notebooks and knows nothing of an analysis but its verdicts, which the archive pools over weeks.
    "report": SHARED
    | {"report", "store", "analysis.fleet", "analysis.trend", "analysis.verdict", "executors"},
    # What agents may ask: findings of reports, and the limits that a store shows.
    "mcp": SHARED | {"mcp", "report", "store", "analysis", ""},
    # The package root offers the public API; `__main__` starts the command line.
    "": {"window", "store"},
    "__main__": {"cli"},
}
"""Room → the rooms or modules that it may import. `cli` ties all rooms together and may import each of them."""


def imports(path: Path) -> set[str]:
    """Return the package's own modules that a file imports, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("aurora_analysis"):
            inside = (node.module or "").removeprefix("aurora_analysis").lstrip(".")
            names = {f"{inside}.{alias.name}".lstrip(".") for alias in node.names}
            found |= {name for name in names if _is_module(name)} or {inside}
        if isinstance(node, ast.Import):
            found |= {
                alias.name.removeprefix("aurora_analysis.")
                for alias in node.names
                if "aurora_analysis" in alias.name
            }
    return found - {""}


def _is_module(name: str) -> bool:
    path = PACKAGE / name.replace(".", "/")
    return path.with_suffix(".py").exists() or path.is_dir()


def files() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path.parent.name != "cli"]


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_flow_one_way(path):
    """A room imports only the rooms that the table allows."""
    module = (
        str(path.relative_to(PACKAGE).with_suffix("")).replace("/", ".").removesuffix("__init__").rstrip(".")
    )
    allowed = MAY_IMPORT[module.split(".")[0]]
    for name in imports(path):
        assert name in allowed or name.split(".")[0] in allowed, (
            f"{module} must not import {name}; its room may import {', '.join(sorted(allowed))}"
        )


OF_ONE_ENGINE = {"lab.server", "lab.sampler", "lab.record"}
"""Modules that name an engine's package: those that start, sample and record the lab's own MariaDB or MySQL."""


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_no_caller_names_an_engines_package(path):
    """A second engine is a folder in `engines/`: everything else takes modules from `engines.module`."""
    module = str(path.relative_to(PACKAGE).with_suffix("")).replace("/", ".").removesuffix(".__init__")
    packages = {f"engines.{each.name}" for each in (PACKAGE / "engines").iterdir() if each.is_dir()}
    named = {name for name in imports(path) for each in packages if f"{name}.".startswith(f"{each}.")}
    assert not named or module.startswith("engines.") or module in OF_ONE_ENGINE


@pytest.mark.parametrize("room", ["analysis", "plots", "sources"])
def test_a_room_works_without_the_other_chain(room):
    """Delete analysis and fetching still works; delete sources and every notebook still runs."""
    reached, waiting = set(), {room}
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting |= {part.split(".")[0] for part in MAY_IMPORT.get(name, set())} - reached
    assert not ({"analysis", "sources"} <= reached)
