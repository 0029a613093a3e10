"""Blocks of a randomised trial: which count as drawn, and the outcome of each."""

from __future__ import annotations

import numpy as np
import pandas as pd

from aurora_analysis.tables import TrialEvent

FOURS = 4
"""Blocks per draw of `aurora-analysis experiment`: of every four, two are on."""


def randomised(trials: pd.DataFrame) -> pd.DataFrame:
    """Blocks that were drawn at random and took place.

    Answers: what may be read as an experiment?

    Parameters
    ----------
    trials : pandas.DataFrame
        Rows of the table `trials`: one per block and workload.

    Returns
    -------
    pandas.DataFrame
        Some of the rows. An on-block that did not run is left out, and so are all blocks after the point at which
        a trial was broken off.
    """
    drawn = trials[trials["assigned"].notna() & trials["on_share"].between(0, 1, inclusive="neither")]
    on, ran = drawn["assigned"].astype(bool), drawn["started_at"].notna()
    key = [drawn["trial"], drawn["workload"]]
    later = ran[::-1].groupby(key).cummax()[::-1]
    broken_off = (on & ~ran & ~later).groupby(key).cummax()
    return drawn[~(on & ~ran) & ~broken_off]


def on_idle_clone(trials: pd.DataFrame, events: pd.DataFrame) -> pd.Series:
    """Message of the trial about a clone without load, by block.

    Parameters
    ----------
    trials : pandas.DataFrame
        Blocks, with `time` (UTC).
    events : pandas.DataFrame
        All events of the cluster: `time` (UTC), `category`, `message`. The last event about the load before a
        block applies to it.

    Returns
    -------
    pandas.Series
        By block (the index of `trials`); missing if the block's writer was loaded, or no event precedes it.
    """
    about_load = events[events["category"].isin([TrialEvent.LOADED, TrialEvent.IDLE_CLONE])]
    about_load = about_load.sort_values("time")
    last = about_load["time"].searchsorted(trials["time"], side="right") - 1
    is_idle = about_load["category"] == TrialEvent.IDLE_CLONE
    messages = about_load["message"].where(is_idle).to_numpy(dtype=object)
    return pd.Series([messages[n] if n >= 0 else None for n in last], trials.index, dtype=object)


def took_place(trials: pd.DataFrame) -> pd.DataFrame:
    """Number of blocks that were drawn, drawn to be on, and ran.

    Answers: was the plan carried out?

    Parameters
    ----------
    trials : pandas.DataFrame
        Rows of the table `trials`.

    Returns
    -------
    pandas.DataFrame
        One row per `trial` and `workload`: `blocks`, `on`, `ran`, and `late_s`, the longest delay of a run after
        its planned start [s].
    """
    late = (trials["started_at"] - trials["time"]).dt.total_seconds()
    return (
        trials.assign(on=trials["assigned"].astype(bool), ran=trials["started_at"].notna(), late_s=late)
        .groupby(["trial", "workload"])
        .agg(blocks=("block", "size"), on=("on", "sum"), ran=("ran", "sum"), late_s=("late_s", "max"))
        .round({"late_s": 1})
        .reset_index()
    )


def statement_latency(
    statement_metrics: pd.DataFrame,
    statements: pd.DataFrame,
    *,
    most: int = 3,
    column: str = "mean_latency_ms",
) -> pd.DataFrame:
    """Mean latency of the statements with the most total time, by second [ms], or another of their means.

    Answers: which statements may be compared? Only those that ran in more than half of the counted periods.

    Parameters
    ----------
    statement_metrics : pandas.DataFrame
        Statement counts: `time` (UTC, start of the period), `period_s` [s], `digest`, `calls`, `mean_latency_ms`.
    statements : pandas.DataFrame
        Texts of the statements: `digest`, `fingerprint`. A trial's own canary is left out.
    most : int
        Largest number of statements.
    column : str
        The mean per call to return.

    Returns
    -------
    pandas.DataFrame
        One column per statement, named by the first characters of its digest, and one row per second. A period's
        mean applies to each of its seconds.
    """
    ours = statements.loc[statements["fingerprint"].str.contains("aurora_analysis"), "digest"]
    ran = statement_metrics[
        ~statement_metrics["digest"].isin(ours) & (statement_metrics["mean_latency_ms"] > 0)
    ]
    by_digest = ran.assign(total=ran["calls"] * ran["mean_latency_ms"]).groupby("digest")
    often = by_digest["time"].nunique() > statement_metrics["time"].nunique() / 2
    chosen = by_digest["total"].sum()[often].nlargest(most).index
    rows = ran[ran["digest"].isin(chosen)].reset_index(drop=True)
    seconds = rows.loc[rows.index.repeat(rows["period_s"].round().astype(int))]
    passed = pd.to_timedelta(seconds.groupby(level=0).cumcount(), unit="s")
    return (
        seconds.assign(time=seconds["time"] + passed)
        .pivot_table(index="time", columns="digest", values=column)
        .rename(columns=lambda digest: f"statement {digest[:8]}")
        .rename_axis(columns=None)
    )


