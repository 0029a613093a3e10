"""Measure bias and coverage of the truth and of the estimate of `fortnight.py`, with a planted effect.

`python benchmarks/fortnight_redrawn.py --draws 20 STORE …` keeps the recorded minutes, including the machine's own
fluctuations, and removes the part of the culprit's effect that its dose explains. It then draws a new schedule, plants
the effect in the drawn runs, and applies both methods as `fortnight.py` does. It prints each method's bias and how often
its interval contains the planted effect. It also prints how often the estimate's interval contains the truth, which is
the share to expect on a recording if both methods are right.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from fortnight import CULPRIT, HARMLESS, INTERVAL, KEPT, TIED, contains, side_by_side, truth

from aurora_analysis import Store
from aurora_analysis.analysis import reader_impact
from aurora_analysis.analysis.reader_impact import controls, regressors
from aurora_analysis.analysis.series import Array
from aurora_analysis.lab import compressed

FIRST_SEED = 1000
"""First seed of the new schedules; the recordings' seeds are below it."""

RAMP_MIN = 220.0
"""The dose, in minutes of writes at the mean rate, at which latency doubles: a scan of undo grows with the undo."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("stores", nargs="*", default=[KEPT], type=Path)
    parser.add_argument("--cluster", default="lab")
    parser.add_argument("--draws", type=int, default=4, help="Schedules per recording.")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.draws)
    tables = [
        table.assign(recording=one.name)
        for one in options.stores
        for table in redrawn(Store(one), options.cluster, seeds)
    ]
    found = pd.concat(tables, ignore_index=True)
    print(summary(found).round(1).to_string())
    print("\nPrinted levels [number of schedules]:\n")
    print(printed(found).to_string())
    return 0


def redrawn(store: Store, cluster: str, seeds: range) -> list[pd.DataFrame]:
    """Truth, estimate and planted effect, one table per schedule."""
    window = store.span(cluster)
    minutes = store.metrics(reader_impact.WRITER_METRICS, window, cluster=cluster).resample("min").mean()
    planned = store.metric("planned_rate", window, cluster=cluster).reindex(minutes.index)
    recorded = store.read("trials", window, cluster=cluster)
    logs = np.log(minutes[[name for name in reader_impact.OUTCOMES if name in minutes]])
    ramp = _ramp(recorded[recorded["workload"] == CULPRIT], minutes)
    effect = pd.Series({name: _effect(logs[name], ramp, planned) for name in logs})
    quiet = logs - np.outer(ramp, effect)
    found = []
    for seed in seeds:
        trials = _as_planned(compressed.draw(window, seed), recorded)
        new_ramp = _ramp(trials[trials["workload"] == CULPRIT], minutes)
        latency = np.exp(quiet + np.outer(new_ramp, effect))
        drawn = truth(latency, trials, planned)
        table = side_by_side(drawn, _estimate(latency, minutes, trials))
        found.append(table.merge(_planted(new_ramp, effect), on=["workload", "metric"]).assign(seed=seed))
    return found


def _as_planned(drawn: pd.DataFrame, recorded: pd.DataFrame) -> pd.DataFrame:
    """Trials in which every drawn run ran as planned, together with the recorded nightly jobs."""
    trials = drawn[drawn["workload"].isin([CULPRIT, HARMLESS])]
    on = trials["assigned"].astype(bool)
    ran = trials.assign(started_at=trials["time"].where(on), ended_at=trials["end"].where(on))
    return pd.concat([ran, recorded[~recorded["workload"].isin([CULPRIT, HARMLESS])]], ignore_index=True)


def _runs(trials: pd.DataFrame) -> pd.DataFrame:
    ran = trials[trials["started_at"].notna()]
    return ran[["workload"]].assign(start=ran["started_at"], end=ran["ended_at"])


def _ramp(trials: pd.DataFrame, minutes: pd.DataFrame) -> Array:
    """Shape of the runs' effect by minute: the logarithm of their dose; 0 while no run is open."""
    load = minutes[reader_impact.LOAD]
    grid = controls.grid(pd.DatetimeIndex(minutes.index), load, "UTC")
    runs = _runs(trials)
    exposed, age = (of(runs, grid)[:, None] for of in (regressors.exposed_share, regressors.oldest_run_age))
    speed = regressors.purge_speed(minutes[reader_impact.HISTORY], load)
    everywhere = np.ones(len(exposed), dtype=bool)
    dose = regressors.columns(exposed, age, load.to_numpy(), speed, everywhere)[:, regressors.DOSE]
    return np.log1p(dose / RAMP_MIN) * exposed[:, 0]


