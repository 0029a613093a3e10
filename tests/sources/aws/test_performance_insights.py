"""Performance Insights: not listed is not zero, missing is not zero, and an answer cut short is asked to go on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from aws_endpoint import Cluster, Endpoint
from fetching import clients

from aurora_analysis import Window
from aurora_analysis.engines.mysql import fingerprint
from aurora_analysis.engines.mysql.digests import Digests
from aurora_analysis.engines.mysql.metrics import STATEMENT_STATISTICS
from aurora_analysis.errors import NotEnabled
from aurora_analysis.fetch.chunks import Chunk, Context, Have, Part
from aurora_analysis.fetch.run import fetch_chunk
from aurora_analysis.sources.aws import performance_insights as pi
from aurora_analysis.sources.aws import performance_insights_series as series
from aurora_analysis.sources.aws.performance_insights import LoadArguments
from aurora_analysis.sources.aws.performance_insights_series import Offer, Series
from aurora_analysis.sources.aws.rds import Instance, Topology

DAY = Window("2026-11-09", "2026-11-10")
HOUR = Window("2026-11-09T00:00", "2026-11-09T01:00")
NOW = datetime(2026, 11, 10, 2, tzinfo=UTC)


def line(member: dict[str, str], *values: float | None, metric: str = series.LOAD) -> Series:
    """A series of minutes from midnight."""
    seconds = DAY.start.timestamp() + 60.0 * np.arange(len(values))
    return Series(metric, member, seconds, np.array(values, dtype=float))


def wait(name: str) -> dict[str, str]:
    return {"db.wait_event.name": name, "db.wait_event.type": name.split("/")[0]}


def load(*lines: Series, digests: Digests | None = None) -> dict[tuple[str, str], list[float]]:
    """(dimension, member) → active sessions by minute."""
    frame = series.db_load([lines], digests or Digests())
    groups = frame.groupby(["dimension", "member"], observed=True)["active_sessions"]
    return {(str(key[0]), str(key[1])): values.tolist() for key, values in groups}  # type: ignore[index]


def test_a_page_is_read():
    """The documentation's shape: a key with dimensions, points with and without a value."""
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


def test_wait_names_lose_the_prefix_that_the_manual_drops():
    """wait/io/… and io/… are one word for one wait; CPU is written as the manual writes it."""
    found = load(line({}, 2), line(wait("wait/io/aurora_redo_log_flush"), 1), line(wait("CPU"), 1))
    assert set(found) == {("wait_event", "io/aurora_redo_log_flush"), ("wait_event", "cpu")}


def users(count: int, each: float) -> list[Series]:
    return [line({"db.user.name": f"u{n:02}"}, each) for n in range(count)]


def test_the_rest_makes_shares_add_up():
    """25 of 1 listed of a total of 30: 5 are the others'. Fewer than 25 listed are all there are."""
    assert load(line({}, 30), *users(25, 1.0))["user", "(other)"] == [5.0]
    assert ("user", "(other)") not in load(line({}, 30), *users(24, 1.0))


def test_rounding_makes_no_negative_rest():
    """The sum of the listed may exceed the total by a rounding."""
    assert load(line({}, 24.9999), *users(25, 1.0))["user", "(other)"] == [0.0]


def sql(pi_id: str, text: str = "") -> dict[str, str]:
    return {"db.sql_tokenized.id": pi_id, **({"db.sql_tokenized.statement": text} if text else {})}


def test_statements_of_one_digest_add_up():
    """Two of the service's statements that are one fingerprint are one member."""
    digests = Digests()
    digests.add("A", "SELECT `a` FROM `t` WHERE b = ?")
    digests.add("B", "select a from t where b = ?")
    [member] = load(line({}, 3), line(sql("A"), 1), line(sql("B"), 2), digests=digests).items()
    assert member == (("sql", fingerprint.statement("select a from t where b = 1").digest), [3.0])


def test_a_statement_is_the_slow_logs_where_the_join_key_says_so():
    """performance_schema spells a list (...), the slow log's fingerprint differently: the key is the same."""
    logged = fingerprint.statement("SELECT * FROM t WHERE id IN (1, 2, 3)")
    key = fingerprint.join_key(logged.fingerprint)
    known = pd.DataFrame(
        {"digest": [logged.digest], "fingerprint": [logged.fingerprint], "join_key": [key], "pi_id": [None]}
    )
    digests = Digests.from_statements(known)
    digests.add("A", "SELECT * FROM `t` WHERE `id` IN (...)")
    assert digests.digest("A") == logged.digest


