"""What commands print, and how far they are: nothing in the data acts on the terminal."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from aurora_analysis.printable import printable

SHOWN_AFTER_S = 0.5
"""A command that is faster shows no progress [s]."""

REDRAWN_EVERY_S = 0.1
BAR = 30
"""Length of a progress bar [characters]."""


def echo(text: object, *, err: bool = False) -> None:
    """Print a text that may hold names from the data, without characters that a terminal would act on."""
    click.echo(printable(text, keep="\n\t"), err=err)


def width() -> int:
    """Return the width of the terminal; 80 if the output is not a terminal [characters]."""
    return shutil.get_terminal_size((80, 24)).columns


def has_colour() -> bool:
    """Return whether standard output is a terminal whose user did not turn colours off (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


@contextmanager
def progress(total: int) -> Iterator[Callable[[int], None]]:
    """Show on a terminal how much of a log has been read, on standard error, and remove it at the end.

    Parameters
    ----------
    total : int
        Size of the log [bytes]; 0 if it is not known.

    Yields
    ------
    callable
        Takes the number of bytes read since the last call.
    """
    started = drawn = time.monotonic()
    read, is_drawn, is_terminal = 0, False, sys.stderr.isatty()

    def show(size: int) -> None:
        nonlocal read, drawn, is_drawn
        read += size
        now = time.monotonic()
        if is_terminal and now - started >= SHOWN_AFTER_S and now - drawn >= REDRAWN_EVERY_S:
            drawn, is_drawn = now, True
            click.echo(f"\r{bar(read, total, now - started)}\x1b[K", err=True, nl=False)

    try:
        yield show
    finally:
        if is_drawn:
            click.echo("\r\x1b[K", err=True, nl=False)


def bar(read: int, total: int, elapsed_s: float) -> str:
    """Return a progress bar as text; without a total, only how much has been read.

    >>> bar(50_000_000, 200_000_000, 2.0)
    '[#######.......................]  25% of 200 MB, 6 s left'
    >>> bar(50_000_000, 0, 2.0)
    '50 MB read'
    """
    if total <= 0 or read > total:
        return f"{read / 1e6:,.0f} MB read"
    share = read / total
    left_s = elapsed_s * (1 - share) / share if share else 0
    full = int(share * BAR)
    return f"[{'#' * full}{'.' * (BAR - full)}] {share:4.0%} of {total / 1e6:,.0f} MB, {left_s:,.0f} s left"
