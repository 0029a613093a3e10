"""A reader without any source may come and go: its presence shows in the metrics that CloudWatch publishes of it."""

from __future__ import annotations

import pandas as pd

from aurora_analysis.analysis.workloads import presence

MINUTES = pd.date_range("2026-11-09", periods=1440, freq="min", tz="UTC").as_unit("us")


def published(**spans: tuple[int, int]) -> pd.DataFrame:
    """One value a minute of each instance, from one minute to another."""
    frames = [
        pd.DataFrame({"time": MINUTES[first:last], "period_s": 60.0, "instance": name.replace("_", "-")})
        for name, (first, last) in spans.items()
    ]
    return pd.concat(frames, ignore_index=True)


def instances(**since: int) -> pd.DataFrame:
    rows = [(MINUTES[minute], name.replace("_", "-")) for name, minute in since.items()]
    return pd.DataFrame(rows, columns=["time", "instance"])


def spans(readers: list[str], metrics: pd.DataFrame, known: pd.DataFrame) -> list[tuple[str, int, int]]:
    found = presence.changing(readers, metrics, known, MINUTES)
    places = [MINUTES.searchsorted(found[edge]) for edge in ("start", "end")]
    return list(zip(found["reader"], *(place.tolist() for place in places)))


def test_a_reader_exists_while_its_metrics_are_published():
    """`auto-1` was added twice; `db-2` existed all day and is no event."""
    metrics = pd.concat([published(db_2=(0, 1440), auto_1=(100, 220)), published(auto_1=(700, 800))])
    known = instances(db_2=0, auto_1=0)
    assert spans(["db-2", "auto-1"], metrics, known) == [("auto-1", 100, 220), ("auto-1", 700, 800)]


def test_a_gap_of_all_metrics_is_no_absence():
    """From minute 150 to 200 nobody published anything: the reader is assumed to exist on."""
    metrics = pd.concat(
        [published(db_2=(0, 150), auto_1=(100, 150)), published(db_2=(200, 1440), auto_1=(200, 260))]
    )
    assert spans(["auto-1"], metrics, instances(db_2=0, auto_1=0)) == [("auto-1", 100, 260)]


def test_without_metrics_a_reader_exists_from_its_first_row_on():
    """The role history shows when it was created."""
    assert spans(["auto-1"], published(db_2=(0, 1440)), instances(db_2=0, auto_1=900)) == [
        ("auto-1", 900, 1440)
    ]


def test_without_readers_there_is_no_span():
    """The empty frame has the right types."""
    found = presence.changing([], published(db_2=(0, 10)), instances(db_2=0), MINUTES)
    assert found.empty
    assert [str(found[name].dtype) for name in ("start", "end")] == ["datetime64[us, UTC]"] * 2
