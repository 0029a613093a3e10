"""`fingerprint`: the digest and fingerprint of SQL on standard input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aurora_analysis.cli import options, output

if TYPE_CHECKING:
    from aurora_analysis.cli.options import SqlModeOptions


@click.command(
    short_help="Print digest and fingerprint of SQL on standard input.", epilog=options.exit_codes()
)
@options.engine()
@options.SQL_MODE
def fingerprint(engine: str, sql_mode: SqlModeOptions) -> None:
    """Print the digest, a tab and the fingerprint of each statement on standard input.

    Statements are separated by a semicolon and a newline.
    """
    from aurora_analysis import engines
    from aurora_analysis.engines.sql_mode import DEFAULT_MODE
    from aurora_analysis.errors import Error
    from aurora_analysis.sources import log_files

    found_in, mode = engines.module(engine, "fingerprint"), sql_mode.mode()
    if engine == "postgresql" and mode != DEFAULT_MODE:
        raise Error("PostgreSQL has no sql_mode: leave out --no-backslash-escapes and --ansi-quotes.")
    text = log_files.stdin().read().decode("utf-8", "replace")
    if not text.strip():
        raise Error("Standard input is empty: pipe SQL statements into it.")
    for sql in found_in.split(text, mode):
        if sql.strip():
            found = found_in.statement(sql, mode)
            output.echo(f"{found.digest}\t{found.fingerprint}")
