"""Whether a slowdown grows with the undo that a workload's own read views hold back."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aurora_analysis import engines
from aurora_analysis.analysis import reader_impact
from aurora_analysis.analysis.reader_impact.dose_response import COLUMNS, SENTENCES, kind, sentence
from aurora_analysis.analysis.undo_log import Attribution

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

from calibration import dose

MINUTES = pd.date_range("2026-11-02", periods=10, freq="min", tz="UTC")
WORDS = engines.words("mysql")


def row(*figures: float) -> dict[str, float]:
    """Both parts of an effect, each with its interval [%]."""
    return dict(zip(COLUMNS, figures))


@pytest.mark.parametrize(
    ("figures", "expected", "says"),
    [
        ((9, 7, 11, 0.6, -1.8, 3), "undo", "may be zero"),
        ((9, 7, 11, 3, 1, 5), "both", "one part of the slowdown grows with the history list"),
        ((33, 8, 63, -14, -23, -4), "more", "is unknown, because the rest is below zero"),
        ((0.4, -1, 2, 9, 7, 11), "openness", "does not measurably grow"),
        ((-3, -5, -1, 14, 11, 17), "openness", "does not measurably grow"),
        ((2, -1, 5, 3, -1, 7), "open", "do not show whether"),
        ((10, -6, 29, 14, 4, 25), "open", "do not show whether"),
        ((np.nan,) * 6, "", ""),
    ],
)
def test_the_sentence_never_claims_a_part_whose_interval_contains_zero(figures, expected, says):
    """The kind follows from the two intervals, and the sentence prints both where it draws on both."""
    assert kind(row(*figures)) == expected
    printed = sentence(row(*figures), WORDS)
    assert says in printed
    assert bool(printed) == bool(expected)


def test_every_kind_has_a_sentence_of_its_own():
    """Five kinds, five sentences."""
    assert len({*SENTENCES.values()}) == len(SENTENCES) == 5


def test_the_history_held_is_that_above_its_base_weighted_by_the_probability_of_its_holder():
    """Two explanations of one minute share its history; a minute without a sample stays unknown."""
    history = pd.Series([100.0] * 4 + [500.0, 900.0, np.nan, 900.0, 100.0, 100.0], MINUTES)
    runs = pd.DataFrame({"workload": ["etl", "bi"], "start": MINUTES[4], "end": MINUTES[8]}, index=[7, 9])
    held = pd.DataFrame(
        [(MINUTES[4], "held", 7, 1.0), (MINUTES[5], "held", 7, 0.75), (MINUTES[5], "held", 9, 0.25)],
        columns=["time", "state", "run", "probability"],
    )
    known = pd.DataFrame({"state": "held"}, index=MINUTES)
    found = reader_impact.held_history(history, Attribution(known, held, pd.Series(dtype=float)), runs)
    assert found.loc[MINUTES[[3, 4, 5]]].to_dict("list") == {"bi": [0, 0, 200], "etl": [0, 400, 600]}
    assert found.loc[MINUTES[6]].isna().all()


def test_undo_is_told_from_an_event_that_begins_with_the_runs():
    """One simulated fortnight: what the history held explains, mere openness does not, and the other way round.

    Where the workload slows by being open, undo is within chance of explaining half of it: that stays open.
    """
    printed = {one["cause"]: one["kind"] for one in dose.fortnight(("uniform", 5101))}
    assert printed["undo +10 %"] == "undo"
    assert printed["hidden event +15 %"] == "openness"
    assert printed["openness +10 %"] == "open"
