"""Compare what we read of other parsers' test logs with what those parsers expect.

Clone percona/percona-toolkit (perl is needed), percona/go-mysql and percona/pmm-agent into one folder, and name it:
`.venv/bin/python benchmarks/public_slow_logs.py FOLDER`. A case that sets an option of its parser, such as a filter, is left out.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aurora_analysis.engines.log_events import Account, Event
from aurora_analysis.engines.mysql import slow_log
from aurora_analysis.sources import log_files

Case = tuple[Path, list[dict[str, Any]] | int]
"""A log, and its events with the fields that are expected, or only their number."""

FIELDS = {
    "user": ("user", "User"),
    "query_time_s": ("Query_time",),
    "lock_time_s": ("Lock_time",),
    "rows_sent": ("Rows_sent",),
    "rows_examined": ("Rows_examined",),
    "database": ("db", "Db"),
}
"""Our name of a field, and the parsers' names."""

CAPTURE = """package PerconaTest; use strict; use JSON::PP; use base 'Exporter';
our @EXPORT = qw(test_log_parser load_file);
sub load_file { "" }
sub test_log_parser { my %a = @_; print "CASE ", JSON::PP->new->allow_nonref->allow_unknown->allow_blessed->encode(
  { file => $a{file}, count => $a{num_events}, option => $a{misc} ? 1 : 0, events => $a{result} }), "\\n" }
1;
"""
"""In place of the toolkit's test module: it prints each case instead of running it."""


def main() -> int:
    """Compare each suite that is there; return 1 if a folder is named that has none."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path, nargs="?", help="Folder with the repositories.")
    folder = parser.parse_args().folder
    if folder is None:
        print("Nothing compared: name the folder with the parsers' repositories.")
        return 0
    found = {name: suite for name, suite in SUITES.items() if (folder / name).is_dir()}
    for name, suite in found.items():
        compare(name, list(suite(folder / name)))
    if not found:
        print(f"{folder} has none of {', '.join(SUITES)}.", file=sys.stderr)
    return int(not found)


def percona_toolkit(root: Path) -> Iterator[Case]:
    """Yield the cases of the Perl parser's test, which calls `test_log_parser` for each."""
    with tempfile.TemporaryDirectory() as fake:
        (Path(fake) / "lib").mkdir()
        (Path(fake) / "lib" / "PerconaTest.pm").write_text(CAPTURE)
        seen = {
            "PERCONA_TOOLKIT_BRANCH": fake,
            "PATH": "/usr/bin:/bin",
        }  # the test takes its modules from there first
        command = ["perl", "-I", str(root / "lib"), "t/lib/SlowLogParser.t"]
        printed = subprocess.run(command, cwd=root, env=seen, capture_output=True, text=True, check=False)
    for line in printed.stdout.splitlines():
        case = json.loads(line.removeprefix("CASE ")) if line.startswith("CASE ") else {}
        if case.get("file") and not case["option"] and (case["events"] or case["count"]) is not None:
            yield root / case["file"], case["events"] if case["events"] is not None else int(case["count"])


def go_mysql(root: Path) -> Iterator[Case]:
    """Yield the logs of the Go parser's test, with the number of events."""
    for function in re.split(r"\nfunc ", (root / "log/slow/parser_test.go").read_text())[1:]:
        name = re.search(r'parseSlowLog\(t, "([^"]+)"', function)
        if name and not re.search(r"opt\.(?:StartOffset|FilterAdminCommand)", function):
            length = re.search(r"assert\.Len\(t, got, (\d+)\)", function)
            yield root / "test/slow-logs" / name[1], int(length[1]) if length else function.count("\n\t\t{\n")


def pmm_agent(root: Path) -> Iterator[Case]:
    """Yield the logs of PMM's parser, with the events beside each."""
    for path in sorted((root / "agents/mysql/slowlog/parser/testdata").glob("*.json")):
        events = json.loads(path.read_text()) or []
        yield path.with_suffix(".log"), [one | one["TimeMetrics"] | one["NumberMetrics"] for one in events]


SUITES = {"percona-toolkit": percona_toolkit, "go-mysql": go_mysql, "pmm-agent": pmm_agent}


def compare(name: str, cases: list[Case]) -> None:
    """Print how many logs have the expected number of events, and how many fields are equal."""
    right = fields = equal = 0
    for path, expected in cases:
        found = list(slow_log.events(slow_log.entries(log_files.chunks(str(path)), Account())))
        count = expected if isinstance(expected, int) else len(expected)
        right += len(found) == count
        if len(found) != count:
            print(f"  {path.name}: {len(found)} events, {count} expected")
        elif not isinstance(expected, int):
            pairs = [pair for one, event in zip(expected, found) for pair in _pairs(one, event)]
            fields, equal = fields + len(pairs), equal + sum(ours == theirs for ours, theirs in pairs)
    share = f", {equal:,} of {fields:,} fields" if fields else ""
    print(f"{name}: {right} of {len(cases)} logs have the expected number of events{share}", flush=True)


def _pairs(expected: dict[str, Any], event: Event) -> Iterator[tuple[Any, Any]]:
    """Yield the fields that the parser expects: ours, and theirs."""
    for name, theirs in FIELDS.items():
        value = next((expected[each] for each in theirs if expected.get(each) is not None), None)
        ours = getattr(event, name)
        if name == "database" and (event.database_is_inferred or value is None):
            continue  # they hand a database on to another session, or do not
        if isinstance(value, str) and name not in {"user", "database"}:
            value = float(value)
        if value is not None:
            yield "" if ours is None else ours, value.strip("[]") if name == "user" else value


if __name__ == "__main__":
    sys.exit(main())
