"""Compare the estimator with a randomised schedule on a real InnoDB.

`python benchmarks/fortnight.py STORE …` compares the recordings in the given stores, each made by
`aurora-analysis lab record --days 14 --day-length 4m`; without an argument, the recording in `data/fortnight`. The
*truth* is a randomisation test: the recorded schedule (the table `trials`) drew whether a workload ran. The *estimate*
uses only data that a cluster exposes, as the notebook `reader_impact` does: minutes and the runs in the slow log.

Checks, with exit code 1 if one fails:

- The difference lies within the joint error in at least nineteen of twenty comparisons.
- The harmless workload `bi` is not blamed.
- `finance`, which always runs with the nightly job, is refused.

The share of the estimate's intervals that contain the truth is printed with the share to expect. The truth has an error
too. If the two errors were independent, an interval of half-width 1.96 e would contain a truth with the error t as often
as a normal variable of variance e² + t² lies within 1.96 e. Both use the same minutes, so their errors correlate and the
share should be larger; `benchmarks/fortnight_redrawn.py` measures it with a planted truth.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from aurora_analysis import Store, Window
from aurora_analysis.analysis import experiment, reader_impact
from aurora_analysis.analysis.effect_level import SLOWER
from aurora_analysis.analysis.reader_impact import controls, regressors
from aurora_analysis.analysis.workloads import exposure, writer_jobs

KEPT = Path(__file__).parents[1] / "data" / "fortnight"
CULPRIT, HARMLESS, TIED = "snowflake", "bi", "finance"
SHORTEST_RUN_S = 10.0
DRAWS = 1999
AROUND = "4h"
"""Window of the running mean that estimates the machine's speed at each minute: a slot's length."""

INTERVAL = ["effect_pct", "ci_low_pct", "ci_high_pct"]
BLAMED = (*SLOWER, "speeds up")
MATERIALITY_PCT = 5.0
BEYOND_MOST = 0.05
"""Largest permitted share of differences beyond the joint error."""

ABOUT = """# The estimator on a real InnoDB

