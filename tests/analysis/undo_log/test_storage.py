"""The volume and its change records by day, and what a backtrack window costs."""

from __future__ import annotations

import numpy as np
import pandas as pd

from aurora_analysis import Store, Window, observe
from aurora_analysis.analysis.undo_log import backtrack_verdicts, storage
from aurora_analysis.analysis.undo_log.storage import COLUMNS

DAYS = pd.date_range("2026-11-09", periods=2, tz="UTC", name="day")


def days(**values: float | list[float]) -> pd.DataFrame:
    """Two days with these columns; the others are unknown."""
    return pd.DataFrame(values, index=DAYS, columns=list(COLUMNS), dtype=float)


def test_a_day_has_totals_and_extremes(tmp_path):
    """Two periods: reads and new records add up, the volume counts at its most, the window at its least."""
    values = {
        "volume_bytes": [2.0**30, 2.0**31],
        "volume_reads": [1e6, 2e6],
        "backtrack_records_created": [1e6, 1e6],
        "backtrack_records_stored": [4e6, 6e6],
        "backtrack_window": [60.0, 50.0],
        "backtrack_alerts": [0.0, 1.0],
    }
    window = Window("2026-11-09", "2026-11-10")
    times = pd.date_range(window.start, periods=2, freq="5min", unit="us")
    rows = [pd.DataFrame({"time": times, "name": name, "value": pair}) for name, pair in values.items()]
    frame = pd.concat(rows).assign(period_s=300.0, instance=None, statistic="average")
    store = Store(tmp_path)
    store.write("metrics", frame, window, cluster="shop", source="cloudwatch")
    coverage = {
        "time": times[:1],
        "end": times[1:],
        "table": "metrics",
        "expected": 1.0,
        "received": 1.0,
        "lost": 0.0,
    }
    store.write(
        "coverage",
        pd.DataFrame(coverage).assign(instance=None, unit="points", note=""),
        window,
        cluster="shop",
        source="cloudwatch",
    )
    [day] = storage(observe(store, window, "shop")).to_dict("records")
    assert np.isnan(day.pop("writes_millions"))
    assert day == {
        "volume_gib": 2.0,
        "reads_millions": 3.0,
        "records_created_millions": 2.0,
        "records_stored_millions": 5.0,
        "backtrack_window_min": 50.0,
        "backtrack_alerts": 1.0,
    }


def test_a_window_that_fell_short_is_watched():
    """Ten million records at 0.012 USD per million and hour are 2.88 USD a day."""
    [verdict] = backtrack_verdicts(
        days(backtrack_alerts=[0, 3], records_stored_millions=10, records_created_millions=2.5)
    )
    assert (verdict.level, verdict.severity) == ("window fell short", "watch")
    assert "Aurora alerted 3 times, on 1 day," in verdict.sentence
    assert (
        "5 million change records were written, and 10 million were kept on average, about 2.88 USD a day"
        in verdict.sentence
    )
    assert "--backtrack-window" in verdict.action


def test_a_window_that_reached_its_target_is_ok():
    """The cost is stated all the same."""
    [verdict] = backtrack_verdicts(days(backtrack_alerts=0, records_stored_millions=1))
    assert verdict.severity == "ok"
    assert "0.288 USD a day" in verdict.sentence


def test_unknown_alerts_are_never_ok():
    """Records without alerts: the metric may not have been fetched."""
    [verdict] = backtrack_verdicts(days(records_stored_millions=1))
    assert verdict.severity == "unknown"


def test_without_backtracking_there_is_no_verdict():
    """No records, or zero of them: `shop` has neither."""
    assert backtrack_verdicts(days()) == []
    assert backtrack_verdicts(days(backtrack_alerts=0, records_stored_millions=0)) == []
    sample = observe(Store(), Window("2026-11-09", "2026-11-16"), "shop")
    assert backtrack_verdicts(storage(sample)) == []
