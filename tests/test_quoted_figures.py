"""The figures that README and tutorial quote from the sample's report are those that the report prints today."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FINDINGS = json.loads((ROOT / "tests" / "snapshots" / "findings.json").read_text())
SHOP = "shop | reader_impact | reader_impact | snowflake | slows | act"
LAB = "lab | experiment | experiment | snowflake | slows | act"
TRIAL = "trial | experiment | experiment | extract | slows | act"
QUOTED = [
    ("README.md", SHOP),
    ("docs/tutorial.md", SHOP),
    ("docs/tutorial.md", LAB),
    ("docs/how-to/trials.md", TRIAL),
]


@pytest.mark.parametrize(("page", "finding"), QUOTED)
def test_a_quoted_interval_is_the_reports(page, finding):
    """A reader who runs the commands of the page sees the figures of the page."""
    found = FINDINGS[finding]
    text = " ".join((ROOT / page).read_text().split())
    assert f"+{found['ci_low_pct']:.1f} to +{found['ci_high_pct']:.1f} %" in text


def test_the_quoted_longest_hold_is_the_reports():
    """The strictest hour with its interval, and the most lenient one."""
    found = FINDINGS["shop | undo_log | undo_log | reader queries | limited | watch"]
    text = " ".join((ROOT / "docs/how-to/reader-limits.md").read_text().split())
    low, high = found["strictest_low_min"], found["strictest_high_min"]
    assert f"{found['strictest_min']:.0f} min (95 % prediction interval {low:.0f} to {high:.0f} min)" in text
    assert f"after {found['lenient_min']:.0f} min" in text
