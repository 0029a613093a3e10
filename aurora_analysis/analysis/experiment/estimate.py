"""Estimate the causal effect of a workload on the writer from a randomised on/off trial.

Blocks of a trial are drawn on or off at random, and the draw keeps the number of on-blocks fixed; several trials
are separate draws, and blocks are compared within each. Under the
hypothesis that a run multiplies latency by a given factor, every other draw was as likely as the one that
happened; so the share of draws whose statistic is at least as extreme is an exact p-value, and the factors
that are not rejected are a confidence interval. The statistic is a regression coefficient over its robust
standard error, which also holds the error rate where the effect differs between blocks (Zhao & Ding 2021,
Covariate-adjusted Fisher randomization tests for the average treatment effect, J. Econometrics 225).

The carry-over of a run falls equally on the on- and off-blocks that follow: it widens the interval and hardly moves
the estimate (`python dev.py bench trials` measures it), and `following` shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy

from aurora_analysis.analysis.series import Array
from aurora_analysis.tables import TrialEvent

EQUAL = 1e-9
"""Relative difference below which two numbers count as equal: the rest is rounding."""

COVERAGE_NEEDED = 0.8
"""A block with a smaller share of its samples is left out."""

BLOCKS_NEEDED = 4
"""On-blocks and off-blocks needed: of four of each there are 70 draws, and p can just reach .05."""

EFFECT_COLUMNS = [
    "workload",
    "metric",
    "effect_pct",
    "ci_low_pct",
    "ci_high_pct",
    "p",
    "blocks_on",
    "blocks_off",
]


def randomised(trials: pd.DataFrame) -> pd.DataFrame:
    """The blocks that were drawn at random and took place. Answers: what may be read as an experiment?

    A block that was drawn to be on and did not run is none; nor is what follows where a trial broke off.
    """
    drawn = trials[trials["assigned"].notna() & trials["on_share"].between(0, 1, inclusive="neither")]
    on, ran = drawn["assigned"].astype(bool), drawn["started_at"].notna()
    whose = [drawn["trial"], drawn["workload"]]
    later = ran[::-1].groupby(whose).cummax()[::-1]
    broken_off = (on & ~ran & ~later).groupby(whose).cummax()
    return drawn[~(on & ~ran) & ~broken_off]


def on_idle_clone(trials: pd.DataFrame, events: pd.DataFrame) -> pd.Series:
    """What was said of each block's writer, where it was a clone's that is not loaded; missing elsewhere.

    `events` are all of the cluster's: the last that tells of the load before a block holds for it.
    """
    said = events[events["category"].isin([TrialEvent.LOADED, TrialEvent.IDLE_CLONE])].sort_values("time")
    before = said["time"].searchsorted(trials["time"], side="right") - 1
    idle = said["message"].where(said["category"] == TrialEvent.IDLE_CLONE).to_numpy(dtype=object)
    told = [idle[n] if n >= 0 else None for n in before]
    return pd.Series(told, trials.index, dtype=object)


def took_place(trials: pd.DataFrame) -> pd.DataFrame:
    """How many blocks were drawn to be on, and ran. Answers: was the plan carried out?

    One row a trial and workload; `late_s` is the most that a run began after its planned start [s].
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
    statement_metrics: pd.DataFrame, statements: pd.DataFrame, *, most: int = 3
) -> pd.DataFrame:
    """The mean latency of the statements that took the most time in all [ms], second by second, a column each.

    Answers: which statements may be compared? Those that ran in most of the periods that were counted; a count holds
    for each second of its period. A column's name is the digest's beginning; a trial's own canary is left out.
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
        .pivot_table(index="time", columns="digest", values="mean_latency_ms")
        .rename(columns=lambda digest: f"statement {digest[:8]}")
        .rename_axis(columns=None)
    )


def outcomes(latency: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """The mean of each metric over the planned run of each block. Answers: how did each block fare?

    `latency` has one column a metric over time (index UTC, > 0), `trials` rows of the table trials. The planned run
    was drawn for on- and off-blocks alike, so that the same part of a block is compared. Returns the trials once
    for each metric, with `metric`, `value` (the geometric mean over the run, in the metric's unit) and `coverage`
    (the share of the run's samples there).
    """
    found = [_outcomes(latency[metric], trials).assign(metric=str(metric)) for metric in latency]
    return pd.concat(found) if found else trials[:0].assign(value=0.0, coverage=0.0, metric="")


def _outcomes(series: pd.Series, trials: pd.DataFrame) -> pd.DataFrame:
    logs = np.log(series[series > 0]).sort_index()
    runs = [logs[start : end - pd.Timedelta("1us")] for start, end in zip(trials["time"], trials["end"])]
    period_s = series.index.to_series().diff().dt.total_seconds().median()
    lasted_s = (trials["end"] - trials["time"]).dt.total_seconds()
    return trials.assign(
        value=[float(np.exp(run.mean())) if len(run) else np.nan for run in runs],
        coverage=(period_s * pd.Series([len(run) for run in runs], trials.index) / lasted_s).fillna(0.0),
    )


def effects(
    latency: pd.DataFrame,
    trials: pd.DataFrame,
    *,
    covariate: pd.Series | pd.DataFrame | None = None,
    draws: int = 4999,
    alpha: float = 0.05,
    seed: int = 0,
) -> pd.DataFrame:
    """The effect of each workload's runs on each metric [%], with interval and exact p.

    Answers: by how much does switching the workload on change the writer's latency during the run?

    Parameters
    ----------
    latency : pandas.DataFrame
        One column per metric over time (index UTC, values above 0).
    trials : pandas.DataFrame
        The blocks that were drawn (`randomised`).
    covariate : pandas.Series or pandas.DataFrame, optional
        Series that the draw cannot have changed, such as the planned load; they sharpen the estimate.
    draws : int
        Number of other draws that the statistic is compared with.
    alpha : float
        The intervals cover 1 - alpha.
    seed : int
        Seed of the draws.

    Returns
    -------
    pandas.DataFrame
        One row per workload and metric with `EFFECT_COLUMNS`; NaN with too few blocks. Other workloads that were
        switched at the same time are held constant.
    """
    trials = _by_draw(trials)
    steady = _steady(covariate, trials)
    rows = [
        (workload, str(metric), *_effect(*_compared(blocks, workload, steady), draws, alpha, seed))
        for metric in latency
        for blocks in [_outcomes(latency[metric], trials)]
        for workload in sorted(trials["workload"].unique())
    ]
    return pd.DataFrame(rows, columns=EFFECT_COLUMNS)


def _steady(covariate: pd.Series | pd.DataFrame | None, blocks: pd.DataFrame) -> list[pd.DataFrame]:
    """The covariates that are known, block by block."""
    known = pd.DataFrame(covariate).dropna(axis=1, how="all")
    return [_outcomes(known[name], blocks) for name in known]


BY_CHANCE = ["workload", "metric", "effect_pct", "happened"]


def by_chance(
    latency: pd.DataFrame,
    trials: pd.DataFrame,
    found: pd.DataFrame,
    *,
    covariate: pd.Series | pd.DataFrame | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """What other draws would have shown, had the workload no effect at all; the one that happened comes first.

    Answers: could chance have done this? `found` are the `effects`, with the same `covariate`; shown is the one whose p
    is the smallest. One row a draw, none where no effect is known.
    """
    known = found.dropna().sort_values("p")
    if known.empty:
        return pd.DataFrame(columns=BY_CHANCE)
    workload, metric = known["workload"].iloc[0], known["metric"].iloc[0]
    blocks = _by_draw(trials)
    usable, trial = _compared(_outcomes(latency[metric], blocks), workload, _steady(covariate, blocks))
    states = _draws(trial.on, usable["trial"], 999, seed)
    effect_pct = 100 * np.expm1(trial.coefficients(states))
    happened = np.arange(len(states)) == 0
    return pd.DataFrame(
        {"workload": workload, "metric": metric, "effect_pct": effect_pct, "happened": happened}
    )


def following(trials: pd.DataFrame) -> pd.DataFrame:
    """The off-blocks, taken as on where the block before them was. Answers: does a run outlast its washout?

    Their `effects` are the carry-over: what a run leaves behind for the block after it.
    """
    before = trials.groupby(["trial", "workload"])[["block", "assigned"]].shift()
    follows = ~trials["assigned"].astype(bool) & (trials["block"] == before["block"] + 1)
    return trials[follows].assign(assigned=before["assigned"][follows].astype(bool))


FOURS = 4
"""Blocks are drawn in fours, two of them on, where the draw is that of `aurora-analysis experiment`."""


def _by_draw(trials: pd.DataFrame) -> pd.DataFrame:
    """The blocks, each four that were drawn together named as a trial of its own.

    Where every four that is whole has two on, blocks are compared within fours, so that slow drift is nobody's effect.
    That is exact however they were drawn: given how many of each four are on, every order of them was as likely.
    """
    fours = trials["block"] // FOURS
    drawn = trials.groupby(["trial", "workload", fours])["assigned"].agg(["size", "sum"])
    whole = drawn[drawn["size"] == FOURS]
    halved = (whole["sum"] == FOURS / 2).groupby("trial").all()
    by_fours = trials["trial"].map(halved).eq(True)
    return trials.assign(trial=trials["trial"].where(~by_fours, trials["trial"] + " " + fours.astype(str)))


Statistic = Callable[[float], Array]
"""By shift: the statistic of the draw that happened, then of all others."""


@dataclass(frozen=True)
class _Trial:
    """Trials of one workload: log outcome and state of each block, with what is held constant removed.

    `scale` makes every on-block count alike: a trial with few off-blocks would else count less for each of its own.
    """

    y: Array
    on: Array
    scale: Array
    annihilator: Array

    def statistic(self, states: Array) -> Statistic:
        """The studentised coefficient of each row of `states`, once a shift was taken off the on-blocks."""
        x, z = states @ self.annihilator, (states * self.scale) @ self.annihilator
        squares = (x * z).sum(axis=1)

        def t(shift: float) -> Array:
            y = self.annihilator @ (self.y - shift * self.on)
            with np.errstate(divide="ignore", invalid="ignore"):
                coefficients = z @ y / squares
                residuals = y - coefficients[:, None] * x
                found = coefficients * squares / np.sqrt(((z * residuals) ** 2).sum(axis=1))
            all_alike = np.abs(coefficients) <= EQUAL * (1 + np.abs(self.y).max())
            found[all_alike] = 0.0
            return np.asarray(np.clip(np.nan_to_num(found, nan=np.inf), -1 / EQUAL, 1 / EQUAL))

        return t

    def coefficients(self, states: Array) -> Array:
        """The coefficient of each row of `states`."""
        z = (states * self.scale) @ self.annihilator
        return np.asarray((z @ self.y) / (z * states).sum(axis=1))

    def estimate(self) -> float:
        return float(self.coefficients(self.on[None])[0])


def _effect(
    usable: pd.DataFrame, trial: _Trial, draws: int, alpha: float, seed: int
) -> tuple[float, float, float, float, int, int]:
    """Effect and interval [%], p, and the numbers of on- and off-blocks."""
    count_on, count_off = int(trial.on.sum()), int(len(trial.on) - trial.on.sum())
    if min(count_on, count_off) < BLOCKS_NEEDED:
        return (np.nan, np.nan, np.nan, np.nan, count_on, count_off)
    statistic = trial.statistic(_draws(trial.on, usable["trial"], draws, seed))
    low, high = _interval(trial, statistic, alpha)
    effect, low, high = (100 * float(np.expm1(value)) for value in (trial.estimate(), low, high))
    return (effect, low, high, _p(statistic, 0.0), count_on, count_off)


def _compared(
    blocks: pd.DataFrame, workload: str, covariates: list[pd.DataFrame]
) -> tuple[pd.DataFrame, _Trial]:
    """The workload's blocks that have enough samples, and the trial that they are."""
    mine = blocks[blocks["workload"] == workload]
    usable = mine[(mine["coverage"] >= COVERAGE_NEEDED) & mine["value"].notna()]
    on = usable["assigned"].to_numpy(dtype=float)
    y = np.log(usable["value"].to_numpy(dtype=float))
    constant = _annihilator(_held_constant(usable, blocks, workload, covariates))
    return usable, _Trial(y, on, _scale(on, usable["trial"]), constant)


def _held_constant(
    usable: pd.DataFrame, blocks: pd.DataFrame, workload: str, covariates: list[pd.DataFrame]
) -> Array:
    """A level of each trial, the other workloads' states in the same block, and the covariates."""
    key = ["trial", "block"]
    mine = pd.MultiIndex.from_frame(usable[key])
    others = blocks[blocks["workload"] != workload].pivot_table(
        index=key, columns="workload", values="assigned", aggfunc="first"
    )
    columns = [(usable["trial"] == name).to_numpy(dtype=float) for name in usable["trial"].unique()]
    columns += [others[name].reindex(mine).fillna(0).to_numpy(dtype=float) for name in others]
    for covariate in covariates:
        steady = covariate[covariate["workload"] == workload].set_index(key)["value"]
        columns.append(np.log(steady.reindex(mine).to_numpy(dtype=float)))
    known = [column for column in columns if np.isfinite(column).all()]
    return np.column_stack(known) if known else np.zeros((len(usable), 0))


def _scale(on: Array, trials: pd.Series) -> Array:
    """Inverse-probability weight of a control block: 1 / (share of control blocks in its trial); 1 if it has none."""
    off = 1 - pd.Series(on, trials.index).groupby(trials).transform("mean").to_numpy(dtype=float)
    return 1 / np.where(off > 0, off, 1)


def _annihilator(constant: Array) -> Array:
    return np.asarray(np.eye(len(constant)) - constant @ np.linalg.pinv(constant))


def _draws(on: Array, trials: pd.Series, draws: int, seed: int) -> Array:
    """The draw that happened, then others that were as likely: the same number of on-blocks in each trial."""
    rng = np.random.default_rng(seed)
    states = np.tile(on, (draws + 1, 1))
    for name in trials.unique():
        mine = (trials == name).to_numpy()
        states[1:, mine] = rng.permuted(states[1:, mine], axis=1)
    return states


def _p(statistic: Statistic, shift: float) -> float:
    """The share of draws at least as extreme as the one that happened, which is itself one of them."""
    t = np.abs(statistic(shift))
    return float((t >= t[0] * (1 - 1e-9)).mean())


def _interval(trial: _Trial, statistic: Statistic, alpha: float) -> tuple[float, float]:
    """The shifts that are not rejected, found by bisection on each side of the estimate; missing where none is."""
    centre = trial.estimate()
    step = float(np.std(trial.y)) + 1e-6
    return _edge(statistic, alpha, centre, -step), _edge(statistic, alpha, centre, step)


def _edge(statistic: Statistic, alpha: float, inside: float, step: float) -> float:
    outside = inside + step
    for _ in range(20):
        if _p(statistic, outside) <= alpha:
            break
        inside, outside = outside, outside + step
        step *= 2
    else:
        return float("nan")
    for _ in range(24):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if _p(statistic, middle) <= alpha else (middle, outside)
    return outside


GROWTH_COLUMNS = ["workload", "on_per_hour", "off_per_hour", "difference", "ci_low", "ci_high", "p"]


def history_growth(
    history: pd.Series, trials: pd.DataFrame, *, draws: int = 4999, alpha: float = 0.05, seed: int = 0
) -> pd.DataFrame:
    """By how much faster the history list grows while a workload runs [transactions an hour], with interval and p.

    Answers: does the query hold up purge? `history` is the history list over time, `trials` the blocks that were
    drawn. Growth is the median slope between the samples of a planned run (Theil & Sen): what stood there when the run
    began is purged in its first moments, and a late sample sees the next drain, but few pairs of samples do. Workloads
    that were switched beside this one are held constant in the difference.
    """
    trials = _by_draw(trials)
    rows = [
        (workload, *_growth(history, trials, str(workload), draws, alpha, seed))
        for workload in sorted(trials["workload"].unique())
    ]
    return pd.DataFrame(rows, columns=GROWTH_COLUMNS)


def _growth(
    history: pd.Series, trials: pd.DataFrame, workload: str, draws: int, alpha: float, seed: int
) -> tuple[float, ...]:
    mine = trials[trials["workload"] == workload]
    spans = [history[start : end - pd.Timedelta("1us")] for start, end in zip(mine["time"], mine["end"])]
    rates = np.array([_per_hour(span) for span in spans])
    known = ~np.isnan(rates)
    on = mine["assigned"].to_numpy(dtype=float)[known]
    if min(on.sum(), len(on) - on.sum()) < BLOCKS_NEEDED:
        return (np.nan,) * 6
    constant = _held_constant(mine[known], trials, workload, [])
    trial = _Trial(rates[known], on, _scale(on, mine["trial"][known]), _annihilator(constant))
    statistic = trial.statistic(_draws(on, mine["trial"][known], draws, seed))
    means = trial.y[on == 1].mean(), trial.y[on == 0].mean()
    return (*means, trial.estimate(), *_interval(trial, statistic, alpha), _p(statistic, 0.0))


SLOPES_OF = 300
"""Longer spans are thinned to at most this many samples: every pair of samples is compared."""


def _per_hour(span: pd.Series) -> float:
    """The median slope; of a longer run every so many samples are taken."""
    some = span.iloc[:: len(span) // SLOPES_OF + 1]
    if len(some) < 2:
        return np.nan
    hours = (some.index - some.index[0]).total_seconds() / 3600
    return float(scipy.stats.theilslopes(some.to_numpy(dtype=float), hours)[0])


RUNS_NEEDED = 4
"""With fewer run lengths in the baseline the variance of run means is too uncertain."""

SURE = 0.8
"""Power of the detectable effect, and confidence of the upper bound of the noise."""


def detectable_pct(latency: Sequence[float], *, blocks: int, run_s: float, period_s: float = 1.0) -> float:
    """The smallest effect that a trial finds four times in five, or more often [%], from a calm stretch of latencies.

    Answers: is the trial long enough? Blocks are compared within fours, so that it is the noise of a run's mean that
    counts. The stretch is cut into runs; their means are few, and repeat of each other, so that their variance is
    taken at its upper bound (one-sided, at 80 %). What the stretch does not show, such as a rare burst, is not
    foreseen. `dev.py calibrate trials` measures the promise. Missing where the stretch holds too few runs.
    """
    logs = np.log([value for value in latency if value > 0])
    run = max(1, round(run_s / period_s))
    runs = len(logs) // run
    if runs < RUNS_NEEDED or np.std(logs) == 0:
        return float("nan")
    means = logs[: runs * run].reshape(runs, run).mean(axis=1)
    bound = means.var(ddof=1) * (runs - 1) / scipy.stats.chi2.ppf(1 - SURE, runs - 1)
    degrees = blocks - blocks / FOURS - 1
    significant, found = (float(scipy.stats.t.ppf(q, degrees)) for q in (0.975, SURE))
    return float(100 * np.expm1((significant + found) * np.sqrt(4 / blocks * bound)))
