"""AWS on loopback behaves towards real boto3 clients as AWS's documentation describes."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aws_endpoint
import boto3
import numpy as np
import pandas as pd
import pytest
from aws_endpoint import MISBEHAVIOURS, Cluster, Endpoint, slow_log_text
from aws_endpoint.server import OPERATIONS
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError
from deltalake import write_deltalake

START = datetime(2026, 11, 9, tzinfo=UTC)
NOW = datetime(2026, 11, 10, tzinfo=UTC)
MINUTES = pd.date_range(START, NOW, freq="60s", inclusive="left")
FAILOVER = pd.Timestamp("2026-11-09T12:00", tz="UTC")


def instances() -> pd.DataFrame:
    """a writes until noon, then b."""
    rows = [
        (START, "a", "writer"), (START, "b", "reader"), (FAILOVER, "a", "reader"), (FAILOVER, "b", "writer"),
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["time", "instance", "role"]).assign(
        resource_id=lambda f: "db-" + f.instance.str.upper(), vcpus=4.0, pi_retention_days=7.0
    )


def metrics() -> pd.DataFrame:
    """The CPU of a is 10 %, of b 20 %; the volume has a size."""
    parts = [
        pd.DataFrame({"time": MINUTES, "instance": who, "name": name, "value": value})
        for who, name, value in (
            ("a", "cpu_utilization", 10.0),
            ("b", "cpu_utilization", 20.0),
            (None, "volume_bytes", 1e9),
        )
    ]
    return pd.concat(parts).assign(period_s=60.0, statistic="average")


def load() -> pd.DataFrame:
    """On a: 30 statements of load 1, 2, … 30 hundredths, of one user, on the CPU."""
    digests = [f"d{n:02d}" for n in range(30)]
    sql = pd.DataFrame({"time": np.repeat(MINUTES, 30), "member": np.tile(digests, len(MINUTES))})
    sql = sql.assign(dimension="sql", active_sessions=np.tile(np.arange(1, 31) / 100, len(MINUTES)))
    user = pd.DataFrame({"time": MINUTES, "dimension": "user", "member": "app", "active_sessions": 4.65})
    wait = pd.DataFrame(
        {"time": MINUTES, "dimension": "wait_event", "member": "io/redo", "active_sessions": 4.65}
    )
    return pd.concat([sql, user, wait]).assign(instance="a", period_s=60.0)


def slow_queries() -> pd.DataFrame:
    """One on b every minute, from noon."""
    ended = pd.date_range(FAILOVER, NOW, freq="60s", inclusive="left")
    return pd.DataFrame({"ended_at": ended, "instance": "b", "digest": "d00"}).assign(
        query_time_s=1.5, lock_time_s=0.0, rows_sent=1, rows_examined=2, user="etl", host="10.0.0.1",
        thread_id=7, database="shop", tags='{"job": "orders"}', extras=None,
    )  # fmt: skip


@functools.cache
def frames() -> dict[str, pd.DataFrame]:
    """The cluster's day."""
    statement = pd.DataFrame(
        {"digest": ["d00"], "fingerprint": ["select a from t where b = ? and c < 'x & y'"]}
    )
    events = pd.DataFrame(
        {
            "time": [FAILOVER], "instance": ["b"], "category": ["failover"],
            "message": ["Completed failover to DB instance: b."],
        }
    )  # fmt: skip
    return {
        "instances": instances(), "metrics": metrics(), "db_load": load(), "slow_queries": slow_queries(),
        "statements": statement, "events": events,
    }  # fmt: skip


@pytest.fixture
def aws():
    with Endpoint(Cluster("shop", frames()), NOW) as endpoint:
        yield endpoint


def client(aws: Endpoint, service: str, attempts: int = 0):
    """A real client, which retries only where a test says so."""
    return boto3.client(
        service,
        endpoint_url=aws.url,
        region_name="eu-central-1",
        aws_access_key_id="AKIAEXAMPLE",
        aws_secret_access_key="example",
        config=Config(retries={"mode": "standard", "total_max_attempts": attempts + 1}),
    )


def code_of(call) -> str:
    """The code of the error that a call ends in."""
    with pytest.raises(ClientError) as caught:
        call()
    return caught.value.response["Error"]["Code"]


def points(aws: Endpoint, query: dict, period: int = 3600, start=START, end=NOW, **more):
    """The series of one metric query about a."""
    answer = client(aws, "pi").get_resource_metrics(
        ServiceType="RDS", Identifier="db-A", StartTime=start, EndTime=end, PeriodInSeconds=period,
        MetricQueries=[query], **more,
    )  # fmt: skip
    return answer["MetricList"]


