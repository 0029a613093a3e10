"""Performance Insights: not listed is not zero, missing is not zero, and an answer that ends early is continued."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from aws_endpoint import Cluster, Endpoint
from fetching import clients

from aurora_analysis import Window
from aurora_analysis.engines.digests import Digests
from aurora_analysis.engines.mysql import fingerprint
from aurora_analysis.engines.mysql.metrics import STATEMENT_STATISTICS
from aurora_analysis.errors import NotEnabled
from aurora_analysis.fetch.chunks import Chunk, Context, Have, Part
from aurora_analysis.fetch.work import fetch_chunk
from aurora_analysis.sources.aws import performance_insights as pi
from aurora_analysis.sources.aws import performance_insights_series as series
from aurora_analysis.sources.aws.performance_insights import LoadArguments
from aurora_analysis.sources.aws.performance_insights_series import Offer, Series
from aurora_analysis.sources.aws.rds import Instance, Topology

DAY = Window("2026-11-09", "2026-11-10")
HOUR = Window("2026-11-09T00:00", "2026-11-09T01:00")
NOW = datetime(2026, 11, 10, 2, tzinfo=UTC)


def line(member: dict[str, str], *values: float | None, metric: str = series.LOAD) -> Series:
    """Return a series of minutes from midnight."""
    seconds = DAY.start.timestamp() + 60.0 * np.arange(len(values))
    return Series(metric, member, seconds, np.array(values, dtype=float))


def test_pages_of_one_series_merge_by_time():
    """The largest value counts where two pages disagree; NaN gives way; points outside the span are dropped."""
    span = Window("2026-11-09T00:00", "2026-11-09T00:03")
    early, late = line({}, 1.0, np.nan, 3.0), line({}, 2.0, 5.0, 3.0, 9.0)
    backwards = late._replace(seconds=late.seconds[::-1], numbers=late.numbers[::-1])
    [merged] = series.merged([early, backwards], span)
    assert merged.seconds.tolist() == early.seconds.tolist()
    assert merged.numbers.tolist() == [2.0, 5.0, 3.0]
    assert len(series.merged([early, line({"db.user.name": "bi"}, 1.0)], span)) == 2


def wait(name: str) -> dict[str, str]:
    return {"db.wait_event.name": name, "db.wait_event.type": name.split("/")[0]}


def load(*lines: Series, digests: Digests | None = None) -> dict[tuple[str, str], list[float]]:
    """Return active sessions by minute, for each (dimension, member)."""
    frame = series.db_load([lines], digests or Digests())
    groups = frame.groupby(["dimension", "member"], observed=True)["active_sessions"]
    return {(str(key[0]), str(key[1])): values.tolist() for key, values in groups}  # type: ignore[index]


def test_a_page_is_parsed():
    """The documentation's shape: a key with dimensions, and points with and without a value."""
    page = {
        "MetricList": [
            {
                "Key": {"Metric": "db.load.avg", "Dimensions": wait("CPU")},
                "DataPoints": [{"Timestamp": 1540774800.0, "Value": 1.69}, {"Timestamp": 1540774860.0}],
            }
        ]
    }
    [found] = series.parse(page)
    assert found.member == wait("CPU")
    assert found.seconds.tolist() == [1540774800.0, 1540774860.0]
    assert found.numbers[0] == 1.69
    assert np.isnan(found.numbers[1])


def test_a_point_without_a_value_has_no_row():
    """Missing is not zero; zero is zero."""
    assert load(line({}, 1, 1, 1), line(wait("CPU"), 0.5, None, 0.0)) == {("wait_event", "cpu"): [0.5, 0.0]}


def test_wait_names_follow_the_manual():
    """wait/io/… becomes io/…, and CPU becomes cpu."""
    found = load(line({}, 2), line(wait("wait/io/aurora_redo_log_flush"), 1), line(wait("CPU"), 1))
    assert set(found) == {("wait_event", "io/aurora_redo_log_flush"), ("wait_event", "cpu")}


def users(count: int, each: float) -> list[Series]:
    return [line({"db.user.name": f"u{n:02}"}, each) for n in range(count)]


