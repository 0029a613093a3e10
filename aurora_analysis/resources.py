"""Where the suite's notebooks and its sample store are: beside the package in a checkout, inside it when installed."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parent


def notebooks() -> Path:
    """The folder of the suite's notebooks."""
    return _folder("notebooks")


def sample() -> Path:
    """The folder of the sample store: clusters `lab` (recorded) and `shop` (simulated)."""
    return _folder("data/sample")


def _folder(name: str) -> Path:
    installed = PACKAGE / name
    return installed if installed.is_dir() else PACKAGE.parent / name
