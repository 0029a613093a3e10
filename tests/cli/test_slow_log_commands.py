"""digest, fingerprint and ingest, as they are typed."""

from __future__ import annotations

import gzip
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from aurora_analysis.cli import main, output
from aurora_analysis.printable import REPLACEMENT
from aurora_analysis.sources import profile_page
from aurora_analysis.store import Store

GALLERY = Path(__file__).parent.parent / "slow_logs"
AURORA = GALLERY / "aurora_mysql_3.log"


def typed(*arguments: object, given: bytes = b"") -> Result:
    """Output and exit code of the command."""
    return CliRunner().invoke(main, [str(one) for one in arguments], input=given)


def test_digest_prints_a_ranked_page():
    """The default: a page for the terminal."""
    done = typed("digest", AURORA)
    assert done.exit_code == 0
    assert done.output.startswith(
        "# 2 executions of 2 statements: 5414s in all\n# 2023-11-30T07:22:10.190471Z to 2026-03-02T04:17:09.512345Z\n"
    )
    assert "     1 1b474429   5412s 100.0%      1" in done.output


def test_digest_json_has_what_a_program_needs():
    """Events, sums, profile and coverage, of several files as of one."""
    done = json.loads(typed("digest", "--format", "json", *sorted(GALLERY.glob("*.log"))).output)
    files = list(GALLERY.glob("*.log"))
    assert done["events"] == sum(len(path.with_suffix(".jsonl").read_text().splitlines()) for path in files)
    assert done["coverage"]["bytes"] == sum(path.stat().st_size for path in files)
    assert {"sums", "profile", "version"} <= set(done)


def test_digest_jsonl_is_an_event_a_line_and_hides_literals():
    """The text of statements only with --with-sql."""
    lines = typed("digest", "--format", "jsonl", AURORA).output.splitlines()
    assert [json.loads(line)["query_time_s"] for line in lines] == [2.000192, 5412.004821]
    assert "sleep(2)" not in "".join(lines)
    assert "sleep(2)" in typed("digest", "--format", "jsonl", "--with-sql", AURORA).output


def test_limit_holds_for_executions_too():
    """jsonl ends after so many lines."""
    assert typed("digest", "--format", "jsonl", "--limit", "1", AURORA).output.count("\n") == 1


@pytest.mark.parametrize("form", ["json", "jsonl", "text"])
def test_digest_takes_what_is_wanted(form):
    """--since, --until and --user hold for every format."""
    span = ("--since", "2023-11-30", "--until", "2024-01-01")
    assert "1b474429a4654abc" not in typed("digest", "--format", form, *span, AURORA).output
    assert (
        "230c9085039896b3" not in typed("digest", "--format", form, "--user", "snowflake_etl", AURORA).output
    )
    nobody = typed("digest", "--format", form, "--user", "nobody", AURORA)
    assert nobody.exit_code == 0
    assert "executions matches --since, --until and --user" in nobody.stderr


def test_digest_reads_standard_input_and_gzip(tmp_path):
    """A log in a pipe, or packed by rotation, is the same log."""
    packed = tmp_path / "slow.log.gz"
    packed.write_bytes(gzip.compress(AURORA.read_bytes()))
    plain = typed("digest", AURORA).output
    assert typed("digest", packed).output == plain
    command = [sys.executable, "-m", "aurora_analysis", "digest", "-"]
    assert (
        subprocess.run(command, input=AURORA.read_bytes(), capture_output=True, check=True).stdout.decode()
        == plain
    )


def test_digest_knows_the_sql_mode(tmp_path):
    """Under NO_BACKSLASH_ESCAPES and ANSI_QUOTES literals end elsewhere."""
    log = tmp_path / "slow.log"
    log.write_bytes(AURORA.read_bytes().replace(b"sleep(2)", rb"""'a\', "b" """))
    found = typed("digest", "--no-backslash-escapes", "--ansi-quotes", log).output
    assert "select ?, b\n" in found


def test_a_file_that_is_not_there_is_one_line():
    """The culprit, and what to do; exit code 2."""
    done = typed("digest", "/nowhere/slow.log")
    assert done.exit_code == 2
    assert done.output.count("\n") == 1
    assert "Cannot read /nowhere/slow.log: No such file or directory" in done.output


def test_fingerprint_does_not_split_a_literal():
    """A semicolon and a line end inside a string end no statement: what follows them is still a secret."""
    given = b"SELECT 'a;\nsecret', 1; -- it's;\nSELECT 2;\r\nSELECT 'open;\nsecret;\nSELECT 3"
    found = [line.split("\t")[1] for line in typed("fingerprint", given=given).output.splitlines()]
    assert found == ["select ?+; select ?", "select ?"]


