"""Answer the topic's question for one window of one cluster: the verdicts, and the frames they rest on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from aurora_analysis.analysis.drill.outcomes import outcomes, runs
from aurora_analysis.analysis.drill.verdicts import verdicts
from aurora_analysis.analysis.verdict import Verdict
from aurora_analysis.store.observations import Observations


@dataclass(frozen=True)
class Answer:
    """The verdicts on the drills of one window, and the evidence for them.

    Parameters
    ----------
    verdicts : list of Verdict
        One per fault, client and place, the most severe first.
    outcomes : DataFrame
        The sums of their runs; see `outcomes`.
    runs : DataFrame
        Each run; see `runs`.
    """

    verdicts: list[Verdict]
    outcomes: pd.DataFrame
    runs: pd.DataFrame


def answer(data: Observations, objectives: Mapping[str, float]) -> Answer:
    """Judge for each fault of a drill and each client whether it meets the objective.

    Parameters
    ----------
    data : Observations
        The window of one cluster (`observe`).
    objectives : mapping of str to float
        Fault → longest acceptable time [s].

    Returns
    -------
    Answer
        The verdicts and their evidence.
    """
    rows = data.table("drills")
    return Answer(verdicts(rows, objectives), outcomes(rows, objectives), runs(rows, objectives))
