"""The fetch's machinery: what is missing, how fast, what a failure leaves, and that nothing half-done is marked."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from botocore.exceptions import ClientError, NoCredentialsError, UnauthorizedSSOTokenError

from aurora_analysis import Store, Window
from aurora_analysis.errors import Error
from aurora_analysis.fetch import chunks
from aurora_analysis.fetch.chunks import Chunk, Outcome, Part, Rate

DAY = Window("2026-11-09", "2026-11-10")
NOW = datetime(2026, 11, 12, tzinfo=UTC)


def covered(*spans: tuple[str, str, float | None]) -> pd.DataFrame:
    """Coverage of instance a by source s: start and end on the day, and what was received."""
    rows = [
        {"time": f"2026-11-09T{start}Z", "end": f"2026-11-09T{end}Z", "received": received}
        for start, end, received in spans
    ]
    frame = pd.DataFrame(rows, columns=["time", "end", "received"]).assign(source="s", instance="a")
    return frame.astype({"time": "datetime64[us, UTC]", "end": "datetime64[us, UTC]", "received": float})


def gaps(coverage: pd.DataFrame) -> list[str]:
    return [f"{gap.start:%H}-{gap.end:%H}" for gap in chunks.missing(coverage, "s", "a", DAY)]


def test_nothing_known_is_all_missing():
    """Without coverage the whole window is asked for."""
    assert gaps(covered()) == ["00-00"]


def test_what_is_between_is_missing():
    """Spans in any order, overlapping or not, leave what none of them covers."""
    assert gaps(covered(("12:00", "18:00", 1), ("06:00", "13:00", 0))) == ["00-06", "18-00"]


def test_a_failure_is_asked_again():
    """Null is not zero: nothing received is an answer, a refusal is none."""
    assert gaps(covered(("00:00", "12:00", 0), ("12:00", "23:59", None))) == ["12-00"]


def test_one_failed_table_fails_the_span():
    """Two tables of one chunk: where one failed, the chunk is asked again."""
    assert gaps(covered(("00:00", "12:00", 5), ("00:00", "12:00", None))) == ["00-00"]


def test_windows_are_cut_at_midnight():
    """Days are UTC days; shorter steps are counted from midnight."""
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


def test_a_rate_is_kept_and_pauses_are_no_credit():
    """Ten tokens at 100 a second take nine gaps of 10 ms, also after a pause."""
    rate = Rate(100)
    rate.take()
    time.sleep(0.05)
    started = time.monotonic()
    for _ in range(10):
        rate.take()
    assert time.monotonic() - started >= 0.09
    assert rate.taken == 11


def test_threads_fill_the_rate_and_no_more():
    """Five calls a second need one call of 0.2 s in flight, twenty need four."""
    assert chunks.threads({"logs": Rate(5), "pi": Rate(20), "x": Rate(500)}, 6) == {
        "logs": 2,
        "pi": 4,
        "x": 6,
    }


def history(window: Window) -> pd.DataFrame:
    times = pd.date_range(window.start, window.end, freq="h", inclusive="left", unit="us")
    return pd.DataFrame(
        {"time": times, "period_s": 3600.0, "name": "connections", "statistic": "average", "value": 1.0}
    )


def chunk(bring, instance: str = "a", source: str = "s", window: Window = DAY) -> Chunk:
    return Chunk(source, "pi", instance, window, 1, bring)


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "User x is not authorized"}}, "GetResourceMetrics")


def run(store: Store, *chunks: Chunk, now: datetime = NOW) -> list[Outcome]:
    return chunks.run(chunks, {}, store, cluster="shop", now=now, threads={"pi": 2})


def test_one_chunks_failure_is_not_anothers(tmp_path):
    """A refusal, an unreadable answer and a whole chunk: the whole one is there, the others say why not."""

    def denied(clients):
        raise refused("NotAuthorizedException")

    def strange(clients):
        return [{}["Keys"]]

    def whole(clients):
        return [Part("metrics", history(DAY), 24, 24, unit="hours", instance="c")]

    store = Store(tmp_path)
    run(store, chunk(denied, "a"), chunk(strange, "b"), chunk(whole, "c"))
    coverage = store.coverage(DAY, cluster="shop").set_index("instance")
    assert coverage["received"].isna().to_dict() == {"a": True, "b": True, "c": False}
    assert (
        coverage.loc["a", "note"]
        == "GetResourceMetrics is not permitted: allow it as deploy/iam-policy.json does."
    )
    assert "could not be read (KeyError: 'Keys')" in coverage.loc["b", "note"]
    assert len(store.read("metrics", DAY, cluster="shop")) == 24


def test_what_is_refused_is_not_asked_again(tmp_path):
    """The first refusal of a source's instance speaks for its other chunks; bad credentials for all."""
    asked = []

    def expired(clients):
        asked.append(1)
        raise refused("ExpiredTokenException")

    days = chunks.by_day([Window("2026-11-01", "2026-11-08")])
    outcomes = chunks.run(
        [chunk(expired, f"db-{day.start:%d}", window=day) for day in days],
        {},
        Store(tmp_path),
        cluster="shop",
        now=NOW,
        threads={"pi": 1},
    )
    assert len(asked) == 1
    assert {outcome.failure for outcome in outcomes} == {
        "The credentials are not valid (ExpiredTokenException): renew them, and run it again."
    }


def test_what_is_young_is_never_marked_complete():
    """A chunk up to now is covered up to 15 minutes before, in whole five minutes; one that is all younger, not at all."""
    now = datetime(2026, 11, 9, 12, 4, tzinfo=UTC)
    part = Part("metrics", None, 720, 720, instance="a")
    until_noon = chunk(lambda clients: [], window=Window("2026-11-09", "2026-11-09T12:00"))
    rows = chunks.coverage_rows(Outcome(until_noon, (part,)), now - chunks.LATE)
    assert rows["end"].tolist() == [pd.Timestamp("2026-11-09T11:45", tz="UTC")]
    young = chunk(lambda clients: [], window=Window("2026-11-09T11:45", "2026-11-09T12:00"))
    assert chunks.coverage_rows(Outcome(young, (part,)), now - chunks.LATE).empty


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (refused("AccessDenied"), "GetResourceMetrics is not permitted"),
        (refused("ThrottlingException"), r"throttled to the end of its retries: lower its rate in \[rates\]"),
        (
            refused("InvalidArgumentException"),
            r"GetResourceMetrics failed \(InvalidArgumentException: User x",
        ),
        (NoCredentialsError(), "Unable to locate credentials: set up boto3's credentials"),
        (UnauthorizedSSOTokenError(), r"corresponding profile: sign in again \(aws sso login\)"),
        (Error("Do this."), "Do this."),
        (ZeroDivisionError("two\nlines"), r"could not be read \(ZeroDivisionError: two\)"),
    ],
)
def test_a_problem_is_one_line(problem, said):
    """The culprit and the next step, never a stack of lines."""
    import re

    line = chunks.explained(problem)
    assert re.search(said, line)
    assert "\n" not in line
