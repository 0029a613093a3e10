"""The answer to "how long do statements take, and did that change?" for one window, with the frames that support it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd

from aurora_analysis.analysis.latency import distributions, log_cut, samples, shifts
from aurora_analysis.analysis.latency.comparison import compare
from aurora_analysis.analysis.latency.samples import Sample
from aurora_analysis.analysis.latency.verdicts import Thresholds, verdicts
from aurora_analysis.analysis.latency.weeks import weeks_note
from aurora_analysis.analysis.latency.worst import with_statements
from aurora_analysis.analysis.verdict import Remarks, Verdict
from aurora_analysis.analysis.workload_change.hours import earlier
from aurora_analysis.store.observations import Observations

FINGERPRINT_LENGTH = 70
"""Characters of a statement's text in the table of statements."""


@dataclass(frozen=True)
class Answer:
    """Verdicts on latency, and the frames that support them.

    Parameters
    ----------
    verdicts : tuple of Verdict
        One per instance.
    cuts : DataFrame
        Result of `cut`: each instance's slow log limits.
    shifts : DataFrame
        Result of `shift`: each quantile of logged executions against the previous window [%].
    judged : DataFrame
        Result of `judged`: the quantile of each instance that its verdict judges.
    rates : DataFrame
        Result of `rate_shift`: the number of logged executions, or their share of all statements, against the previous
        window [%].
    weeks : DataFrame
        Result of `against_weeks`: the judged figures against earlier weeks.
    weeks_note : Remarks
        Whether earlier weeks show what is ordinary; if not, why and what to do.
    executions : DataFrame
        Result of `counts`: logged executions by latency bucket.
    top : DataFrame
        The rows of `executions` of the five digests with the largest total time.
    identified : DataFrame
        Result of `identified`: quantiles of all statements that follow from the log.
    counted : DataFrame
        The table `histograms`: all executions by latency bucket, where an instance counts them.
    instances, statements, histograms : DataFrame
        Quantiles with intervals, as text: of logged executions by instance and by statement, and of all counted ones.
    """

    verdicts: tuple[Verdict, ...]
    cuts: pd.DataFrame
    shifts: pd.DataFrame
    judged: pd.DataFrame
    rates: pd.DataFrame
    weeks: pd.DataFrame
    weeks_note: Remarks
    executions: pd.DataFrame
    top: pd.DataFrame
    identified: pd.DataFrame
    counted: pd.DataFrame
    instances: pd.DataFrame
    statements: pd.DataFrame
    histograms: pd.DataFrame


def answer(data: Observations, *, materiality_pct: float = 5.0, timezone: str = "UTC") -> Answer:
    """Compare the latency of logged statements with the previous window.

    Parameters
    ----------
    data : Observations
        The window of one cluster.
    materiality_pct : float, default 5
        Smallest shift that matters [%].
    timezone : str, default "UTC"
        Time zone of the verdicts' times.

    Returns
    -------
    Answer
    """
    window, cuts = data.window, log_cut.cut(data.instances)
    now, before = _sample(data), _sample(data.previous())
    executions = now.executions
    weeks = (_sample(data.over(week)) for week in earlier(window, data.span))
    compared = replace(compare(now, before, cuts, weeks), log_limit=data.words.log_limit)
    judged = verdicts(compared, Thresholds(materiality_pct=materiality_pct))
    top = executions[executions["digest"].isin(distributions.top(executions))]
    counted = data.table("histograms")
    throughput = log_cut.statements(data.table("metrics", where={"name": [*log_cut.STATEMENTS]}))
    by_statement = distributions.summary(distributions.quantiles(top, window, by=["digest"]))
    by_histogram = distributions.quantiles(counted, window, by=["instance", "digest"])
    return Answer(
        verdicts=tuple(with_statements(judged, now, before, data, timezone)),
        cuts=cuts,
        shifts=shifts.shift(executions, before.executions, window),
        judged=compared.shifts,
        rates=compared.rates,
        weeks=compared.weeks,
        weeks_note=Remarks(weeks_note(compared.weeks)),
        executions=executions,
        top=top,
        identified=log_cut.identified(executions, throughput, cuts),
        counted=counted,
        instances=distributions.summary(distributions.quantiles(executions, window)),
        statements=by_statement.merge(_short_texts(data), on="digest", how="left"),
        histograms=distributions.summary(by_histogram),
    )


def _sample(data: Observations) -> Sample:
    histograms, calls = (
        data.table("histograms"),
        data.table("statement_metrics", columns=["instance", "calls"]),
    )
    return Sample(
        data.window,
        distributions.counts(data.table("slow_queries", columns=distributions.COLUMNS)),
        _statement_rate(data),
        samples.whole_histograms(histograms, calls, data.window),
    )


def _statement_rate(data: Observations) -> pd.Series:
    metrics = data.table("metrics", where={"name": [*log_cut.STATEMENTS], "statistic": "average"})
    return log_cut.statement_rate(metrics)


def _short_texts(data: Observations) -> pd.DataFrame:
    texts = data.fingerprints
    return texts.assign(fingerprint=texts["fingerprint"].str.slice(0, FINGERPRINT_LENGTH))
