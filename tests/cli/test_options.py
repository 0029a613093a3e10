"""Options are defined once, and every help text stands alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from aurora_analysis.cli import main, options

PACKAGE = Path(options.__file__).parent
SEVERAL_TEXTS = {
    "--format": "digest's profile has three forms, report's pages one more, and a review is also Markdown",
    "--lab": "experiment's servers belong to a lab, drill starts one",
    "--objective": "review's is a slowdown, drill's is a time",
    "--processes": "digest chooses the number by size, and one process of ingest writes",
    "--production": "a trial only observes production, a drill breaks it",
    "--output": "a report is a folder, a review a file",
    "--sql": "doctor takes servers (URL) to check, experiment the file with the query, review one that has not run",
}
"""Options with more than one help text, and why."""


def commands(group: click.Group = main, name: str = "") -> list[tuple[str, click.Command]]:
    """Every command and its full name, groups included."""
    found: list[tuple[str, click.Command]] = []
    context = click.Context(group)
    for each in group.list_commands(context):
        command = group.get_command(context, each)
        full = f"{name} {each}".strip()
        found.append((full, command))
        if isinstance(command, click.Group):
            found += commands(command, full)
    return found


LEAVES = [(name, command) for name, command in commands() if not isinstance(command, click.Group)]


def test_each_option_has_one_help_text():
    """Whatever command it belongs to; exceptions are listed with a reason."""
    texts: dict[str, set[str]] = defaultdict(set)
    for _, command in LEAVES:
        for option in command.params:
            if isinstance(option, click.Option):
                texts[option.opts[0]].add(option.help or "")
    assert {name for name, found in texts.items() if len(found) > 1} == set(SEVERAL_TEXTS)


@pytest.mark.parametrize(("name", "command"), LEAVES, ids=[name for name, _ in LEAVES])
def test_every_help_text_stands_alone(name, command):
    """Each visible option has a sentence that neither refers to another option's text nor lacks its subject."""
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            text = option.help or ""
            assert len(text.split()) > 2, f"{name} {option.opts[0]} has no help text"
            assert text[0].isupper() or text.split()[0].endswith(":"), f"{name} {option.opts[0]}: {text}"
            assert text.rstrip().endswith((".", "]")), f"{name} {option.opts[0]}: {text}"
            assert not text.startswith(("Of ", "Only ", "Its ", "For ")), f"{name} {option.opts[0]}: {text}"
            assert "likewise" not in text


@pytest.mark.parametrize(("name", "command"), LEAVES, ids=[name for name, _ in LEAVES])
def test_every_help_says_when_it_exits_with_which_code(name, command):
    """The last paragraph lists the exit codes."""
    assert "Exit codes: 0 done;" in CliRunner().invoke(main, [*name.split(), "--help"]).output


REQUIRING = [
    (name, command)
    for name, command in LEAVES
    if any(isinstance(one, click.Option) and one.required for one in command.params)
]


@pytest.mark.parametrize(("name", "command"), REQUIRING, ids=[name for name, _ in REQUIRING])
def test_a_missing_required_option_is_named(name, command):
    """Not the sample's data, and not a traceback from the depths of the store."""
    words = ["x" for one in command.params if isinstance(one, click.Argument)]
    ran = CliRunner().invoke(main, [*name.split(), *words])
    assert ran.exit_code == 2
    assert "Missing option '--" in ran.output


@pytest.mark.parametrize(
    "group", [[], ["baseline"], ["lab"], ["store"]], ids=lambda group: " ".join(group) or "main"
)
def test_lists_of_commands_cut_no_sentence(group):
    """At the width of a terminal each command's line is whole."""
    shown = CliRunner().invoke(main, [*group, "--help"], terminal_width=80).output
    lines = shown.split("Commands:\n")[1].split("\n\n")[0].splitlines()
    assert len(lines) == len([name for name, _ in commands() if name.split()[:-1] == group])
    assert all(line.endswith(".") and not line.endswith("...") for line in lines)


def test_only_one_module_makes_clients_and_engines():
    """Elsewhere in the package's commands neither boto3 nor SQLAlchemy is imported when the program runs."""
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert path.name == "connections.py" or not {"boto3", "sqlalchemy"} & set(names), path.name


def test_commands_take_at_most_six_arguments():
    """Related options are one dataclass; no command passes an untyped dict."""
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                assert len(node.args.args) + len(node.args.kwonlyargs) <= 6, f"{path.name} {node.name}"
                assert node.args.kwarg is None or path.name == "options.py", f"{path.name} {node.name}"


def test_help_imports_neither_pandas_nor_delta():
    """`--help` answers at once."""
    program = (
        "import sys\nfrom aurora_analysis.cli import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "print(sorted({'pandas', 'numpy', 'pyarrow', 'deltalake', 'boto3', 'sqlalchemy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(("text", "seconds"), [("5s", 5), ("30m", 1800), ("1.5h", 5400), ("2d", 172_800)])
def test_durations_are_in_seconds(text, seconds):
    """A number and one of s, m, h, d."""
    assert options.Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "5", "s", "-1m", "0s", "5 minutes", "nanh"])
def test_a_wrong_duration_is_refused(text):
    """The message shows how to write a duration."""
    with pytest.raises(click.BadParameter, match="is not a duration: write it as 5s, 30m, 1h or 1d"):
        options.Duration().convert(text, None, None)


@pytest.mark.parametrize(("name", "command"), LEAVES, ids=[name for name, _ in LEAVES])
def test_an_empty_value_is_refused(name, command):
    """An unset shell variable never opens the sample, drops a limit, or names a cluster without a name."""
    for option in command.params:
        if isinstance(option, click.Option) and not option.is_flag:
            given = max(option.opts, key=len)
            for arguments in ([given, ""], [given, " "], [f"{given}="]):
                result = CliRunner().invoke(main, [*name.split(), *arguments])
                assert result.exit_code == 2, given
                assert f"The value of {given} is empty" in result.stderr


def test_an_empty_argument_is_refused():
    """The message names the argument before it."""
    result = CliRunner().invoke(main, ["digest", "a.log", ""])
    assert result.exit_code == 2
    assert "The argument after a.log is empty" in result.stderr


def test_numbers_are_finite():
    """A trial whose limit is nan would never stop at it."""
    numbers = [
        option.type
        for _, command in LEAVES
        for option in command.params
        if isinstance(option.type, click.types.FloatParamType | options.Duration)
    ]
    assert len(numbers) >= 20
    for number in numbers:
        unit = "s" * isinstance(number, options.Duration)
        for value in ("nan", "inf", "-inf"):
            with pytest.raises(click.BadParameter):
                number.convert(value + unit, None, None)
