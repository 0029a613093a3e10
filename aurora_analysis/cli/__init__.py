"""The commands: one module per command.

Only this package prints, and only `connections` makes clients and engines. Imports of pandas, Delta and papermill wait
inside the commands, so that `digest` and `--help` start at once.
"""

from __future__ import annotations

import atexit
import errno
import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from itertools import pairwise

import click

from aurora_analysis import __version__
from aurora_analysis.cli import output
from aurora_analysis.errors import Error, Unfinished

gc.freeze()  # no search for garbage looks at the imported modules again, which takes 3 ms
atexit.register(gc.freeze)  # the system takes the memory back; a last search would take 10 ms

COMMANDS = (
    "report",
    "review",
    "notebooks",
    "fetch",
    "doctor",
    "digest",
    "fingerprint",
    "ingest",
    "watch",
    "workloads",
    "experiment",
    "drill",
    "baseline",
    "store",
    "lab",
    "mcp",
)
"""Each is the command of this name in the module of this name, which is imported when the command is needed."""


class Commands(click.Group):
    """A group whose commands print an `Error` or an error of AWS as one line on standard error; exit code 2, or 1."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; errors in them must be printable, too, and --help and --version print."""
        output.tolerate_any_encoding()
        _refuse_empty(ctx, args)
        with _errors_in_one_line():
            return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of this name; None if there is none."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"{__name__}.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run the command that the arguments name."""
        with _errors_in_one_line():
            return super().invoke(ctx)


@contextmanager
def _errors_in_one_line() -> Iterator[None]:
    """Print an error that the user or the machine caused as one line, and exit with 2 or 1."""
    try:
        yield
    except Error as problem:
        output.echo(f"aurora-analysis: {problem}", err=True)
        sys.exit(1 if isinstance(problem, Unfinished) else 2)
    except OSError as problem:
        if problem.errno != errno.ENOSPC:
            raise
        import tempfile

        where = problem.filename or f"the output, or of {tempfile.gettempdir()} (TMPDIR),"
        output.echo(
            f"aurora-analysis: The disk of {where} is full: make room, then rerun the command.", err=True
        )
        sys.exit(1)
    except MemoryError:
        output.echo(
            "aurora-analysis: There is not enough memory: close other programs, or raise the limit (ulimit -v).",
            err=True,
        )
        sys.exit(1)
    except Exception as problem:
        # Importing botocore for its classes would slow every command down.
        if not type(problem).__module__.startswith(("botocore.", "boto3.")):
            raise
        from aurora_analysis.sources.aws.errors import explained, is_outside

        output.echo(f"aurora-analysis: {explained(problem)}", err=True)
        sys.exit(1 if is_outside(problem) else 2)


def _refuse_empty(ctx: click.Context, args: Sequence[str]) -> None:
    """Refuse an empty argument: it would count as left out, and an unset shell variable would drop a limit."""
    for before, argument in pairwise([ctx.info_name or "aurora-analysis", *args]):
        option, _, value = argument.partition("=")
        is_pair = argument.startswith("--") and "=" in argument
        if not (value if is_pair else argument).strip():
            named = option if is_pair else before
            what = f"The value of {named}" if named.startswith("-") else f"The argument after {named}"
            raise click.UsageError(f"{what} is empty. Is a shell variable unset?", ctx)


def _version(context: click.Context, is_wanted: bool) -> None:
    if not is_wanted or context.resilient_parsing:
        return
    from aurora_analysis.engines import compiled

    scanner = "compiled" if compiled.library() else "pure Python"
    reason = f" (${compiled.PURE} is set)" if compiled.is_pure() else ""
    click.echo(f"aurora-analysis {__version__}; slow-log scanner: {scanner}{reason}")
    context.exit()


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes of every command: 0 done; 1 something did not finish; 2 the input is wrong; "
    "3 a finding is at or above --fail-on. The help of each command says when it exits with 1.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda context, _, is_wanted: _version(context, is_wanted),
    help="Show the version, and which scanner reads slow logs, and exit.",
)
def main() -> None:
    """Does that query on the Aurora reader slow the writer, by how much, and how sure are we?

    A flag wins over the environment (AURORA_ANALYSIS_*), which wins over aurora-analysis.toml in this folder or one
    above.
    """
