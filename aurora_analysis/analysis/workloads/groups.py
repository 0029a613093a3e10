"""The workloads and jobs that the settings define, as an analysis takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from aurora_analysis.analysis.workloads.rules import Rules
from aurora_analysis.analysis.workloads.writer_jobs import Daily


class Groups(Protocol):
    """Rules that name workloads and jobs; `config.groups` returns them."""

    @property
    def workloads(self) -> Rules:
        """Workload → rules, for the readers."""

    @property
    def jobs(self) -> Rules:
        """Job → rules, for the writer."""

    @property
    def daily(self) -> Mapping[str, Daily]:
        """Job → its local start time and length, for jobs by the clock."""