def test_clients_speak_the_protocols_that_the_endpoint_knows(aws):
    """A botocore that moves to CBOR must be noticed here first."""
    spoken = {s: client(aws, s).meta.service_model.resolved_protocol for s in OPERATIONS}
    assert spoken == {"pi": "json", "rds": "query", "cloudwatch": "json", "logs": "json", "sts": "query"}


def test_load_is_stamped_at_the_end_of_the_period_unless_asked_otherwise(aws):
    """Performance Insights' default, which is not CloudWatch's."""
    by_end = points(aws, {"Metric": "db.load.avg"})[0]["DataPoints"]
    by_start = points(aws, {"Metric": "db.load.avg"}, PeriodAlignment="START_TIME")[0]["DataPoints"]
    assert [by_end[0]["Timestamp"], by_start[0]["Timestamp"]] == [START + timedelta(hours=1), START]
    assert by_start[0]["Value"] == pytest.approx(4.65)


def test_grouped_load_is_the_total_and_the_top_members(aws):
    """N + 1 series, the first without dimensions; members below the top are not listed."""
    series = points(aws, {"Metric": "db.load.avg", "GroupBy": {"Group": "db.sql_tokenized", "Limit": 3}})
    assert "Dimensions" not in series[0]["Key"]
    texts = [one["Key"]["Dimensions"]["db.sql_tokenized.statement"] for one in series[1:]]
    assert texts == ["`d29`", "`d28`", "`d27`"]


def test_a_filter_finds_a_member_that_is_not_listed(aws):
    """A digest outside the top 25 can be requested by name."""
    known = aws.cluster.statement("d00").pi_id
    query = {"Metric": "db.load.avg", "Filter": {"db.sql_tokenized.id": known}}
    series = points(aws, query | {"GroupBy": {"Group": "db.sql_tokenized"}})
    assert [one["DataPoints"][0]["Value"] for one in series] == pytest.approx([0.01, 0.01])
    assert points(aws, query)[0]["DataPoints"][0]["Value"] == pytest.approx(0.01)


def test_pages_of_performance_insights_have_a_token(aws):
    """25 series a page, and a token that fits only its own request."""
    pi = client(aws, "pi")
    query = {"Metric": "db.load.avg", "GroupBy": {"Group": "db.sql_tokenized", "Limit": 25}}
    request = {
        "ServiceType": "RDS",
        "Identifier": "db-A",
        "StartTime": START,
        "EndTime": NOW,
        "MetricQueries": [query],
    }
    first = pi.get_resource_metrics(**request)
    second = pi.get_resource_metrics(**request, NextToken=first["NextToken"])
    assert [len(first["MetricList"]), len(second["MetricList"])] == [25, 1]
    other = request | {"PeriodInSeconds": 60, "NextToken": first["NextToken"]}
    assert code_of(lambda: pi.get_resource_metrics(**other)) == "InvalidArgumentException"


def test_the_models_bounds_are_held(aws):
    """MaxResults and Limit are 25 at most, wherever the client does not look."""
    too_many = {"Metric": "db.load.avg", "GroupBy": {"Group": "db.user", "Limit": 26}}
    assert code_of(lambda: points(aws, too_many)) == "ValidationException"
    assert code_of(lambda: points(aws, {"Metric": "db.load.avg"}, MaxResults=26)) == "ValidationException"


@pytest.mark.parametrize(
    ("query", "more"),
    [
        ({"Metric": "db.load"}, {}),
        ({"Metric": "db.nothing.avg"}, {}),
        ({"Metric": "db.load.avg", "GroupBy": {"Group": "db.query"}}, {}),
        ({"Metric": "db.load.avg"}, {"start": NOW - timedelta(days=8)}),
        ({"Metric": "db.load.avg"}, {"period": 120}),
    ],
    ids=["no statistic", "unknown metric", "another engine's group", "beyond retention", "no such period"],
)
def test_performance_insights_refuses(aws, query, more):
    """The service answers InvalidArgumentException."""
    assert code_of(lambda: points(aws, query, **more)) == "InvalidArgumentException"


def test_an_instance_without_performance_insights_is_refused(aws):
    """Off and unknown give different errors."""
    aws.cluster.overrides["a"] = {"pi_retention_days": 0}
    assert code_of(lambda: points(aws, {"Metric": "db.load.avg"})) == "InvalidArgumentException"
    described = client(aws, "rds").describe_db_instances(DBInstanceIdentifier="a")["DBInstances"][0]
    assert described["PerformanceInsightsEnabled"] is False


