"""Find the store: the only resolver, for every command and for notebooks.

The first of these that names a store wins: the flag, AURORA_ANALYSIS_STORE, `store` in the settings file, and for
reading only the bundled sample.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from aurora_analysis import config
from aurora_analysis.bundled import bundled
from aurora_analysis.errors import Error
from aurora_analysis.store import address_space

VARIABLE = "AURORA_ANALYSIS_STORE"
SAMPLE = "the bundled sample"
"""Origin of a location that nothing names."""
SAMPLE_OPENED = (
    "No store is named (--store, AURORA_ANALYSIS_STORE, `store` in aurora-analysis.toml): opening the bundled sample, "
    "which holds simulated and recorded clusters."
)
"""Message of commands and `Store()` where nothing names a store: the sample's clusters must not pass for the user's."""


@dataclass(frozen=True)
class Location:
    """A store's folder or s3:// prefix, and what named it."""

    place: str
    origin: str

    @property
    def is_sample(self) -> bool:
        """Whether this is the sample that ships with the package."""
        return is_sample(self.place)

    @property
    def is_default(self) -> bool:
        """Whether nothing named a store, so that the sample is opened."""
        return self.origin == SAMPLE


def sample() -> Path:
    """Return the folder of the sample store: next to the package in a checkout, inside it when installed.

    Returns
    -------
    pathlib.Path
    """
    return bundled("data/sample")


def is_sample(place: str | os.PathLike[str]) -> bool:
    """Return whether a store's folder is the bundled sample, however its path is written.

    Parameters
    ----------
    place : str or path
        Folder or s3:// prefix.

    Returns
    -------
    bool
    """
    return "://" not in str(place) and Path(place).resolve() == sample().resolve()


def resolve(flag: str | os.PathLike[str] = "", *, settings: str | os.PathLike[str] = "") -> Location:
    """Return the store to read: flag, then environment, then settings file, then the sample.

    Parameters
    ----------
    flag : str or path, optional
        The store that the command line or the caller names.
    settings : str or path, optional
        The settings file; by default the one that `config.load` finds. It is read only if neither the flag nor the
        environment names a store.

    Returns
    -------
    Location

    Raises
    ------
    Error
        If the settings file is needed and cannot be read.
    """
    return _named(flag, settings) or Location(str(sample()), SAMPLE)


def writable(flag: str | os.PathLike[str] = "", *, settings: str | os.PathLike[str] = "") -> Location:
    """Return the store to write: flag, then environment, then settings file; never the sample.

    Parameters
    ----------
    flag : str or path, optional
        The store that the command line or the caller names.
    settings : str or path, optional
        The settings file; by default the one that `config.load` finds.

    Returns
    -------
    Location

    Raises
    ------
    Error
        If nothing names a store, or what is named is the sample.
    """
    found = _named(flag, settings)
    if found is None:
        raise Error(
            f"No store to write into: pass --store FOLDER, set {VARIABLE}, or set `store` in {config.FILE}."
        )
    if found.is_sample:
        raise Error(f"{found.origin} names the bundled sample, which is read-only: name another folder.")
    return found


def _named(flag: str | os.PathLike[str], settings: str | os.PathLike[str]) -> Location | None:
    address_space.check()
    if str(flag):
        return Location(str(flag), "--store")
    if os.environ.get(VARIABLE):
        return Location(os.environ[VARIABLE], VARIABLE)
    read = config.load(settings)
    return Location(read.store, read.origin) if read.store else None
