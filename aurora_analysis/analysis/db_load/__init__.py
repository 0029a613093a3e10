"""Where does the load come from, what does it wait for, and is an instance short of a resource?

Db load is counted in average active sessions: the number of sessions that run or wait at a moment. If it exceeds the
number of vCPUs, some sessions wait for a processor or for each other. Wait events show what they wait for; they are
grouped into the classes that a DBA acts on (Amazon Aurora user guide, "Tuning Aurora MySQL with wait events").

The modules: `answer` gathers the verdicts and their frames, `load` aggregates the load, `ranks` ranks statements by it, `verdicts` names each instance's bottleneck, `bad_practices` prices bulk
extracts and long unoptimised queries, and `alternatives` lists other ways to get their rows.
"""

from aurora_analysis.analysis.db_load.alternatives import alternatives
from aurora_analysis.analysis.db_load.answer import Answer, answer
from aurora_analysis.analysis.db_load.bad_practices import (
    RUNS,
    PracticeRules,
    costs,
    practice_verdicts,
    practices,
)
from aurora_analysis.analysis.db_load.capacity import with_vcpus
from aurora_analysis.analysis.db_load.load import (
    CALLS,
    COLUMNS,
    STATEMENTS,
    WAITS,
    at_a_glance,
    by_class,
    hour_of_week,
    profile,
    shares,
    statement_load,
    statistics,
    wait_class,
)
from aurora_analysis.analysis.db_load.ranks import MOVES, moves
from aurora_analysis.analysis.db_load.verdicts import EVIDENCE_METRICS, Thresholds, verdicts

__all__ = [
    "CALLS",
    "COLUMNS",
    "EVIDENCE_METRICS",
    "MOVES",
    "RUNS",
    "STATEMENTS",
    "WAITS",
    "Answer",
    "PracticeRules",
    "Thresholds",
    "alternatives",
    "answer",
    "at_a_glance",
    "by_class",
    "costs",
    "hour_of_week",
    "moves",
    "practice_verdicts",
    "practices",
    "profile",
    "shares",
    "statement_load",
    "statistics",
    "verdicts",
    "wait_class",
    "with_vcpus",
]