Made by `python benchmarks/fortnight.py STORE …` from all recordings; its docstring defines truth and estimate, and
[README.md](README.md) describes the recordings. Effects are in per cent, with 95 % intervals.
"""
HEAD = ["recording", "workload", "metric", "truth", "estimate", "level", "differ by", "outcome"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("stores", nargs="*", default=[KEPT], type=Path)
    parser.add_argument("--cluster", default="lab")
    parser.add_argument(
        "--placebos", type=int, default=0, help="Placebo tests: real runs moved to other days."
    )
    parser.add_argument("--output", type=Path, help="File for the table, in Markdown.")
    options = parser.parse_args()
    found = [
        compared(Store(one), options.cluster, options.placebos).assign(recording=one.name)
        for one in options.stores
    ]
    table = pd.concat(found, ignore_index=True)
    assumptions = pd.concat([assumed(Store(one), options.cluster) for one in options.stores])
    text = "\n".join([_table(table), "", *_summary(table), *_assumptions(assumptions)])
    print(text)
    if options.output:
        options.output.write_text(f"{ABOUT}\n{text}\n", encoding="utf-8")
    beyond = (table["outcome"] == "beyond the joint error").sum()
    wrong = table["outcome"].isin(["BLAMED", "NOT REFUSED"]).any()
    return int(wrong or beyond > BEYOND_MOST * contains(table).size)


def compared(store: Store, cluster: str, placebos: int = 0) -> pd.DataFrame:
    """Truth and estimate of a recording, one row per workload and metric."""
    window = store.span(cluster)
    trials = store.read("trials", window, cluster=cluster)
    planned = store.metric("planned_rate", window, cluster=cluster)
    drawn = truth(store.metrics(reader_impact.OUTCOMES, window, cluster=cluster), trials, planned)
    return side_by_side(drawn, _estimate(store, cluster, window, placebos))


def assumed(store: Store, cluster: str) -> pd.DataFrame:
    """Test two assumptions with the same draw: no effect on writes, and no effect after a run.

    One row per workload and metric; `period` is "after a run" (the half hour after a planned run) or "during a run".
    """
    window = store.span(cluster)
    trials = store.read("trials", window, cluster=cluster)
    planned = store.metric("planned_rate", window, cluster=cluster)
    after = truth(store.metrics(reader_impact.OUTCOMES, window, cluster=cluster), trials, planned, after=True)
    writes = truth(store.metrics([reader_impact.LOAD], window, cluster=cluster), trials, planned)
    return pd.concat([after.assign(period="after a run"), writes.assign(period="during a run")])


def truth(
    latency: pd.DataFrame, trials: pd.DataFrame, planned: pd.Series, *, after: bool = False
) -> pd.DataFrame:
    """Effect of each randomised workload by the draw; with `after`, its effect on the half hour after the run.

    The test holds three things constant that the draw cannot have affected: the planned load, the other workloads'
    runs, and the speed of the machine around the run. The speed is the mean of the minutes that lie outside every
    planned run of the workload, whether the run was drawn or not, and outside the half hour after it.
    """
    blocks = experiment.randomised(trials)
    return pd.concat(
        [
            _drawn(latency[[metric]], blocks, trials, planned, workload, after)
            for workload in sorted(blocks["workload"].unique())
            for metric in latency
        ],
        ignore_index=True,
    )


def _drawn(
    latency: pd.DataFrame,
    blocks: pd.DataFrame,
    trials: pd.DataFrame,
    planned: pd.Series,
    workload: str,
    after: bool,
) -> pd.DataFrame:
    """Randomisation test of one workload and metric; the logarithms of the covariates are held constant."""
    own = blocks[blocks["workload"] == workload]
    ran = trials[(trials["workload"] != workload) & trials["started_at"].notna()]
    grid = controls.grid(planned.index, planned, "UTC")
    logs = np.log(latency.where(latency > 0)).squeeze(axis=1).reindex(planned.index)
    spans = regressors.exposed_share(own.rename(columns={"time": "start"}), grid)
    affected = (spans > 0) | (regressors.carryover(spans[:, None])[:, 0] > 0)
    level = logs.mask(affected).rolling(AROUND, center=True).mean()
    others = {
        name: np.exp(regressors.exposed_share(runs.rename(columns={"time": "start"}), grid))
        for name, runs in ran.groupby("workload")
    }
    covariate = pd.DataFrame({"planned": planned, "level": np.exp(level), **others}, index=planned.index)
    following = own.assign(
        time=own["end"], end=own["end"] + pd.Timedelta(minutes=regressors.CARRYOVER_MINUTES)
    )
    return experiment.effects(latency, following if after else own, covariate=covariate, draws=DRAWS)


def _estimate(store: Store, cluster: str, window: Window, placebos: int) -> pd.DataFrame:
    """Estimate from ordinary days, without knowledge of the draw."""
    slow = store.read("slow_queries", window, cluster=cluster, overlapping=True)
    load = store.read("db_load", window, cluster=cluster, **exposure.DB_LOAD)
    instances = store.instances(window, cluster=cluster)
    tables = exposure.Tables(slow, load, store.coverage(window, cluster=cluster), instances, window)
    on_writer = store.roles(slow, cluster=cluster, time="started_at") == "writer"
    writers = replace(tables, slow_queries=slow[on_writer], db_load=load[:0])
    readers = exposure.exposure(replace(tables, slow_queries=slow[~on_writer]), shortest_s=SHORTEST_RUN_S)
    jobs = writer_jobs.jobs(writers, shortest_s=SHORTEST_RUN_S)
    metrics = store.metrics(reader_impact.WRITER_METRICS, window, cluster=cluster)
    terms = store.writers(window, cluster=cluster)
    design = reader_impact.ordinary_days(metrics, readers, jobs, writers=terms)
    return reader_impact.effects(design, placebos=placebos)


def side_by_side(drawn: pd.DataFrame, estimate: pd.DataFrame) -> pd.DataFrame:
    """Truth (columns that end in `_truth`), estimate and outcome of each workload and metric.

    `error` and `error_truth` are the standard errors of the logarithms, `z` is the difference of the logarithms in joint
    standard errors, and `expected` is the probability that the estimate's interval contains the truth if both are
    unbiased and their errors are independent.
    """
    both = estimate.merge(drawn, on=["workload", "metric"], how="left", suffixes=("", "_truth"))
    error, other = _error(both, ""), _error(both, "_truth")
    joint = np.hypot(error, other)
    apart = np.log1p(both["effect_pct"] / 100) - np.log1p(both["effect_pct_truth"] / 100)
    both = both.assign(
        error=error,
        error_truth=other,
        z=apart / joint,
        expected=1 - 2 * norm.sf(norm.ppf(0.975) * error / joint),
    )
    return both.assign(outcome=[_outcome(row) for row in both.itertuples()])


def _error(table: pd.DataFrame, which: str) -> pd.Series:
    """Standard error that corresponds to an interval's width."""
    low, high = (np.log1p(table[f"ci_{end}_pct{which}"] / 100) for end in ("low", "high"))
    return (high - low) / (2 * norm.ppf(0.975))


