"""Order a report's findings by harm, and count the result of a trial once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aurora_analysis.analysis.verdict import SEVERITIES, harm

JUDGING, TRIALS = "reader_impact", "experiment"
"""The page that judges readers from all evidence, and the page that has the trials only."""


def ranked(findings: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Sort findings of all clusters: most severe first; of one severity the most time lost, then the most history held.

    Parameters
    ----------
    findings
        Findings as in findings.json.

    Returns
    -------
    list of dict
        With `repeats`: the page that states the same trial's result, or an empty text. Without figures of harm, findings
        keep their order.
    """
    known = list(findings)
    stated = {
        _result(one): one["page"]
        for one in known
        if one["topic"] == JUDGING and one["numbers"].get("source") == "trial"
    }
    marked = [
        {**one, "repeats": stated.get(_result(one), "") if one["topic"] == TRIALS else ""} for one in known
    ]
    return sorted(marked, key=lambda one: (SEVERITIES.index(one["severity"]), *harm(one["numbers"])))


def _result(finding: Mapping[str, Any]) -> tuple[str, str, str]:
    return finding["cluster"], finding["subject"], finding["level"]


def counted(findings: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the findings without those that repeat another page's result."""
    return [one for one in findings if not one.get("repeats")]
