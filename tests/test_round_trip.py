"""Hours or a day behind an endpoint with one fault: the store equals them, or coverage counts exactly what is missing."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from aws_endpoint import MISBEHAVIOURS, Endpoint, slow_log_text
from fetching import (
    DAY,
    LOGGED,
    assert_same,
    coverage,
    day,
    endpoint,
    fetch,
    inside,
    same_load,
    same_slow_queries,
)

from aurora_analysis import Store, Window

TABLES = {
    "cloudwatch": ("metrics",),
    "performance-insights": ("db_load", "statement_metrics"),
    "slow-log": ("slow_queries",),
}
"""Source → the tables that it fills."""

UNDONE = {
    "throttles": tuple(TABLES),
    "fails": tuple(TABLES),
    "drops": tuple(TABLES),
    "empty_pages": tuple(TABLES),
    "truncates_points": ("performance-insights",),
    "omits_value": ("performance-insights",),
    "internal_errors": ("cloudwatch",),
    "banner_events": ("slow-log",),
}
"""What loses nothing → the sources that meet it."""

OF_FILES = ("overlaps_portions", "truncates_lines", "rotates")
"""What RDS does to its log files, and loses nothing either."""

HOURS = Window("2026-11-09T09:00", "2026-11-09T15:00")
"""With the failover in the middle."""

LATE = datetime(2026, 11, 9, 23, 59, 30, tzinfo=UTC)
"""The whole day is in the files that RDS keeps, and the last hour in the current one."""
TO_LATE = Window(DAY.start, "2026-11-09T23:59")
NAME = "shop-3"
"""One instance's files are as good as three's."""


def fetched(
    aws: Endpoint, location: Path, *sources: str, instances: tuple[str, ...] = (), window: Window = DAY
) -> Store:
    """Fetch a window without an error, and return the store."""
    words = [("--source", each) for each in sources] + [("--instance", each) for each in instances]
    result = fetch(aws, location, *(word for pair in words for word in pair), window=window)
    assert result.exit_code == 0, result.output
    return Store(location)


def files_endpoint(misbehaviour: str) -> Endpoint:
    """Serve the day's logs as hourly files, in portions of a few entries."""
    return endpoint(misbehaviour, now=LATE, exports=(), portion_bytes=2000)  # type: ignore[return-value]


def executions() -> pd.DataFrame:
    """Return the instance's executions of the day."""
    rows = inside(day()["slow_queries"], TO_LATE, "ended_at")
    return rows[rows["instance"] == NAME]


@pytest.mark.parametrize("misbehaviour", UNDONE)
def test_hours_are_stored_as_they_were(tmp_path, misbehaviour):
    """Every role, value, load and execution is stored, whatever the service does."""
    with endpoint(misbehaviour) as aws:
        store = fetched(aws, tmp_path, *UNDONE[misbehaviour], window=HOURS)
    tables = [table for source in UNDONE[misbehaviour] for table in TABLES[source]]
    assert_same(store, HOURS, None, "instances", *tables)
    assert (coverage(store, HOURS)["lost"] == 0).all()


@pytest.mark.parametrize("misbehaviour", OF_FILES)
def test_a_day_of_files_is_stored_as_it_was(tmp_path, misbehaviour):
    """Portions that overlap, cut lines or are rotated away lose no execution."""
    with files_endpoint(misbehaviour) as aws:
        store = fetched(aws, tmp_path, "slow-log", instances=(NAME,))
        assert aws.count()["rds:DownloadDBLogFilePortion"] > 2 * 24
        assert (aws.now > LATE) == (misbehaviour == "rotates")
    same_slow_queries(store, TO_LATE, executions())
    assert log_coverage(store)["lost"] == 0


def log_coverage(store: Store) -> pd.Series:
    """Return the coverage of the instance's log."""
    rows = coverage(store, DAY)
    [(_, row)] = rows[rows["source"] == "slow log"].iterrows()
    return row


@pytest.mark.parametrize("misbehaviour", ["skips_lines", "binary_data"])
def test_lost_bytes_of_files_are_counted_exactly(tmp_path, misbehaviour):
    """Listed bytes that RDS does not return are lost; as many executions are missing as bytes."""
    with files_endpoint(misbehaviour) as aws:
        files = slow_log_text.files(aws.cluster, NAME, aws.now_s)
        store = fetched(aws, tmp_path, "slow-log", instances=(NAME,))
    row, found, truth = log_coverage(store), store.read("slow_queries", DAY, cluster="shop"), executions()
    assert row["expected"] == sum(len(file.content) for file in files)
    assert row["received"] + row["lost"] == row["expected"]
    assert row["lost"] > 0
    keys = [name for name in LOGGED if name not in {"database", "ordinal"}]
    assert len(found.merge(truth, on=keys)) == len(found), "nothing is made up"
    assert 1 - len(found) / len(truth) == pytest.approx(row["lost"] / row["expected"], abs=0.05)


def test_hidden_sql_hides_nothing_else(tmp_path):
    """The load by every other dimension is stored, and coverage names what is hidden."""
    with endpoint("hides_sql") as aws:
        store = fetched(aws, tmp_path, "performance-insights")
    load = day()["db_load"]
    same_load(store, DAY, load[load["dimension"] != "sql"])
    rows = coverage(store, DAY)
    notes = rows[(rows["table"] == "db_load")]["note"]
    assert set(notes) == {"not permitted or not offered: db load by sql"}


def test_every_misbehaviour_has_its_day():
    """Here, in tests/fetch/test_fetch.py or in tests/sources/aws/test_hostile_answers.py."""
    met = {*UNDONE, *OF_FILES, "skips_lines", "binary_data", "hides_sql"}
    met |= {"delivers_late"} | {"repeats_pages", "reverses", "loops_tokens"}
    assert met == set(MISBEHAVIOURS)