def test_unlisted_members_are_stored_as_other():
    """25 listed members of load 1 and a total of 30 leave 5; fewer than 25 listed members leave none."""
    assert load(line({}, 30), *users(25, 1.0))["user", "(other)"] == [5.0]
    assert ("user", "(other)") not in load(line({}, 30), *users(24, 1.0))


def test_rounding_makes_no_negative_load():
    """The sum of the listed members may exceed the total by rounding."""
    assert load(line({}, 24.9999), *users(25, 1.0))["user", "(other)"] == [0.0]


def sql(pi_id: str, text: str = "") -> dict[str, str]:
    return {"db.sql_tokenized.id": pi_id, **({"db.sql_tokenized.statement": text} if text else {})}


def test_statements_of_one_digest_add_up():
    """Two statements of the service with one fingerprint are one member."""
    digests = Digests()
    digests.add("A", "SELECT `a` FROM `t` WHERE b = ?", "mysql")
    digests.add("B", "select a from t where b = ?", "mysql")
    [member] = load(line({}, 3), line(sql("A"), 1), line(sql("B"), 2), digests=digests).items()
    assert member == (("sql", fingerprint.statement("select a from t where b = 1").digest), [3.0])


def test_a_statement_gets_the_slow_logs_digest_by_join_key():
    """performance_schema and the slow log spell a list differently; the join key is the same."""
    logged = fingerprint.statement("SELECT * FROM t WHERE id IN (1, 2, 3)")
    key = fingerprint.join_key(logged.fingerprint)
    known = pd.DataFrame(
        {"digest": [logged.digest], "fingerprint": [logged.fingerprint], "join_key": [key], "pi_id": [None]}
    )
    digests = Digests.from_statements(known)
    digests.add("A", "SELECT * FROM `t` WHERE `id` IN (...)", "mysql")
    assert digests.digest("A") == logged.digest


def test_a_statement_without_text_keeps_the_services_id():
    """A policy may hide the text; the load is stored under the service's id."""
    assert load(line({}, 1), line(sql("A"), 1)) == {("sql", "pi:A"): [1.0]}


OFFER = Offer(
    (
        "db.SQL.Innodb_rows_read",
        "db.Users.Threads_running",
        "os.cpuUtilization.total",
        "os.general.numVCPUs",
        *(f"db.sql_tokenized.stats.{end}" for end in STATEMENT_STATISTICS),
    )
)


def test_counters_are_found_by_the_services_own_spelling():
    """The service's list gives each counter's spelling, and whether it exists."""
    assert pi.counter_queries(OFFER) == [
        {"Metric": "db.SQL.Innodb_rows_read.avg"},
        {"Metric": "db.Users.Threads_running.avg"},
        {"Metric": "os.general.numVCPUs.avg"},
    ]
    lines = [
        line({}, value, None, metric=f"{name}.avg")
        for name, value in {"db.SQL.Innodb_rows_read": 5, "os.general.numVCPUs": 8}.items()
    ]
    found = series.metrics(lines, OFFER)
    assert found[["name", "value"]].to_numpy().tolist() == [["rows_read", 5.0], ["sampled_vcpus", 8.0]]


def statistics(*lines: Series, digests: Digests) -> list[object]:
    frame = series.statement_metrics(lines, OFFER, digests)
    return frame[["calls", "mean_latency_ms", "rows_examined"]].to_numpy().tolist()


def stat(pi_id: str, end: str, value: float) -> Series:
    return line(sql(pi_id), value, metric=f"db.sql_tokenized.stats.{end}.avg")


def test_rates_become_totals_of_the_minute():
    """2 calls per second are 120 in the minute; a latency is unchanged."""
    found = statistics(
        stat("A", "count_star_per_sec", 2.0), stat("A", "sum_timer_wait_per_call", 7.5), digests=Digests()
    )
    assert found[0][:2] == [120.0, 7.5]
    assert np.isnan(found[0][2])


