"""What commands print: JSON for programs, 80 columns for people, nothing but results with --quiet."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click.shell_completion
import pytest
from click.testing import CliRunner

from aurora_analysis.cli import main
from aurora_analysis.cli.store import coverage_lines
from aurora_analysis.sources import log_files

LOGS = Path(__file__).parent.parent / "slow_logs"
LOG = """# Time: 2026-11-18T11:06:40.013324Z
# User@Host: looker_ro[looker_ro] @  [10.0.0.1]  Id:     1
# Query_time: 3.000000  Lock_time: 0.000000 Rows_sent: 1  Rows_examined: 1
SET timestamp=1795000000;
SELECT `naïve`, `数` FROM `→`;
""".encode()


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> str:
    """A store with one execution of one instance."""
    folder = tmp_path_factory.mktemp("printed")
    (folder / "slow.log").write_bytes(LOG)
    log_files.ingest(log_files.Target(str(folder / "store"), "shop", "shop-2"), str(folder / "slow.log"))
    return str(folder / "store")


def test_coverage_fits_the_terminal_and_says_what_is_missing():
    """Each line at most 80 characters; a request that failed is not a row of zero."""
    common = {"source": "cloudwatch", "time": "2026-11-09T00:00:00Z", "end": "2026-11-10T00:00:00Z"}
    metrics = {"table": "metrics", "expected": 1440.0, "received": 1200.0, "lost": 3.0, "unit": "points"}
    failed = {"table": "events", "expected": None, "received": None, "lost": 0.0, "unit": None}
    rows = [
        common | metrics | {"instance": "i" * 63, "note": None},
        common | failed | {"instance": "i" * 63, "note": "access is denied " * 9},
    ]
    lines = list(coverage_lines(rows, 80))
    assert max(map(len, lines)) <= 80
    assert "    metrics  1,200 of 1,440 points, 3 lost" in lines
    assert any(line.startswith("    events   not received; access is denied") for line in lines)
    assert sum("cloudwatch" in line for line in lines) == 1


def test_the_coverage_of_a_store_as_text_and_as_json(store):
    """Both have the same rows; JSON has plain values."""
    shown = CliRunner().invoke(main, ["store", "coverage", "--store", store])
    assert "  slow_log slow.log, shop-2, 2026-11-18 11:06" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80
    rows = json.loads(CliRunner().invoke(main, ["store", "coverage", "--store", store, "--json"]).stdout)
    assert {row["table"] for row in rows} == {"slow_queries"}
    assert (rows[0]["cluster"], rows[0]["instance"]) == ("shop", "shop-2")
    assert rows[0]["time"].endswith("Z")


def test_suggestions_as_json(store):
    """The rule, the number of executions and the advice, for a program."""
    command = ["workloads", "suggest", "--cluster", "shop", "--store", store, "--json"]
    (suggestion,) = json.loads(CliRunner().invoke(main, command).stdout)
    assert (suggestion["workload"], suggestion["executions"]) == ("looker", 1)
    assert "looker_ro" in suggestion["rule"]


@pytest.mark.parametrize("form", ["text", "json", "jsonl", "html"])
def test_the_output_survives_a_console_of_cp1252(tmp_path, form):
    """Characters that the console lacks are replaced; JSON and HTML stay whole."""
    (tmp_path / "slow.log").write_bytes(LOG)
    options = ["--with-sql"] if form == "jsonl" else []
    command = ["digest", str(tmp_path / "slow.log"), "--format", form, *options]
    done = CliRunner(charset="cp1252").invoke(main, command)
    assert done.exit_code == 0, done.exception
    if form == "text":
        assert "naïve" in done.stdout_bytes.decode("cp1252") and "`?`" in done.stdout
    elif form == "html":
        assert "`→`" in done.stdout_bytes.decode("utf-8")
    else:
        assert "→" in str(json.loads(done.stdout_bytes))


def test_quiet_hides_progress_and_keeps_results(tmp_path):
    """`notebooks` prints the copies; only without --quiet it also prints the next step."""
    loud = CliRunner().invoke(main, ["notebooks", str(tmp_path / "my notebooks")])
    assert loud.stderr == f"Open them: jupyter lab '{tmp_path / 'my notebooks'}'\n"
    quiet = CliRunner().invoke(main, ["notebooks", str(tmp_path / "my notebooks"), "--quiet"])
    assert (quiet.stdout, quiet.stderr) == (loud.stdout, "")


def test_quiet_keeps_warnings(tmp_path):
    """A whole log needs no line; one with an entry that may be damaged does."""
    (tmp_path / "whole.log").write_bytes(LOG)
    into = ["--cluster", "shop", "--instance", "a", "--store", str(tmp_path / "store")]
    command = ["ingest", "--quiet", *into]
    assert CliRunner().invoke(main, [*command, str(tmp_path / "whole.log")]).stderr == ""
    damaged = str(LOGS / "headers_in_texts.log")
    assert damaged in CliRunner().invoke(main, [*command, damaged]).stderr


WRONG = [
    ("report", ["--week", "2026-W99"], "'2026-W99' is not a week"),
    ("report", ["--start", "2026-11-16", "--end", "2026-11-09"], "its start must be before its end"),
    ("report", ["--timezone", "Mars/Crater"], "There is no time zone 'Mars/Crater'"),
    ("fetch", ["--cluster", "shop", "--week", "46"], "'46' is not a week"),
    ("workloads suggest", ["--cluster", "shop", "--end", "2026-11-09"], "A window has two ends"),
]


def test_a_wrong_window_is_refused_before_heavy_imports():
    """One line within a moment, not after seconds of pandas and papermill."""
    program = (
        "import sys\nfrom click.testing import CliRunner\nfrom aurora_analysis.cli import main\n"
        f"for name, words, says in {WRONG!r}:\n"
        "    done = CliRunner().invoke(main, [*name.split(), *words])\n"
        "    assert done.exit_code == 2 and says in done.stderr, (name, words, done.stderr)\n"
        "print(sorted({'pandas', 'numpy', 'pyarrow', 'papermill', 'boto3'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_commands_and_options_complete():
    """As docs/reference/commands.md describes for bash, zsh and fish."""
    complete = click.shell_completion.ShellComplete(main, {}, "aurora-analysis", "_AURORA_ANALYSIS_COMPLETE")
    assert [each.value for each in complete.get_completions([], "wor")] == ["workloads"]
    assert "--json" in [each.value for each in complete.get_completions(["store", "coverage"], "--")]
    script = click.shell_completion.BashComplete(main, {}, "aurora-analysis", "_AURORA_ANALYSIS_COMPLETE")
    assert "_AURORA_ANALYSIS_COMPLETE=bash_complete" in script.source()
