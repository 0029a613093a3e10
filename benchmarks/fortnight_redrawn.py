"""Are truth and estimate of `fortnight.py` right, where both are known? Its schedule, drawn again on recorded minutes.

`python benchmarks/fortnight_redrawn.py --draws 20 STORE …`: of each recording the minutes stay what they were, with
all that the machine's own unrest did to them, but the culprit's effect is taken off as far as its dose explains it. Then
a fresh schedule is drawn, that effect is planted at its runs, and both methods are asked as `fortnight.py` asks them.
Of each is told how often its interval contains what was planted and by how much it is off, and how often the
estimate's interval contains the truth: as often as that it should on a recording, if both are right.
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
"""Of the schedules: far from those of the recordings."""

RAMP_MIN = 220.0
"""The dose at which the latency has doubled, in minutes of the mean write rate: what walks over undo walks over more of it."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("stores", nargs="*", default=[KEPT], type=Path)
    parser.add_argument("--cluster", default="lab")
    parser.add_argument("--draws", type=int, default=4, help="Schedules a recording.")
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
    return 0


def redrawn(store: Store, cluster: str, seeds: range) -> list[pd.DataFrame]:
    """Truth, estimate and what was planted, for each schedule."""
    window = store.span(cluster)
    minutes = store.metrics(reader_impact.WRITER_METRICS, window, cluster=cluster).resample("min").mean()
    planned = store.metric("planned_rate", window, cluster=cluster).reindex(minutes.index)
    happened = store.read("trials", window, cluster=cluster)
    logs = np.log(minutes[[name for name in reader_impact.OUTCOMES if name in minutes]])
    ramp = _ramp(happened[happened["workload"] == CULPRIT], minutes)
    effect = pd.Series({name: _effect(logs[name], ramp, planned) for name in logs})
    quiet = logs - np.outer(ramp, effect)
    found = []
    for seed in seeds:
        trials = _as_planned(compressed.draw(window, seed), happened)
        culprits = trials[trials["workload"] == CULPRIT]
        again = _ramp(culprits, minutes)
        latency = np.exp(quiet + np.outer(again, effect))
        drawn = truth(latency, trials, planned)
        table = side_by_side(drawn, _estimate(latency, minutes, trials))
        found.append(table.merge(_planted(again, effect), on=["workload", "metric"]).assign(seed=seed))
    return found


def _as_planned(drawn: pd.DataFrame, happened: pd.DataFrame) -> pd.DataFrame:
    """The trials if every run that was drawn ran as planned, with the nightly jobs that ran."""
    trials = drawn[drawn["workload"].isin([CULPRIT, HARMLESS])]
    on = trials["assigned"].astype(bool)
    ran = trials.assign(started_at=trials["time"].where(on), ended_at=trials["end"].where(on))
    return pd.concat([ran, happened[~happened["workload"].isin([CULPRIT, HARMLESS])]], ignore_index=True)


def _runs(trials: pd.DataFrame) -> pd.DataFrame:
    ran = trials[trials["started_at"].notna()]
    return ran[["workload"]].assign(start=ran["started_at"], end=ran["ended_at"])


def _ramp(trials: pd.DataFrame, minutes: pd.DataFrame) -> Array:
    """How the effect of these runs goes up with their dose and bends, minute by minute; 0 where none is open."""
    load = minutes[reader_impact.LOAD]
    grid = controls.grid(pd.DatetimeIndex(minutes.index), load, "UTC")
    exposed = regressors.exposed_share(_runs(trials), grid)[:, None]
    drain = regressors.drain(minutes[reader_impact.HISTORY], load)
    dose = regressors.columns(exposed, load.to_numpy(), drain, np.ones(len(exposed), dtype=bool))[
        :, regressors.DOSE
    ]
    return np.log1p(dose / RAMP_MIN) * exposed[:, 0]


def _effect(logs: pd.Series, ramp: Array, planned: pd.Series) -> float:
    """What a step of the ramp did to the recorded latency, hour of day, day and load held constant."""
    times = pd.DatetimeIndex(logs.index)
    columns = [ramp, np.log(planned), pd.get_dummies(times.hour), pd.get_dummies(times.dayofyear)]
    matrix = np.column_stack(columns).astype(float)
    known = np.isfinite(matrix).all(axis=1) & np.isfinite(logs.to_numpy())
    return float(np.linalg.lstsq(matrix[known], logs.to_numpy()[known])[0][0])


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
    """The mean effect over the minutes in which the culprit was open, and none of the harmless workload."""
    mean = {CULPRIT: ramp[ramp > 0].mean(), HARMLESS: 0.0}
    rows = [(workload, metric, at * step) for workload, at in mean.items() for metric, step in effect.items()]
    return pd.DataFrame(rows, columns=["workload", "metric", "planted"])


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """Bias, spread and coverage over all schedules, by workload and metric [%]."""
    told = found.dropna(subset=["effect_pct", "effect_pct_truth"])
    lines = {f"{name} {metric}": _line(rows) for (name, metric), rows in told.groupby(["workload", "metric"])}
    return pd.DataFrame(lines | {"all": _line(told)}).T


def _line(rows: pd.DataFrame) -> pd.Series:
    """`off` is the error in the mean, `spread` its root mean square, `claimed` the reported standard error."""
    line = {"schedules": len(rows), "planted": 100 * rows["planted"].mean()}
    for name, which in {"truth": "_truth", "estimate": ""}.items():
        effect, low, high = (np.log1p(rows[column + which] / 100) for column in INTERVAL)
        off = 100 * (effect - rows["planted"])
        line |= {
            f"{name} off": off.mean(),
            f"{name} spread": np.sqrt((off**2).mean()),
            f"{name} claimed": 100 * rows[f"error{which}"].mean(),
            f"{name} covers": 100 * rows["planted"].between(low, high).mean(),
        }
    beyond = rows["outcome"] == "beyond the joint error"
    return pd.Series(line | {"contains truth": 100 * contains(rows).mean(), "beyond": 100 * beyond.mean()})


if __name__ == "__main__":
    sys.exit(main())
