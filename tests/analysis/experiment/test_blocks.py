"""Blocks count if they were drawn at random and ran; a block without samples is missing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from trial_cases import START, trial

from aurora_analysis.analysis import experiment
from aurora_analysis.tables import TrialEvent

BLOCKS = pd.date_range("2026-11-23T11:00", periods=4, freq="60s", tz="UTC")


def test_a_blocks_outcome_is_the_geometric_mean_of_its_planned_run():
    """Samples before and after the run do not count."""
    seconds = pd.date_range(START, periods=4, freq="s")
    one = pd.DataFrame({"time": [seconds[1]], "end": [seconds[3]]})
    latency = pd.DataFrame({"latency": [100.0, 1.0, 4.0, 100.0]}, index=seconds)
    block = experiment.outcomes(latency, one)
    assert block[["value", "coverage"]].to_numpy().tolist() == [[pytest.approx(2.0), 1.0]]


def test_a_block_without_samples_is_missing_not_zero():
    """No data gives no outcome; no metric gives no block."""
    nothing = pd.Series([], index=pd.DatetimeIndex([], tz="UTC"), dtype=float)
    assert experiment.outcomes(nothing.to_frame()[[]], trial()).empty
    block = experiment.outcomes(nothing.to_frame("latency"), trial())
    assert block["value"].isna().all()
    assert (block["coverage"] == 0).all()


def test_only_drawn_blocks_are_an_experiment():
    """A workload with a known schedule but without a draw is not part of the experiment."""
    trials = pd.concat([trial(), trial(workloads=("idle",)).assign(on_share=np.nan)])
    assert set(experiment.randomised(trials)["workload"]) == {"extract", "control"}


def test_a_block_that_did_not_run_is_left_out():
    """A missed on-block is left out, and so is everything planned after a trial was broken off."""
    rows = trial(workloads=("extract",), blocks=12)
    on = rows.index[rows["assigned"]]
    missed = rows.assign(started_at=rows["started_at"].mask(rows.index == on[1]))
    assert experiment.randomised(missed)["block"].tolist() == rows["block"].drop(on[1]).tolist()
    stopped = rows.assign(started_at=rows["started_at"].where(rows.index < on[2]))
    assert experiment.randomised(stopped)["block"].tolist() == rows["block"][: on[2]].tolist()
    assert experiment.randomised(rows.assign(started_at=pd.NaT)).empty


def test_a_statements_latency_holds_for_each_second_of_its_count():
    """Statements that run all the time are compared; rare ones and the canary are not."""
    counted = pd.DataFrame(
        [
            (0, 2.0, "aaaaaaaa1", 4.0, 1.5),
            (0, 2.0, "canary", 9.0, 9.0),
            (2, 1.0, "aaaaaaaa1", 2.0, 3.0),
            (3, 1.0, "aaaaaaaa1", 1.0, 2.0),
        ]
        + [(3, 1.0, "seldom", 1.0, 900.0)],
        columns=["time", "period_s", "digest", "calls", "mean_latency_ms"],
    ).assign(time=lambda rows: START + pd.to_timedelta(rows["time"], unit="s"))
    texts = {
        "aaaaaaaa1": "delete from queue",
        "canary": "update aurora_analysis_canary",
        "seldom": "select 1",
    }
    statements = pd.DataFrame(texts.items(), columns=["digest", "fingerprint"])
    found = experiment.statement_latency(counted, statements)
    assert found.to_dict("list") == {"statement aaaaaaaa": [1.5, 1.5, 3.0, 2.0]}
    assert experiment.statement_latency(counted[:0], statements[:0]).empty


def test_the_last_event_about_the_load_applies_to_a_block():
    """Idle, then loaded after the trial resumed; before any event there is no message."""
    trials = pd.DataFrame({"time": BLOCKS})
    events = pd.DataFrame(
        {
            "time": [BLOCKS[0] + pd.Timedelta("30s"), BLOCKS[2] + pd.Timedelta("30s"), BLOCKS[0]],
            "category": [TrialEvent.IDLE_CLONE.value, TrialEvent.LOADED.value, "connection"],
            "message": ["idle", "loaded", "the instance answers again"],
        }
    )
    states = experiment.on_idle_clone(trials, events)
    assert states[states.notna()].to_dict() == {1: "idle", 2: "idle"}
    assert experiment.on_idle_clone(trials, events[:0]).isna().all()


def test_drawn_and_run_blocks_are_counted():
    """Two blocks were drawn to be on, one of them ran, two seconds late."""
    start = pd.Timestamp("2026-11-23T11:00", tz="UTC")
    rows = pd.DataFrame(
        {
            "trial": "t",
            "workload": "etl",
            "block": range(3),
            "time": [start] * 3,
            "assigned": [True, True, False],
            "started_at": [start + pd.Timedelta("2s"), pd.NaT, pd.NaT],
        }
    )
    found = experiment.took_place(rows)
    assert found[["blocks", "on", "ran", "late_s"]].to_numpy().tolist() == [[3, 2, 1, 2.0]]
