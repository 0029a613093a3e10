"""PostgreSQL writes its log to files only: there is no table to read it from."""

from __future__ import annotations

from aurora_analysis.engines.postgresql.live import Probe


class SlowLogTail:
    """Reads nothing: see the module."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe

    def forget(self) -> None:
        """Do nothing: there is no previous read."""

    def sample(self, tick: int, instance: str) -> None:
        """Return None: the server has no such table."""
