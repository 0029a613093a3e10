"""Answer the topic's question for one window of one cluster: the verdicts, and the frames they rest on."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from aurora_analysis.analysis import workloads
from aurora_analysis.analysis.undo_log import confidence, vacuum, vacuum_verdicts
from aurora_analysis.analysis.undo_log.candidates import COLUMNS as CANDIDATE_COLUMNS
from aurora_analysis.analysis.undo_log.candidates import candidates, transaction_starts
from aurora_analysis.analysis.undo_log.episodes import (
    SPAN_COLUMNS,
    base,
    blocking_spans,
    episode_blockers,
    growth_by_blocker,
    growth_episodes,
    purge_state,
)
from aurora_analysis.analysis.undo_log.headlines import Background, with_statements
from aurora_analysis.analysis.undo_log.holders import Attribution, attribution
from aurora_analysis.analysis.undo_log.implied_start import committed
from aurora_analysis.analysis.undo_log.verdicts import Thresholds, verdicts, with_candidates
from aurora_analysis.analysis.verdict import Verdict, local
from aurora_analysis.store.observations import Observations


@dataclass(frozen=True)
class Options:
    """Options of `answer`.

    Parameters
    ----------
    shortest_run_s : float
        Leave out shorter statements, which hold no read view for long [s].
    thresholds : Thresholds
        Limits of severity, coverage and relevance.
    timezone : str
        Time zone of the verdicts' times.
    """

    shortest_run_s: float = 10.0
    thresholds: Thresholds = Thresholds()
    timezone: str = "UTC"


@dataclass(frozen=True)
class Answer:
    """The verdicts on the undo history of one window, and the evidence for them.

    On PostgreSQL the age of the xmin horizon plays the history list's part, and a snapshot that of a read view.

    Parameters
    ----------
    verdicts : list of Verdict
        One per blocker, most growth first.
    history : Series
        History list length (UTC) [transactions].
    episodes : DataFrame
        Spans in which it grew; see `growth_episodes`.
    boundary, finished : Series
        Transaction number up to which purge is allowed, and up to which it has finished (UTC); on PostgreSQL the xmin
        horizon and the next transaction id.
    purge : DataFrame
        State of purge in each episode; see `purge_state`.
    runs : DataFrame
        Logged statements, and transactions in live samples: `workload, instance, digest, thread_id, start, end`.
    attribution : Attribution
        Which run held the oldest read view at each sample, and how probable that is.
    spans : DataFrame
        Spans in which one read view blocked purge; see `blocking_spans`.
    sureness : DataFrame
        How sure each blocker's name is; see `confidence.by_blocker`.
    candidates : DataFrame
        Instances whose oldest transaction began with a view that no session explains; see `candidates.candidates`.
    """

    verdicts: list[Verdict]
    history: pd.Series
    episodes: pd.DataFrame
    boundary: pd.Series
    finished: pd.Series
    purge: pd.DataFrame
    runs: pd.DataFrame
    attribution: Attribution
    spans: pd.DataFrame
    sureness: pd.DataFrame
    candidates: pd.DataFrame

    @property
    def oldest_view(self) -> pd.DataFrame:
        """Run that held the oldest read view at each sample; see `attribute_oldest_view`."""
        return self.attribution.oldest_view

    def by_blocker(self) -> pd.DataFrame:
        """Sum the growth that each blocker caused, largest first.

        Returns
        -------
        DataFrame
            Result of `growth_by_blocker`, with the `confidence` of each blocker's name and the next explanation, `rival`.
            Its `peak_length` is `peak_while_held`: an episode may peak while another session holds the oldest view.
        """
        blockers = growth_by_blocker(self.spans).rename(columns={"peak_length": "peak_while_held"})
        named = [confidence.name(row) for row in blockers.to_dict("records")]
        known = self.sureness.reindex(named)[["confidence", "rival"]]
        return blockers.join(known.set_index(blockers.index))

    def by_episode(self) -> pd.DataFrame:
        """Name the blocker of most of each episode's growth.

        Returns
        -------
        DataFrame
            Result of `episode_blockers`.
        """
        return episode_blockers(self.episodes, self.spans)


def answer(data: Observations, groups: workloads.Groups, options: Options = Options()) -> Answer:  # frozen
    """Judge whether undo history grew faster than purge, and which session blocked it.

    Parameters
    ----------
    data : Observations
        The window of one cluster (`observe`).
    groups : Groups
        Rules that name workloads and jobs (`config.groups`).
    options : Options, optional
        Shortest run, and the limits of severity.

    Returns
    -------
    Answer
        The verdicts and their evidence. An `unknown` verdict if too little of the window was observed.
    """
    return _ANSWERS[data.words.cleanup](data, groups, options)


def _of_purge(data: Observations, groups: workloads.Groups, options: Options) -> Answer:
    history = _history(data)
    episodes = growth_episodes(history)
    boundary, finished = _purge(data)
    purge = purge_state(boundary, finished, episodes)
    runs = _runs(data, groups, options.shortest_run_s)
    found = attribution(history, committed(data.metric("commit_throughput")), runs)
    spans = blocking_spans(found.oldest_view, runs, purge)
    sureness = confidence.by_blocker(spans, found, runs)
    ages = data.table(
        "metrics",
        columns=["time", "instance", "value"],
        where={"name": "oldest_transaction_age", "statistic": "maximum"},
    )
    matching = candidates(spans, found.oldest_view, transaction_starts(ages))
    worded = local(spans, options.timezone)
    judged = verdicts(data.window, history, episodes, worded, options.thresholds, sureness)
    judged = [with_candidates(one, worded, local(matching, options.timezone)) for one in judged]
    roles = data.roles(runs, time="start")
    usual = base(history.dropna())
    background = Background(spans, runs, roles, data.fingerprints, usual, data.window, options.timezone)
    return Answer(
        verdicts=with_statements(judged, background, options.thresholds.watch),
        history=history,
        episodes=episodes,
        boundary=boundary,
        finished=finished,
        purge=purge,
        runs=runs,
        attribution=found,
        spans=spans,
        sureness=sureness,
        candidates=matching,
    )


def _of_vacuum(data: Observations, groups: workloads.Groups, options: Options) -> Answer:
    found = vacuum.vacuum(data, groups, options.shortest_run_s)
    context = vacuum_verdicts.Context(data.window, data.fingerprints, options.timezone)
    return Answer(
        verdicts=vacuum_verdicts.verdicts(found, context, options.thresholds),
        history=found.horizon.age,
        episodes=found.episodes,
        boundary=found.horizon.horizon,
        finished=found.horizon.clock,
        purge=found.states,
        runs=found.runs,
        attribution=found.attribution,
        spans=found.spans,
        sureness=found.sureness,
        candidates=pd.DataFrame(columns=CANDIDATE_COLUMNS),
    )


_ANSWERS = {"purge": _of_purge, "vacuum": _of_vacuum}
"""By the word of the cluster's engine for cleanup."""