def test_counters_are_discovered_and_read(aws):
    """Listed without a statistic, read with one."""
    pi = client(aws, "pi")
    listed = pi.list_available_resource_metrics(
        ServiceType="RDS", Identifier="db-A", MetricTypes=["os", "db"]
    )
    assert [one["Metric"] for one in listed["Metrics"]] == ["os.cpuUtilization.total"]
    assert points(aws, {"Metric": "os.cpuUtilization.total.max"})[0]["DataPoints"][0]["Value"] == 10.0


def test_dimension_keys_have_the_mean_over_the_whole_window(aws):
    """Total is average active sessions, not a sum; MySQL's wait events bear a prefix."""
    found = client(aws, "pi").describe_dimension_keys(
        ServiceType="RDS", Identifier="db-A", StartTime=START, EndTime=NOW, Metric="db.load.avg",
        GroupBy={"Group": "db.wait_event"}, PartitionBy={"Group": "db.user"},
    )  # fmt: skip
    assert found["Keys"][0]["Dimensions"] == {
        "db.wait_event.name": "wait/io/redo",
        "db.wait_event.type": "io",
    }
    assert found["Keys"][0]["Total"] == pytest.approx(4.65)
    assert found["Keys"][0]["Partitions"] == pytest.approx([4.65])


def test_members_have_their_present_role_only(aws):
    """RDS states the present writer; earlier ones are in the events."""
    members = client(aws, "rds").describe_db_clusters()["DBClusters"][0]["DBClusterMembers"]
    assert {one["DBInstanceIdentifier"]: one["IsClusterWriter"] for one in members} == {"a": False, "b": True}


def test_events_of_an_hour_unless_asked_of_a_fortnight_at_most(aws):
    """The default span misses the failover at noon; after 14 days the event is deleted."""
    rds = client(aws, "rds")
    day = {"StartTime": START, "EndTime": NOW}
    assert rds.describe_events()["Events"] == []
    assert rds.describe_events(**day)["Events"][0]["Message"] == "Completed failover to DB instance: b."
    aws.now += timedelta(days=15)
    assert rds.describe_events(**day)["Events"] == []


def test_log_files_are_the_last_days_and_whole_by_marker_zero(aws):
    """One file an hour, which botocore's paginator reads whole only from Marker 0."""
    rds = client(aws, "rds")
    files = rds.describe_db_log_files(DBInstanceIdentifier="b")["DescribeDBLogFiles"]
    assert [len(files), files[0]["LogFileName"]] == [12, "slowquery/mysql-slowquery.log.2026-11-09.13"]
    pages = rds.get_paginator("download_db_log_file_portion").paginate(
        DBInstanceIdentifier="b",
        LogFileName=files[0]["LogFileName"],
        PaginationConfig={"StartingToken": "0", "PageSize": 30},
    )
    portions = [page["LogFileData"] for page in pages]
    assert len(portions) > 10
    assert "".join(portions).encode() == files_of(aws)[0].content
    assert len("".join(portions)) == files[0]["Size"]


def files_of(aws: Endpoint):
    """The log files of b."""
    return slow_log_text.files(aws.cluster, "b", aws.now_s)


def test_without_a_marker_the_newest_lines_come(aws):
    """Without a marker, download_db_log_file_portion returns only the newest lines."""
    name = files_of(aws)[0].name
    portion = client(aws, "rds").download_db_log_file_portion(
        DBInstanceIdentifier="b", LogFileName=name, NumberOfLines=1
    )
    assert portion["LogFileData"].startswith("/* job=orders */ select a from t where b = 60 ")
    assert not portion["AdditionalDataPending"]


def test_a_day_later_the_files_are_gone(aws):
    """RDS keeps them 24 hours."""
    aws.now += timedelta(days=1)
    assert client(aws, "rds").describe_db_log_files(DBInstanceIdentifier="b")["DescribeDBLogFiles"] == []


def test_a_slow_query_is_written_as_aurora_writes_it(aws):
    """Headers, the schema where it changes, the start as epoch, comment, literals for `?`."""
    assert slow_log_text.entries(aws.cluster, "b")[0].text.splitlines() == [
        "# Time: 2026-11-09T12:00:00.000000Z",
        "# User@Host: etl[etl] @  [10.0.0.1]  Id:     7",
        "# Query_time: 1.500000  Lock_time: 0.000000 Rows_sent: 1  Rows_examined: 2",
        "use shop;",
        "SET timestamp=1794225598;",
        "/* job=orders */ select a from t where b = 1 and c < 'x & y';",
    ]


