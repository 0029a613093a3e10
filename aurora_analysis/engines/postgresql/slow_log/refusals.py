"""Why a log cannot be used, in one line."""

from __future__ import annotations

from aurora_analysis.engines.log_events import Account

MOSTLY, FEWEST = 0.9, 3
"""Share of statements that end early from which a log of at least `FEWEST` statements is not as the server wrote it."""


def refusal(account: Account, files: str) -> str | None:
    """Return why the logs of an account have no statement that can be used; None if they have."""
    if account.unknown and account.events <= account.unknown // 10:
        return (
            f"{files}: {account.unknown:,} messages are not in English (lc_messages), so that durations and severities are not "
            "recognised: set lc_messages = 'C' on the server, and read a log from then on."
        )
    if account.events >= FEWEST and account.cut >= MOSTLY * account.events:
        return (
            f"{account.cut:,} of {account.events:,} statements of {files} end early: this is not a log as the server wrote it. "
            "Get the log again, without what another tool added or removed."
        )
    if not account.events and account.lost and account.lost_bytes * 2 > account.bytes:
        return (
            f"Most lines of {files} do not begin with one log_line_prefix: {account.lost_bytes:,} of {account.bytes:,} bytes cannot be "
            "read. Read the file as the server wrote it, with a log_line_prefix such as '%t:%r:%u@%d:[%p]:'."
        )
    if not account.events and account.without_text:
        return f"{files} has {account.without_text:,} durations without a statement (log_duration): set log_min_duration_statement."
    return None
