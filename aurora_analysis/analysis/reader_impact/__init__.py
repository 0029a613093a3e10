"""Did a reader workload slow the writer, by how much, and how certain is the answer?

Build a `Design` once, from a window's metrics and exposure (`ordinary_days`) or from any frames (`Inputs` and
`design`). `effects`, `sensitivity`, `quantile_effects` and `event_aligned` follow from it; `verdicts` weighs them
with a randomised trial and the mechanism. `answer` does all of this for one window of one cluster.
"""

from aurora_analysis.analysis.effect_level import OUTCOMES
from aurora_analysis.analysis.reader_impact.answer import Answer, Options, answer
from aurora_analysis.analysis.reader_impact.closer_views import (
    ALIGNED_COLUMNS,
    QUANTILE_COLUMNS,
    SENSITIVITY_COLUMNS,
    event_aligned,
    quantile_effects,
    sensitivity,
)
from aurora_analysis.analysis.reader_impact.design import (
    HISTORY,
    LOAD,
    WRITER_METRICS,
    Design,
    Inputs,
    design,
    ordinary_days,
)
from aurora_analysis.analysis.reader_impact.distribution import SIDES, side_by_side
from aurora_analysis.analysis.reader_impact.dose_response import held_history
from aurora_analysis.analysis.reader_impact.estimate import (
    COLUMNS,
    POOLED,
    effects,
    effects_of_each_metric_alone,
)
from aurora_analysis.analysis.reader_impact.verdicts import (
    GROWTH_COLUMNS,
    Evidence,
    growth,
    main_metric,
    placebo_remarks,
    refusal_remarks,
    verdicts,
)

__all__ = [
    "ALIGNED_COLUMNS",
    "COLUMNS",
    "GROWTH_COLUMNS",
    "HISTORY",
    "LOAD",
    "OUTCOMES",
    "POOLED",
    "QUANTILE_COLUMNS",
    "SENSITIVITY_COLUMNS",
    "SIDES",
    "WRITER_METRICS",
    "Answer",
    "Design",
    "Evidence",
    "Inputs",
    "Options",
    "answer",
    "design",
    "effects",
    "effects_of_each_metric_alone",
    "event_aligned",
    "growth",
    "held_history",
    "main_metric",
    "ordinary_days",
    "placebo_remarks",
    "quantile_effects",
    "refusal_remarks",
    "sensitivity",
    "side_by_side",
    "verdicts",
]
