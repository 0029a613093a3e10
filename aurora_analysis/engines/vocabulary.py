"""An engine's words for cleanup, for what waits for it, for what blocks it, and for its log's limit."""

from __future__ import annotations

from typing import NamedTuple


class Words(NamedTuple):
    """One engine's words in sentences about cleanup.

    Attributes
    ----------
    cleanup : str
        What removes old row versions: purge or vacuum.
    backlog : str
        What waits for it.
    delay : str
        What grows steadily while cleanup is blocked.
    delay_metric : str
        Our metric of it, which counts transactions.
    view : str
        What a session holds that blocks cleanup.
    log_limit : str
        The setting from which duration on the log has a statement.
    time_limit : str
        The setting that ends a statement after a time [ms].
    log_bytes : str
        The setting by which the log counts the bytes sent to clients; empty if the engine has none.
    """

    cleanup: str
    backlog: str
    delay: str
    delay_metric: str
    view: str
    log_limit: str
    time_limit: str
    log_bytes: str
