"""Did the workload change against another window, or is it an ordinary week?

- `answer`            all of it for one window: the verdicts, and the frames that support them
- `comparison`        changes of each role and statement, with intervals
- `hours`             hourly totals of each role and statement
- `matched_hours`     two windows matched hour by hour
- `weekly_variation`  how far weeks vary when nothing changes
- `objectives`        minutes over the stated limits
- `verdicts`          one verdict per role, and one on the statements
"""

from aurora_analysis.analysis.workload_change.answer import Answer, answer
from aurora_analysis.analysis.workload_change.comparison import (
    changes,
    common_moves,
    most_changed,
    settings,
    summary,
)
from aurora_analysis.analysis.workload_change.hours import (
    CALLS,
    KEY_METRICS,
    MOST_WEEKS,
    at_a_glance,
    by_role,
    earlier,
    metric_hours,
    statement_hours,
)
from aurora_analysis.analysis.workload_change.verdicts import verdicts

__all__ = [
    "CALLS",
    "KEY_METRICS",
    "MOST_WEEKS",
    "Answer",
    "answer",
    "at_a_glance",
    "by_role",
    "changes",
    "common_moves",
    "earlier",
    "metric_hours",
    "most_changed",
    "settings",
    "statement_hours",
    "summary",
    "verdicts",
]
