"""Print results and progress, so that nothing in the data acts on the terminal."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from aurora_analysis.printable import json_line, printable

SHOWN_AFTER_S = 0.5
"""A command that is faster shows no progress [s]."""

REDRAWN_EVERY_S = 0.1
BAR = 30
"""Length of a progress bar [characters]."""


def echo(text: object, *, err: bool = False) -> None:
    """Print a text that may hold names from the data, without characters that a terminal would act on."""
    click.echo(printable(text, keep="\n\t"), err=err)


def tolerate_any_encoding() -> None:
    """Print ? for a character that the console's encoding lacks (cp1252 has no arrow), instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def echo_json(line: str) -> None:
    """Print a JSON document; with escapes if the output's encoding lacks one of its characters."""
    try:
        line.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        line = json.dumps(json.loads(line))
    click.echo(line)


def echo_rows(rows: list[dict[str, Any]]) -> None:
    """Print rows as one JSON list."""
    echo_json(json_line(rows))


def plain_rows(frame: Any) -> list[dict[str, Any]]:
    """Return a frame's rows as plain data: times as ISO texts in UTC, missing values as None."""
    found = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [
        {
            name: value.isoformat().replace("+00:00", "Z") if hasattr(value, "isoformat") else value
            for name, value in row.items()
        }
        for row in found
    ]


def notes() -> Callable[[str], None]:
    """Return a function that prints progress on standard error, or nothing with --quiet.

    Call this in the command's own thread: other threads do not know the options.
    """
    return (lambda _: None) if is_quiet() else (lambda line: echo(line, err=True))


IS_QUIET = f"{__name__}.quiet"


def is_quiet() -> bool:
    """Return whether the command was called with --quiet."""
    context = click.get_current_context(silent=True)
    return bool(context and context.meta.get(IS_QUIET))


def width() -> int:
    """Return the width of the terminal; 80 if the output is not a terminal [characters]."""
    import shutil  # with its archives it takes 4 ms

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
    read, is_drawn, is_terminal = 0, False, sys.stderr.isatty() and not is_quiet()

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
