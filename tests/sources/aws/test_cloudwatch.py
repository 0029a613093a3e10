"""CloudWatch: the finest period that it keeps, gaps that stay gaps, and queries that fail inside an answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from aws_endpoint import Cluster, Endpoint
from fetching import clients

from aurora_analysis import Window
from aurora_analysis.engines.mysql.metrics import CLUSTER_METRICS, INSTANCE_METRICS
from aurora_analysis.fetch.chunks import Chunk, Context, Have, Part
from aurora_analysis.fetch.work import fetch_chunk
from aurora_analysis.glossary import METRICS
from aurora_analysis.sources.aws import cloudwatch
from aurora_analysis.sources.aws.cloudwatch import MetricArguments, Query
from aurora_analysis.sources.aws.rds import Instance, Topology

NOW = datetime(2026, 11, 10, 2, tzinfo=UTC)
HOUR = Window("2026-11-09T00:00", "2026-11-09T01:00")
NOTHING = Have(pd.DataFrame(columns=["time", "end", "source", "instance", "received"]))


def cluster(*names: str) -> Topology:
    return Topology("shop", "", (), "", tuple(Instance(name) for name in names))


@pytest.mark.parametrize(
    ("days", "period"), [(1, 60), (14.9, 60), (15, 300), (62.9, 300), (63, 3600), (454, 3600), (455, None)]
)
def test_the_period_follows_the_age(days, period):
    """60 s for 15 days, 300 s for 63, an hour for 455; near a limit the coarser period."""
    assert cloudwatch.finest_period(NOW - timedelta(days=days), NOW) == period


def test_every_metric_is_in_the_glossary():
    """Each vendor metric has a name that glossary.py explains."""
    ours = {*INSTANCE_METRICS.values(), *CLUSTER_METRICS.values()}
    assert {metric.name for metric in ours} <= set(METRICS)


def test_latency_means_of_long_periods_have_sample_counts():
    """A minute is one sample and needs no count; the volume's period is five minutes."""
    fine, coarse = (cloudwatch.queries("aurora-mysql", ["a"], period_s) for period_s in (60, 3600))
    assert not [query for query in fine if query.statistic == "SampleCount"]
    weighed = {query.metric.name for query in coarse if query.statistic == "SampleCount"}
    assert weighed == {name for name in weighed if name.endswith("_latency")} != set()
    assert {query.period_s for query in fine if query.instance is None} == {300}


def test_all_instances_share_calls():
    """A day of five instances needs as many calls as it has pages of points."""
    [day] = cloudwatch.chunks(cluster(*"abcde"), NOTHING, Window("2026-11-08", "2026-11-09"), NOW)
    assert day.instance is None
    assert day.calls == 3


def test_a_gap_of_one_instance_fetches_the_day_for_all():
    """All instances are written together; without a gap nothing is planned."""
    day = Window("2026-11-08", "2026-11-09")
    row = {
        "time": pd.Timestamp(day.start),
        "end": pd.Timestamp(day.end),
        "source": "cloudwatch",
        "received": 1.0,
    }
    have = Have(pd.DataFrame([row | {"instance": None}, row | {"instance": "a"}]))
    assert cloudwatch.chunks(cluster("a"), have, day, NOW) == []
    assert len(cloudwatch.chunks(cluster("a", "b"), have, day, NOW)) == 1


PLANNED = {
    0: Query("CommitLatency", INSTANCE_METRICS["CommitLatency"], "a", "Average", 60),
    1: Query("VolumeReadIOPs", CLUSTER_METRICS["VolumeReadIOPs"], None, "Sum", 300),
}


def result(number: int, *values: float, status: str = "Complete") -> dict[str, object]:
    stamps = [HOUR.start.timestamp() + 60.0 * n for n in range(len(values))]
    return {"Id": f"q{number}", "StatusCode": status, "Timestamps": stamps, "Values": list(values)}