def cpu(aws: Endpoint, dimensions: dict[str, str], period: int = 3600, start=START, stat="Average", **more):
    """GetMetricData of CPUUtilization, of exactly those dimensions."""
    named = [{"Name": name, "Value": value} for name, value in dimensions.items()]
    metric = {"Namespace": "AWS/RDS", "MetricName": "CPUUtilization", "Dimensions": named}
    query = {"Id": "cpu", "MetricStat": {"Metric": metric, "Period": period, "Stat": stat}}
    return client(aws, "cloudwatch").get_metric_data(
        MetricDataQueries=[query], StartTime=start, EndTime=NOW, **more
    )


def test_cloudwatch_is_newest_first_and_follows_the_role(aws):
    """Role=WRITER is a before noon and b after it."""
    values = cpu(aws, {"DBClusterIdentifier": "shop", "Role": "WRITER"})["MetricDataResults"][0]["Values"]
    assert values == [20.0] * 12 + [10.0] * 12


def test_cloudwatch_counts_its_samples(aws):
    """SampleCount is the number of minutes in a point."""
    result = cpu(aws, {"DBInstanceIdentifier": "a"}, stat="SampleCount")["MetricDataResults"][0]
    assert result["Values"] == [60.0] * 24


def test_cloudwatch_pages_by_points(aws):
    """A metric that continues on the next page has status PartialData."""
    first = cpu(aws, {"DBInstanceIdentifier": "a"}, MaxDatapoints=10)
    assert [first["MetricDataResults"][0]["StatusCode"], len(first["MetricDataResults"][0]["Values"])] == [
        "PartialData", 10,
    ]  # fmt: skip
    second = cpu(aws, {"DBInstanceIdentifier": "a"}, MaxDatapoints=100, NextToken=first["NextToken"])
    assert [second["MetricDataResults"][0]["StatusCode"], len(second["MetricDataResults"][0]["Values"])] == [
        "Complete", 14,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("age_days", "period", "some"),
    [
        (14, 60, True),
        (16, 60, False),
        (16, 300, True),
        (64, 300, False),
        (64, 3600, True),
        (456, 3600, False),
    ],
)
def test_cloudwatch_is_silently_empty_for_a_period_too_fine(aws, age_days, period, some):
    """A minute for 15 days, five for 63, an hour for 455: else no data, and no error."""
    aws.now = START + timedelta(days=age_days)
    result = cpu(aws, {"DBInstanceIdentifier": "a"}, period)["MetricDataResults"][0]
    assert [bool(result["Values"]), result["StatusCode"]] == [some, "Complete"]


def test_dimensions_must_match_exactly(aws):
    """An unknown set of dimensions is empty, not an error."""
    assert cpu(aws, {"DBClusterIdentifier": "shop"})["MetricDataResults"][0]["Values"] == []


def test_list_metrics_forgets_after_two_weeks(aws):
    """Metrics without a value since then are not listed."""
    cloudwatch = client(aws, "cloudwatch")
    of_a = [{"Name": "DBInstanceIdentifier", "Value": "a"}]
    listed = cloudwatch.list_metrics(Namespace="AWS/RDS", Dimensions=of_a)["Metrics"]
    assert [one["MetricName"] for one in listed] == ["CPUUtilization"]
    aws.now += timedelta(days=15)
    assert cloudwatch.list_metrics(Namespace="AWS/RDS")["Metrics"] == []


def slow_log_events(aws: Endpoint, **more) -> list[dict]:
    """All events of the exported slow log."""
    pages = (
        client(aws, "logs")
        .get_paginator("filter_log_events")
        .paginate(logGroupName="/aws/rds/cluster/shop/slowquery", **more)
    )
    return [event for page in pages for event in page["events"]]


def test_an_event_is_a_whole_entry(aws):
    """Newlines inside, stamped with the entry's end, in a stream of the instance's name."""
    events = slow_log_events(aws)
    assert [len(events), events[0]["logStreamName"], events[0]["timestamp"]] == [720, "b", 1794225600000]
    assert events[0]["message"] == slow_log_text.entries(aws.cluster, "b")[0].text


