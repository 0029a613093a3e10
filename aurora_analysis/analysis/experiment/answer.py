"""Answer the topic's question for one window of one cluster: the verdicts, and the frames they rest on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd

from aurora_analysis.analysis import workloads
from aurora_analysis.analysis.costliest import named_digest, slowed, statement_text
from aurora_analysis.analysis.effect_level import SLOWER, THROUGHPUTS, lost_s, slowdown_ms
from aurora_analysis.analysis.experiment.blocks import (
    latency_while_on,
    on_idle_clone,
    randomised,
    statement_latency,
)
from aurora_analysis.analysis.experiment.estimate import effects
from aurora_analysis.analysis.experiment.history import history_growth
from aurora_analysis.analysis.experiment.verdicts import TRIAL_METRICS, verdicts
from aurora_analysis.analysis.statistics import adjusted
from aurora_analysis.analysis.verdict import Verdict, by_severity, percent, three_digits
from aurora_analysis.store.observations import Observations


@dataclass(frozen=True)
class Options:
    """Options of `answer`, in the order of the notebook's parameters.

    Parameters
    ----------
    most_statements : int
        Number of the writer's statements that are compared: those that took the most time.
    materiality_pct : float
        Smallest effect that matters [%].
    """

    most_statements: int = 3
    materiality_pct: float = 5.0


@dataclass(frozen=True)
class Answer:
    """The verdicts on the randomised trials of one window, and the evidence for them.

    Parameters
    ----------
    verdicts : list of Verdict
        One per workload of a trial, the most severe first.
    planned : DataFrame
        All planned blocks: the rows of the table trials.
    trials : DataFrame
        The blocks that were drawn at random, took place, and had load on the writer.
    history : Series
        History list length (UTC) [transactions]; on PostgreSQL the age of the xmin horizon.
    growth : DataFrame
        Its growth in on-blocks and off-blocks; see `history_growth`.
    latency : DataFrame
        Latencies [ms] and throughputs of the writer (UTC), one column per metric or statement.
    statements : DataFrame
        The statements in `latency`: `digest, fingerprint`.
    planned_rate : Series
        The load that was planned (UTC) [1/s]; empty if none was.
    effects : DataFrame
        The effect on each metric; see `effects`.
    buffers : DataFrame
        The effect on the pages that each statement finds in the buffer cache per call (PostgreSQL); see `effects`. They
        are exact counts, which a busy machine does not blur, but they are no time.
    """

    verdicts: list[Verdict]
    planned: pd.DataFrame
    trials: pd.DataFrame
    history: pd.Series
    growth: pd.DataFrame
    latency: pd.DataFrame
    statements: pd.DataFrame
    planned_rate: pd.Series
    effects: pd.DataFrame
    buffers: pd.DataFrame


def answer(
    data: Observations,
    options: Options = Options(),  # frozen
    rules: workloads.Rules | None = None,
) -> Answer:
    """Judge for each workload of a randomised trial whether it slows the writer.

    Parameters
    ----------
    data : Observations
        The window of one cluster (`observe`).
    options : Options, optional
        Number of statements to compare, and the smallest effect that matters.
    rules : mapping, optional
        Workload → rules (`config.groups`), to find the workload's sessions. Default: by user.

    Returns
    -------
    Answer
        The verdicts and their evidence. One `unknown` verdict if no trial took place.
    """
    planned = data.table("trials")
    drawn = randomised(planned)
    idle = on_idle_clone(drawn, data.all_times("events"))
    trials = drawn[idle.isna()]
    history = data.metric(data.words.delay_metric)
    growth = history_growth(history, trials)
    statements = _statements(data, options.most_statements)
    buffers = effects(_statements(data, options.most_statements, "buffers_per_call"), trials)
    latency = data.metrics(TRIAL_METRICS).join(statements, how="outer")
    planned_rate = data.metric("planned_rate")
    found = effects(latency, trials, covariate=planned_rate)
    message = idle.groupby(drawn["workload"]).last()
    texts = _texts(data, statements)
    idle_share = growth["workload"].map(_idle_share(data, rules))
    mechanism = growth.assign(idle_share=idle_share)
    judged = verdicts(found, mechanism, message, words=data.words, materiality_pct=options.materiality_pct)
    worded = [_with_buffers(_worded(one, texts, latency, trials), buffers) for one in judged]
    return Answer(
        verdicts=by_severity(worded),
        planned=planned,
        trials=trials,
        history=history,
        growth=growth,
        latency=latency,
        statements=texts,
        planned_rate=planned_rate,
        effects=found.assign(p_adjusted=adjusted(found["p"])),
        buffers=buffers,
    )


def _idle_share(data: Observations, rules: workloads.Rules | None) -> pd.Series:
    """Share of each workload's open time in which it ran no statement [0 to 1]."""
    slow_queries = data.table("slow_queries", columns=workloads.COLUMNS, overlapping=True)
    logged = workloads.exposures(slow_queries, rules, instances=data.instances)
    live = workloads.live_runs(data.table("open_transactions"), rules, instances=data.instances)
    return workloads.idle_share(workloads.with_live_runs(logged, live), data.window)


