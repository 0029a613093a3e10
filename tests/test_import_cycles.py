"""Any module can be imported first: no import cycle exists, package `__init__` files included."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "aurora_analysis"


def modules(package: Path = PACKAGE) -> dict[str, Path]:
    """Each module of a package by its dotted name; a folder's name stands for its `__init__` file."""
    named = {path.relative_to(package.parent).with_suffix(""): path for path in package.rglob("*.py")}
    return {".".join(name.parts).removesuffix(".__init__"): path for name, path in named.items()}


def imported_on_load(body: list[ast.stmt], known: set[str]) -> Iterator[str]:
    """Modules that are imported when the statements run, without those in functions."""
    for node in body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in known else node.module
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from imported_on_load(node.orelse, known)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
            yield from imported_on_load(inner, known)


def import_graph(package: Path = PACKAGE) -> dict[str, set[str]]:
    """Module → modules that must be complete before it; loading a module loads the packages around it first.

    The packages around the importing module itself are already being loaded, so they do not count unless it imports
    a name from them.
    """
    found = modules(package)
    graph = {}
    for name, path in found.items():
        targets = set(imported_on_load(ast.parse(path.read_text()).body, set(found))) & set(found)
        around = {ancestor for target in targets for ancestor in packages_around(target)}
        graph[name] = (targets | (around & set(found)) - {name, *packages_around(name)}) - {name}
    return graph


def packages_around(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]


def test_no_import_cycle_exists():
    """The modules can be sorted so that each one imports only earlier ones; `CycleError` names a cycle."""
    order = list(TopologicalSorter(import_graph()).static_order())
    assert set(order) == set(modules())


def test_a_cycle_through_a_package_is_found(tmp_path):
    """A module that imports another package, whose `__init__` leads back to it, closes a cycle."""
    package = tmp_path / "p"
    for name, text in {
        "__init__": "",
        "a/__init__": "from p.a.x import X",
        "a/x": "from p.b.y import Y",
        "b/__init__": "from p.b.z import Z",
        "b/y": "Y = 1",
        "b/z": "from p.a.x import X",
    }.items():
        path = package / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    try:
        list(TopologicalSorter(import_graph(package)).static_order())
    except ValueError as error:
        assert "cycle" in str(error)
    else:
        raise AssertionError("the cycle was not found")


ALONE = """
import importlib, sys
for name in sys.argv[1:]:
    for loaded in [one for one in sys.modules if one.split(".")[0] == "aurora_analysis"]:
        del sys.modules[loaded]
    importlib.import_module(name)
"""


def test_each_top_level_package_can_be_imported_first():
    """In a fresh process, with every module of the package forgotten before each import."""
    rooms = sorted(name for name in modules() if name.count(".") == 1 and not name.endswith("__main__"))
    ran = subprocess.run(
        [sys.executable, "-c", ALONE, *rooms], check=False, cwd=ROOT, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
