"""What does that query on a reader do to the writer? A randomised on/off trial on real servers answers it.

The plan is stored in the table `trials` before the first block begins, and samples are written every half minute, so an
interrupted trial keeps what it has, and the same command continues with the remaining blocks. The query runs read only,
and the server itself cancels each run at the end of its block: no run outlives its block, even after SIGKILL. The effect
is estimated in `analysis.experiment`.
"""

from aurora_analysis.live.experiment.limits import Limits
from aurora_analysis.live.experiment.options import RUNS_OF_BASELINE, TrialOptions
from aurora_analysis.live.experiment.plan import (
    Baseline,
    Plan,
    is_loaded,
    plan,
    rescheduled,
    schedule,
    unfinished_trial,
    washout_s,
)
from aurora_analysis.live.experiment.query import read_only_query
from aurora_analysis.live.experiment.sessions import Canary, QueryRunner, WriterLoad
from aurora_analysis.live.experiment.trial import Servers, Trial, run_trial

__all__ = [
    "RUNS_OF_BASELINE",
    "Baseline",
    "Canary",
    "Limits",
    "Plan",
    "QueryRunner",
    "Servers",
    "Trial",
    "TrialOptions",
    "WriterLoad",
    "is_loaded",
    "plan",
    "read_only_query",
    "rescheduled",
    "run_trial",
    "schedule",
    "unfinished_trial",
    "washout_s",
]
