"""Every command finds its store the same way: flag, environment, settings file, then the sample or a refusal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from aurora_analysis.cli import main
from aurora_analysis.sources import log_files
from aurora_analysis.store import location, migration
from aurora_analysis.store import store as store_module

READING = {"report", "review", "mcp", "baseline list", "baseline show", "store coverage", "workloads suggest"}
"""Commands that open the sample if nothing names a store; every other command refuses."""

SERVER = ["--writer", "mysql://monitor@127.0.0.1:1/"]
ARGUMENTS = {
    "report": [],
    "review": ["--cluster", "shop", "--hold", "1h"],
    "fetch": ["--cluster", "shop", "--week", "2026-W46"],
    "ingest": ["--cluster", "shop", "--instance", "shop-1", "slow.log"],
    "lab record": [],
    "lab trial": [],
    "lab simulate": [],
    "baseline save": ["calm", "--cluster", "shop", "--week", "2026-W46"],
    "baseline list": ["--cluster", "shop"],
    "baseline show": ["calm", "--cluster", "shop"],
    "baseline drop": ["calm", "--cluster", "shop"],
    "workloads suggest": ["--cluster", "shop"],
    "mcp": ["--reports", "."],
    "watch": SERVER,
    "experiment": [*SERVER, "--lab", "--sql", "query.sql"],
    "drill": ["failover", "--lab"],
    "store coverage": [],
    "store compact": [],
    "store migrate": [],
    "store prune": [],
}
"""Command → the arguments that it needs to reach its store. A new command with --store must be added here."""


def leaves(group: click.Group, name: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command and its full name."""
    context = click.Context(group)
    for each in group.list_commands(context):
        command = group.get_command(context, each)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, f"{name} {each}".strip())
        else:
            yield f"{name} {each}".strip(), command


def with_option(option: str) -> list[str]:
    """The commands that have this option."""
    return [name for name, command in leaves(main) if any(option in each.opts for each in command.params)]


class OpenedError(Exception):
    """Raised in place of opening a store: what would have been opened."""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a command up to the point where it opens its store."""

    def opened(self, place="", **_):
        raise OpenedError(str(place) or location.resolve().place)

    monkeypatch.setattr(store_module.Store, "__init__", opened)
    monkeypatch.setattr(log_files, "is_stored", lambda name, target: opened(None, target.location))
    monkeypatch.setattr(migration, "migrate", lambda store, to: opened(None, store))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "query.sql").write_text("SELECT 1")
    (tmp_path / "slow.log").touch()

    def run(command: str, *more: str) -> Result:
        return CliRunner().invoke(main, [*command.split(), *ARGUMENTS[command], *more])

    return run


def place(result: Result) -> str:
    """The store that the command opened."""
    assert isinstance(result.exception, OpenedError), result.output
    return str(result.exception)


def settings(folder: Path, store: str) -> None:
    """A settings file that names a store."""
    (folder / "aurora-analysis.toml").write_text(f"store = '{store}'\n")


def test_every_command_with_a_store_is_tried():
    """A command that is added later must be added to ARGUMENTS too."""
    assert sorted(with_option("--store")) == sorted(ARGUMENTS)


@pytest.mark.parametrize("command", ARGUMENTS)
def test_the_flag_wins(run, command, tmp_path, monkeypatch):
    """--store goes before the environment and the settings file."""
    monkeypatch.setenv(location.VARIABLE, "from-environment")
    settings(tmp_path, "from-settings")
    assert place(run(command, "--store", "from-flag")) == "from-flag"


@pytest.mark.parametrize("command", ARGUMENTS)
def test_the_environment_goes_before_the_settings_file(run, command, tmp_path, monkeypatch):
    """AURORA_ANALYSIS_STORE is taken as it is written."""
    monkeypatch.setenv(location.VARIABLE, "from-environment")
    settings(tmp_path, "from-settings")
    assert place(run(command)) == "from-environment"


@pytest.mark.parametrize("command", ARGUMENTS)
def test_the_settings_file_names_the_store(run, command, tmp_path, monkeypatch):
    """From a folder below the settings file too; a relative store is relative to the file's folder."""
    settings(tmp_path, "./mystore")
    below = tmp_path / "below"
    below.mkdir()
    (below / "query.sql").write_text("SELECT 1")
    for folder in (tmp_path, below):
        monkeypatch.chdir(folder)
        result = run(command)
        assert place(result) == str(tmp_path / "mystore")
        assert "sample" not in result.stderr


@pytest.mark.parametrize("command", ARGUMENTS)
def test_without_a_store_commands_read_the_sample_and_say_so_or_refuse(run, command):
    """Reading opens the sample with a line on standard error; writing refuses with one line and exit code 2."""
    result = run(command)
    if command in READING:
        assert place(result) == str(location.sample())
        assert result.stderr.startswith("No store is named")
        assert "opening the bundled sample" in result.stderr
    else:
        assert result.exit_code == 2
        assert "No store to write into: pass --store" in result.stderr
        assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", sorted(set(ARGUMENTS) - READING))
def test_no_command_writes_into_the_sample(run, command):
    """However the sample's folder is named."""
    result = run(command, "--store", f"{location.sample()}/")
    assert result.exit_code == 2
    assert "--store names the bundled sample, which is read-only" in result.stderr


def test_a_settings_file_that_cannot_be_read_is_an_error_only_if_it_is_needed(run, tmp_path):
    """With --store, a broken file does not stop commands that read nothing else from it."""
    (tmp_path / "aurora-analysis.toml").write_text("[rates")
    assert place(run("store coverage", "--store", "mine")) == "mine"
    assert run("store coverage").exit_code == 2


@pytest.mark.parametrize(
    "command", ["store coverage", "store compact", "store prune", "store migrate", "report"]
)
def test_a_mistyped_store_is_an_error(command, tmp_path):
    """A store that does not exist is not an empty answer, and is not created."""
    result = CliRunner().invoke(main, [*command.split(), "--store", str(tmp_path / "typo")])
    assert result.exit_code == 2
    assert f"The store {tmp_path / 'typo'} is empty" in result.stderr
    assert not (tmp_path / "typo").exists()