def outcomes(latency: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """Geometric mean of each metric over each block's planned run.

    Off-blocks have a planned run too, so that the same part of every block is compared.

    Parameters
    ----------
    latency : pandas.DataFrame
        One column per metric over time (index UTC, values above 0).
    trials : pandas.DataFrame
        Blocks, with `time` and `end` of the planned run (UTC).

    Returns
    -------
    pandas.DataFrame
        The blocks once per metric, with `metric`, `value` (in the metric's unit) and `coverage`, the share of the
        run's samples that exist [0 to 1].
    """
    found = [outcomes_of_metric(latency[metric], trials).assign(metric=str(metric)) for metric in latency]
    return pd.concat(found) if found else trials[:0].assign(value=0.0, coverage=0.0, metric="")


def during(series: pd.Series, trials: pd.DataFrame) -> list[pd.Series]:
    """Samples of each block's planned run.

    Parameters
    ----------
    series : pandas.Series
        Samples over time (index UTC), in any order.
    trials : pandas.DataFrame
        Blocks, with `time` and `end` of the planned run (UTC); the end is exclusive.

    Returns
    -------
    list of pandas.Series
        One for each row of `trials`.
    """
    ordered = series.sort_index()
    first, last = (ordered.index.searchsorted(pd.DatetimeIndex(trials[edge])) for edge in ("time", "end"))
    return [ordered.iloc[a:b] for a, b in zip(first, last)]


def outcomes_of_metric(series: pd.Series, trials: pd.DataFrame) -> pd.DataFrame:
    """Geometric mean of one metric over each block's planned run.

    Parameters
    ----------
    series : pandas.Series
        The metric over time (index UTC); values of 0 or less are missing.
    trials : pandas.DataFrame
        Blocks, with `time` and `end` of the planned run (UTC).

    Returns
    -------
    pandas.DataFrame
        The blocks with `value` (in the metric's unit) and `coverage` [0 to 1].
    """
    logs = np.log(series[series > 0])
    runs = [run.to_numpy() for run in during(logs, trials)]
    period_s = series.index.to_series().diff().dt.total_seconds().median()
    lasted_s = (trials["end"] - trials["time"]).dt.total_seconds()
    return trials.assign(
        value=[float(np.exp(run.mean())) if len(run) else np.nan for run in runs],
        coverage=(period_s * pd.Series([len(run) for run in runs], trials.index) / lasted_s).fillna(0.0),
    )


def latency_while_on(latency: pd.Series, trials: pd.DataFrame) -> float | None:
    """Mean latency over a workload's on-blocks, each by its geometric mean, as the effect of a trial is estimated.

    Parameters
    ----------
    latency : pandas.Series
        A latency over time (index UTC).
    trials : pandas.DataFrame
        Blocks of one workload.

    Returns
    -------
    float or None
        In the latency's unit; None if it is unknown in all of them.
    """
    mean = outcomes_of_metric(latency, trials[trials["assigned"].astype(bool)])["value"].mean()
    return None if pd.isna(mean) else float(mean)


def following(trials: pd.DataFrame) -> pd.DataFrame:
    """Off-blocks, relabelled as on if the block before them was on.

    Answers: does a run's effect outlast its washout? The `effects` of these blocks are the carry-over.

    Parameters
    ----------
    trials : pandas.DataFrame
        The blocks that were drawn (`randomised`).

    Returns
    -------
    pandas.DataFrame
        The off-blocks that directly follow another block, with the state of that block in `assigned`.
    """
    before = trials.groupby(["trial", "workload"])[["block", "assigned"]].shift()
    follows = ~trials["assigned"].astype(bool) & (trials["block"] == before["block"] + 1)
    return trials[follows].assign(assigned=before["assigned"][follows].astype(bool))


def by_draw(trials: pd.DataFrame) -> pd.DataFrame:
    """Blocks with each group of four that was drawn together as a trial of its own.

    Blocks are then compared within fours, so that slow drift is not mistaken for an effect. The comparison is exact
    however the blocks were drawn: given the number of on-blocks in each four, every order of them was equally likely.

    Parameters
    ----------
    trials : pandas.DataFrame
        The blocks that were drawn (`randomised`).

    Returns
    -------
    pandas.DataFrame
        The same blocks, with the number of the four added to `trial` if every complete four of a trial has two
        on-blocks.
    """
    fours = trials["block"] // FOURS
    drawn = trials.groupby(["trial", "workload", fours])["assigned"].agg(["size", "sum"])
    whole = drawn[drawn["size"] == FOURS]
    halved = (whole["sum"] == FOURS / 2).groupby("trial").all()
    by_fours = trials["trial"].map(halved).eq(True)
    return trials.assign(trial=trials["trial"].where(~by_fours, trials["trial"] + " " + fours.astype(str)))
