"""Do clients work again soon enough after a fault, and is every acknowledged write still there?

`outcomes` sums up the runs of each fault and client, `verdicts` compares them with the objectives, and `runs` has one
row for each run. `answer` does all of this for one window of one cluster.
"""

from aurora_analysis.analysis.drill.answer import Answer, answer
from aurora_analysis.analysis.drill.outcomes import (
    CONNECTIONS,
    FEWEST_RUNS,
    OUTCOME_COLUMNS,
    WRITES,
    outcomes,
    runs,
)
from aurora_analysis.analysis.drill.verdicts import LEVELS, verdicts

__all__ = [
    "CONNECTIONS",
    "FEWEST_RUNS",
    "LEVELS",
    "OUTCOME_COLUMNS",
    "WRITES",
    "Answer",
    "answer",
    "outcomes",
    "runs",
    "verdicts",
]
