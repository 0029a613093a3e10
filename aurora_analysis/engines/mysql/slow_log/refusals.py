"""Why a slow log cannot be used, in one line."""

from __future__ import annotations

from aurora_analysis.engines.log_events import Account

MOSTLY_CUT, FEWEST = 0.9, 3
"""Share of entries that end early from which a log of at least `FEWEST` entries is not as the server wrote it."""


def refusal(account: Account, files: str) -> str | None:
    """Return why the logs of an account have no entry of a slow log, or hardly one that is whole; None if they have."""
    if account.unknown and not account.events:
        return (
            f"No entry of {files} can be read: the lines after '# User@Host: ' are not those that MySQL, Percona Server, "
            "MariaDB and Aurora write, or their Query_time is impossible. Other servers, such as TiDB, are not supported."
        )
    if account.lost and not account.events:
        return (
            f"No entry of a slow log in {files}: no line '# User@Host: ' is followed by the other header lines, and no "
            "line begins with a log_line_prefix of PostgreSQL that is known. Is this a slow log?"
        )
    if account.events >= FEWEST and account.unmarked >= MOSTLY_CUT * account.events:
        return (
            f"{account.unmarked:,} of {account.events:,} entries of {files} end within their statement: this is not a "
            "slow log as the server wrote it. Get the log again, without what another tool added or removed."
        )
    return None
