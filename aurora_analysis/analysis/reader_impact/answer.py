"""Answer the topic's question for one window of one cluster: the verdicts, and the frames they rest on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pandas as pd

from aurora_analysis.analysis import experiment, undo_log, workloads
from aurora_analysis.analysis.reader_impact import outcomes, scaling
from aurora_analysis.analysis.reader_impact.design import Design, ordinary_days
from aurora_analysis.analysis.reader_impact.dose_response import held_history
from aurora_analysis.analysis.reader_impact.estimate import effects
from aurora_analysis.analysis.reader_impact.headlines import Background, with_statements
from aurora_analysis.analysis.reader_impact.minutes_over import with_minutes
from aurora_analysis.analysis.reader_impact.verdicts import Evidence, growth, main_metric, verdicts
from aurora_analysis.analysis.verdict import Verdict, by_severity
from aurora_analysis.analysis.workloads import exposure
from aurora_analysis.analysis.workloads.unlogged import with_tried
from aurora_analysis.store.observations import Observations
from aurora_analysis.window import Window


@dataclass(frozen=True)
class Options:
    """Options of `answer`, in the order of the notebook's parameters.

    Parameters
    ----------
    timezone : str
        Time zone of days and weekends.
    shortest_run_s : float
        Leave out shorter statements, which hold no read view for long [s].
    lookback_days : int
        Compare ordinary days over at least this many days, up to the window's end.
    placebos : int
        Number of placebo runs.
    materiality_pct : float
        Smallest effect that matters [%].
    objectives : mapping of str to float
        The highest acceptable minute mean by metric (`config.objectives`), for the minutes over it that readers caused.
    """

    timezone: str = "UTC"
    shortest_run_s: float = 10.0
    lookback_days: int = 14
    placebos: int = 200
    materiality_pct: float = 5.0
    objectives: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """The verdicts on the reader workloads of one window, and the evidence for them.

    Parameters
    ----------
    verdicts : list of Verdict
        One per reader workload, the most severe first.
    compared : Window
        The window of ordinary days: at least `Options.lookback_days` long.
    exposure : Exposure
        When each workload was open on the readers in `compared`.
    jobs : DataFrame
        Runs of the writer's own jobs in `compared`: `workload, start, end` (UTC).
    design : Design
        The regression on ordinary days.
    estimates : DataFrame
        Effects on ordinary days, one row per workload and metric; see `effects`.
    trials : DataFrame
        Blocks of randomised trials in the window; see `experiment.randomised`.
    latency : DataFrame
        The writer's latencies in the window [ms], one column per metric.
    in_trials : DataFrame
        What these trials compare, as fine as sampled: latencies [ms], throughput [1/s] and the writer's top statements [ms].
    trial_effects : DataFrame
        Effects in these trials; see `experiment.effects`.
    history, commits : Series
        History list length, or age of the xmin horizon [transactions], and commits per second in the window.
    oldest_view : DataFrame
        Which run held the oldest read view at each sample; see `undo_log.attribute_oldest_view`.
    growth : DataFrame
        Growth of the history list by workload; see `growth`.
    mechanism : DataFrame
        Effects on buffers per call and on the readers' lag on ordinary days (PostgreSQL); evidence, never a verdict.
    """

    verdicts: list[Verdict]
    compared: Window
    exposure: exposure.Exposure
    jobs: pd.DataFrame
    design: Design
    estimates: pd.DataFrame
    trials: pd.DataFrame
    latency: pd.DataFrame
    in_trials: pd.DataFrame
    trial_effects: pd.DataFrame
    history: pd.Series
    commits: pd.Series
    oldest_view: pd.DataFrame
    growth: pd.DataFrame
    mechanism: pd.DataFrame

    def buffers_and_time(self, fingerprints: pd.DataFrame) -> pd.DataFrame:
        """Compare the effect on buffers per call with that on time per call, for each of the writer's top statements.

        Parameters
        ----------
        fingerprints : DataFrame
            Texts of the statements: `digest, fingerprint`.

        Returns
        -------
        DataFrame
            Result of `outcomes.buffers_and_time`; without rows on MySQL.
        """
        return outcomes.buffers_and_time(self.estimates, self.mechanism, fingerprints)

    @property
    def runs(self) -> pd.DataFrame:
        """Runs of the workloads, and of the writer's jobs as `(writer) job`."""
        return _with_writer(self.exposure.runs, self.jobs)

    @property
    def metric(self) -> str:
        """Name of the latency that is reported first."""
        return main_metric(self.latency)


@dataclass(frozen=True)
class _Exposed:
    """Runs of the workloads on the readers, and of all statements on the writer."""

    compared: Observations
    readers: exposure.Exposure
    jobs: pd.DataFrame
    on_writer: pd.DataFrame


