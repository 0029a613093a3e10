"""Inputs are validated, and every fault is one clear line."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from impact_cases import design, runs, scattered, writer

from aurora_analysis.analysis import reader_impact
from aurora_analysis.errors import Error


def _naive(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.tz_localize(None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lat, load, ex: (_naive(lat), load, ex), "latency has no time zone"),
        (lambda lat, load, ex: (pd.concat([lat, lat[:1]]), load, ex), "twice"),
        (lambda lat, load, ex: (-lat, load, ex), "negative latencies"),
        (lambda lat, load, ex: (lat, load.shift(freq="100D"), ex), "no minute in common"),
        (lambda lat, load, ex: (lat, load * 0, ex), "write throughput"),
        (lambda lat, load, ex: (lat.shift(freq="7s"), load, ex), "not by the minute"),
        (lambda lat, load, ex: (lat[:0], load, ex), "not by the minute"),
        (lambda lat, load, ex: (lat, load * np.inf, ex), "no minute in common"),
        (lambda lat, load, ex: (lat["commit_latency"], load, ex), "one column per metric"),
        (lambda lat, load, ex: (lat[[]], load, ex), "one column per metric"),
        (lambda lat, load, ex: (pd.concat([lat, lat], axis=1), load, ex), "commit_latency twice"),
        (lambda lat, load, ex: (lat.astype(object), load, ex), "is not numeric but object"),
        (lambda lat, load, ex: (lat, load.to_frame(), ex), "load must be a Series"),
        (lambda lat, load, ex: (lat, load, ex.drop(columns="end")), "has no column end"),
        (
            lambda lat, load, ex: (lat, load, ex.assign(end=ex["start"] - pd.Timedelta("1s"))),
            "ends before its start",
        ),
        (lambda lat, load, ex: (lat, load, ex.assign(end=pd.NaT)), "end of runs has no time zone"),
        (
            lambda lat, load, ex: (lat, load, ex.assign(start=ex["start"].dt.tz_localize(None))),
            "has no time zone",
        ),
    ],
)
def test_input_that_does_not_fit_is_one_clear_line(change, message):
    """No numpy error reaches the user."""
    with pytest.raises(Error, match=message) as caught:
        reader_impact.effects(design(*change(*writer(), scattered())))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timezone": "Mars/Olympus"}, "no time zone 'Mars/Olympus'"),
        ({"writers": pd.DataFrame({"start": [1, 2]})}, "writers must have columns"),
        ({"writer_jobs": runs((2, 1), workload="batch")}, "writer_jobs ends before its start"),
        ({"history_list_length": pd.Series([1.0, 2.0])}, "history_list_length has no time zone"),
    ],
)
def test_optional_inputs_that_do_not_fit_are_one_clear_line(options, message):
    """The optional inputs are validated like the required ones."""
    with pytest.raises(Error, match=message):
        design(*writer(), scattered(), **options)


def test_the_input_is_left_as_it_was():
    """The frames passed to `design` and `effects` are not modified."""
    latency, load = writer()
    exposures = scattered()
    before = latency.copy(), load.copy(), exposures.copy()
    reader_impact.effects(design(latency, load, exposures))
    pd.testing.assert_frame_equal(latency, before[0])
    pd.testing.assert_series_equal(load, before[1])
    pd.testing.assert_frame_equal(exposures, before[2])
