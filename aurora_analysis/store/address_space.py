"""Refuse a limit on virtual memory under which the store's libraries abort the process without a message."""

from __future__ import annotations

import sys

from aurora_analysis.errors import Error

NEEDED = 4_000_000 * 1024
"""Virtual memory that a report on two cores needs [bytes]: with 3,000,000 kB it aborts. Most of it is never used."""


def check() -> None:
    """Raise an error if the process may not reserve enough addresses.

    Raises
    ------
    Error
        With the limit, and how to limit real memory instead.
    """
    if sys.platform == "win32":
        return
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft == resource.RLIM_INFINITY or soft >= NEEDED:
        return
    raise Error(
        f"Virtual memory is limited to {soft / 1e9:.2g} GB (ulimit -v), and the libraries of the store reserve more than "
        f"{NEEDED / 1e9:.2g} GB of addresses: run `ulimit -v unlimited`, and limit real memory by a control group (systemd: "
        "MemoryMax=)."
    )
