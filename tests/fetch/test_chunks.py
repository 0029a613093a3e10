"""Chunks: what is missing, how windows are cut, what is marked complete, and that processes fetch as threads do."""

from __future__ import annotations

import functools
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta

import boto3
import pandas as pd
from botocore.config import Config
from fetching import NOON, endpoint

from aurora_analysis import Store, Window
from aurora_analysis.config import Cluster, Rates
from aurora_analysis.executors import Pool, threads
from aurora_analysis.fetch import chunks
from aurora_analysis.fetch.chunks import Have, Part
from aurora_analysis.fetch.commits import Outcome, Target
from aurora_analysis.fetch.plan import FetchOptions, plan
from aurora_analysis.fetch.rates import by_service
from aurora_analysis.fetch.run import fetch, run
from aurora_analysis.fetch.work import Access

DAY = Window("2026-11-09", "2026-11-10")
NOW = datetime(2026, 11, 12, tzinfo=UTC)
SERVICES = ("pi", "rds", "cloudwatch", "logs")


def covered(*spans: tuple[str, str, float | None]) -> pd.DataFrame:
    """Return coverage of instance a by source s; each span is start, end, and the received count."""
    rows = [
        {"time": f"2026-11-09T{start}Z", "end": f"2026-11-09T{end}Z", "received": received}
        for start, end, received in spans
    ]
    frame = pd.DataFrame(rows, columns=["time", "end", "received"]).assign(source="s", instance="a")
    return frame.astype({"time": "datetime64[us, UTC]", "end": "datetime64[us, UTC]", "received": float})


def gaps(coverage: pd.DataFrame) -> list[str]:
    return [f"{gap.start:%H}-{gap.end:%H}" for gap in Have(coverage).missing("s", "a", DAY)]


def test_without_coverage_the_whole_window_is_missing():
    """An empty coverage table marks nothing as done."""
    assert gaps(covered()) == ["00-00"]


def test_gaps_between_covered_spans_are_missing():
    """Covered spans may overlap and come in any order."""
    assert gaps(covered(("12:00", "18:00", 1), ("06:00", "13:00", 0))) == ["00-06", "18-00"]


def test_a_failed_span_is_fetched_again():
    """A failed request has null received; zero received is an answer."""
    assert gaps(covered(("00:00", "12:00", 0), ("12:00", "23:59", None))) == ["12-00"]


def test_one_failed_table_fails_the_span():
    """If one of a chunk's tables failed, the whole chunk is fetched again."""
    assert gaps(covered(("00:00", "12:00", 5), ("00:00", "12:00", None))) == ["00-00"]


def test_windows_are_cut_at_midnight():
    """Days are UTC days; shorter steps count from midnight."""
    cut = chunks.by_day([Window("2026-11-09T22:00", "2026-11-11T01:00")])
    assert [f"{each.start:%d %H}-{each.end:%d %H}" for each in cut] == [
        "09 22-10 00",
        "10 00-11 00",
        "11 00-11 01",
    ]
    steps = chunks.split(Window("2026-11-09T04:00", "2026-11-09T10:00"), timedelta(minutes=288))
    assert [f"{each.start:%H:%M}-{each.end:%H:%M}" for each in steps] == [
        "04:00-04:48",
        "04:48-09:36",
        "09:36-10:00",
    ]


def test_young_data_are_never_marked_complete():
    """Coverage ends 15 minutes before now, rounded down to five minutes; a younger chunk has no coverage."""
    now = datetime(2026, 11, 9, 12, 4, tzinfo=UTC)
    part = Part("metrics", None, 720, 720, instance="a")
    until_noon = Window("2026-11-09", "2026-11-09T12:00")
    rows = chunks.coverage_rows([part], until_noon, now - chunks.SETTLING_TIME)
    assert rows["end"].tolist() == [pd.Timestamp("2026-11-09T11:45", tz="UTC")]
    young = Window("2026-11-09T11:45", "2026-11-09T12:00")
    assert chunks.coverage_rows([part], young, now - chunks.SETTLING_TIME).empty


def loopback(url: str) -> dict[str, object]:
    """Return plain boto3 clients of a loopback endpoint."""
    known = {"region_name": "eu-central-1", "aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": "x"}
    config = Config(retries={"mode": "standard", "max_attempts": 8})
    return {name: boto3.client(name, endpoint_url=url, config=config, **known) for name in SERVICES}


def fetched_by(pools: dict[str, Pool], url: str, store: Store, now: datetime) -> list[Outcome]:
    """Fetch two hours of one instance; the workers make clients of their own."""
    options = FetchOptions(Cluster("shop", "shop"), NOON, now, instances=("shop-1",))
    planned = plan(loopback(url), store, options)
    assert {chunk.source for chunk in planned.chunks} == set(options.sources)
    return fetch(planned, functools.partial(loopback, url), store, pools)


def test_processes_fetch_what_threads_fetch(tmp_path):
    """Chunks run in processes that share nothing with this one, and the store is the same, table by table."""
    by_threads, by_processes = Store(tmp_path / "threads"), Store(tmp_path / "processes")
    spawned = multiprocessing.get_context("spawn")
    with endpoint() as aws, ProcessPoolExecutor(2, mp_context=spawned) as executor:
        now = aws.now.astimezone(UTC)
        with threads(dict.fromkeys(SERVICES, 2)) as pools:
            here = fetched_by(pools, aws.url, by_threads, now)
        there = fetched_by(dict.fromkeys(SERVICES, Pool(executor, 2)), aws.url, by_processes, now)
    assert [each.failure for each in there] == [each.failure for each in here] == [""] * len(here)
    assert [each.chunk for each in there] == [each.chunk for each in here]
    tables = by_threads.versions()["shop"]
    assert (
        set(tables)
        == set(by_processes.versions()["shop"])
        >= {"metrics", "db_load", "slow_queries", "coverage"}
    )
    for table in tables:
        first, second = (
            store.read(table, cluster="shop").astype(str) for store in (by_threads, by_processes)
        )
        # The first source that commits a statement is its source, whichever that is.
        columns = [name for name in first if (table, name) != ("statements", "source")]
        assert len(first) > 0
        pd.testing.assert_frame_equal(
            first[columns].sort_values(columns, ignore_index=True),
            second[columns].sort_values(columns, ignore_index=True),
        )


def lost() -> None:
    """End the worker, as the system does when memory runs out."""
    os._exit(1)


def test_a_lost_worker_is_a_failure_of_its_chunks(tmp_path):
    """Coverage records each chunk that the lost process was to fetch; the fetch ends."""
    chunk = chunks.Chunk("slow log", "logs", "a", DAY, None, tables=("slow_queries",))
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawned) as executor:
        (outcome,) = run(
            [chunk], Access(lost), Target(Store(tmp_path), "shop", NOW), {"logs": Pool(executor, 1)}
        )
    assert "BrokenProcessPool" in outcome.failure
    coverage = Store(tmp_path).coverage(DAY, cluster="shop")
    assert coverage["received"].isna().tolist() == [True]


def test_processes_share_a_services_rate():
    """Two processes together make as many calls as one may."""
    alone, shared = by_service(Rates()), by_service(Rates(), processes=2)
    assert {name: 2 * rate.per_second for name, rate in shared.items()} == {
        name: rate.per_second for name, rate in alone.items()
    }
