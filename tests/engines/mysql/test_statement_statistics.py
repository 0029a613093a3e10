"""Statement totals between two samples of performance_schema, and the periods that are left out."""

from __future__ import annotations

import pytest

from aurora_analysis import histogram
from aurora_analysis.engines.digests import Digests
from aurora_analysis.engines.mysql import statement_statistics
from aurora_analysis.engines.mysql.live import QUERIES
from aurora_analysis.engines.mysql.statement_statistics import StatementSampler, statement_metrics

ORDERS = "SELECT `a` FROM `orders` WHERE `id` = ?"


def counted(
    calls: int, ms: float, *, schema: str = "shop", digest: str = "d1", text=ORDERS, first_seen=100.0
):
    """A row of the query `statement_digests`."""
    return (schema, digest, text, calls, ms, 10 * calls, calls, first_seen)


class Server:
    """Answers with what is set, as a probe does; MySQL 8 has histograms, MariaDB has none."""

    def __init__(self) -> None:
        self.digests: list | None = []
        self.histograms: list | None = None
        self.queried: list[tuple[str, dict]] = []

    def rows(self, name: str, **values):
        self.queried.append((name, values))
        return {"statement_digests": self.digests, "statement_histograms": self.histograms}[name]


@pytest.fixture
def ours():
    return Server()


def metrics(period, digests: Digests | None = None):
    """Rows of statement_metrics, as plain values."""
    known = digests or Digests(prefix="server")
    statement_statistics.add_digests(period, known)
    return statement_metrics([period], known).to_dict("records")


def test_a_period_is_the_difference_of_two_samples(ours):
    """Ten calls more, which took 50 ms."""
    found = StatementSampler(ours)
    ours.digests = [counted(100, 200.0)]
    assert found.sample(1000, "db-1") is None
    ours.digests = [counted(110, 250.0)]
    (row,) = metrics(found.sample(1030, "db-1"))
    assert (row["time"], row["period_s"], row["instance"]) == (1000, 30.0, "db-1")
    assert (row["calls"], row["mean_latency_ms"]) == (10, 5.0)
    assert (row["rows_examined"], row["rows_sent"]) == (100, 10)


def test_only_statements_since_the_last_sample_are_queried(ours):
    """All of it once, then what ran since the last sample."""
    found = StatementSampler(ours)
    for tick in (1000, 1030):
        found.sample(tick, "db-1")
    assert [values["seconds"] for _, values in ours.queried] == [statement_statistics.EVER_S, 32]


def test_a_statement_that_is_new_counts_from_nothing(ours):
    """The statement first occurred in the period; a statement that did not run has no row."""
    found = StatementSampler(ours)
    ours.digests = [counted(100, 200.0)]
    found.sample(1000, "db-1")
    ours.digests = [counted(3, 6.0, digest="d2", first_seen=1010.0)]
    (row,) = metrics(found.sample(1030, "db-1"))
    assert (row["calls"], row["mean_latency_ms"]) == (3, 2.0)


@pytest.mark.parametrize(
    "after",
    [counted(40, 80.0), counted(500, 900.0, first_seen=1010.0)],
    ids=["fewer calls", "counted since later"],
)
def test_a_period_with_a_reset_is_left_out(ours, after):
    """A restart or TRUNCATE: the lost counts are unknown. The next period is complete again."""
    found = StatementSampler(ours)
    ours.digests = [counted(100, 200.0)]
    found.sample(1000, "db-1")
    ours.digests = [after]
    assert found.sample(1030, "db-1") is None
    assert found.was_reset
    ours.digests = [counted(after[3] + 5, after[4] + 10.0, first_seen=after[7])]
    (row,) = metrics(found.sample(1060, "db-1"))
    assert (row["calls"], row["mean_latency_ms"]) == (5, 2.0)
    assert not found.was_reset


def test_an_instance_that_was_lost_starts_from_a_first_sample(ours):
    """No period reaches across a gap."""
    found = StatementSampler(ours)
    ours.digests = [counted(100, 200.0)]
    found.sample(1000, "db-1")
    found.forget()
    ours.digests = [counted(900, 999.0)]
    assert found.sample(1090, "db-1") is None
    assert not found.was_reset


