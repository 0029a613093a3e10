from aurora_analysis.analysis.experiment.estimate import (
    GROWTH_COLUMNS,
    SURE,
    by_chance,
    detectable_pct,
    effects,
    following,
    history_growth,
    on_idle_clone,
    outcomes,
    randomised,
    statement_latency,
    took_place,
)

__all__ = [
    "GROWTH_COLUMNS",
    "SURE",
    "by_chance",
    "detectable_pct",
    "effects",
    "following",
    "history_growth",
    "on_idle_clone",
    "outcomes",
    "randomised",
    "statement_latency",
    "took_place",
]
