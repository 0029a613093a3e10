"""Does the estimator see, on a real InnoDB, what a randomised schedule measured there?

`python benchmarks/fortnight.py STORE …`, each a recording of `aurora-analysis lab record --days 14 --day-length 4m`;
without one it is the recording that is kept. The *truth* is the randomisation test over the recorded schedule (the
table `trials`): workloads were on or off by a draw. The *estimate* sees only what a cluster would show: the minutes, and the
runs in the slow log, as the notebook `reader_impact` does. Its interval must hold the truth, or be where the draw, which is
less precise, would have it too; the harmless `bi` must not be blamed, and `finance`, which always runs with the
nightly job, must be refused. Exit code 1 tells that one did not.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aurora_analysis import Store
from aurora_analysis.analysis import evidence, experiment, exposure_sources, writer_jobs

KEPT = Path(__file__).parents[1] / "data" / "fortnight"
CULPRIT, HARMLESS, TIED = "snowflake", "bi", "finance"
SHORTEST_RUN_S = 10.0
DRAWS = 1999
INTERVAL = ["effect_pct", "ci_low_pct", "ci_high_pct"]
BLAMED = ("slows", "speeds up")
ABOUT = """# The estimator on a real InnoDB

Made by `python benchmarks/fortnight.py STORE …`, which tells what truth and estimate are, over every recording that was
made; the README beside this tells how. An effect is in per cent, with its 95 % interval.
"""
HEAD = [
    "recording",
    "workload",
    "metric",
    "draw alone",
    "draw, days held constant: truth",
    "estimate",
    "level",
    "",
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("stores", nargs="*", default=[KEPT], type=Path)
    parser.add_argument("--cluster", default="lab")
    parser.add_argument(
        "--placebos", type=int, default=0, help="As of the notebook: real runs on other days."
    )
    parser.add_argument("--output", type=Path, help="Write the table there too, as Markdown.")
    options = parser.parse_args()
    found = [
        compared(Store(one), options.cluster, options.placebos).assign(recording=one.name)
        for one in options.stores
    ]
    table = pd.concat(found, ignore_index=True)
    text = "\n".join([_table(table), "", *_summary(table)])
    print(text)
    if options.output:
        options.output.write_text(f"{ABOUT}\n{text}\n", encoding="utf-8")
    return int(table["outcome"].isin(["MISSES the truth", "BLAMED", "NOT REFUSED"]).any())


def compared(store: Store, cluster: str, placebos: int = 0) -> pd.DataFrame:
    """Truth and estimate of a recording side by side, one row a workload and metric."""
    truth, estimate = _truth(store, cluster), _estimate(store, cluster, placebos)
    both = estimate.merge(truth, on=["workload", "metric"], how="left", suffixes=("", "_truth"))
    return both.assign(outcome=[_outcome(row) for row in both.itertuples()])


def _truth(store: Store, cluster: str) -> pd.DataFrame:
    """What the draw says: the effect of each workload that was on or off at random.

    With the level of each day held constant: by chance the runs of a recording may come mostly on its slow days. The
    draw alone stands beside it, in columns that end in `_plain`.
    """
    window = store.span(cluster)
    trials = experiment.randomised(store.read("trials", window, cluster=cluster))
    latency = store.metrics(evidence.OUTCOMES, window, cluster=cluster)
    planned = store.metric("planned_rate", window, cluster=cluster)
    plain = experiment.effects(latency, trials, covariate=planned, draws=DRAWS)
    adjusted = experiment.effects(latency, trials, covariate=_with_days(planned), draws=DRAWS)
    return adjusted.merge(
        plain[["workload", "metric", *INTERVAL]], on=["workload", "metric"], suffixes=("", "_plain")
    )


def _with_days(planned: pd.Series) -> pd.DataFrame:
    """The planned load and an indicator of each day but the first; of a covariate the logarithm is held constant."""
    days = pd.get_dummies(planned.index.strftime("%F"), drop_first=True, dtype=float).set_index(planned.index)
    return np.exp(days).assign(planned=planned)


def _estimate(store: Store, cluster: str, placebos: int) -> pd.DataFrame:
    """What ordinary days say, to one who does not know the draw."""
    window = store.span(cluster)
    slow = store.read("slow_queries", window, cluster=cluster, overlapping=True)
    load = store.read("db_load", window, cluster=cluster, where=exposure_sources.ASKED)
    seen = (store.coverage(window, cluster=cluster), store.instances(window, cluster=cluster), window)
    on_writer = store.roles(slow, cluster=cluster, time="started_at") == "writer"
    readers = exposure_sources.exposure(slow[~on_writer], load, *seen, shortest_s=SHORTEST_RUN_S)
    jobs = writer_jobs.jobs(slow[on_writer], load[:0], *seen, shortest_s=SHORTEST_RUN_S)
    metrics = store.metrics(evidence.INPUTS, window, cluster=cluster)
    roles = store.writers(window, cluster=cluster)
    return evidence.OrdinaryDays(metrics, readers, jobs, roles=roles).estimates(placebos=placebos)


def _outcome(row: Any) -> str:
    if row.level in ("cannot tell", "unknown"):
        return "refused"
    if row.workload == TIED:
        return "NOT REFUSED"
    if row.workload == HARMLESS and row.level in BLAMED:
        return "BLAMED"
    if row.ci_low_pct <= row.effect_pct_truth <= row.ci_high_pct:
        return "holds the truth"
    within = row.ci_low_pct_truth <= row.effect_pct <= row.ci_high_pct_truth
    return "within the draw's error" if within else "MISSES the truth"


def _table(table: pd.DataFrame) -> str:
    """As Markdown."""
    rows = [
        [
            row.recording,
            row.workload,
            row.metric,
            *(
                _interval(*(getattr(row, name + which) for name in INTERVAL))
                for which in ("_plain", "_truth", "")
            ),
            row.level,
            row.outcome,
        ]
        for row in table.itertuples()
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [HEAD, ["---"] * len(HEAD), *rows])


def _interval(effect: float, low: float, high: float) -> str:
    return "" if pd.isna(effect) else f"{effect:+.1f} % ({low:+.1f} to {high:+.1f})"


def _summary(table: pd.DataFrame) -> list[str]:
    """How often each outcome came, workload by workload, and how many placebos were found."""
    counts = table.groupby("workload")["outcome"].value_counts()
    lines = [
        f"- {name}: {', '.join(f'{count} {outcome}' for outcome, count in counts[name].items())}"
        for name in (CULPRIT, HARMLESS, TIED)
    ]
    found = table.drop_duplicates(["recording", "metric"])["placebo_reject_pct"].dropna()
    if found.empty:
        return lines
    mean, most = found.mean(), found.max()
    return [
        *lines,
        f"- placebos found: {mean:.1f} % in the mean of recordings and metrics, {most:.1f} % at most",
    ]


if __name__ == "__main__":
    sys.exit(main())
