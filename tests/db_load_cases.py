"""An hour of load on one instance, for tests of db load."""

from __future__ import annotations

import pandas as pd

from aurora_analysis.window import Window

HOUR = Window("2026-11-09T00:00", "2026-11-09T01:00")


TIMES = pd.date_range("2026-11-09", periods=12, freq="5min", tz="UTC", unit="us")


INSTANCES = pd.DataFrame(
    {"time": TIMES[[0, 6]], "instance": ["db-1", "db-1"], "role": ["reader", "writer"], "vcpus": 4.0}
)


NO_METRICS = pd.DataFrame({"time": [], "instance": [], "name": [], "statistic": [], "value": []})


def load(**sessions: float | list[float]) -> pd.DataFrame:
    """An hour of one instance: active sessions by wait event ("/" written as "__")."""
    rows = [
        pd.DataFrame({"time": TIMES, "member": event.replace("__", "/"), "active_sessions": values})
        for event, values in sessions.items()
    ]
    return pd.concat(rows, ignore_index=True).assign(period_s=300.0, instance="db-1", dimension="wait_event")
