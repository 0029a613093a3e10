"""Compile the slow log's scanner where that is possible; without it, the package works in pure Python.

A build never fails because of the scanner: without a compiler, without Python's headers, or with
AURORA_ANALYSIS_PURE=1, the wheel is a pure one (`py3-none-any`). Otherwise it holds one library for every Python from
3.11 on (`cp311-abi3-PLATFORM`).
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = "aurora_analysis/engines/mysql/slow_log/_scanner.c"
LIBRARY = "aurora_analysis/engines/mysql/slow_log/_scanner.abi3.so"
LIMITED_API = "0x030b0000"
"""The limited API of Python 3.11."""


class CompiledScanner(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the compiled scanner to a wheel or an editable install."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the scanner, and name what the wheel needs because of it."""
        if self.target_name != "wheel":
            return
        problem = compiled(Path(self.root))
        if problem:
            self.app.display_warning(
                f"The slow log's scanner was not compiled ({problem}): pure Python is used."
            )
            return
        build_data["pure_python"] = False
        build_data["tag"] = f"cp311-abi3-{platform()}"
        build_data["artifacts"].append(LIBRARY)


def compiled(root: Path) -> str:
    """Compile the scanner below this folder; return why that was not possible. Then no older library is left."""
    library = root / LIBRARY
    problem = _hindrance() or _compile(root / SOURCE, library)
    if problem:
        library.unlink(missing_ok=True)
    return problem


def _hindrance() -> str:
    if os.environ.get("AURORA_ANALYSIS_PURE", "0") not in {"", "0"}:
        return "AURORA_ANALYSIS_PURE is set"
    if (
        os.name != "posix"
        or sys.implementation.name != "cpython"
        or sysconfig.get_config_var("Py_GIL_DISABLED")
    ):
        return f"{sys.implementation.name} on {sysconfig.get_platform()} is not supported"
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        return (
            f"{sysconfig.get_path('include')} has no Python.h: install Python's headers, such as python3-dev"
        )
    return "" if compiler() else "there is no C compiler: set CC, or install gcc or clang"


def _compile(source: Path, library: Path) -> str:
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        made = Path(folder) / library.name
        headers = f"-I{sysconfig.get_path('include')}"
        command = [*compiler(), *flags(), headers, str(source), "-o", str(made)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            return f"{command[0]}: {error.strerror}"
        if done.returncode or not made.is_file():
            errors = [line for line in done.stderr.splitlines() if "error" in line]
            return f"{command[0]}: {errors[0] if errors else f'exit code {done.returncode}'}"
        made.replace(library)
    return ""


def compiler() -> list[str]:
    """Return the command of the C compiler: CC, otherwise the one that is found."""
    if named := shlex.split(os.environ.get("CC", "")):
        return named
    return next(([name] for name in ("cc", "gcc", "clang") if shutil.which(name)), [])


def flags() -> list[str]:
    """Return the compiler's options. None of them ties the library to this machine's processor."""
    mac = ["-bundle", "-undefined", "dynamic_lookup", *shlex.split(os.environ.get("ARCHFLAGS", UNIVERSAL))]
    own = mac if sys.platform == "darwin" else ["-shared", "-s"]
    more = shlex.split(os.environ.get("CFLAGS", ""))
    return ["-O2", "-std=c11", "-fPIC", "-DNDEBUG", f"-DPy_LIMITED_API={LIMITED_API}", *more, *own]


UNIVERSAL = "-arch arm64 -arch x86_64" if sysconfig.get_platform().endswith("universal2") else ""
"""The processors of a Python for macOS that runs on both."""


def platform() -> str:
    """Return the platform's part of a wheel's tag."""
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")


if __name__ == "__main__":
    if hindered := compiled(Path(__file__).resolve().parent):
        print(f"The slow log's scanner was not compiled ({hindered}): pure Python is used.", file=sys.stderr)