@pytest.mark.parametrize(
    "command",
    [
        ["digest"],
        ["digest", "--format", "jsonl"],
        ["ingest", "--cluster", "c", "--instance", "i", "--store", "s"],
    ],
)
def test_a_file_that_is_no_slow_log_is_one_line(tmp_path, command):
    """Exit code 2, where a log without an entry is just empty."""
    log = tmp_path / "error.log"
    log.write_bytes(b"2026-11-23 10:00:00 [Note] ready for connections\n" * 3)
    done = typed(*command, log)
    assert done.exit_code == 2
    assert done.output.count("\n") == 1
    assert f"No entry of a slow log in {log}" in done.output
    log.write_bytes(b"")
    assert typed("digest", log).output.startswith(
        "# 0 executions of 0 statements: 0us in all\n# 0 events of 0 bytes\n"
    )


def test_jsonl_says_what_was_lost(tmp_path):
    """On stderr, and only where something was."""
    log = tmp_path / "slow.log"
    log.write_bytes(AURORA.read_bytes()[:-30])
    assert typed("digest", "--format", "jsonl", AURORA).stderr == ""
    assert "1 cut" in typed("digest", "--format", "jsonl", log).stderr


@pytest.mark.parametrize(
    "command",
    [
        *(["digest", "--format", form] for form in ("text", "html", "json", "jsonl")),
        ["workloads", "suggest"],
        ["ingest", "--cluster", "c", "--instance", "i", "--store", "STORE"],
    ],
)
def test_entries_in_an_unknown_form_are_exit_code_1_whatever_the_output(tmp_path, command):
    """The rest is printed or stored; a cut at the log's end, which most logs have, is exit code 0."""
    log, command = tmp_path / "slow.log", [each.replace("STORE", str(tmp_path / "store")) for each in command]
    log.write_bytes(AURORA.read_bytes()[:-30])
    assert typed(*command, log).exit_code == 0
    log.write_bytes(AURORA.read_bytes() + AURORA.read_bytes().replace(b"Query_time: 2.", b"Query_tim: 2."))
    done = typed(*command, log)
    assert done.exit_code == 1
    assert f"Entries of {log} that could not be read: 1." in done.stderr
    assert done.stdout or command[0] == "ingest"


@pytest.mark.parametrize("options", [["--format", "jsonl"], ["--processes", "2"], []])
def test_a_file_that_is_no_slow_log_among_others_is_exit_code_1(tmp_path, options):
    """The figures of the slow logs are printed, and the file is named; one that has just been rotated is no such file."""
    other, banner = tmp_path / "error.log", tmp_path / "rotated.log"
    other.write_bytes(b"2026-11-23 10:00:00 [Note] ready for connections\n" * 3)
    banner.write_bytes(AURORA.read_bytes().partition(b"# Time")[0])
    done = typed("digest", *options, other, AURORA, banner)
    assert (done.exit_code, "230c9085039896b3" in done.stdout) == (1, True)
    assert f"No entry of a slow log in {other}: " in done.stderr
    assert typed("digest", *options, AURORA, banner).exit_code == 0


def test_a_closed_standard_input_and_a_full_disk_are_one_line():
    """A shell closes standard input with <&-."""
    for redirected, code, line in (
        ("digest - <&-", 2, b"aurora-analysis: Standard input is closed: name a file"),
        ("--help >/dev/full", 1, b"aurora-analysis: The disk of the output"),
        ("fingerprint </dev/null", 2, b"aurora-analysis: Standard input is empty"),
        (f"digest {shlex.quote(str(AURORA))} >/dev/full", 1, b"aurora-analysis: The disk of the output"),
    ):
        command = f"exec {shlex.quote(sys.executable)} -m aurora_analysis {redirected}"
        done = subprocess.run(["sh", "-c", command], capture_output=True, check=False)
        assert done.returncode == code
        assert done.stderr.startswith(line)
        assert done.stderr.count(b"\n") == 1


def test_fingerprint_prints_digest_and_fingerprint():
    """Statements are separated by ; and a newline."""
    done = typed("fingerprint", given=b"SELECT 1;\nSELECT a,\n b FROM `t` WHERE c = 'x;y';\n\n")
    assert done.output == "b9a4c90ce4157373\tselect ?\n67d0088d5048640a\tselect a, b from t where c = ?\n"


def test_ingest_fills_the_store_and_says_what_was_lost(tmp_path):
    """Executions, statements and coverage of one instance."""
    done = typed("ingest", "--cluster", "shop", "--instance", "shop-1", "--store", tmp_path / "store", AURORA)
    assert done.exit_code == 0
    assert "2 events of 764 bytes" in done.output
    store = Store(tmp_path / "store")
    rows = store.read("slow_queries", cluster="shop", instance="shop-1")
    assert rows["tags"].dropna().tolist() == ['{"connector":"etl","job":"orders_full"}']
    assert store.clusters() == ["shop"]


def test_ingest_needs_a_store_to_write_into():
    """The sample is not written."""
    done = typed("ingest", "--cluster", "shop", "--instance", "shop-1", AURORA)
    assert done.exit_code == 2
    assert "No store to write into: pass --store" in done.output