def answer(data: Observations, groups: workloads.Groups, options: Options = Options()) -> Answer:  # frozen
    """Judge for each reader workload whether it slows the writer.

    Parameters
    ----------
    data : Observations
        The window of one cluster (`observe`).
    groups : Groups
        Rules that name workloads and jobs (`config.groups`).
    options : Options, optional
        Lengths, number of placebos, and the smallest effect that matters.

    Returns
    -------
    Answer
        The verdicts and their evidence. One `unknown` verdict if the window has too little data.
    """
    drawn = experiment.randomised(data.table("trials"))
    trials = drawn[experiment.on_idle_clone(drawn, data.all_times("events")).isna()]
    exposed = _exposed(data.at_least(options.lookback_days), groups, options, trials)
    known = _with_writer(exposed.readers.runs, exposed.on_writer)
    over_days = undo_log.mechanism(exposed.compared, known)
    held = held_history(over_days.delay, over_days.attribution, known)
    design = _ordinary_days(exposed, outcomes.writer_metrics(exposed.compared), options, held)
    measures = _ordinary_days(exposed, outcomes.mechanism_metrics(exposed.compared), options)
    estimates = effects(design, materiality_pct=options.materiality_pct, placebos=options.placebos)
    latency = outcomes.outcomes(data)
    in_trials = outcomes.in_trials(data) if len(trials) else latency
    tried = experiment.effects(in_trials, trials, covariate=data.metric("planned_rate"))
    commits = data.metric("commit_throughput")
    is_same = exposed.compared.window == data.window
    cleanup = over_days if is_same else undo_log.mechanism(data, known)
    grown = growth(cleanup.attribution.oldest_view, known, data.window)
    coverage = data.window.coverage(pd.DatetimeIndex(latency.dropna(how="all").index))
    timezone, words = options.timezone, data.words
    evidence = Evidence(
        tried,
        estimates,
        grown,
        coverage,
        data.window,
        exposed.readers,
        timezone,
        _scaling(data, timezone),
        words,
        experiment.history_growth(data.metric(words.delay_metric), trials),
    )
    background = Background(
        known,
        data.fingerprints,
        latency,
        cleanup.delay,
        estimates,
        cleanup.blockers,
        data.window,
        timezone,
        trials,
        in_trials,
    )
    judged = verdicts(evidence, materiality_pct=options.materiality_pct)
    found = by_severity(with_statements(judged, background))
    return Answer(
        verdicts=with_minutes(found, latency, estimates, exposed.readers.runs, options.objectives),
        compared=exposed.compared.window,
        exposure=exposed.readers,
        jobs=exposed.jobs,
        design=design,
        estimates=estimates,
        trials=trials,
        latency=latency,
        in_trials=in_trials,
        trial_effects=tried,
        history=cleanup.delay,
        commits=commits,
        oldest_view=cleanup.attribution.oldest_view,
        growth=grown,
        mechanism=effects(measures, materiality_pct=options.materiality_pct),
    )


def _scaling(data: Observations, timezone: str) -> scaling.Scaling | None:
    """Capacity of the writer if it was serverless in the window."""
    capacity, utilisation = (data.metric(name) for name in (scaling.CAPACITY, scaling.UTILISATION))
    writers = data.instances[data.instances["role"] == "writer"]
    if capacity.empty and not (writers["instance_class"] == scaling.CLASS).any():
        return None
    return scaling.Scaling(capacity, utilisation, data.window, timezone)


def _exposed(
    compared: Observations, groups: workloads.Groups, options: Options, trials: pd.DataFrame
) -> _Exposed:
    shortest_s = options.shortest_run_s
    tables = workloads.Tables.read(compared, shortest_s=shortest_s)
    on_writer = tables.on_writer()
    readers = exposure.exposure(tables.on_readers(), groups.workloads, shortest_s=shortest_s)
    return _Exposed(
        compared,
        replace(readers, runs=with_tried(readers.runs, trials, tables, groups.workloads)),
        workloads.jobs(
            on_writer, groups.jobs, groups.daily, timezone=options.timezone, shortest_s=shortest_s
        ),
        workloads.exposures(on_writer.slow_queries, groups.jobs, shortest_s=shortest_s),
    )


def _ordinary_days(
    exposed: _Exposed, metrics: pd.DataFrame, options: Options, held: pd.DataFrame | None = None
) -> Design:
    return ordinary_days(
        metrics,
        exposed.readers,
        exposed.jobs,
        writers=exposed.compared.writers,
        timezone=options.timezone,
        held=held,
    )


def _with_writer(runs: pd.DataFrame, on_writer: pd.DataFrame) -> pd.DataFrame:
    """Add the writer's own runs, named so that they are not taken for a reader's workload."""
    named = on_writer.assign(workload="(writer) " + on_writer["workload"].astype(str))
    return pd.concat([runs, named], ignore_index=True)
