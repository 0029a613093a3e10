"""Building the package: the scanner is compiled where that is possible, and no build fails because of it."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def hook():
    """The build hook, as a module."""
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def checkout(hook, tmp_path, monkeypatch) -> Path:
    """The sources of the scanner, and the library of an earlier build."""
    monkeypatch.delenv("AURORA_ANALYSIS_PURE", raising=False)
    monkeypatch.delenv("CC", raising=False)
    folder = (tmp_path / hook.SOURCE).parent
    folder.mkdir(parents=True)
    for path in (ROOT / hook.SOURCE).parent.glob("_scanner*.[ch]"):
        shutil.copy(path, folder)
    (tmp_path / hook.LIBRARY).write_bytes(b"old")
    return tmp_path


def build(hook, checkout: Path, target: str = "wheel") -> tuple[dict, list[str]]:
    """What the hook adds to the build, and its warnings."""
    warnings: list[str] = []
    app = type("App", (), {"display_warning": staticmethod(warnings.append)})
    data: dict = {"artifacts": []}
    hook.CompiledScanner(str(checkout), {}, None, None, "", target, app).initialize("standard", data)
    return data, warnings


def have_compiler(hook) -> None:
    """Skip without a compiler, or fail where everything is required."""
    if hindrance := hook._hindrance():
        (pytest.fail if os.environ.get("AURORA_ANALYSIS_REQUIRE_ALL") else pytest.skip)(hindrance)


def test_a_wheel_has_the_library_for_every_python_from_3_11_on(hook, checkout):
    """It is named after the platform, and the library replaces an older one."""
    have_compiler(hook)
    data, warnings = build(hook, checkout)
    assert warnings == []
    assert data == {
        "artifacts": [hook.LIBRARY],
        "pure_python": False,
        "tag": f"cp311-abi3-{hook.platform()}",
    }
    assert (checkout / hook.LIBRARY).read_bytes()[:4] in (
        b"\x7fELF",
        b"\xcf\xfa\xed\xfe",
        b"\xca\xfe\xba\xbe",
    )
    beside = sorted(path.suffix for path in (checkout / hook.LIBRARY).parent.iterdir())
    assert beside == [".c", *[".h"] * (len(beside) - 2), ".so"]


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"AURORA_ANALYSIS_PURE": "1"}, "AURORA_ANALYSIS_PURE is set"),
        ({"CC": f"{shlex.quote(sys.executable)} -c raise(SystemExit(3))"}, "exit code 3"),
        ({"CC": "/nonexistent/cc"}, "/nonexistent/cc: No such file or directory"),
        ({"PATH": ""}, "there is no C compiler: set CC, or install gcc or clang"),
        ({"CFLAGS": "-DPy_LIMITED_API=no"}, "error"),
    ],
)
def test_a_build_without_the_scanner_is_a_pure_one(hook, checkout, monkeypatch, variables, reason):
    """It warns with the reason, and leaves no library of an earlier build."""
    have_compiler(hook)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    data, warnings = build(hook, checkout)
    assert data == {"artifacts": []}
    assert len(warnings) == 1 and reason in warnings[0] and warnings[0].endswith("pure Python is used.")
    assert not (checkout / hook.LIBRARY).exists()


def test_a_build_without_headers_is_a_pure_one(hook, checkout, tmp_path, monkeypatch):
    """Debian's python3 has none without python3-dev."""
    monkeypatch.setattr(hook.sysconfig, "get_path", lambda name: str(tmp_path))
    assert "has no Python.h" in build(hook, checkout)[1][0]


def test_a_source_distribution_compiles_nothing(hook, checkout):
    """It has the sources; the wheel that is built from it compiles them."""
    assert build(hook, checkout, target="sdist") == ({"artifacts": []}, [])
    assert (checkout / hook.LIBRARY).read_bytes() == b"old"
