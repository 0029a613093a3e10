"""The committed figures of the sample's findings: effects, intervals, p-values and coverage; wording is left out.

Whoever changes a figure on purpose runs `python3 dev.py snapshot` and commits it with the reason for each difference.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

SNAPSHOT = Path(__file__).parent / "snapshots" / "findings.json"
KEY = ("cluster", "notebook", "topic", "subject", "level", "severity")


def figures(report: Path) -> dict[str, dict[str, Any]]:
    """Return the numbers of each finding of a report's folder, by what identifies the finding."""
    findings = json.loads((report / "findings.json").read_text())["findings"]
    return {" | ".join(one[name] for name in KEY): one["numbers"] for one in findings}


def assert_unchanged(report: Path) -> None:
    """Compare a report on the sample with the snapshot, to 6 digits."""
    found, expected = figures(report), json.loads(SNAPSHOT.read_text())
    assert sorted(found) == sorted(expected), "if that is meant, run python3 dev.py snapshot and explain it"
    for name, numbers in expected.items():
        assert sorted(found[name]) == sorted(numbers), name
        for figure, value in numbers.items():
            near = pytest.approx(value, rel=1e-6) if isinstance(value, float) else value
            assert found[name][figure] == near, f"{name}: {figure}"


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(figures(Path(sys.argv[1])), indent=1, sort_keys=True) + "\n")
