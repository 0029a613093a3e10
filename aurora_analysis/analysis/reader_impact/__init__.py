from aurora_analysis.analysis.reader_impact.estimate import (
    ALIGNED_COLUMNS,
    COLUMNS,
    PLACEBO_MOST,
    SENSITIVITY_COLUMNS,
    estimate,
    event_aligned,
    quantile_effects,
    sensitivity,
)

__all__ = [
    "ALIGNED_COLUMNS",
    "COLUMNS",
    "PLACEBO_MOST",
    "SENSITIVITY_COLUMNS",
    "estimate",
    "event_aligned",
    "quantile_effects",
    "sensitivity",
]
