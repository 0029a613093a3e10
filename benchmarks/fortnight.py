"""Does the estimator see, on a real InnoDB, what a randomised schedule measured there?

`python dev.py bench fortnight -- STORE …`, each a store of `aurora-analysis lab record --days 14 --day-length 4m`; without one
the kept recording. The *truth* is the randomisation test over the recorded schedule (the table `trials`): workloads
were on or off by a draw. The *estimate* sees only what a cluster would show: the minutes, and the runs in the slow
log. Its interval must hold the truth, the harmless `bi` must not be blamed, and `finance`, which always runs with
the nightly job, must be refused. Exit code 1 tells where that failed; `--output` writes the table.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

from aurora_analysis import Store
from aurora_analysis.analysis import evidence, experiment, workloads

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "data" / "fortnight"
HARMLESS, TIED = "bi", "finance"
SHORTEST_RUN_S = 10.0
INTERVAL = ["effect_pct", "ci_low_pct", "ci_high_pct"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("stores", nargs="*", default=[KEPT], type=Path)
    parser.add_argument("--cluster", default="lab")
    parser.add_argument("--output", type=Path, help="Write the table there, as Markdown.")
    options = parser.parse_args()
    found = [compared(Store(one), options.cluster).assign(recording=one.name) for one in options.stores]
    table = pd.concat(found, ignore_index=True)
    text = told(table)
    print(text)
    if options.output:
        options.output.write_text(text + "\n")
    return int(not table["as_it_should"].all())


def compared(store: Store, cluster: str) -> pd.DataFrame:
    """Truth and estimate of a recording, side by side: one row a workload and metric."""
    window = store.span(cluster)
    metrics = store.metrics(evidence.INPUTS, window, cluster=cluster)
    latency = metrics[[name for name in evidence.OUTCOMES if name in metrics]]
    planned = store.metric("planned_rate", window, cluster=cluster)
    trials = experiment.randomised(store.read("trials", window, cluster=cluster))
    truth = experiment.effects(latency, trials, covariate=planned)
    runs = workloads.exposures(
        store.read("slow_queries", window, cluster=cluster, overlapping=True), shortest_s=SHORTEST_RUN_S
    )
    role = store.roles(runs, cluster=cluster, time="start")
    estimate = evidence.observed(
        metrics,
        runs[role != "writer"],
        writer_jobs=runs[role == "writer"],
        roles=store.writers(window, cluster=cluster),
    )
    both = estimate.merge(truth, on=["workload", "metric"], how="left", suffixes=("", "_truth"))
    return both.assign(
        holds=both["effect_pct_truth"].between(both["ci_low_pct"], both["ci_high_pct"]),
        as_it_should=[_as_it_should(row) for row in both.itertuples()],
    )


def _as_it_should(row) -> bool:
    if row.workload == TIED:
        return row.level == "cannot tell"
    blamed = row.level in {"slows", "speeds up"}
    return row.ci_low_pct <= row.effect_pct_truth <= row.ci_high_pct and not (
        row.workload == HARMLESS and blamed
    )


def told(table: pd.DataFrame) -> str:
    """The table as Markdown, recording by recording."""
    head = (
        "| recording | workload | metric | truth by the draw | estimate | level | interval holds the truth |"
    )
    rows = [
        f"| {row.recording} | {row.workload} | {row.metric} | {_interval(row, '_truth')} | {_interval(row)} "
        f"| {row.level} | {_held(row)} |"
        for row in table.itertuples()
    ]
    return "\n".join([head, "|---|---|---|---|---|---|---|", *rows])


def _interval(row, suffix: str = "") -> str:
    effect, low, high = (getattr(row, name + suffix) for name in INTERVAL)
    return "" if pd.isna(effect) else f"{effect:+.1f} % [{low:+.1f}, {high:+.1f}]"


def _held(row) -> str:
    if pd.isna(row.effect_pct) or pd.isna(row.effect_pct_truth):
        return ""
    return "yes" if row.holds else "**no**"


if __name__ == "__main__":
    sys.exit(main())