def test_the_latency_of_one_digest_is_weighted_by_calls():
    """One call of 10 ms and three of 2 ms average 4 ms."""
    digests = Digests()
    digests.add("A", "select 1 from t", "mysql")
    digests.add("B", "SELECT 2 FROM `t`", "mysql")
    lines = [
        stat("A", "count_star_per_sec", 1.0), stat("A", "sum_timer_wait_per_call", 10.0),
        stat("B", "count_star_per_sec", 3.0), stat("B", "sum_timer_wait_per_call", 2.0),
    ]  # fmt: skip
    assert statistics(*lines, digests=digests)[0][:2] == [240.0, 4.0]


def test_without_statistics_the_table_is_empty():
    """No series gives no row, with the table's columns."""
    assert statistics(digests=Digests()) == []


# The plan


def topology(**more: object) -> Topology:
    one = {"name": "a", "resource_id": "db-A", "pi_retention_days": 7} | more
    return Topology("shop", "", (), "", (Instance(**one),))  # type: ignore[arg-type]


def planned(window: Window, **more: object) -> list[Chunk]:
    have = Have(pd.DataFrame(columns=["time", "end", "source", "instance", "received"]))
    return pi.chunks(topology(**more), have, window, NOW)


def test_deleted_data_are_reported_without_a_call():
    """Three of ten days are deleted: they are one chunk without a call, and its coverage has the reason."""
    first, *days = planned(Window("2026-10-31", "2026-11-10"))
    assert (first.calls, f"{first.window.end:%d %H:%M}") == (0, "03 02:05")
    [part] = fetch_chunk(first, Context({}))
    assert (part.received, part.note) == (0, "beyond the 7 days that Performance Insights keeps")
    assert len(days) == 7
    assert all(day.calls > 0 for day in days)


def test_a_service_that_is_off_has_a_remedy():
    """One line names the instance and the next step."""
    [only] = planned(DAY, pi_retention_days=0)
    with pytest.raises(NotEnabled, match="Performance Insights is off for a: turn it on"):
        fetch_chunk(only, Context({}))


def test_a_deleted_instance_needs_its_resource_id():
    """The store may know the id of an instance that RDS no longer has; otherwise the chunk is unavailable."""
    assert planned(DAY, gone=True)[0].calls > 0
    with pytest.raises(
        NotEnabled, match="a is no longer in the cluster, and the store does not know its resource id"
    ):
        fetch_chunk(planned(DAY, gone=True, resource_id="")[0], Context({}))


# Against the endpoint: one instance, 30 statements that swap ranks at noon

MINUTES = pd.date_range(DAY.start, DAY.end, freq="min", inclusive="left")


def busy(first: range, second: range) -> pd.DataFrame:
    """Return statements of load 0.01, 0.02, …: in the order of `first` until noon, of `second` after."""
    noon = len(MINUTES) // 2
    parts = [
        pd.DataFrame(
            {
                "time": MINUTES,
                "member": f"d{n:02}",
                "active_sessions": np.where(
                    np.arange(len(MINUTES)) < noon, (first.index(n) + 1) / 100, (second.index(n) + 1) / 100
                ),
            }
        )
        for n in first
    ]
    return pd.concat(parts).assign(instance="a", dimension="sql", period_s=60.0)


def texts(count: int, width: int = 0) -> pd.DataFrame:
    long = "".join(f", column_{n}" for n in range(width))
    return pd.DataFrame(
        {
            "digest": [f"d{n:02}" for n in range(count)],
            "fingerprint": [f"select a{long} from t{n:02} where b = ?" for n in range(count)],
        }
    )


def endpoint(*misbehaving: str, load: pd.DataFrame, statements: pd.DataFrame) -> Endpoint:
    instances = pd.DataFrame(
        {"time": [DAY.start], "instance": ["a"], "role": ["writer"], "resource_id": ["db-A"]}
    )
    frames = {"instances": instances, "db_load": load, "statements": statements}
    return Endpoint(Cluster("shop", frames), NOW, misbehaving=misbehaving)


def chunk(window: Window) -> Chunk:
    return Chunk(pi.SOURCE, "pi", "a", window, LoadArguments("db-A", "aurora-mysql"))