def test_a_statement_without_text_keeps_the_services_id():
    """A policy may hide the text; the load is still somebody's."""
    assert load(line({}, 1), line(sql("A"), 1)) == {("sql", "pi:A"): [1.0]}


OFFER = Offer(
    (
        "db.SQL.Innodb_rows_read",
        "db.Users.Threads_running",
        "os.cpuUtilization.total",
        *(f"db.sql_tokenized.stats.{end}" for end in STATEMENT_STATISTICS),
    )
)


def test_counters_are_found_by_the_services_own_spelling():
    """The list decides how a counter is written, and whether there is one."""
    assert pi.counter_queries(OFFER) == [
        {"Metric": "db.SQL.Innodb_rows_read.avg"},
        {"Metric": "db.Users.Threads_running.avg"},
    ]
    found = series.metrics([line({}, 5, None, metric="db.SQL.Innodb_rows_read.avg")], OFFER)
    assert found[["name", "value"]].to_numpy().tolist() == [["rows_read", 5.0]]


def statistics(*lines: Series, digests: Digests) -> list[object]:
    frame = series.statement_metrics(lines, OFFER, digests)
    return frame[["calls", "mean_latency_ms", "rows_examined"]].to_numpy().tolist()


def stat(pi_id: str, end: str, value: float) -> Series:
    return line(sql(pi_id), value, metric=f"db.sql_tokenized.stats.{end}.avg")


def test_rates_become_the_minutes_totals():
    """2 calls a second are 120 in the minute; a latency stays one."""
    found = statistics(
        stat("A", "count_star_per_sec", 2.0), stat("A", "sum_timer_wait_per_call", 7.5), digests=Digests()
    )
    assert found[0][:2] == [120.0, 7.5]
    assert np.isnan(found[0][2])


def test_the_latency_of_one_digest_is_weighed_by_calls():
    """One call of 10 ms and three of 2 ms are four of 4 ms."""
    digests = Digests()
    digests.add("A", "select 1 from t")
    digests.add("B", "SELECT 2 FROM `t`")
    lines = [
        stat("A", "count_star_per_sec", 1.0), stat("A", "sum_timer_wait_per_call", 10.0),
        stat("B", "count_star_per_sec", 3.0), stat("B", "sum_timer_wait_per_call", 2.0),
    ]  # fmt: skip
    assert statistics(*lines, digests=digests)[0][:2] == [240.0, 4.0]


def test_without_statistics_the_table_is_empty():
    """No line is no row, with the table's columns."""
    assert statistics(digests=Digests()) == []


# The plan


def topology(**more: object) -> Topology:
    one = {"name": "a", "resource_id": "db-A", "pi_retention_days": 7} | more
    return Topology("shop", "", (), "", (Instance(**one),))  # type: ignore[arg-type]


def planned(window: Window, **more: object) -> list[Chunk]:
    have = Have(pd.DataFrame(columns=["time", "end", "source", "instance", "received"]))
    return pi.chunks(topology(**more), have, window, NOW)


def test_what_is_no_longer_kept_is_said_and_not_asked():
    """Of ten days, seven are kept: the rest is one chunk without a call, whose coverage says so."""
    first, *days = planned(Window("2026-10-31", "2026-11-10"))
    assert (first.calls, f"{first.window.end:%d %H:%M}") == (0, "03 02:05")
    [part] = fetch_chunk(first, Context({}))
    assert (part.received, part.note) == (0, "beyond the 7 days that Performance Insights keeps")
    assert len(days) == 7
    assert all(day.calls > 0 for day in days)


def test_what_is_off_says_how_to_turn_it_on():
    """One line with the instance and the next step."""
    [only] = planned(DAY, pi_retention_days=0)
    with pytest.raises(NotEnabled, match="Performance Insights is off for a: turn it on"):
        fetch_chunk(only, Context({}))


def test_an_instance_that_is_gone_is_asked_where_its_id_is_known():
    """The store may know the resource id of an instance that RDS has forgotten; else it is said."""
    assert planned(DAY, gone=True)[0].calls > 0
    with pytest.raises(
        NotEnabled, match="a is no longer in the cluster, and the store does not know its resource id"
    ):
        fetch_chunk(planned(DAY, gone=True, resource_id="")[0], Context({}))


# Against the endpoint: one instance, 30 statements that swap ranks at noon

MINUTES = pd.date_range(DAY.start, DAY.end, freq="min", inclusive="left")