def test_filter_log_events_takes_both_ends(aws):
    """startTime and endTime are inclusive."""
    events = slow_log_events(aws, startTime=1794225600000, endTime=1794225660000)
    assert [event["timestamp"] for event in events] == [1794225600000, 1794225660000]


def test_get_log_events_ends_with_the_token_it_was_sent(aws):
    """The repeated token is the only sign of the end."""
    logs = client(aws, "logs")
    request = {"logGroupName": "RDSOSMetrics", "logStreamName": "db-A", "startFromHead": True, "limit": 700}
    tokens, sizes = ["f/0"], []
    while len(tokens) < 2 or tokens[-1] != tokens[-2]:
        page = logs.get_log_events(**request, nextToken=tokens[-1])
        tokens.append(page["nextForwardToken"])
        sizes.append(len(page["events"]))
    assert sizes == [700, 700, 40, 0]


def test_os_metrics_are_documents_with_both_shapes_of_disk(aws):
    """Aurora's storage has no device."""
    event = client(aws, "logs").get_log_events(
        logGroupName="RDSOSMetrics", logStreamName="db-B", startFromHead=True, limit=1
    )["events"][0]
    document = json.loads(event["message"])
    assert document["cpuUtilization"]["total"] == 20.0
    assert ["device" in disk for disk in document["diskIO"]] == [False, True]


def test_a_log_that_is_not_exported_has_no_group(aws):
    """doctor must report how to turn the export on."""
    aws.cluster.exports = ()
    assert code_of(lambda: slow_log_events(aws)) == "ResourceNotFoundException"


def test_calls_are_recorded_as_the_actions_of_iam(aws):
    """Calls keep their parameters, so that tests can check policies and counts."""
    client(aws, "rds").describe_events(Duration=60)
    client(aws, "sts").get_caller_identity()
    assert aws.count() == {"rds:DescribeEvents": 1, "sts:GetCallerIdentity": 1}
    assert aws.calls[0].parameters == {"Duration": 60}


def test_an_operation_that_is_not_played_says_so(aws):
    """The endpoint never answers such a call with an empty result."""
    assert code_of(lambda: client(aws, "rds").describe_db_snapshots()) == "NotImplemented"


def misbehave(aws: Endpoint, *names: str) -> None:
    """Switch misbehaviours on."""
    aws.misbehaving |= set(names)


def test_only_known_misbehaviours_are_switched_on(aws):
    """A misspelt name would test nothing."""
    with pytest.raises(ValueError, match="no misbehaviour"):
        Endpoint(aws.cluster, NOW, misbehaving={"trunkates_points"})


def test_truncates_points(aws):
    """350 points of 1440, no token, and an end as if the answer were complete."""
    misbehave(aws, "truncates_points")
    pi = client(aws, "pi")
    answer = pi.get_resource_metrics(
        ServiceType="RDS", Identifier="db-A", StartTime=START, EndTime=NOW, PeriodInSeconds=60,
        MetricQueries=[{"Metric": "db.load.avg"}],
    )  # fmt: skip
    assert len(answer["MetricList"][0]["DataPoints"]) == 350
    assert "NextToken" not in answer
    assert answer["AlignedEndTime"] == NOW


def gappy(aws: Endpoint) -> list[dict]:
    """Return the load of 01:00 to 04:00 without the hour from 02:00."""
    rows = aws.cluster.frames["db_load"]
    hour = pd.date_range("2026-11-09T02:00Z", "2026-11-09T03:00Z", inclusive="left", freq="60s")
    aws.cluster = Cluster("shop", aws.cluster.frames | {"db_load": rows[~rows.time.isin(hour)]})
    span = {"start": START + timedelta(hours=1), "end": START + timedelta(hours=4)}
    return points(aws, {"Metric": "db.load.avg"}, **span)[0]["DataPoints"]


def test_a_gap_has_no_points(aws):
    """A gap is not zero."""
    assert [point["Value"] for point in gappy(aws)] == pytest.approx([4.65, 4.65])


def test_omits_value(aws):
    """The point is there, its Value is not."""
    misbehave(aws, "omits_value")
    assert [point.get("Value") for point in gappy(aws)] == [pytest.approx(4.65), None, pytest.approx(4.65)]