def fetched(aws: Endpoint, window: Window = DAY) -> tuple[pd.DataFrame, list[Part]]:
    """Return the load by statement (named by its table t00, t01, …) and minute, and all parts."""
    context = Context(clients(aws))
    parts = pi.fetch(chunk(window), context)
    named = {digest: text.split("from ")[1][:3] for digest, text in context.digests.by_id.values()}
    rows = parts[0].frame.query("dimension == 'sql'")
    rows = rows.assign(member=rows["member"].astype("str").replace(named))
    return rows.pivot(index="time", columns="member", values="active_sessions"), parts


@pytest.fixture(scope="module")
def swapped() -> tuple[pd.DataFrame, list[Part]]:
    """Fetch a day in which the last five of 30 statements become the first at noon."""
    forward = range(30)
    with endpoint(load=busy(forward, forward[::-1]), statements=texts(30)) as aws:
        return fetched(aws)


def test_points_are_stamped_with_the_start_of_their_minute(swapped):
    """The first point is midnight's, as in CloudWatch."""
    table, _ = swapped
    assert table.index[0] == pd.Timestamp(DAY.start)
    assert len(table) == 1440


def test_an_unlisted_digest_is_requested_by_name(swapped):
    """t02 is in the day's top 25 because of its evening, so its load of the morning is stored too."""
    table, _ = swapped
    assert table["t02"].notna().all()
    assert table["t02"].iloc[0] == pytest.approx(0.03)


def test_unlisted_load_has_no_row_and_counts_as_other(swapped):
    """No row is zero, and all rows add up to the total at every minute."""
    table, _ = swapped
    assert table.isna().any().any()
    assert not (table == 0).any().any()
    assert np.allclose(table.sum(axis=1), sum(range(1, 31)) / 100)


def test_coverage_counts_the_minutes_with_a_total(swapped):
    """All minutes of the day have one."""
    _, parts = swapped
    assert (parts[0].expected, parts[0].received, parts[0].instance) == (1440, 1440, "a")


def test_a_cut_answer_is_continued(monkeypatch):
    """A whole day in one span is cut at 350 points without an error; every minute is stored."""
    monkeypatch.setattr(pi, "SPAN", timedelta(days=1))
    with endpoint("truncates_points", load=busy(range(3), range(3)), statements=texts(3)) as aws:
        table, parts = fetched(aws)
    assert len(table) == 1440
    assert parts[0].received == 1440


def test_our_spans_are_never_cut(monkeypatch):
    """A fifth of a day is below the limit, so each span needs one request."""
    with endpoint("truncates_points", load=busy(range(3), range(3)), statements=texts(3)) as aws:
        fetched(aws)
        assert aws.count()["pi:GetResourceMetrics"] == 5


def test_a_gap_is_requested_once_more_and_stays_a_gap():
    """The last half hour has no data: no row is invented, and coverage counts 30 of 60 minutes."""
    load = busy(range(3), range(3))
    with endpoint(load=load[load["time"] < pd.Timestamp("2026-11-09T00:30Z")], statements=texts(3)) as aws:
        table, parts = fetched(aws, HOUR)
        assert aws.count()["pi:GetResourceMetrics"] == 2
    assert len(table) == 30
    assert (parts[0].expected, parts[0].received) == (60, 30)


def test_a_cut_text_is_requested_in_full():
    """Statements with the same first 500 bytes are distinguished by the text of one execution."""
    with endpoint(load=busy(range(2), range(2)), statements=texts(2, width=60)) as aws:
        table, _ = fetched(aws, HOUR)
        assert aws.count()["pi:GetDimensionKeyDetails"] == 2
    assert set(table.columns) == {"t00", "t01"}


def test_a_policy_that_hides_sql_hides_nothing_else():
    """The load by user is stored, and coverage names the hidden dimension."""
    load = pd.concat(
        [busy(range(3), range(3)), busy(range(1), range(1)).assign(dimension="user", member="app")]
    )
    with endpoint("hides_sql", load=load, statements=texts(3)) as aws:
        parts = pi.fetch(chunk(HOUR), Context(clients(aws)))
    assert set(parts[0].frame["dimension"]) == {"user"}
    assert parts[0].note == "not permitted or not offered: db load by sql"
    assert str(parts[1].frame["first_seen"].dtype) == "datetime64[us, UTC]", "the store takes no other times"
