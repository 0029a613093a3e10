"""Where the store is: the one resolver, for every command and for notebooks.

The first of these that names one: the flag, AURORA_ANALYSIS_STORE, `store` in the settings file, and for reading
commands the bundled sample.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from aurora_analysis.errors import Error

VARIABLE = "AURORA_ANALYSIS_STORE"
PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Location:
    """A store's folder or s3:// prefix, and what named it."""

    place: str
    origin: str

    @property
    def is_sample(self) -> bool:
        """Whether this is the sample that ships with the package."""
        return self.place == str(sample())


def sample() -> Path:
    """Return the folder of the sample store: beside the package in a checkout, inside it when installed."""
    installed = PACKAGE / "data" / "sample"
    return installed if installed.is_dir() else PACKAGE.parent / "data" / "sample"


def resolve(flag: str = "", *, settings: str = "", settings_file: str = "") -> Location:
    """Return the store to read: flag, then environment, then settings file, then the sample."""
    return _named(flag, settings, settings_file) or Location(str(sample()), "the sample")


def writable(flag: str = "", *, settings: str = "", settings_file: str = "") -> Location:
    """Return the store to write; the sample is never written to.

    Raises
    ------
    Error
        If nothing names a store, or what is named is the sample.
    """
    found = _named(flag, settings, settings_file)
    if found is None:
        raise Error(
            f"No store to write into: pass --store FOLDER, or set {VARIABLE}, or `store` in the settings file."
        )
    if found.is_sample:
        raise Error(f"{found.origin} names the bundled sample, which is read-only: name another folder.")
    return found


def _named(flag: str, settings: str, settings_file: str) -> Location | None:
    candidates = (
        (flag, "--store"),
        (os.environ.get(VARIABLE, ""), VARIABLE),
        (settings, settings_file or "the settings file"),
    )
    return next((Location(place, origin) for place, origin in candidates if place), None)