def test_tops_differ_from_chunk_to_chunk(aws):
    """A statement that leads one hour may not be listed in the next."""
    rows = aws.cluster.frames["db_load"]
    late = (rows.member == "d00") & (rows.time >= pd.Timestamp("2026-11-09T01:00Z"))
    rows = rows.assign(active_sessions=rows.active_sessions.where(~late, 9.0))
    aws.cluster = Cluster("shop", aws.cluster.frames | {"db_load": rows})
    query = {"Metric": "db.load.avg", "GroupBy": {"Group": "db.sql_tokenized", "Limit": 24}}
    spans = [(START + timedelta(hours=n), START + timedelta(hours=n + 1)) for n in (0, 1)]
    found = [points(aws, query, start=start, end=end)[1:] for start, end in spans]
    ids = [{one["Key"]["Dimensions"]["db.sql_tokenized.id"] for one in series} for series in found]
    assert [aws.cluster.statement("d00").pi_id in one for one in ids] == [False, True]


def test_hides_sql(aws):
    """The digests are refused, the rest is not, and the list of what is allowed says so."""
    misbehave(aws, "hides_sql")
    by_sql = {"Metric": "db.load.avg", "GroupBy": {"Group": "db.sql_tokenized"}}
    assert code_of(lambda: points(aws, by_sql)) == "NotAuthorizedException"
    assert points(aws, {"Metric": "db.load.avg", "GroupBy": {"Group": "db.user"}})
    listed = client(aws, "pi").list_available_resource_dimensions(
        ServiceType="RDS", Identifier="db-A", Metrics=["db.load"], AuthorizedActions=["GetResourceMetrics"]
    )
    assert "db.sql" not in {one["Group"] for one in listed["MetricDimensions"][0]["Groups"]}


def test_empty_pages(aws):
    """A client that stops at an empty page has no data."""
    misbehave(aws, "empty_pages")
    assert points(aws, {"Metric": "db.load.avg"}) == []
    assert cpu(aws, {"DBInstanceIdentifier": "a"})["MetricDataResults"] == []
    first = client(aws, "logs").filter_log_events(logGroupName="/aws/rds/cluster/shop/slowquery")
    assert first["events"] == []
    assert first["nextToken"]
    assert len(slow_log_events(aws)) == 720


def test_repeats_pages(aws):
    """The first token leads to the same page again, the second to the end."""
    misbehave(aws, "repeats_pages")
    group = {"logGroupName": "/aws/rds/cluster/shop/slowquery", "limit": 5000}
    first = client(aws, "logs").filter_log_events(**group)
    again = client(aws, "logs").filter_log_events(**group, nextToken=first["nextToken"])
    assert again["events"] == first["events"]
    assert "nextToken" not in again


def test_loops_tokens(aws):
    """Two tokens take turns, and each leads to the first page."""
    misbehave(aws, "loops_tokens")
    answers, tokens = client(aws, "rds"), []
    for _ in range(3):
        sent = {"Marker": tokens[-1]} if tokens else {}
        tokens.append(answers.describe_db_instances(**sent)["Marker"])
    assert tokens[0] == tokens[2] != tokens[1]


def test_reverses(aws):
    """Points come newest first."""
    misbehave(aws, "reverses")
    (load,) = points(aws, {"Metric": "db.load.avg"})
    stamps = [point["Timestamp"] for point in load["DataPoints"]]
    assert stamps == sorted(stamps, reverse=True)
    assert len(stamps) > 1


def test_internal_errors(aws):
    """The status is inside a successful answer; the second request returns the values."""
    misbehave(aws, "internal_errors")
    answers = [cpu(aws, {"DBInstanceIdentifier": "a"})["MetricDataResults"][0] for _ in range(2)]
    assert [one["StatusCode"] for one in answers] == ["InternalError", "Complete"]
    assert [len(one["Values"]) for one in answers] == [0, 24]


@pytest.mark.parametrize("misbehaviour", ["throttles", "fails", "drops"])
def test_a_retry_heals_a_misbehaviour(aws, misbehaviour):
    """A client with retries succeeds; a client without retries fails."""
    misbehave(aws, misbehaviour)
    patient, hasty = client(aws, "rds", attempts=3), client(aws, "rds")
    for _ in range(10):
        patient.describe_db_clusters()
    with pytest.raises((ClientError, ConnectionClosedError)):
        for _ in range(10):
            hasty.describe_db_clusters()


def test_rates_are_limited_on_the_wire(aws):
    """More calls a second than the service allows are throttled."""
    aws.rates["rds"] = 5.0
    rds = client(aws, "rds")
    with pytest.raises(ClientError, match="Rate exceeded"):
        for _ in range(1000):
            rds.describe_db_clusters()