def _outcome(row: Any) -> str:
    if row.level in ("cannot tell", "unknown"):
        return "refused"
    if row.workload == TIED:
        return "NOT REFUSED"
    if row.workload == HARMLESS and row.level in BLAMED:
        return "BLAMED"
    if row.ci_low_pct <= row.effect_pct_truth <= row.ci_high_pct:
        return "contains the truth"
    return "within the joint error" if abs(row.z) < norm.ppf(0.975) else "beyond the joint error"


def _table(table: pd.DataFrame) -> str:
    """Comparisons as a Markdown table, without the refused ones, which have no numbers."""
    rows = [
        [
            row.recording,
            row.workload,
            row.metric,
            *(_interval(*(getattr(row, name + which) for name in INTERVAL)) for which in ("_truth", "")),
            row.level,
            f"{row.z:+.1f} σ",
            row.outcome,
        ]
        for row in table[table["outcome"] != "refused"].itertuples()
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [HEAD, ["---"] * len(HEAD), *rows])


def _interval(effect: float, low: float, high: float) -> str:
    return f"{effect:+.1f} % ({low:+.1f} to {high:+.1f})"


def contains(table: pd.DataFrame) -> pd.Series:
    """Whether the estimate's interval contains the truth, for the rows that have both."""
    judged = table.dropna(subset=["z"])
    return judged["effect_pct_truth"].between(judged["ci_low_pct"], judged["ci_high_pct"])


def _summary(table: pd.DataFrame) -> list[str]:
    """Counts of the outcomes by workload, and the counts to expect."""
    counts = table.groupby("workload")["outcome"].value_counts()
    contained, beyond = contains(table), (table["z"].abs() > norm.ppf(0.975)).sum()
    return [
        *(
            f"- {name}: {', '.join(f'{outcome} {count} times' for outcome, count in counts[name].items())}"
            for name in counts.index.unique("workload")
        ),
        f"- intervals that contain the truth: {contained.sum()} of {contained.size} ({contained.mean():.0%}); "
        f"expected if both are unbiased and their errors independent: {table['expected'].mean():.0%}",
        f"- differences beyond the joint error: {beyond} of {contained.size}; expected: at most {BEYOND_MOST:.0%}",
        f"- standard error: {table['error'].mean():.1%} of the estimate, {table['error_truth'].mean():.1%} of the truth",
        *_levels(table),
        *_differences(table),
        *_placebos(table),
    ]


def _levels(table: pd.DataFrame) -> list[str]:
    """How the printed levels agree with the draw."""
    known = table[table["outcome"] != "refused"]
    none, much = known["ci_high_pct_truth"] < MATERIALITY_PCT, known["ci_low_pct_truth"] >= MATERIALITY_PCT
    slower, cleared = known["level"].isin(SLOWER), known["level"] == "no material effect"
    return [
        f"- printed level where the draw shows at least {MATERIALITY_PCT:g} %: `slows` {(known['level'] == 'slows')[much].sum()} "
        f"of {much.sum()}, `no material effect` {cleared[much].sum()}",
        f"- printed level where the draw shows less than {MATERIALITY_PCT:g} %: `slows` or `slows a little` {slower[none].sum()} "
        f"of {none.sum()}, `no material effect` {cleared[none].sum()}, the others undecided",
    ]


def _differences(table: pd.DataFrame) -> list[str]:
    """Mean difference between estimate and truth over the recordings, which shows a bias."""
    differences = table.assign(points=table["effect_pct"] - table["effect_pct_truth"])
    return _means(differences, "estimate minus truth")


def _assumptions(assumptions: pd.DataFrame) -> list[str]:
    """The culprit's mean effect, over the recordings, on quantities that it should not affect."""
    rows = assumptions[assumptions["workload"] == CULPRIT].rename(columns={"effect_pct": "points"})
    return [
        line
        for period, part in rows.groupby("period")
        for line in _means(part, f"effect by the draw, {period}")
    ]


def _means(table: pd.DataFrame, label: str) -> list[str]:
    """Mean of `points` over the recordings with its standard error; empty for a single recording."""
    found = table.groupby(["workload", "metric"])["points"].agg(["mean", "sem"]).dropna()
    return [
        f"- {label}: {workload}, {metric}: {row['mean']:+.1f} points (standard error {row['sem']:.1f})"
        for (workload, metric), row in found.iterrows()
    ]


def _placebos(table: pd.DataFrame) -> list[str]:
    """The share of placebos that were found; empty without placebos."""
    found = table.drop_duplicates(["recording", "metric"])["placebo_reject_pct"].dropna()
    if found.empty:
        return []
    return [
        f"- placebos found: {found.mean():.1f} % on average over recordings and metrics, {found.max():.1f} % at most"
    ]


if __name__ == "__main__":
    sys.exit(main())