def test_a_page_is_parsed():
    """Names, instances and statistics become ours; a missing value has no row."""
    page = {"MetricDataResults": [result(0, 2.1, 0.0), result(1), result(0, 9.9, status="InternalError")]}
    frame = cloudwatch.parse(page, PLANNED)
    assert frame["value"].tolist() == [2.1, 0.0]
    assert frame.iloc[0][["instance", "name", "statistic", "period_s"]].tolist() == [
        "a",
        "commit_latency",
        "average",
        60.0,
    ]
    assert frame["time"].tolist() == [pd.Timestamp(HOUR.start), pd.Timestamp("2026-11-09T00:01Z")]


def test_volume_metrics_have_no_instance():
    """The volume belongs to the cluster."""
    frame = cloudwatch.parse({"MetricDataResults": [result(1, 7.0)]}, PLANNED)
    assert frame["instance"].isna().all()
    assert frame[["name", "statistic"]].to_numpy().tolist() == [["volume_reads", "sum"]]


def endpoint(*misbehaving: str, now: datetime = NOW) -> Endpoint:
    """Serve one instance with commits of 2 ms in the first half hour and no data in the second."""
    minutes = pd.date_range(HOUR.start, periods=30, freq="min")
    seen = pd.DataFrame({"time": minutes, "instance": "a", "name": "commit_latency", "value": 2.0})
    instances = pd.DataFrame({"time": [HOUR.start], "instance": ["a"], "role": ["writer"]})
    metrics = seen.assign(period_s=60.0, statistic="average")
    return Endpoint(
        Cluster("shop", {"instances": instances, "metrics": metrics}), now, misbehaving=misbehaving
    )


def fetched(aws: Endpoint, names: tuple[str, ...] = ("a",), period_s: int = 60) -> list[Part]:
    arguments = MetricArguments("shop", "aurora-mysql", names, period_s)
    return cloudwatch.fetch(Chunk("cloudwatch", "cloudwatch", None, HOUR, arguments), Context(clients(aws)))


def test_missing_values_have_no_rows():
    """Half an hour of values, and none for an instance that CloudWatch does not know."""
    with endpoint() as aws:
        _, a, b = fetched(aws, ("a", "b"))
    assert (a.expected, a.received, a.note) == (60, 30, "")
    assert (b.received, b.note) == (0, "CloudWatch has no data of it")


def test_too_fine_a_period_returns_nothing():
    """After 20 days a period of 60 s returns no data and no error; the planned 300 s returns all."""
    with endpoint(now=NOW + timedelta(days=20)) as aws:
        assert fetched(aws)[1].received == 0
        period = cloudwatch.finest_period(HOUR.start, aws.now)
        whole = fetched(aws, period_s=period)
    assert (period, whole[1].received) == (300, 6)
    weights = whole[0].frame.query("statistic == 'sample_count'")["value"]
    assert weights.tolist() == [5.0] * 6


def test_a_query_that_fails_inside_an_answer_is_repeated():
    """The second attempt succeeds."""
    with endpoint("internal_errors") as aws:
        assert fetched(aws)[1].received == 30
        assert aws.count()["cloudwatch:GetMetricData"] == 2


def test_a_query_that_always_fails_has_null_received(monkeypatch):
    """Null in coverage makes the next fetch request it again."""
    monkeypatch.setattr(cloudwatch, "ATTEMPTS", 1)
    with endpoint("internal_errors") as aws:
        part = fetched(aws)[1]
    assert part.received is None
    assert part.note.startswith("CloudWatch failed to return")


def test_data_beyond_all_ages_make_no_call():
    """Two years ago is reported for the cluster and each instance."""
    [day] = cloudwatch.chunks(cluster("a"), NOTHING, Window("2024-11-08", "2024-11-09"), NOW)
    parts = list(fetch_chunk(day, Context({})))
    assert day.calls == 0
    assert {part.note for part in parts} == {"beyond the 455 days that CloudWatch keeps"}
