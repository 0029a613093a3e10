"""What the tests share: real components, found or loudly missed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def real_component(name: str, *programs: str) -> str:
    """The path of the first program that is installed; else skip, or fail where everything is required."""
    found = next(filter(None, (shutil.which(program, path=_path()) for program in programs)), None)
    if found:
        return found
    missing = f"{' or '.join(programs)} is not installed: apt-get install {name}"
    if os.environ.get("AURORA_ANALYSIS_REQUIRE_ALL"):
        pytest.fail(missing)
    pytest.skip(missing)


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])


@pytest.fixture(scope="session")
def mariadbd() -> str:
    """The server program."""
    return real_component("mariadb-server", "mariadbd", "mysqld")


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser program."""
    return real_component("chromium", "chromium", "chromium-browser")


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's settings do not reach the tests."""
    for name in [name for name in os.environ if name.startswith("AURORA_ANALYSIS_")]:
        if name != "AURORA_ANALYSIS_REQUIRE_ALL":
            monkeypatch.delenv(name)
