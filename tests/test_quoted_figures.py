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