def test_faults_and_denials_hit_their_action_only(aws):
    """Three faults, then none; a denial for good."""
    aws.fail("rds:DescribeEvents", "InternalFailure", status=500, times=2)
    aws.deny("pi:GetResourceMetrics")
    rds = client(aws, "rds")
    assert [code_of(rds.describe_events) for _ in range(2)] == ["InternalFailure"] * 2
    assert rds.describe_events()["Events"] == []
    assert rds.describe_db_clusters()
    assert code_of(lambda: points(aws, {"Metric": "db.load.avg"})) == "NotAuthorizedException"


def test_delivers_late(aws):
    """The last minutes are not available yet."""
    misbehave(aws, "delivers_late")
    assert len(cpu(aws, {"DBInstanceIdentifier": "a"}, 60)["MetricDataResults"][0]["Values"]) == 1435
    assert len(points(aws, {"Metric": "db.load.avg"}, 60, NOW - timedelta(hours=1))[0]["DataPoints"]) == 55
    assert len(slow_log_events(aws)) == 710


def portions(aws: Endpoint, name: str, lines: int = 100) -> list[str]:
    """A file of b, read naively from its start."""
    rds, found, marker, more = client(aws, "rds"), [], "0", True
    while more:
        answer = rds.download_db_log_file_portion(
            DBInstanceIdentifier="b", LogFileName=name, Marker=marker, NumberOfLines=lines
        )
        found.append(answer["LogFileData"])
        marker, more = answer["Marker"], answer["AdditionalDataPending"]
    return found


def test_overlaps_portions(aws):
    """Each portion begins with the last three lines of the one before."""
    misbehave(aws, "overlaps_portions")
    first, second, *_ = portions(aws, files_of(aws)[0].name)
    assert second.splitlines()[:3] == first.splitlines()[-3:]


def test_skips_lines(aws):
    """Five lines at each seam are lost, which the file's size reveals."""
    misbehave(aws, "skips_lines")
    content = files_of(aws)[0].content.decode()
    found = portions(aws, files_of(aws)[0].name)
    assert len(content.splitlines()) - len("".join(found).splitlines()) == 5 * (len(found) - 1)


def test_truncates_lines(aws):
    """A line is cut where the portion is full; with fewer lines it is whole."""
    misbehave(aws, "truncates_lines")
    aws.portion_bytes = 2000
    file = files_of(aws)[0]
    cut = portions(aws, file.name)
    assert cut[0].endswith(" [Your log message was truncated]\n")
    assert "".join(portions(aws, file.name, lines=30)) == file.content.decode()


def test_rotates(aws):
    """The current file moves on to its hour's name after its first portion."""
    misbehave(aws, "rotates")
    aws.now = FAILOVER.to_pydatetime() + timedelta(minutes=50)
    whole = files_of(aws)[-1].content.decode()
    found = "".join(portions(aws, slow_log_text.CURRENT))
    assert len(found) < len(whole)
    assert slow_log_text.CURRENT + ".2026-11-09.13" in [one.name for one in files_of(aws)]


def test_binary_data(aws):
    """The oldest file is refused where its middle is in the portion, the others are not."""
    misbehave(aws, "binary_data")
    oldest, newer = (one.name for one in files_of(aws)[:2])
    assert code_of(lambda: portions(aws, oldest)) == "InvalidParameterValue"
    assert portions(aws, newer)


def test_banner_events(aws):
    """Three lines an hour that are no slow queries."""
    misbehave(aws, "banner_events")
    events = slow_log_events(aws)
    assert len(events) == 720 + 3 * 12
    assert events[2]["message"] == "Time                 Id Command    Argument"


def test_every_misbehaviour_is_tested():
    """Each has a test of its own name, but for the three that share one."""
    shared = {"throttles", "fails", "drops"}
    assert set(MISBEHAVIOURS) - shared == {name for name in MISBEHAVIOURS if f"test_{name}" in globals()}


def test_nothing_of_the_package_is_imported():
    """The endpoint is independent of the code that it tests."""
    sources = [path.read_text() for path in Path(aws_endpoint.__file__).parent.glob("*.py")]
    assert sources
    assert not any(re.search(r"^\s*(from|import) aurora_analysis", text, re.MULTILINE) for text in sources)


