"""An engine's words for cleanup, for what waits for it, and for what blocks it."""

from __future__ import annotations

from typing import NamedTuple


class Words(NamedTuple):
    """How sentences about cleanup name it on one engine.

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
    """

    cleanup: str
    backlog: str
    delay: str
    delay_metric: str
    view: str
