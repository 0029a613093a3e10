"""The file of --versions: it may come from another person, so that it is checked before anything runs."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner

from aurora_analysis.cli import main
from aurora_analysis.errors import Error
from aurora_analysis.report import records, repeat

RUN = {
    "store": "",
    "windows": {"shop": ["2026-11-09T00:00:00Z", "2026-11-16T00:00:00Z"]},
    "notebooks": ["latency"],
    "timezone": "UTC",
    "parameters": {},
    "versions": {"shop": {"metrics": 3}},
}


@pytest.fixture
def written(tmp_path):
    """Writes a findings.json with the given run."""

    def write(run: object):
        file = tmp_path / records.NAME
        file.write_text(json.dumps({"kind": records.KIND, "schema": 1, "run": run}))
        return file

    return write


def test_the_suites_notebooks_may_be_named(written):
    """Any other name or path is refused, unless the user names the notebooks."""
    assert repeat.recorded(written(RUN), notebooks_given=False) == RUN
    for name in ("evil.ipynb", "/tmp/evil.ipynb", "../notebooks/latency.ipynb", "latency.ipynb", ""):
        file = written(RUN | {"notebooks": ["latency", name]})
        with pytest.raises(Error, match="which is not one of the suite's"):
            repeat.recorded(file, notebooks_given=False)
        assert repeat.recorded(file, notebooks_given=True)["notebooks"] == ["latency", name]


def test_a_crafted_file_runs_no_notebook(written, notebook, tmp_path):
    """Exit code 2, one line, and the notebook that the file names has not run."""
    mark = tmp_path / "ran"
    evil = notebook("evil", f"open({str(mark)!r}, 'w')")
    file = written(RUN | {"notebooks": [str(evil)]})
    done = CliRunner().invoke(main, ["report", "--versions", str(file), "--output", str(tmp_path / "out")])
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1), done.output
    assert f"names the notebook '{evil}', which is not one of the suite's" in done.stderr
    assert not mark.exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"store": 3}, "run.store in .* is not a text"),
        ({"windows": []}, "run.windows in .* is not a start and an end for each cluster"),
        ({"windows": {"shop": ["2026-11-09"]}}, "run.windows in .* is not a start and an end"),
        ({"windows": {"shop": ["monday", "tuesday"]}}, "run.windows in .* is not a start and an end"),
        ({"notebooks": "latency"}, "run.notebooks in .* is not a list of names"),
        ({"notebooks": [["latency"]]}, "run.notebooks in .* is not a list of names"),
        ({"timezone": None}, "run.timezone in .* is not a text"),
        ({"timezone": "Mars/Olympus"}, "no time zone"),
        ({"parameters": {"limit": 3}}, "run.parameters in .* is not a text for each name"),
        ({"versions": {"metrics": 3}}, "run.versions in .* is not a version number for each table of each"),
        (
            {"versions": {"shop": {"metrics": "3"}}},
            "run.versions in .* is not a version number for each table",
        ),
        (
            {"versions": {"shop": {"metrics": -1}}},
            "run.versions in .* is not a version number for each table",
        ),
        ({"versions": {"shop": {"nosuch": 1}}}, "nosuch"),
        ({"versions": {"shop": {"metrics": 10**30}}}, "run.versions in .* is not a version number"),
        ({"versions": {"shop": {"coverage": 10**6}}}, "coverage"),
    ],
)
def test_a_malformed_run_costs_one_line(written, tmp_path, change, says):
    """Exit code 2 and no traceback, whatever kind of value a field has."""
    file = written(RUN | {"versions": {"shop": {"coverage": 0, "metrics": 0}}} | change)
    assert_refused(file, tmp_path, says)


@pytest.mark.parametrize("name", repeat.FIELDS)
def test_a_missing_field_costs_one_line(written, tmp_path, name):
    """The message names it."""
    file = written({key: value for key, value in RUN.items() if key != name})
    assert_refused(file, tmp_path, f"lacks run.{name}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "[]",
        "null",
        "\x00",
        "[" * 100_000,
        '{"kind": "aurora-analysis report"}',
        '{"kind": "aurora-analysis report", "schema": "1", "run": {}}',
        '{"kind": "aurora-analysis report", "schema": 1}',
        '{"kind": "aurora-analysis report", "schema": 1, "run": []}',
    ],
)
def test_a_file_that_is_no_record_costs_one_line(tmp_path, text):
    """Not JSON, another kind of value, or without a run."""
    file = tmp_path / records.NAME
    file.write_text(text)
    assert_refused(file, tmp_path, "was not written by a report|is damaged")


def test_a_binary_file_costs_one_line(tmp_path):
    """Bytes that are not UTF-8 are not a record."""
    file = tmp_path / records.NAME
    file.write_bytes(b"\xff\xfe\x00")
    assert_refused(file, tmp_path, "was not written by a report")


def assert_refused(file, tmp_path, says: str) -> None:
    done = CliRunner().invoke(main, ["report", "--versions", str(file), "--output", str(tmp_path / "out")])
    assert done.exit_code == 2, done.exception
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert re.search(says, done.stderr), done.stderr