def busy(first: range, second: range) -> pd.DataFrame:
    """Statements of load 0.01, 0.02, …: in the order of `first` until noon, of `second` after."""
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
    """The load by statement, named by its table t00, t01, …, minute by minute; and all parts."""
    context = Context(clients(aws))
    parts = pi.fetch(chunk(window), context)
    named = {digest: text.split("from ")[1][:3] for digest, text in context.digests.by_id.values()}
    rows = parts[0].frame.query("dimension == 'sql'")
    rows = rows.assign(member=rows["member"].astype("str").replace(named))
    return rows.pivot(index="time", columns="member", values="active_sessions"), parts


@pytest.fixture(scope="module")
def swapped() -> tuple[pd.DataFrame, list[Part]]:
    """A day in which the last five of 30 become the first at noon."""
    forward = range(30)
    with endpoint(load=busy(forward, forward[::-1]), statements=texts(30)) as aws:
        return fetched(aws)


def test_points_are_stamped_with_the_start_of_their_minute(swapped):
    """As CloudWatch's are: the first is midnight's."""
    table, _ = swapped
    assert table.index[0] == pd.Timestamp(DAY.start)
    assert len(table) == 1440


def test_a_digest_that_a_span_does_not_list_is_asked_for_by_name(swapped):
    """t02, third from below in the morning, is of the day's top 25 for its evening: its load is there all day."""
    table, _ = swapped
    assert table["t02"].notna().all()
    assert table["t02"].iloc[0] == pytest.approx(0.03)


def test_not_listed_is_absent_and_its_load_is_the_others(swapped):
    """Nobody's zero: what is not listed has no row, and all rows add up to the total at every minute."""
    table, _ = swapped
    assert table.isna().any().any()
    assert not (table == 0).any().any()
    assert np.allclose(table.sum(axis=1), sum(range(1, 31)) / 100)


def test_coverage_counts_the_minutes_with_a_total(swapped):
    """All of the day."""
    _, parts = swapped
    assert (parts[0].expected, parts[0].received, parts[0].instance) == (1440, 1440, "a")


def test_an_answer_that_is_cut_is_asked_to_go_on(monkeypatch):
    """A whole day in one span is cut at 350 points without a word: every minute is there nevertheless."""
    monkeypatch.setattr(pi, "SPAN", timedelta(days=1))
    with endpoint("truncates_points", load=busy(range(3), range(3)), statements=texts(3)) as aws:
        table, parts = fetched(aws)
    assert len(table) == 1440
    assert parts[0].received == 1440


def test_our_spans_are_never_cut(monkeypatch):
    """A fifth of a day is below the limit: no answer has to be asked to go on."""
    with endpoint("truncates_points", load=busy(range(3), range(3)), statements=texts(3)) as aws:
        fetched(aws)
        assert aws.count()["pi:GetResourceMetrics"] == 5


def test_a_gap_is_asked_for_once_more_and_stays_a_gap():
    """The last half hour is not there: nothing is made up, and coverage says so."""
    load = busy(range(3), range(3))
    with endpoint(load=load[load["time"] < pd.Timestamp("2026-11-09T00:30Z")], statements=texts(3)) as aws:
        table, parts = fetched(aws, HOUR)
        assert aws.count()["pi:GetResourceMetrics"] == 2
    assert len(table) == 30
    assert (parts[0].expected, parts[0].received) == (60, 30)


def test_a_text_that_is_cut_is_asked_for_in_full():
    """Statements that agree in their first 500 bytes are told apart by the text of one execution."""
    with endpoint(load=busy(range(2), range(2)), statements=texts(2, width=60)) as aws:
        table, _ = fetched(aws, HOUR)
        assert aws.count()["pi:GetDimensionKeyDetails"] == 2
    assert set(table.columns) == {"t00", "t01"}


def test_a_policy_that_hides_sql_hides_nothing_else():
    """The load by user is there, and coverage says what is not."""
    load = pd.concat(
        [busy(range(3), range(3)), busy(range(1), range(1)).assign(dimension="user", member="app")]
    )
    with endpoint("hides_sql", load=load, statements=texts(3)) as aws:
        parts = pi.fetch(chunk(HOUR), Context(clients(aws)))
    assert set(parts[0].frame["dimension"]) == {"user"}
    assert parts[0].note == "not permitted or not offered: db load by sql"
    assert str(parts[1].frame["first_seen"].dtype) == "datetime64[us, UTC]", "the store takes no other times"
