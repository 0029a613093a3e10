"""`review` answers for a query that has not run yet, and an unknown is never a yes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from aurora_analysis.analysis import limits
from aurora_analysis.analysis.limits import rates
from aurora_analysis.analysis.limits.answer import refused
from aurora_analysis.analysis.limits.effect_curve import Curve
from aurora_analysis.analysis.limits.growth import Growth, Lognormal
from aurora_analysis.cli import main

START = pd.Timestamp("2026-11-02", tz="UTC")


def growth() -> Growth:
    """100 commits a second by day and 10 from 02:00 to 06:00; purge removes 1,000 a second."""
    day = np.full(rates.A_DAY, np.log(100.0))
    day[2 * 12 : 6 * 12] = np.log(10.0)
    rate = rates.WeeklyRate("UTC", np.tile(day, 7), np.zeros((14, rates.A_DAY)), 0.0)
    return Growth(rate, Lognormal(0.0, 0.05, 20), Lognormal(np.log(1000.0), 0.05, 20))


CURVE = Curve("commit_latency", np.array([1e9]), np.array([1e-6, 0.0]), np.diag([1e-16, 0.0]), 20.0)
"""One per cent for each 10,000 transactions, give or take 1 % of that."""

HOLDS = pd.DataFrame(
    {"start": [START], "peak_at": [START + pd.Timedelta("2h")], "end": [START + pd.Timedelta("3h")]}
)
NOTHING_KNOWN = refused("no read view was held", limits.Options())
KNOWN = replace(
    NOTHING_KNOWN,
    growth=growth(),
    curve=CURVE,
    reason="",
    recorded=limits.Recorded(None, np.zeros(0), HOLDS, pd.DataFrame(), pd.Series(dtype=float), 500.0),
)
CLEAN = ["review", "--cluster", "shop"]


@pytest.fixture
def run(monkeypatch):
    """Run the command on the sample with a given answer, which takes seconds to estimate."""

    def run(*arguments: str, answer: limits.Answer = KNOWN):
        monkeypatch.setattr(limits, "answer", lambda *_: answer)
        return CliRunner().invoke(main, [*CLEAN, *arguments])

    return run


def read(result) -> dict:
    return json.loads(result.stdout[result.stdout.index("{") :])


def test_a_short_hold_is_within_the_objective(run):
    """Ten minutes leave 60,000 transactions: 6 %."""
    result = run("--hold", "10m", "--at", "Mon 09:00", "--format", "json")
    page = read(result)
    assert result.exit_code == 0
    assert page["level"] == "within the objective"
    assert page["as_planned"]["slowdown_pct"]["value"] == pytest.approx(6, rel=0.05)
    assert page["as_planned"]["drain_min"]["value"] == 1
    assert page["as_planned"]["length"]["value"] == pytest.approx(60_500, rel=0.05)


def test_a_long_hold_is_over_it_and_alternatives_are_not(run):
    """An hour costs 36 %; at night, in chunks, at READ COMMITTED and on a clone it does not."""
    result = run("--hold", "60m", "--at", "Mon 09:00", "--format", "json")
    page = read(result)
    assert result.exit_code == 3
    assert page["level"] == "over the objective"
    assert [one["name"] for one in page["alternatives"]] == [
        "another hour", "chunks of 10 min", "READ COMMITTED", "a clone",
    ]  # fmt: skip
    assert {one["level"] for one in page["alternatives"]} == {"within the objective"}
    assert {one["start"][-9:-4] for one in page["safest_hours"]} <= {"02:00", "03:00", "04:00", "05:00"}
    for one in page["alternatives"][:3]:
        assert one["slowdown_pct"]["low"] < one["slowdown_pct"]["value"] < one["slowdown_pct"]["high"]


def test_the_page_has_one_clock(run):
    """The window that it learned from is on the clock of the start."""
    local = replace(KNOWN, options=limits.Options("Asia/Kolkata"))
    result = run("--hold", "10m", "--at", "Mon 09:00", "--timezone", "Asia/Kolkata", answer=local)
    assert "05:30 Asia/Kolkata" in result.stdout and "UTC" not in result.stdout


def test_without_a_start_the_worst_hour_counts(run):
    """The same hold at night would pass."""
    assert run("--hold", "20m").exit_code == 3
    assert run("--hold", "20m", "--at", "Mon 02:00").exit_code == 0


def test_an_interval_that_reaches_over_the_objective_is_no_yes(run):
    """6 % give or take a little, and an objective of 6 %."""
    result = run("--hold", "10m", "--at", "Mon 09:00", "--objective", "+6.05%", "--format", "json")
    assert (result.exit_code, read(result)["level"]) == (3, "may exceed the objective")


def test_an_unknown_is_no_yes(run):
    """Nothing known; no curve; beyond twice the longest hold: each says so with the next step, and exits with 3."""
    for answer, hold, words in (
        (NOTHING_KNOWN, "1m", "Nothing can be predicted: no read view was held"),
        (replace(KNOWN, curve=None, reason="of a job", settled_by="move it"), "1m", "not predicted: of a job. Next step: move it"),
        (replace(KNOWN, curve=replace(CURVE, slopes=np.array([1e-9, 0.0]))), "5h", "nothing is stated beyond twice that (4 h)"),
    ):  # fmt: skip
        result = run("--hold", hold, "--at", "Mon 09:00", answer=answer)
        assert result.exit_code == 3
        assert "# ? Cannot tell" in result.stdout
        assert words in result.stdout
        assert "**cannot tell**" in result.stdout


def test_a_hold_beyond_what_was_recorded_may_still_be_over(run):
    """Five hours are not predicted; four are over the objective already."""
    result = run("--hold", "5h", "--at", "Mon 09:00")
    assert result.exit_code == 3
    assert "# ▲" in result.stdout
    assert "After 4 h the writer is" in result.stdout


def test_the_page_escapes_and_requests_nothing(run, tmp_path):
    """A statement is data."""
    sql = tmp_path / "query.sql"
    sql.write_text("select '<script>alert(1)</script>' as `<b>` from t")
    page = run("--sql", str(sql), "--duration", "5m", "--at", "Mon 09:00", "--format", "html").stdout
    body = page[page.index("<!doctype") :]
    assert "<script" not in body
    assert "<b>" not in body
    assert "default-src 'none'" in body
    assert "within the objective" in body


def test_the_page_goes_to_a_file(run, tmp_path):
    """The path is printed; a folder that does not exist is one line."""
    path = tmp_path / "review.md"
    assert run("--hold", "10m", "--at", "Mon 09:00", "--output", str(path)).stdout.strip().endswith(str(path))
    assert path.read_text().startswith(
        "# ● A read view of 10 min from Monday 09:00 UTC makes commits 6 % slower"
    )
    result = run("--hold", "10m", "--output", str(tmp_path / "absent" / "review.md"))
    assert (result.exit_code, "cannot be written" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "Give --hold, such as --hold 40m"),
        (["--hold", "8d"], "longer than a week"),
        (["--hold", "40"], "is not a duration"),
        (["--hold", "40m", "--at", "Mon"], "is not a weekday with a time"),
        (["--hold", "40m", "--objective", "0"], "is not a slowdown"),
        (["--hold", "40m", "--objective", "nan"], "is not a slowdown"),
        (["--duration", "40m"], "without a statement, give --hold"),
        (["--hold", "40m", "--sql", "absent.sql"], "absent.sql cannot be read"),
        (["--sql", "empty.sql"], "empty.sql is empty"),
        (["--sql", "two.sql"], "must have one statement, and it has 2"),
        (["--sql", "update.sql"], "a reader runs only SELECT"),
        (["--sql", "one.sql"], "give --duration"),
        (["--sql", "one.sql", "--hold", "1h"], "either --hold, or --sql"),
        (["--hold", "1h", "--timezone", "Mars/Olympus"], "Mars/Olympus"),
    ],
)
def test_bad_input_is_one_line_and_exits_with_2(run, tmp_path, monkeypatch, arguments, line):
    """The line names the culprit and the fix."""
    monkeypatch.chdir(tmp_path)
    texts = {
        "empty": " \n",
        "two": "select 1;\nselect 2;",
        "update": "UPDATE t SET a = 1",
        "one": "select 1 from absent",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.sql").write_text(text)
    result = run(*arguments)
    assert result.exit_code == 2
    assert line in result.stderr
    assert "Traceback" not in result.stderr
