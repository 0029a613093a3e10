from aurora_analysis.analysis.workloads.rules import (
    COLUMNS,
    EXPOSURE_COLUMNS,
    IDLE,
    exposed_hours,
    exposure_share,
    exposures,
    fits,
    inside,
    named,
    seen_holding,
    with_seen,
)

__all__ = [
    "COLUMNS",
    "EXPOSURE_COLUMNS",
    "IDLE",
    "exposed_hours",
    "exposure_share",
    "exposures",
    "fits",
    "inside",
    "named",
    "seen_holding",
    "with_seen",
]
