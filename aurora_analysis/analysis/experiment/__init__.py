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
from aurora_analysis.analysis.experiment.verdicts import THROUGHPUTS, TRIAL_METRICS, judged_effects, verdicts

__all__ = [
    "GROWTH_COLUMNS",
    "SURE",
    "THROUGHPUTS",
    "TRIAL_METRICS",
    "by_chance",
    "detectable_pct",
    "effects",
    "following",
    "history_growth",
    "judged_effects",
    "on_idle_clone",
    "outcomes",
    "randomised",
    "statement_latency",
    "took_place",
    "verdicts",
]
