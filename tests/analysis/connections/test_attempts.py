"""Storms of new connections are judged by the instance's own ordinary minutes of that hour."""

from __future__ import annotations

import numpy as np
import pandas as pd
from connection_cases import WEEK, attempts

from aurora_analysis.analysis import connections


def found(rows: pd.DataFrame) -> pd.DataFrame:
    return connections.storms(connections.with_ordinary(rows))


def test_a_burst_far_above_the_ordinary_minutes_is_one_storm():
    """20 per second for ten minutes where 2 are ordinary: 18 × 600 attempts too many; a short lull does not split it."""
    [storm] = found(attempts(storm={"2026-11-12 10:00": 20.0}, lull={"2026-11-12 10:04": 2.0})).to_dict(
        "records"
    )
    assert (storm["start"], storm["end"]) == tuple(pd.to_datetime(["2026-11-12 10:00Z", "2026-11-12 10:10Z"]))
    assert (storm["peak_per_s"], storm["ordinary_per_s"], storm["ratio"]) == (20.0, 2.0, 10.0)
    assert storm["extra"] == 18 * 540


def test_an_hour_that_is_busy_every_day_is_ordinary():
    """A batch that opens many connections at three each night is no storm; the same burst at ten is one."""
    nightly = attempts(nightly=20.0)
    assert found(nightly).empty
    assert len(found(attempts(nightly=20.0, storm={"2026-11-12 10:00": 20.0}))) == 1


def test_a_burst_that_is_small_in_absolute_terms_is_no_storm():
    """Ten times of almost nothing costs nothing."""
    assert found(attempts(level=0.02, storm={"2026-11-12 10:00": 0.9})).empty
    assert len(found(attempts(level=0.02, storm={"2026-11-12 10:00": 1.1}))) == 1


def test_too_few_minutes_have_no_ordinary_level():
    """Five hours of one day: nothing can be called unusual."""
    rows = attempts(storm={"2026-11-09 02:00": 50.0})
    short = rows[rows["time"] < pd.Timestamp("2026-11-09 05:00Z")]
    assert connections.with_ordinary(short)["ordinary_per_s"].isna().all()
    assert found(short).empty


def test_instances_are_judged_apart():
    """What is ordinary on one instance is a storm on another."""
    busy = attempts(level=30.0).assign(instance="db-2")
    both = pd.concat([attempts(storm={"2026-11-12 10:00": 30.0}), busy])
    assert found(both)["instance"].tolist() == ["db-1"]


def test_missing_minutes_are_not_zero():
    """NaN neither lowers the ordinary level nor ends up in a storm."""
    rows = attempts()
    rows.loc[rows.index % 2 == 0, "value"] = np.nan
    known = connections.with_ordinary(rows)
    assert known["ordinary_per_s"].eq(2.0).all()
    assert len(known) == len(rows) / 2
    assert rows["time"].between(WEEK.start, WEEK.end).all()