def _effect(logs: pd.Series, ramp: Array, planned: pd.Series) -> float:
    """Regression coefficient of the recorded latency on the ramp, controlled for hour of day, day and load."""
    times = pd.DatetimeIndex(logs.index)
    columns = [ramp, np.log(planned), pd.get_dummies(times.hour), pd.get_dummies(times.day_of_year)]
    matrix = np.column_stack(columns).astype(float)
    valid = np.isfinite(matrix).all(axis=1) & np.isfinite(logs.to_numpy())
    return float(np.linalg.lstsq(matrix[valid], logs.to_numpy()[valid])[0][0])


def _estimate(latency: pd.DataFrame, minutes: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    runs = _runs(trials)
    inputs = reader_impact.Inputs(
        latency,
        minutes[reader_impact.LOAD],
        runs[runs["workload"].isin([CULPRIT, HARMLESS, TIED])],
        writer_jobs=runs[~runs["workload"].isin([CULPRIT, HARMLESS, TIED])],
        history_list_length=minutes[reader_impact.HISTORY],
    )
    return reader_impact.effects(reader_impact.design(inputs))


def _planted(ramp: Array, effect: pd.Series) -> pd.DataFrame:
    """Planted effect of the culprit, the mean over its open minutes, and of the harmless workload: zero."""
    mean = {CULPRIT: ramp[ramp > 0].mean(), HARMLESS: 0.0}
    rows = [(workload, metric, at * step) for workload, at in mean.items() for metric, step in effect.items()]
    return pd.DataFrame(rows, columns=["workload", "metric", "planted"])


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """Bias, error and coverage over all schedules, by workload and metric [%]."""
    judged = found.dropna(subset=["effect_pct", "effect_pct_truth"])
    groups = judged.groupby(["workload", "metric"])
    lines = {f"{name} {metric}": _line(rows) for (name, metric), rows in groups}
    return pd.DataFrame(lines | {"all": _line(judged)}).T


def printed(found: pd.DataFrame) -> pd.DataFrame:
    """Number of schedules with each printed level, by workload and metric, beside the mean planted effect [%]."""
    groups = [found["workload"], found["metric"]]
    planted = (100 * np.expm1(found["planted"])).groupby(groups).mean().round(1)
    return pd.crosstab(groups, found["level"]).assign(planted=planted)


def _line(rows: pd.DataFrame) -> pd.Series:
    """Bias, root mean square error (`rmse`), reported standard error (`se`) and coverage of both methods [%]."""
    line = {"schedules": len(rows), "planted": 100 * rows["planted"].mean()}
    for name, which in {"truth": "_truth", "estimate": ""}.items():
        effect, low, high = (np.log1p(rows[column + which] / 100) for column in INTERVAL)
        error = 100 * (effect - rows["planted"])
        line |= {
            f"{name} bias": error.mean(),
            f"{name} rmse": np.sqrt((error**2).mean()),
            f"{name} se": 100 * rows[f"error{which}"].mean(),
            f"{name} coverage": 100 * rows["planted"].between(low, high).mean(),
        }
    beyond = rows["outcome"] == "beyond the joint error"
    return pd.Series(line | {"contains truth": 100 * contains(rows).mean(), "beyond": 100 * beyond.mean()})


if __name__ == "__main__":
    sys.exit(main())
