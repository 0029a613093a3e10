"""`notebooks`: copy the suite for an analyst."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from aurora_analysis.cli import options, output


@click.command(
    short_help="Copy the notebooks into a folder, to open in JupyterLab.", epilog=options.exit_codes()
)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@options.QUIET
@click.option("--force", is_flag=True, help="Overwrite notebooks in the folder that differ from the suite's.")
def notebooks(folder: Path, force: bool) -> None:
    """Copy the suite's notebooks into FOLDER, to open in JupyterLab.

    Notebooks in FOLDER that differ from the suite's are kept: the command refuses unless you pass --force.
    """
    from aurora_analysis.report import suite

    for copied in suite.copy(folder, force=force):
        click.echo(copied)
    output.notes()(f"Open them: jupyter lab {shlex.quote(str(folder))}")
