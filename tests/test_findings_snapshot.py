"""The sample's findings keep their figures: effects, intervals, p-values and coverage equal the committed snapshot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from aurora_analysis.cli import main

SNAPSHOT = Path(__file__).parent / "snapshots" / "findings.json"
KEY = ("cluster", "notebook", "topic", "subject", "level", "severity")


def figures(findings: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The numbers of each finding, by what identifies it; wording is left out."""
    return {" | ".join(one[name] for name in KEY): one["numbers"] for one in findings}


def test_the_sample_has_the_findings_of_the_snapshot(tmp_path):
    """Whoever changes a figure on purpose regenerates the snapshot in a commit that explains each difference.

    To regenerate: `python -m aurora_analysis report --output new`, then `python tests/test_findings_snapshot.py new`.
    """
    ran = CliRunner().invoke(main, ["report", "--output", str(tmp_path / "report"), "--jobs", "2"])
    assert ran.exit_code == 0, ran.output
    found = figures(json.loads((tmp_path / "report" / "findings.json").read_text())["findings"])
    wanted = json.loads(SNAPSHOT.read_text())
    assert sorted(found) == sorted(wanted)
    for name, numbers in wanted.items():
        assert sorted(found[name]) == sorted(numbers), name
        for figure, value in numbers.items():
            expected = pytest.approx(value, rel=1e-6) if isinstance(value, float) else value
            assert found[name][figure] == expected, f"{name}: {figure}"


if __name__ == "__main__":
    import sys

    record = json.loads((Path(sys.argv[1]) / "findings.json").read_text())
    SNAPSHOT.parent.mkdir(exist_ok=True)
    SNAPSHOT.write_text(json.dumps(figures(record["findings"]), indent=1, sort_keys=True) + "\n")
