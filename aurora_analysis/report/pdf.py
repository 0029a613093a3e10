"""Print a report's pages as PDF through an installed Chromium or Chrome."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from aurora_analysis.errors import Error

BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
)
"""Commands of browsers that print, the preferred first."""

TIMEOUT_S = 120.0
"""Time limit for one page [s]."""


def browser() -> str:
    """Return the path of an installed browser.

    Raises
    ------
    Error
        If none is on the PATH.
    """
    found = next((path for path in map(shutil.which, BROWSERS) if path), None)
    if found is None:
        raise Error(
            f"--format pdf needs Chromium or Chrome, and none of {', '.join(BROWSERS)} is on the PATH. Install one, or "
            "omit --format and print the pages from a browser."
        )
    return found


def write(folder: Path, command: str) -> None:
    """Print each HTML page of a report's folder as a PDF beside it.

    Parameters
    ----------
    folder
        The report's folder.
    command
        Path of the browser.

    Raises
    ------
    Error
        If the browser fails or takes longer than `TIMEOUT_S`.
    """
    for page in sorted(folder.rglob("*.html")):
        _print(page, command)


def _print(page: Path, command: str) -> None:
    target = page.with_suffix(".pdf")
    sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        given = [command, "--headless", *sandbox, "--disable-gpu", f"--user-data-dir={profile}"]
        given += ["--no-pdf-header-footer", f"--print-to-pdf={target}", page.resolve().as_uri()]
        try:
            subprocess.run(given, check=True, capture_output=True, timeout=TIMEOUT_S)
        except (OSError, subprocess.SubprocessError) as problem:
            target.unlink(missing_ok=True)
            reason = (
                f"took longer than {TIMEOUT_S:g} s"
                if isinstance(problem, subprocess.TimeoutExpired)
                else "failed"
            )
            raise Error(f"{command} {reason} on {page.name}; the HTML pages are complete.") from problem
    if not target.exists():
        raise Error(f"{command} printed no PDF of {page.name}; the HTML pages are complete.")
