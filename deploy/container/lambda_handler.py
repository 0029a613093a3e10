"""AWS Lambda: run one command of aurora-analysis for each event.

An event is `{"arguments": ["fetch", "--all"], "days": 8, "until": "2026-11-16T06:00:00Z"}`. With `days`, the command gets
the window of so many whole days before `until`. A day that the store has already is not fetched again, so a window of
more days than a schedule's interval makes up for runs that failed or ran out of Lambda's 15 minutes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from aurora_analysis.cli import main

HERE = ("fetch", "doctor", "store")
"""Commands that need no process of their own: Lambda has no shared memory, which Python's process pools need."""


def handler(event: dict[str, Any], _: object) -> dict[str, int]:
    """Run the event's command; an exit code other than 0 is an error of the function, which its alarm reports."""
    arguments = event.get("arguments")
    if not isinstance(arguments, list) or not all(isinstance(word, str) for word in arguments):
        raise ValueError('The event has no list of texts as "arguments", such as ["fetch", "--all"].')
    if arguments[:1] not in ([name] for name in HERE):
        raise ValueError(
            f"Lambda runs {', '.join(HERE)}; run {' '.join(arguments[:1]) or 'others'} on ECS instead."
        )
    code = run([*arguments, *window(event)])
    if code:
        raise RuntimeError(
            f"aurora-analysis {arguments[0]} ended with exit code {code}: see this function's log."
        )
    return {"exit_code": code}


def window(event: dict[str, Any]) -> list[str]:
    """Return the options of the window that the event names; none without `days`."""
    if "days" not in event:
        return []
    until = datetime.fromisoformat(event["until"]) if "until" in event else datetime.now(UTC)
    end = until.astimezone(UTC).date()
    return ["--start", f"{end - timedelta(days=event['days'])}", "--end", f"{end}"]


def run(arguments: list[str]) -> int:
    """Run a command in this process, and return its exit code."""
    try:
        main.main(arguments, prog_name="aurora-analysis")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0
