"""How long may a query run on a reader before it slows the writer, and what would a planned one do?

- `recorded`      the holds in a window, and the undo that each left
- `effect_curve`  how much slower the writer is at a given history list length
- `rates`, `growth`  how fast the list grows at each hour of the week, and how fast purge works it off
- `longest_hold`  the longest hold at each hour of the week, and a `max_execution_time`
- `replay`        what a planned series of holds does to the writer
- `review`        what a planned query does as planned, at another hour, in chunks, at READ COMMITTED, on a clone
- `own_query`     the same for the longest query that the window has
- `verdicts`      the limit of the strictest and the most lenient hour
- `at_hour`       the limit of one hour, for an alert
- `answer`        all of this for one window of one cluster
"""

from aurora_analysis.analysis.limits.answer import Answer, Options, answer, from_observed, from_recorded
from aurora_analysis.analysis.limits.at_hour import HourLimit, at_hour, at_time
from aurora_analysis.analysis.limits.longest_hold import longest_holds, suggested_limits
from aurora_analysis.analysis.limits.own_query import OwnReview, own_review
from aurora_analysis.analysis.limits.recorded import Observed, Recorded, recorded
from aurora_analysis.analysis.limits.review import Request, Review, review

__all__ = [
    "Answer",
    "HourLimit",
    "Observed",
    "Options",
    "OwnReview",
    "Recorded",
    "Request",
    "Review",
    "answer",
    "at_hour",
    "at_time",
    "from_observed",
    "from_recorded",
    "longest_holds",
    "own_review",
    "recorded",
    "review",
    "suggested_limits",
]
