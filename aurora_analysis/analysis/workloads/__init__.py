"""Which workloads ran, when was each open, and how well can we see them?

- `rules`        names the workload of each execution, and measures exposure
- `exposure`     decides when each workload was open: from the slow log, else from db load, else unknown
- `writer_jobs`  finds the writer's own jobs
- `clients`      suggests rules for known extractors and BI tools
- `groups`       describes the rules that the settings define
"""

from aurora_analysis.analysis.workloads.clients import suggest
from aurora_analysis.analysis.workloads.exposure import Exposure, Tables
from aurora_analysis.analysis.workloads.groups import Groups
from aurora_analysis.analysis.workloads.rules import (
    COLUMNS,
    EXPOSURE_COLUMNS,
    IDLE,
    Rules,
    clipped,
    distinct,
    exposed_hours,
    exposure_share,
    exposures,
    idle_share,
    live_runs,
    matches_globs,
    most_sampled,
    overlapping,
    with_live_runs,
    workload_names,
)
from aurora_analysis.analysis.workloads.writer_jobs import jobs

__all__ = [
    "COLUMNS",
    "EXPOSURE_COLUMNS",
    "IDLE",
    "Exposure",
    "Groups",
    "Rules",
    "Tables",
    "exposed_hours",
    "clipped",
    "distinct",
    "exposure_share",
    "exposures",
    "idle_share",
    "jobs",
    "live_runs",
    "matches_globs",
    "most_sampled",
    "overlapping",
    "suggest",
    "with_live_runs",
    "workload_names",
]