def _statements(data: Observations, most: int, column: str = "mean_latency_ms") -> pd.DataFrame:
    """Latency of the writer's statements that took the most time [ms], one column each, or another mean per call."""
    counted = data.table("statement_metrics")
    return statement_latency(
        counted[counted["role"] == "writer"], data.fingerprints, most=most, column=column
    )


def _with_buffers(verdict: Verdict, buffers: pd.DataFrame) -> Verdict:
    """Add the change of buffers per call to the evidence, of the statement that the verdict names or the clearest one."""
    mine = buffers[(buffers["workload"] == verdict.subject) & buffers["p"].notna()]
    if mine.empty:
        return verdict
    named = mine[mine["metric"] == verdict.numbers.get("metric")]
    row = (named if len(named) else mine.sort_values("p", kind="stable")).iloc[0]
    sentence = (
        f"The pages that the writer's {row['metric']} finds in the buffer cache per call changed by "
        f"{row['effect_pct']:+.1f} % (95 % confidence interval {row['ci_low_pct']:+.1f} to {row['ci_high_pct']:+.1f} %, "
        f"p = {row['p']:.2g})."
    )
    return replace(verdict, evidence=f"{verdict.evidence} {sentence}".strip())


def _texts(data: Observations, latency: pd.DataFrame) -> pd.DataFrame:
    named = "statement " + data.fingerprints["digest"].str[:8]
    return data.fingerprints[named.isin(latency.columns)].reset_index(drop=True)


def _worded(verdict: Verdict, texts: pd.DataFrame, latency: pd.DataFrame, trials: pd.DataFrame) -> Verdict:
    """Name what became slower, by how many milliseconds; the card shows the writer's statement if it is one."""
    metric, effect = str(verdict.numbers.get("metric", "")), verdict.numbers.get("effect_pct")
    digest = named_digest(metric, texts)
    found = replace(
        verdict, statement={"digest": digest, "text": statement_text(digest, texts)} if digest else {}
    )
    if verdict.level not in SLOWER:
        return found
    mine = trials[(trials["workload"] == verdict.subject) & trials["assigned"].eq(True)]
    open_s = float((mine["end"] - mine["time"]).dt.total_seconds().sum())
    found = replace(found, numbers={**found.numbers, "lost_s": lost_s(open_s, metric, effect)})
    slower = _slowdown_ms(verdict, latency, trials)
    if slower is None:
        return found
    size = f"{three_digits(slower, 2)} ms ({percent(float(effect or 0))} %)"
    return replace(found, headline=f"{verdict.subject} makes {slowed(metric, texts)} {size} slower")


def _slowdown_ms(verdict: Verdict, latency: pd.DataFrame, trials: pd.DataFrame) -> float | None:
    """Return the part of the mean latency of on-blocks that the effect accounts for [ms]; None without a slower latency."""
    metric = str(verdict.numbers.get("metric"))
    if verdict.level not in SLOWER or metric in THROUGHPUTS:
        return None
    mine = trials[trials["workload"] == verdict.subject]
    return slowdown_ms(latency_while_on(latency[metric], mine), verdict.numbers.get("effect_pct"))
