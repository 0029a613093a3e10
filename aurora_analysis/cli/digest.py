"""`digest`: a ranked profile of slow logs, without a store."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cache
from typing import IO, TYPE_CHECKING

import click

from aurora_analysis.cli import connections, options, output
from aurora_analysis.sources import inputs

if TYPE_CHECKING:
    from aurora_analysis.cli.options import SqlModeOptions
    from aurora_analysis.engines.sql_mode import SqlMode
    from aurora_analysis.sources.inputs import Source

ORDERS = ("time", "calls", "mean", "p95", "max", "lock", "examined", "sent")
LIMITS = {"text": 20, "html": 200}
"""Default maximum number of statements of a format; json has all."""


@dataclass(frozen=True)
class DigestOptions:
    """Options that select executions and the form of the profile."""

    since: str
    until: str
    user: str
    order_by: str
    limit: int | None
    output_format: str
    with_sql: bool
    processes: int | None
    log_timezone: str


@click.command(short_help="Print a ranked profile of slow logs.", epilog=options.exit_codes(options.UNREAD))
@options.FILES
@options.together(
    "chosen",
    DigestOptions,
    click.option("--since", default="", help="Count executions that ended at this time (UTC) or later."),
    click.option("--until", default="", help="Count executions that ended before this time (UTC)."),
    click.option("--user", default="", help="Count only this user's executions."),
    click.option(
        "--order-by",
        type=click.Choice(ORDERS),
        default="time",
        show_default=True,
        help="Sort statements by this sum or statistic, largest first; jsonl keeps the log's order.",
    ),
    click.option(
        "--limit",
        type=click.IntRange(min=1),
        help="Maximum number of statements [default: text 20, html 200, json all]; jsonl: of executions [default: all].",
    ),
    click.option(
        "--format",
        "output_format",
        type=click.Choice(["text", "html", "json", "jsonl"]),
        default="text",
        show_default=True,
        help="text: a page for the terminal; html: one self-contained page; json: one document; jsonl: one execution per line.",
    ),
    click.option(
        "--with-sql", is_flag=True, help="jsonl: also print the text of each statement, literals included."
    ),
    click.option(
        "--processes",
        type=click.IntRange(min=1),
        help="Number of reading processes [default: 1; up to 4 for 256 MB of text or more].",
    ),
    options.LOG_TIMEZONE,
)
@options.SQL_MODE
@options.QUIET
def digest(files: tuple[str, ...], chosen: DigestOptions, sql_mode: SqlModeOptions) -> None:
    """Print a ranked profile of slow logs: plain, compressed or in an AWS envelope.

    The text shows which engine wrote a log: MySQL's family or PostgreSQL (text with a log_line_prefix, CSV, JSON).
    FILE is a file, a quoted glob, s3://bucket/key, s3://bucket/prefix/ or an s3:// glob; - reads standard input.
    """
    sources = inputs.found(files, connections.s3_client)
    if chosen.output_format == "jsonl":
        _print_executions(sources, chosen, sql_mode.mode(chosen.log_timezone))
    else:
        _print_profile(sources, chosen, sql_mode.mode(chosen.log_timezone))


def _print_executions(files: Sequence[Source], chosen: DigestOptions, mode: SqlMode) -> None:
    """Print one JSON document per execution, and what was lost on standard error."""
    from aurora_analysis import engines
    from aurora_analysis.engines.log_events import Account
    from aurora_analysis.sources import profile, unread
    from aurora_analysis.sources import selection as selections

    account = Account()
    selection = selections.parse(chosen.since, chosen.until, chosen.user)
    printed = 0

    def write(lines: list[str]) -> None:
        nonlocal printed
        for line in lines[: None if chosen.limit is None else chosen.limit - printed]:
            output.echo_json(line)
            printed += 1
        if printed == chosen.limit:
            raise _Enough

    accounts: tuple[str, dict[Source, Account]] = engines.DEFAULT, {}
    with suppress(_Enough):
        accounts = profile.write_lines(
            files, account, write, selection=selection, mode=mode, with_sql=chosen.with_sql
        )
    if not account.is_whole or not account.bytes:
        output.echo(f"# {account}", err=True)
    _note_if_none(printed, account.events)
    unread.check_each(*accounts)


def _note_if_none(selected: int, events: int) -> None:
    """Say on standard error that no execution was selected: an empty profile would look like a quiet server."""
    if events and not selected:
        output.echo(
            f"# None of the logs' {events:,} executions matches --since, --until and --user.", err=True
        )


class _Enough(Exception):
    """Signals that as many executions as requested have been printed."""


def _print_profile(files: Sequence[Source], chosen: DigestOptions, mode: SqlMode) -> None:
    """Print the profile of all files together."""
    from aurora_analysis import engines
    from aurora_analysis.printable import json_line
    from aurora_analysis.sources import log_files, profile, unread
    from aurora_analysis.sources import selection as selections

    total = sum(log_files.size(name) or 0 for name in files)
    with ExitStack() as files_of_profile, output.progress(total) as progress:

        @cache
        def overflow() -> IO[bytes]:
            import tempfile  # most logs need none

            return files_of_profile.enter_context(tempfile.TemporaryFile())

        found = profile.profile_files(
            files,
            overflow,
            processes=chosen.processes or profile.processes_for(files),
            selection=selections.parse(chosen.since, chosen.until, chosen.user),
            mode=mode,
            progress=progress,
        )
        unread.check(found.engine or engines.DEFAULT, found.account, *files)
        limit = chosen.limit or LIMITS.get(chosen.output_format)
        summary = profile.summary(found, order_by=chosen.order_by, limit=limit)
    _note_if_none(summary["events"], found.account.events)
    if chosen.output_format == "text":
        from aurora_analysis.sources import profile_page

        page = profile_page.text(summary, output.width(), colour=output.has_colour())
        click.echo(page)
    elif chosen.output_format == "html":
        from aurora_analysis.sources import profile_html

        click.echo(profile_html.page(summary).encode())  # the page says that it is UTF-8
    else:
        output.echo_json(json_line(summary))
    unread.check_each(found.engine or engines.DEFAULT, found.files)
