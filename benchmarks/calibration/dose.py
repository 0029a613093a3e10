"""Measure whether a slowdown that comes from undo can be separated from other causes, and write DOSE.md.

Every fortnight of `simulator` gets the same workload and another cause of a slowdown. `reader_impact` estimates how much
of it grows with the history that the workload's read views hold back (`dose_response`). That history is attributed from
the simulated history list, commits and runs, as in a report. Counted is what the page would print, where it says `slows`
or `slows a little`.

    python3 dev.py calibrate dose   # exit 1 if a gate fails; seeds below 10,000 are for tuning
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

from aurora_analysis.analysis import reader_impact, undo_log  # noqa: E402
from aurora_analysis.analysis.effect_level import SLOWER  # noqa: E402
from aurora_analysis.analysis.reader_impact.dose_response import SENTENCES, kind  # noqa: E402
from calibration import simulator, study  # noqa: E402

SCENARIOS = ("uniform", "office", "batch_partial")

HIDDEN_PCT, HIDDEN_MINUTES = 15.0, (15.0, 45.0)
"""A hidden event raises latency by so much from the start of each run on, for so long, however long the run is."""

GROWING_PCT = 10.0
"""Mean effect of a hidden event that grows for as long as a run lasts."""

CAUSES = {
    "undo +10 %": "the history that the workload holds back",
    "undo +25 %": "the history that the workload holds back",
    "openness +10 %": "the workload, but not its undo: locks, storage",
    "hidden event +15 %": "an event that begins with each run; the workload is innocent",
    "hidden event, growing": "an event that grows with the run's age; the workload is innocent",
}

FOUND_LEAST, FALSE_MOST = 80.0, 5.0
"""Gates [%]: undo as the cause is recognised; another cause is not taken for undo alone."""


def fortnight(case: study.Case) -> list[dict[str, Any]]:
    """Level and kind of dose-response for each cause in one fortnight."""
    scenario, seed = case
    data = simulator.fortnight(scenario, seed)
    runs = data.exposures.reset_index(drop=True)
    history = data.history_list_length
    found = undo_log.attribution(history, 60 * data.load.cumsum(), runs)
    inputs = reader_impact.Inputs(
        _latency(data, seed),
        data.load,
        data.exposures,
        writer_jobs=data.writer_jobs,
        history_list_length=history,
        held=reader_impact.held_history(history, found, runs),
    )
    table = reader_impact.effects_of_each_metric_alone(reader_impact.design(inputs))
    mine = table[table["workload"] == "extract"]
    return [
        {"scenario": scenario, "seed": seed, "cause": row["metric"], "level": row["level"], "kind": kind(row)}
        for row in mine.to_dict("records")
    ]


def _latency(data: simulator.Fortnight, seed: int) -> pd.DataFrame:
    """The writer's latency with each cause."""
    index = pd.DatetimeIndex(data.latency.index)
    start, end = (
        ((data.exposures[name] - index[0]) / pd.Timedelta("1min")).to_numpy() for name in ("start", "end")
    )
    minute = np.asarray((index - index[0]) / pd.Timedelta("1min"))
    lasting = np.random.default_rng(seed).uniform(*HIDDEN_MINUTES, len(start))
    age = np.zeros(len(minute))
    event = np.zeros(len(minute))
    for begin, finish, length in zip(start, end, lasting):
        event[(minute >= begin) & (minute < begin + length)] = 1.0
        running = (minute >= begin) & (minute < finish)
        age[running] = np.maximum(age[running], minute[running] - begin)
    growing = np.log1p(GROWING_PCT / 100) * age / age[age > 0].mean()
    plain = data.latency["null"]
    return pd.DataFrame(
        {
            "undo +10 %": data.latency["hll 10"],
            "undo +25 %": data.latency["hll 25"],
            "openness +10 %": data.latency["direct 10"],
            "hidden event +15 %": plain * np.exp(np.log1p(HIDDEN_PCT / 100) * event),
            "hidden event, growing": plain * np.exp(growing),
        }
    )


def shares(rows: pd.DataFrame) -> pd.DataFrame:
    """Share of each kind among the fortnights that print a slowdown, by cause [%]."""
    printed = rows[rows["level"].isin(SLOWER)]
    counted = pd.DataFrame({name: printed["kind"] == name for name in SENTENCES})
    found = 100 * counted.groupby(printed["cause"]).mean().reindex(list(CAUSES))
    return found.assign(fortnights=printed.groupby("cause").size().reindex(list(CAUSES), fill_value=0))


def page(rows: pd.DataFrame, command: str) -> tuple[str, bool]:
    """The results as Markdown, and whether every gate passed."""
    table = shares(rows)
    undo = table.loc[["undo +10 %", "undo +25 %"], ["undo", "both"]].sum(axis=1)
    false = table.loc[["openness +10 %", "hidden event +15 %"], "undo"]
    gates = {
        f"undo is the cause: at least {FOUND_LEAST:g} % print that the slowdown grows with it": bool(
            (undo >= FOUND_LEAST).all()
        ),
        f"another cause from the first minute on: at most {FALSE_MOST:g} % print that undo explains it": bool(
            (false <= FALSE_MOST).all()
        ),
    }
    lines = [
        "# Does a slowdown grow with the undo that a workload holds back?",
        "",
        f"Made by `{command}`, in the scenarios {', '.join(SCENARIOS)}. Seeds were not used for tuning. Shares are of the "
        "fortnights in which the page prints `slows` or `slows a little` [%].",
        "",
        "| cause of the slowdown | what it is | fortnights | undo explains it | undo and something else | not undo | open |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {cause} | {CAUSES[str(cause)]} | {row['fortnights']:.0f} | {row['undo']:.0f} | {row['both']:.0f} | "
            f"{row['openness']:.0f} | {row['open']:.0f} |"
            for cause, row in table.iterrows()
        ),
        "",
        *(f"- {gate}: {'passed' if held else 'FAILED'}" for gate, held in gates.items()),
        "",
        "A hidden event that grows for as long as a run lasts cannot be separated from undo: the history held grows with the "
        "run's age, too. Effects of undo on log latency are concave, so large ones seem to have a part that does not grow.",
        "",
    ]
    return "\n".join(lines), all(gates.values())


def main() -> int:
    """Run the fortnights, write the page, and return the exit code."""
    return study.published("dose", fortnight, SCENARIOS, page, first_seed=328_500)


if __name__ == "__main__":
    raise SystemExit(main())
