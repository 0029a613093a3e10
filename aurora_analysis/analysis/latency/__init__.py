"""How long do statements take, and did that change against the previous window?

Everything works on one tidy frame of counts, `time, instance, digest, bucket, count`: executions by bucket of a
log-histogram. `counts` makes them from slow queries; the table `histograms` has them already. The slow log shows only
executions of at least `long_query_time`: `cut` gives that limit, a quantile of the log is a quantile of the logged
executions, and `identified` says which quantiles of all statements follow from the log.

The modules: `answer` gathers the verdicts and their frames, `distributions` describes one window, `log_cut` what the slow
log leaves out, `samples` which figures one window gives, `blocks` holds the bootstrap, `shifts` compares two windows,
`weeks` shows how much weeks vary, `comparison` puts both together, and `verdicts` judges the comparison.
"""

from aurora_analysis.analysis.latency.answer import Answer, answer
from aurora_analysis.analysis.latency.blocks import BLOCKS, QUANTILES
from aurora_analysis.analysis.latency.comparison import compare
from aurora_analysis.analysis.latency.distributions import (
    COLUMNS,
    COUNT_COLUMNS,
    counts,
    distribution,
    quantiles,
    summary,
    top,
)
from aurora_analysis.analysis.latency.log_cut import (
    STATEMENTS,
    cut,
    identified,
    statement_rate,
    statements,
)
from aurora_analysis.analysis.latency.samples import Sample, whole_histograms
from aurora_analysis.analysis.latency.shifts import judged, rate_shift, response, shift
from aurora_analysis.analysis.latency.verdicts import Comparison, Thresholds, verdicts
from aurora_analysis.analysis.latency.weeks import against_weeks, weeks_note

__all__ = [
    "BLOCKS",
    "COLUMNS",
    "COUNT_COLUMNS",
    "QUANTILES",
    "STATEMENTS",
    "Answer",
    "Comparison",
    "Sample",
    "Thresholds",
    "against_weeks",
    "answer",
    "compare",
    "counts",
    "cut",
    "distribution",
    "identified",
    "judged",
    "weeks_note",
    "quantiles",
    "rate_shift",
    "response",
    "shift",
    "statement_rate",
    "statements",
    "summary",
    "top",
    "verdicts",
    "whole_histograms",
]
