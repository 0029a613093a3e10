"""Faults of the services that no model documents. Each can be switched on alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

MISBEHAVIOURS = {
    "truncates_points": "Performance Insights returns 350 points a series, without a token and without an error",
    "omits_value": "Performance Insights returns points without a Value for empty periods",
    "hides_sql": "Performance Insights refuses the SQL dimensions, as a policy by pi:Dimensions does",
    "repeats_pages": "every page is served twice, under two tokens",
    "loops_tokens": "every page leads to one of two tokens, and both lead back to the first page",
    "reverses": "every list of an answer is in reverse order",
    "empty_pages": "before every page comes an empty one with a token",
    "internal_errors": "GetMetricData returns InternalError for the first request of each metric",
    "throttles": "every fifth call is throttled",
    "fails": "every seventh call ends in a 500",
    "drops": "every ninth call loses its connection",
    "delivers_late": "metrics of the last 5 minutes and log events of the last 10 are not there yet",
    "overlaps_portions": "a portion of a log file repeats the last lines of the one before",
    "skips_lines": "a portion of a log file begins a few lines after the one before ended",
    "truncates_lines": "a portion above its size is cut inside a line and ends in a marker; the rest of the line is lost",
    "rotates": "the log file is rotated away while its portions are read",
    "binary_data": "a portion that holds the middle of the oldest log file is refused as binary",
    "banner_events": "the server's banner is exported as events of its own, line by line, every hour",
}
"""Name → what happens."""

TOKENS = ("NextToken", "nextToken", "Marker")
AGAIN, LOOP = "again-", "loop-"

LATE_METRICS_S = 300
LATE_EVENTS_S = 600


def known(names: object) -> set[str]:
    """Return the names after checking that each is a misbehaviour."""
    chosen = set(names)  # type: ignore[call-overload]
    if chosen - set(MISBEHAVIOURS):
        raise ValueError(f"{', '.join(sorted(chosen - set(MISBEHAVIOURS)))}: no misbehaviour")
    return chosen


def twice(
    answer: Callable[[dict[str, Any]], dict[str, Any]], parameters: dict[str, Any], name: str
) -> dict[str, Any]:
    """Answer a request so that every page comes twice: first with a token that leads to the page again."""
    token = parameters.get(name) or ""
    if token.startswith(AGAIN):
        return answer(_with(parameters, name, token.removeprefix(AGAIN)))
    found = answer(parameters)
    pending = {"AdditionalDataPending": True} if "AdditionalDataPending" in found else {}
    return found | pending | {name: AGAIN + token}


def forever(
    answer: Callable[[dict[str, Any]], dict[str, Any]], parameters: dict[str, Any], name: str
) -> dict[str, Any]:
    """Answer a request with its first page and one of two tokens, which take turns."""
    token = parameters.get(name) or ""
    looping = token.startswith(LOOP)
    found = answer(_with(parameters, name, "") if looping else parameters)
    pending = {"AdditionalDataPending": True} if "AdditionalDataPending" in found else {}
    return found | pending | {name: f"{LOOP}{'b' if token == LOOP + 'a' else 'a'}"}


def _with(parameters: dict[str, Any], name: str, token: str) -> dict[str, Any]:
    rest = {key: value for key, value in parameters.items() if key != name}
    return rest | ({name: token} if token else {})


def reversed_lists(value: Any) -> Any:
    """Return an answer with every list in reverse order."""
    if isinstance(value, dict):
        return {name: reversed_lists(inner) for name, inner in value.items()}
    return [reversed_lists(inner) for inner in reversed(value)] if isinstance(value, list) else value
