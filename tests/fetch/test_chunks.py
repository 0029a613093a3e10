"""Chunks: what is missing, how windows are cut, what is marked complete, and that a chunk is plain data."""

from __future__ import annotations

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta

import boto3
import pandas as pd
from botocore.config import Config
from fetching import NOON, endpoint

from aurora_analysis import Store, Window
from aurora_analysis.config import Cluster
from aurora_analysis.fetch import chunks, survey
from aurora_analysis.fetch.chunks import Context, Have, Part
from aurora_analysis.fetch.plan import FetchOptions, missing
from aurora_analysis.fetch.run import fetch_chunk

DAY = Window("2026-11-09", "2026-11-10")


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
    services = ("pi", "rds", "cloudwatch", "logs")
    return {name: boto3.client(name, endpoint_url=url, config=config, **known) for name in services}


def fetch_pickled(pickled: bytes, url: str) -> list[tuple[str, int]]:
    """Unpickle a chunk and fetch it: the table and the rows of each part that has any."""
    parts = fetch_chunk(pickle.loads(pickled), Context(loopback(url)))
    return [(part.table, len(part.frame)) for part in parts if part.frame is not None]


def test_every_chunk_runs_in_another_process(tmp_path):
    """Each chunk of a plan is pickled, and fetched by a process that shares nothing with this one."""
    with endpoint() as aws:
        now = aws.now.astimezone(UTC)
        known = Store(tmp_path).read("instances", cluster="shop")
        surveyed = survey.survey(loopback(aws.url), known, "shop", NOON, now)
        nothing = Have(pd.DataFrame(columns=["time", "end", "source", "instance", "received"]))
        options = FetchOptions(Cluster("shop", "shop"), NOON, now, instances=("shop-1",))
        planned = missing(surveyed.topology, nothing, options)
        here = [fetch_pickled(pickle.dumps(chunk), aws.url) for chunk in planned]
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            there = [pool.submit(fetch_pickled, pickle.dumps(chunk), aws.url) for chunk in planned]
            assert [each.result() for each in there] == here
    assert {chunk.source for chunk in planned} == set(options.sources)
    assert all(rows > 0 for parts in here for _, rows in parts)
