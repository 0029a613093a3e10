"""AWS on loopback behaves to real boto3 clients as AWS's documentation says."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import boto3
import numpy as np
import pandas as pd
import pytest
from aws_endpoint import Cluster, Endpoint, slow_log_text
from aws_endpoint.server import OPERATIONS
from botocore.config import Config
from botocore.exceptions import ClientError

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
            (None, "volume_bytes_used", 1e9),
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
    """One on b every ten seconds, from noon."""
    ended = pd.date_range(FAILOVER, NOW, freq="10s", inclusive="left")
    return pd.DataFrame({"ended_at": ended, "instance": "b", "digest": "d00"}).assign(
        query_time_s=1.5, lock_time_s=0.0, rows_sent=1, rows_examined=2, user="etl", host="10.0.0.1",
        thread_id=7, database="shop", tags='{"job": "orders"}', extras=None,
    )  # fmt: skip


def frames() -> dict[str, pd.DataFrame]:
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
    """N + 1 series, the first without dimensions; what is below the top is not listed."""
    series = points(aws, {"Metric": "db.load.avg", "GroupBy": {"Group": "db.sql_tokenized", "Limit": 3}})
    assert "Dimensions" not in series[0]["Key"]
    texts = [one["Key"]["Dimensions"]["db.sql_tokenized.statement"] for one in series[1:]]
    assert texts == ["d29", "d28", "d27"]


def test_a_filter_finds_a_member_that_is_not_listed(aws):
    """So that a digest outside the top 25 can be asked for again."""
    known = aws.cluster.statement("d00").pi_id
    query = {"Metric": "db.load.avg", "Filter": {"db.sql_tokenized.id": known}}
    series = points(aws, query | {"GroupBy": {"Group": "db.sql_tokenized"}})
    assert [one["DataPoints"][0]["Value"] for one in series] == pytest.approx([0.01, 0.01])
    assert points(aws, query)[0]["DataPoints"][0]["Value"] == pytest.approx(0.01)


def test_pages_of_performance_insights_have_a_token(aws):
    """25 series a page, and a token that fits only its own request."""
    pi = client(aws, "pi")
    query = {"Metric": "db.load.avg", "GroupBy": {"Group": "db.sql_tokenized", "Limit": 25}}
    asked = {
        "ServiceType": "RDS",
        "Identifier": "db-A",
        "StartTime": START,
        "EndTime": NOW,
        "MetricQueries": [query],
    }
    first = pi.get_resource_metrics(**asked)
    second = pi.get_resource_metrics(**asked, NextToken=first["NextToken"])
    assert [len(first["MetricList"]), len(second["MetricList"])] == [25, 1]
    other = asked | {"PeriodInSeconds": 60, "NextToken": first["NextToken"]}
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
    """What the service calls an invalid argument."""
    assert code_of(lambda: points(aws, query, **more)) == "InvalidArgumentException"


def test_an_instance_without_performance_insights_is_refused(aws):
    """Switched off is told apart from unknown."""
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
    """RDS tells who writes now; the past is in the events."""
    members = client(aws, "rds").describe_db_clusters()["DBClusters"][0]["DBClusterMembers"]
    assert {one["DBInstanceIdentifier"]: one["IsClusterWriter"] for one in members} == {"a": False, "b": True}


def test_events_of_an_hour_unless_asked_of_a_fortnight_at_most(aws):
    """describe_events' default would miss the failover at noon, and later it is forgotten."""
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
        PaginationConfig={"StartingToken": "0", "PageSize": 100},
    )
    portions = [page["LogFileData"] for page in pages]
    assert len(portions) > 10
    assert "".join(portions).encode() == files_of(aws)[0].content
    assert len("".join(portions)) == files[0]["Size"]


def files_of(aws: Endpoint):
    """The log files of b."""
    return slow_log_text.files(aws.cluster, "b", aws.now_s)


def test_without_a_marker_the_newest_lines_come(aws):
    """The trap of download_db_log_file_portion."""
    name = files_of(aws)[0].name
    portion = client(aws, "rds").download_db_log_file_portion(
        DBInstanceIdentifier="b", LogFileName=name, NumberOfLines=1
    )
    assert portion["LogFileData"].startswith("/* job=orders */ select a from t where b = 360 ")
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
    """SampleCount says how many minutes are behind a point."""
    result = cpu(aws, {"DBInstanceIdentifier": "a"}, stat="SampleCount")["MetricDataResults"][0]
    assert result["Values"] == [60.0] * 24


def test_cloudwatch_pages_by_points(aws):
    """A page that does not end a metric says PartialData."""
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
    """What was silent since is not listed."""
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
    assert [len(events), events[0]["logStreamName"], events[0]["timestamp"]] == [4320, "b", 1794225600000]
    assert events[0]["message"] == slow_log_text.entries(aws.cluster, "b")[0].text


def test_filter_log_events_takes_both_ends(aws):
    """startTime and endTime are inclusive."""
    events = slow_log_events(aws, startTime=1794225600000, endTime=1794225610000)
    assert [event["timestamp"] for event in events] == [1794225600000, 1794225610000]


def test_get_log_events_ends_with_the_token_it_was_sent(aws):
    """There is no other sign of the end."""
    logs = client(aws, "logs")
    asked = {"logGroupName": "RDSOSMetrics", "logStreamName": "db-A", "startFromHead": True, "limit": 700}
    tokens, sizes = ["f/0"], []
    while len(tokens) < 2 or tokens[-1] != tokens[-2]:
        page = logs.get_log_events(**asked, nextToken=tokens[-1])
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
    """What doctor must tell how to switch on."""
    aws.cluster.exports = ()
    assert code_of(lambda: slow_log_events(aws)) == "ResourceNotFoundException"


def test_calls_are_recorded_as_the_actions_of_iam(aws):
    """With their parameters, so that policies and counts can be held against them."""
    client(aws, "rds").describe_events(Duration=60)
    client(aws, "sts").get_caller_identity()
    assert aws.count() == {"rds:DescribeEvents": 1, "sts:GetCallerIdentity": 1}
    assert aws.calls[0].parameters == {"Duration": 60}


def test_an_operation_that_is_not_played_says_so(aws):
    """Not an empty answer."""
    assert code_of(lambda: client(aws, "rds").describe_db_snapshots()) == "NotImplemented"