def test_fingerprint_reads_the_sql_of_the_named_engine():
    """Dollar quotes and nested comments are PostgreSQL's; sql_mode is MySQL's."""
    given = b"SELECT /* a /* b */ c */ $x$ d;\n $x$ || a;\nSELECT \"b\" ?| ARRAY['c'];\n"
    done = typed("fingerprint", "--engine", "postgresql", given=given)
    lines = [line.split("\t")[1] for line in done.output.splitlines()]
    assert lines == ["select ? || a", "select b ?| array[?+]"]
    refused = typed("fingerprint", "--engine", "postgresql", "--ansi-quotes", given=given)
    assert (refused.exit_code, refused.output) == (
        2,
        "aurora-analysis: PostgreSQL has no sql_mode: leave out --no-backslash-escapes and --ansi-quotes.\n",
    )


def test_digest_and_fingerprint_import_neither_pandas_nor_delta():
    """An answer from a raw log starts at once."""
    program = (
        "import sys\nfrom aurora_analysis.cli import main\n"
        "main(sys.argv[1:], standalone_mode=False)\n"
        "print(sorted({'pandas', 'numpy', 'pyarrow', 'deltalake', 'boto3', 'sqlalchemy'} & set(sys.modules)))"
    )
    for arguments in (["digest", str(AURORA)], ["digest", "--format", "jsonl", str(AURORA)], ["fingerprint"]):
        command = [sys.executable, "-c", program, *arguments]
        done = subprocess.run(command, input="SELECT 1", capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "[]"


def test_ingest_imports_neither_pandas_nor_arrow(tmp_path):
    """They take more memory than all the rest of it: `bench slow_log ingest` measures what is left."""
    program = (
        "import sys\nfrom aurora_analysis.cli import main\n"
        "main(sys.argv[1:], standalone_mode=False)\n"
        "print(sorted({'pandas', 'numpy', 'pyarrow', 'duckdb', 'boto3', 'sqlalchemy'} & set(sys.modules)))"
    )
    to = ("--cluster", "shop", "--instance", "shop-1", "--store", str(tmp_path / "store"))
    for _ in ("fresh", "again"):
        command = [sys.executable, "-c", program, "ingest", *to, str(AURORA)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "[]"


def test_progress_is_drawn_on_a_terminal_and_removed(monkeypatch, capsys):
    """On stderr, in one line that is redrawn; never into a pipe, and never for a log that is read at once."""
    clock = [0.0]
    monkeypatch.setattr(output.time, "monotonic", lambda: clock[0])
    for is_terminal, pause_s, expected in (
        (False, 2.0, ""),
        (True, 0.01, ""),
        (True, 2.0, "\r[###############...............]  50% of 200 MB, 2 s left\x1b[K\r\x1b[K"),
    ):
        monkeypatch.setattr(sys.stderr, "isatty", lambda is_terminal=is_terminal: is_terminal)
        with output.progress(200_000_000) as show:
            clock[0] += pause_s
            show(100_000_000)
            show(0)
        assert capsys.readouterr().err == expected


HOSTILE = (
    AURORA.read_bytes()
    .replace(b"snowflake_etl", b"\x1b[31mevil\xc2\x9b2J\xe2\x80\xae")
    .replace(b"sleep(2)", b"`a\x1b]0;title\x07` from `t\xc2\x9b`")
)


@pytest.mark.parametrize("form", ["text", "json", "jsonl", "html"])
def test_no_character_of_the_data_acts_on_the_terminal(tmp_path, form):
    """Escape sequences, C1 controls and marks of direction in names and statements come out as text."""
    log = tmp_path / "slow.log"
    log.write_bytes(HOSTILE)
    shown = typed("digest", "--format", form, log).stdout
    assert "evil" in shown
    assert shown.replace("\n", "").isprintable()
    if form.startswith("json"):
        assert r"\u001b[31mevil\u009b2J\u202e" in shown


def test_errors_and_fingerprints_hold_no_escape_sequence(tmp_path):
    """A file's name and a statement are data too."""
    for done in (
        typed("digest", tmp_path / "\x1b[31m"),
        typed("fingerprint", given=b"SELECT a AS `[31m\xc2\x9b`, `t\xc2\x9b`;\n"),
    ):
        assert REPLACEMENT in done.output
        assert done.output.replace("\n", "").replace("\t", "").isprintable()


def test_colours_appear_only_on_a_terminal(monkeypatch):
    """And not if NO_COLOR is set."""
    assert "\x1b" not in typed("digest", AURORA).output
    summary = json.loads(typed("digest", "--format", "json", AURORA).output)
    assert "\x1b[1m# Rank" in profile_page.text(summary, colour=True)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    for value, expected in (("", True), ("1", False)):
        monkeypatch.setenv("NO_COLOR", value)
        assert output.has_colour() is expected


@pytest.mark.parametrize("width", [40, 80, 94, 118, 200])
def test_the_page_fits_the_terminal(width):
    """80 columns at least; wider ones get whole digests and exact numbers. Only a long word is wider."""
    summary = json.loads(typed("digest", "--format", "json", *sorted(GALLERY.glob("*.log"))).output)
    page = profile_page.text(summary, width)
    lines = [line for line in page.splitlines() if len(line.split()) > 2]
    assert max(map(len, lines)) <= max(width, 80)
    assert ("  1 1b474429a4654abc  " in page) is (width >= 118)
    for row in summary["profile"]:
        assert row["digest"] in page