def test_a_load_of_longer_periods_holds_throughout(aws):
    """A load of five minutes is returned for each of its minutes, wherever the window begins."""
    rows = aws.cluster.frames["db_load"].query("member == 'app'")
    fives = rows[rows.time.dt.minute % 5 == 0].assign(period_s=300.0)
    aws.cluster = Cluster("shop", aws.cluster.frames | {"db_load": fives})
    span = {"start": START + timedelta(minutes=3), "end": START + timedelta(minutes=13)}
    found = points(aws, {"Metric": "db.load.avg"}, 60, PeriodAlignment="START_TIME", **span)[0]["DataPoints"]
    assert [point["Timestamp"] for point in found] == [START + timedelta(minutes=n) for n in range(3, 13)]


def test_a_store_is_served_by_hand(tmp_path):
    """`python tests/aws_endpoint --store …`: its URL, its now, and the variables that lead to it."""
    tables = {"instances": instances(), "metrics": metrics()}
    for name, table in tables.items():
        write_deltalake(tmp_path / name / "cluster=shop", table.assign(cluster="shop"))
    command = [sys.executable, str(Path(aws_endpoint.__file__).parent), "--store", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        url, now, variable = (process.stdout.readline().strip() for _ in range(3))
        rds = boto3.client(
            "rds", "eu-central-1", endpoint_url=url, aws_access_key_id="x", aws_secret_access_key="x"
        )
        members = rds.describe_db_clusters()["DBClusters"][0]["DBClusterMembers"]
        process.terminate()
    assert [now, variable] == ["2026-11-10T00:00:00Z", f"export AWS_ENDPOINT_URL={url}"]
    assert len(members) == 2
    assert process.returncode == 0


def test_statement_statistics_are_of_the_busiest_digests(aws):
    """Rates per second for the requested number of digests, ordered by load."""
    rows = pd.DataFrame({"time": START, "instance": "a", "digest": ["d01", "d29"], "calls": [3600.0, 7200.0]})
    rows = rows.assign(period_s=3600.0, mean_latency_ms=2.0, rows_examined=0.0, rows_sent=0.0)
    aws.cluster = Cluster("shop", aws.cluster.frames | {"statement_metrics": rows})
    query = {"Metric": "db.sql_tokenized.stats.count_star_per_sec.avg"}
    span = {"end": START + timedelta(hours=1), "PeriodAlignment": "START_TIME"}
    grouped = query | {"GroupBy": {"Group": "db.sql_tokenized", "Limit": 1}}
    (busiest,) = points(aws, grouped, 60, **span)
    assert busiest["Key"]["Dimensions"]["db.sql_tokenized.statement"] == "`d29`"
    assert [point["Value"] for point in busiest["DataPoints"]] == [2.0] * 60
    filtered = query | {"Filter": {"db.sql_tokenized.id": aws.cluster.statement("d01").pi_id}}
    assert points(aws, filtered, **span)[0]["DataPoints"][0]["Value"] == 1.0


def test_a_filter_that_finds_nobody_has_no_points(aws):
    """The answer is not the total of all members."""
    query = {"Metric": "db.load.avg", "GroupBy": {"Group": "db.user"}, "Filter": {"db.user.name": "nobody"}}
    assert [one["DataPoints"] for one in points(aws, query)] == [[]]


def test_a_removed_instance_leaves_its_traces(aws):
    """RDS no longer lists it; CloudWatch, the log's stream and, by resource id, Performance Insights still have it."""
    aws.cluster.removed = frozenset({"a"})
    rds = client(aws, "rds")
    assert [one["DBInstanceIdentifier"] for one in rds.describe_db_instances()["DBInstances"]] == ["b"]
    assert code_of(lambda: rds.describe_db_instances(DBInstanceIdentifier="a")) == "DBInstanceNotFound"
    assert len(cpu(aws, {"DBInstanceIdentifier": "a"})["MetricDataResults"][0]["Values"]) == 24
    assert points(aws, {"Metric": "db.load.avg"})[0]["DataPoints"]


def test_a_renamed_instance_keeps_its_resource_id(aws):
    """Performance Insights continues under one id; CloudWatch's series splits by name."""
    noon = aws.cluster.frames["db_load"].time >= FAILOVER
    load = aws.cluster.frames["db_load"].assign(instance=np.where(noon, "new-a", "a"))
    renamed = instances().query("instance == 'a'").tail(1).assign(instance="new-a")
    known = {"db_load": load, "instances": pd.concat([instances(), renamed])}
    aws.cluster = Cluster("shop", aws.cluster.frames | known, removed=frozenset({"a"}))
    assert len(points(aws, {"Metric": "db.load.avg"})[0]["DataPoints"]) == 24
    assert cpu(aws, {"DBInstanceIdentifier": "new-a"})["MetricDataResults"][0]["Values"] == []
