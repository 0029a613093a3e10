"""What effect does a workload have, by a randomised on/off trial?

Blocks of time are drawn on or off at random. `effects` compares the writer's latency in both, `history_growth` the
growth of the history list; both are exact randomisation tests. `by_chance` and `following` show chance and carry-over,
`detectable_pct` is the smallest effect that a planned trial finds, and `verdicts` weighs it all. `answer` does
all of this for one window of one cluster.
"""

from aurora_analysis.analysis.effect_level import THROUGHPUTS
from aurora_analysis.analysis.experiment.answer import Answer, Options, answer
from aurora_analysis.analysis.experiment.blocks import (
    following,
    latency_while_on,
    on_idle_clone,
    outcomes,
    randomised,
    statement_latency,
    took_place,
)
from aurora_analysis.analysis.experiment.estimate import EFFECT_COLUMNS, by_chance, effects
from aurora_analysis.analysis.experiment.history import GROWTH_COLUMNS, history_growth
from aurora_analysis.analysis.experiment.planning import SURE, detectable_pct
from aurora_analysis.analysis.experiment.verdicts import TRIAL_METRICS, judged_effects, verdicts

__all__ = [
    "EFFECT_COLUMNS",
    "GROWTH_COLUMNS",
    "SURE",
    "THROUGHPUTS",
    "TRIAL_METRICS",
    "Answer",
    "Options",
    "answer",
    "by_chance",
    "detectable_pct",
    "effects",
    "following",
    "history_growth",
    "judged_effects",
    "latency_while_on",
    "on_idle_clone",
    "outcomes",
    "randomised",
    "statement_latency",
    "took_place",
    "verdicts",
]