@dataclass(frozen=True)
class Mechanism:
    """The quantity that grows while cleanup is blocked, and the blockers.

    Parameters
    ----------
    delay : Series
        History list length; on PostgreSQL the age of the xmin horizon (UTC) [transactions].
    attribution : Attribution
        Which of the runs held the oldest read view or snapshot at each sample, and how probable that is.
    blockers : DataFrame
        Who blocked purge in episodes of growth: the result of `growth_by_blocker`. Empty on PostgreSQL.
    """

    delay: pd.Series
    attribution: Attribution
    blockers: pd.DataFrame


def mechanism(data: Observations, runs: pd.DataFrame) -> Mechanism:
    """Attribute the delay of cleanup to given runs.

    Parameters
    ----------
    data : Observations
        The window of one cluster (`observe`).
    runs : DataFrame
        `workload, instance, digest, thread_id, start, end` (UTC).

    Returns
    -------
    Mechanism
        The delay and its holders.
    """
    if data.words.cleanup == "vacuum":
        found = vacuum.horizon(data)
        nobody = growth_by_blocker(pd.DataFrame(columns=SPAN_COLUMNS))
        return Mechanism(found.age, vacuum.attribution(data, found, runs), nobody)
    history = _history(data)
    held = attribution(history, committed(data.metric("commit_throughput")), runs)
    purge = purge_state(*_purge(data), growth_episodes(history))
    return Mechanism(history, held, growth_by_blocker(blocking_spans(held.oldest_view, runs, purge)))


def _purge(data: Observations) -> tuple[pd.Series, pd.Series]:
    """Numbers up to which purge is allowed, and up to which it has purged [transaction numbers]."""
    return data.metric("purge_boundary"), data.metric("purge_finished")


def _history(data: Observations) -> pd.Series:
    """The history list length by whichever service has more samples: CloudWatch's minutes end after 15 days."""
    means, sampled = data.metric("history_list_length"), data.metric("sampled_history_list_length")
    return sampled.rename("history_list_length") if len(sampled) > len(means) else means


def delay_and_boundary(data: Observations) -> list[pd.Series]:
    """Read what waits for cleanup and how far cleanup may go.

    Parameters
    ----------
    data : Observations
        The window of one cluster (`observe`).

    Returns
    -------
    list of Series
        History list length and purge boundary; on PostgreSQL the age of the xmin horizon, and the horizon.
    """
    if data.words.cleanup == "vacuum":
        found = vacuum.horizon(data)
        return [found.age, found.horizon]
    return [data.metric("history_list_length"), data.metric("purge_boundary")]


def _runs(data: Observations, groups: workloads.Groups, shortest_s: float) -> pd.DataFrame:
    """Logged statements of all instances, and transactions that only live samples show."""
    rules = {**groups.workloads, **groups.jobs}
    slow_queries = data.table(
        "slow_queries",
        columns=workloads.COLUMNS,
        at_least={"query_time_s": shortest_s},
        overlapping=True,
    )
    open_transactions = data.table("open_transactions")
    logged = workloads.exposures(slow_queries, rules, instances=data.instances)
    live = workloads.live_runs(open_transactions, rules, instances=data.instances, shortest_s=shortest_s)
    return workloads.with_live_runs(logged, live)
