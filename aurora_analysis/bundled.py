"""Folders that ship with the package: inside it when installed, beside it in a checkout."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parent


def bundled(name: str) -> Path:
    """Return a folder that ships with the package.

    Parameters
    ----------
    name : str
        Its path from the root of a checkout, such as "notebooks" or "data/sample".

    Returns
    -------
    pathlib.Path
    """
    installed = PACKAGE / name
    return installed if installed.is_dir() else PACKAGE.parent / name
