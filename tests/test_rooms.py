"""Imports flow one way: two short chains that meet only in the notebook."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "aurora_analysis"

SHARED = {"errors", "window", "tables", "histogram", "engines", "config", "statement_labels"}
"""Rooms that every other may use."""

MAY_USE = {
    **{room: SHARED - {room} for room in SHARED},
    "engines": SHARED | {"store"},
    "store": SHARED | {"store"},
    "sources": SHARED | {"sources", "store", "fetch.chunks"},
    "fetch": SHARED | {"fetch", "sources", "store"},
    "live": SHARED | {"live", "sources", "store"},
    "analysis": SHARED - {"config"} | {"analysis", "store.observations"},
    "plots": SHARED - {"config"} | {"plots"},
    "executors": set(),
    "report": SHARED | {"report", "store", "analysis.verdict", "executors"},
    "lab": SHARED | {"lab", "store", "sources", "live"},
    "": {"window", "store"},
    "__main__": {"cli"},
}
"""Room → the rooms it may import. `cli` ties them together and may use all."""


def imports(path: Path) -> set[str]:
    """The modules of our own that a file imports, inside functions too."""
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
    """A room uses only what stands before it."""
    module = (
        str(path.relative_to(PACKAGE).with_suffix("")).replace("/", ".").removesuffix("__init__").rstrip(".")
    )
    allowed = MAY_USE[module.split(".")[0]]
    for name in imports(path):
        assert name in allowed or name.split(".")[0] in allowed, f"{module} must not import {name}"


@pytest.mark.parametrize("room", ["analysis", "plots", "sources"])
def test_a_room_stands_without_the_other_chain(room):
    """Delete analysis and fetching still works; delete sources and every notebook still runs."""
    reached, waiting = set(), {room}
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting |= {part.split(".")[0] for part in MAY_USE.get(name, set())} - reached
    assert not ({"analysis", "sources"} <= reached)
