"""A page has one clock, the reader's: no sentence formats a stored time as UTC by itself."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from aurora_analysis import Window, analysis, report
from aurora_analysis.analysis.verdict import dates, local, moment

SOURCES = [path for room in (analysis, report) for path in sorted(Path(room.__file__).parent.rglob("*.py"))]
FORMATS_UTC = re.compile(r"%M(:%S)?\}? UTC|%H:%M(:%S)?Z")
MACHINE_READABLE = {"index.py": 1, "record.py": 1}
"""Files that write findings.json and the store, whose times are UTC."""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_sentence_formats_utc(path):
    """The reader's zone is passed to `moment`, `dates` and `Window.text`."""
    found = FORMATS_UTC.findall(path.read_text("utf-8"))
    assert len(found) <= MACHINE_READABLE.get(path.name, 0), "use verdict.moment with the reader's time zone"


def test_a_week_in_berlin_has_its_own_days():
    """The UTC days would begin on Sunday."""
    week = Window("2026-11-08T23:00Z", "2026-11-15T23:00Z")
    assert dates(week, "Europe/Berlin") == "2026-11-09 to 2026-11-15"
    assert dates(week) == "2026-11-08 to 2026-11-15"
    trial = Window("2026-11-08T22:50Z", "2026-11-08T23:10Z")
    assert dates(trial) == "2026-11-08 22:50 to 23:10 UTC"
    assert dates(trial, "Europe/Berlin") == "2026-11-08 23:50 to 2026-11-09 00:10 Europe/Berlin"


def test_a_moment_names_its_zone():
    """Rows on the reader's clock keep their zone, and other columns stay."""
    rows = pd.DataFrame({"since": [pd.Timestamp("2026-11-15T22:00:07Z")], "growth": [1.0]})
    found = local(rows, "Europe/Berlin").iloc[0]
    assert moment(found["since"], seconds=True) == "2026-11-15 23:00:07 Europe/Berlin"
    assert moment(rows["since"].iloc[0]) == "2026-11-15 22:00 UTC"
    assert found["growth"] == 1.0
