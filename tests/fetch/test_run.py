"""A run of chunks: a failure stays with its chunk, and a refused request is not repeated."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace

import pandas as pd
import pytest
from botocore.exceptions import ClientError

from aurora_analysis import Store, Window, executors
from aurora_analysis.fetch import plan, run
from aurora_analysis.fetch.chunks import Chunk, Part, by_day
from aurora_analysis.fetch.commits import Outcome, Target
from aurora_analysis.fetch.work import Access

DAY = Window("2026-11-09", "2026-11-10")
NOW = datetime(2026, 11, 12, tzinfo=UTC)


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "User x is not authorized"}}, "GetResourceMetrics")


def history(window: Window) -> pd.DataFrame:
    times = pd.date_range(window.start, window.end, freq="h", inclusive="left", unit="us")
    return pd.DataFrame(
        {"time": times, "period_s": 3600.0, "name": "connections", "statistic": "average", "value": 1.0}
    )


def chunk(fetch: Callable[[], object], instance: str = "a", window: Window = DAY) -> Chunk:
    """Return a chunk of source s, whose `fetch` calls the chunk's arguments."""
    return Chunk("s", "pi", instance, window, fetch, 1)


@pytest.fixture(autouse=True)
def source(monkeypatch):
    """Register source s, which returns what its chunk's arguments return."""
    monkeypatch.setitem(plan.SOURCES, "s", SimpleNamespace(fetch=lambda chunk, context: chunk.arguments()))


def finished(store: Store, *chunks: Chunk, now: datetime = NOW, threads: int = 2) -> list[Outcome]:
    with executors.threads({"pi": threads}) as pools:
        return run.run(chunks, Access(dict), Target(store, "shop", now), pools)


def test_a_failed_chunk_does_not_stop_the_others(tmp_path):
    """A refused and an unreadable chunk leave coverage rows with the reason; the third chunk is stored."""

    def denied():
        raise refused("NotAuthorizedException")

    def strange():
        return [{}["Keys"]]

    def whole():
        return [Part("metrics", history(DAY), 24, 24, unit="hours", instance="c")]

    store = Store(tmp_path)
    finished(store, chunk(denied, "a"), chunk(strange, "b"), chunk(whole, "c"))
    coverage = store.coverage(DAY, cluster="shop").set_index("instance")
    assert coverage["received"].isna().to_dict() == {"a": True, "b": True, "c": False}
    assert (
        coverage.loc["a", "note"]
        == "GetResourceMetrics is not permitted: allow it as deploy/iam-policy.json does."
    )
    assert "could not be read (KeyError: 'Keys')" in coverage.loc["b", "note"]
    assert len(store.read("metrics", DAY, cluster="shop")) == 24


def test_a_refused_request_is_not_repeated(tmp_path):
    """After invalid credentials no other chunk makes a request."""
    requests = []

    def expired():
        requests.append(1)
        raise refused("ExpiredTokenException")

    days = by_day([Window("2026-11-01", "2026-11-08")])
    planned = [chunk(expired, f"db-{day.start:%d}", window=day) for day in days]
    outcomes = finished(Store(tmp_path), *planned, threads=1)
    assert len(requests) == 1
    assert {outcome.failure for outcome in outcomes} == {
        "The credentials are not valid (ExpiredTokenException): renew them, then rerun the command."
    }