def test_one_statement_in_two_schemas_is_one(ours):
    """Calls add up, the latency is weighted."""
    found = StatementSampler(ours)
    found.sample(1000, "db-1")
    ours.digests = [counted(1, 10.0), counted(3, 2.0, schema="shop_2")]
    (row,) = metrics(found.sample(1030, "db-1"))
    assert (row["calls"], row["mean_latency_ms"]) == (4, 3.0)


def test_a_statement_of_the_slow_log_keeps_its_digest(ours):
    """The two spell one statement differently; the key joins them."""
    found = StatementSampler(ours)
    found.sample(1000, "db-1")
    ours.digests = [counted(1, 10.0, text="SELECT `substring` ( `a` , ? ) FROM `t`")]
    period = found.sample(1030, "db-1")
    known = Digests(prefix="server", by_key={"selectsubstring(a,?)fromt": "the slow log's"})
    (row,) = metrics(period, known)
    assert row["digest"] == "the slow log's"


def test_our_own_statements_and_the_rest_of_a_full_table_are_left_out(ours):
    """The server's texts of ours as MariaDB 10.11 gives them; a full table has a row without a digest."""
    texts = [
        "SHOW ENGINE `INNODB` STATUS",
        "SELECT * FROM `mysql` . `ro_replica_status`",
        "SELECT `processlist_id` , `attr_value` FROM `performance_schema` . `session_connect_attrs` "
        "WHERE `attr_name` = ?",
    ]
    found = StatementSampler(ours)
    found.sample(1000, "db-1")
    ours.digests = [counted(9, 9.0, digest=f"o{n}", text=text) for n, text in enumerate(texts)]
    ours.digests += [(None, None, None, 77, 7.0, 0, 0, 100.0), counted(1, 1.0)]
    assert [row["calls"] for row in metrics(found.sample(1030, "db-1"))] == [1]
    assert len(statement_statistics.OURS) == len(QUERIES)


def bucket(low_ms: float, count: int, *, digest: str = "d1"):
    """A row of the query `statement_histograms`: a bucket of MySQL is 4.7 % wide."""
    return ("shop", digest, low_ms, low_ms * 10 ** (1 / 50), count)


def test_histograms_are_differences_too(ours):
    """Counts of the server's buckets, in ours: no quantile is off by more than a bucket of each."""
    found = StatementSampler(ours)
    found.sample(1000, "db-1")
    ours.digests, ours.histograms = [counted(5, 10.0)], [bucket(2.0, 5)]
    assert found.sample(1030, "db-1").histograms == {}  # followed from here on
    ours.digests, ours.histograms = [counted(12, 100.0)], [bucket(2.0, 6), bucket(12.0, 6)]
    period = found.sample(1060, "db-1")
    known = Digests(prefix="server")
    statement_statistics.add_digests(period, known)
    rows = statement_statistics.latency_histograms([period], known)
    assert rows["count"].tolist() == [1, 6]
    assert histogram.middle(rows["bucket"]) == pytest.approx([2.0, 12.0], rel=0.034)
    assert rows["digest"].nunique() == 1


def test_histograms_are_queried_by_schema_for_statements_that_ran(ours):
    """As the server's table is indexed; that of a session without a schema is one among them."""
    found = StatementSampler(ours)
    found.sample(1000, "db-1")
    ours.digests = [
        counted(1, 1.0),
        counted(1, 2.0, digest="d2"),
        counted(1, 3.0, schema="b", digest="d3"),
        counted(1, 4.0, schema=None, digest="d4"),
    ]
    found.sample(1030, "db-1")
    queried = [values for name, values in ours.queried if name == "statement_histograms"]
    assert queried == [
        {"schema": None, "digests": ["d4"]},
        {"schema": "b", "digests": ["d3"]},
        {"schema": "shop", "digests": ["d2", "d1"]},
    ]


def test_no_more_statements_are_followed_than_a_server_can_bear(ours):
    """Those that took the most time first."""
    found = StatementSampler(ours)
    found.sample(1000, "db-1")
    ours.digests = [counted(1, float(n), digest=f"d{n}") for n in range(300)]
    ours.histograms = [bucket(1.0, 1, digest=f"d{n}") for n in range(200, 300)]
    found.sample(1030, "db-1")
    (queried,) = [values["digests"] for name, values in ours.queried if name == "statement_histograms"]
    assert (len(queried), queried[0]) == (statement_statistics.FOLLOWED, "d299")
