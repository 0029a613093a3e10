"""A fetch against AWS on loopback: the store equals the cluster's data, or coverage records what is missing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from aws_endpoint import Endpoint
from click.testing import CliRunner
from fetching import DAY, KEPT, NOON, NOW, SECRET, assert_same, coverage, day, endpoint, environment, fetch

from aurora_analysis import Store, Window, cli, config
from aurora_analysis.engines.mysql.metrics import CLUSTER_METRICS, INSTANCE_METRICS
from aurora_analysis.fetch.commits import Outcome
from aurora_analysis.fetch.plan import FetchOptions, Plan, unavailable
from aurora_analysis.fetch.run import join_statements
from aurora_analysis.sources.aws import log_export, performance_insights

HALF = Window("2026-11-09T11:30", "2026-11-09T12:30")
CHEAP = ("--source", "cloudwatch", "--source", "slow-log")
ALL_BUT_OS = (*CHEAP, "--source", "performance-insights")


def test_a_second_fetch_repeats_only_the_survey(tmp_path):
    """The store equals the cluster's data for two hours around a failover; nothing is requested twice."""
    with endpoint() as aws:
        result = fetch(aws, tmp_path)
        assert result.exit_code == 0, result.output
        assert "cloudwatch: 1 of 1\n" in result.output
        store = Store(tmp_path)
        assert_same(store)
        assert coverage(store)["received"].notna().all()
        assert SECRET not in result.output
        assert not [path for path in tmp_path.rglob("*.*") if SECRET.encode() in path.read_bytes()]
        versions, first = store.versions(), aws.count()
        assert "Nothing is missing" in fetch(aws, tmp_path).output
        again = aws.count() - first
    assert not {action for action in again if action.startswith("pi:")}
    assert (again["logs:FilterLogEvents"], again["cloudwatch:GetMetricData"]) == (0, 1)
    assert store.versions() == versions


def refusals(store: Store, window: Window = HALF) -> pd.DataFrame:
    rows = coverage(store, window)
    return rows[rows["received"].isna()]


@pytest.mark.parametrize(
    ("action", "source", "line"),
    [
        (
            "cloudwatch:GetMetricData",
            "cloudwatch",
            "GetMetricData is not permitted: allow it as deploy/iam-policy.json does.",
        ),
        (
            "logs:FilterLogEvents",
            "slow log",
            "FilterLogEvents is not permitted: allow it as deploy/iam-policy.json does.",
        ),
    ],
)
def test_one_sources_refusal_leaves_the_others(tmp_path, action, source, line):
    """A refusal is one line, one coverage row and exit code 1; the next fetch requests only what failed."""
    with endpoint() as aws:
        aws.deny(action)
        result = fetch(aws, tmp_path, *CHEAP, window=HALF)
    assert result.exit_code == 1
    assert f"{source}: {line}" in result.output.splitlines()
    store = Store(tmp_path)
    assert set(refusals(store)["source"]) == {source}
    other = {"cloudwatch": "slow_queries", "slow log": "metrics"}[source]
    assert_same(store, HALF, None, other)
    with endpoint() as aws:
        assert fetch(aws, tmp_path, *CHEAP, window=HALF).exit_code == 0
        assert aws.count()["logs:FilterLogEvents"] == (3 if source == "slow log" else 0)
    assert_same(store, HALF, None, "metrics", "slow_queries")
    assert refusals(store).empty


def test_streams_that_cannot_be_listed_are_still_read(tmp_path):
    """If listing streams is refused, the cluster's export setting decides which logs to read."""
    with endpoint() as aws:
        aws.deny("logs:DescribeLogStreams")
        result = fetch(aws, tmp_path, "--source", "slow-log", window=HALF)
    assert result.exit_code == 1
    assert "DescribeLogStreams is not permitted" in result.output
    assert_same(Store(tmp_path), HALF, None, "slow_queries")


def test_a_service_that_is_off_affects_one_instance(tmp_path):
    """Performance Insights is off for shop-2: the others are fetched, and --instance leaves shop-2 out."""
    with endpoint(overrides=KEPT | {"shop-2": {"pi_retention_days": 0}}) as aws:
        result = fetch(aws, tmp_path, "--source", "performance-insights", window=HALF)
        assert result.exit_code == 1
        assert "performance insights: Performance Insights is off for shop-2: turn it on" in result.output
        store = Store(tmp_path)
        assert set(refusals(store)["instance"]) == {"shop-2"}
        assert set(store.read("db_load", cluster="shop")["instance"]) == {"shop-1", "shop-3"}
        chosen = ("--source", "performance-insights", "--instance", "shop-1", "--instance", "shop-3")
        assert fetch(aws, tmp_path, *chosen, window=HALF).exit_code == 0


def test_an_unknown_instance_is_reported_and_the_known_one_fetched(tmp_path):
    """The line lists the instances of the cluster."""
    chosen = ("--source", "slow-log", "--instance", "shop-9", "--instance", "shop-1")
    with endpoint() as aws:
        result = fetch(aws, tmp_path, *chosen, window=HALF)
    assert result.exit_code == 1
    assert "There is no instance shop-9 in the cluster (it has: shop-1, shop-2, shop-3)." in result.output
    store = Store(tmp_path)
    assert set(refusals(store)["instance"]) == {"shop-9"}
    assert set(store.read("slow_queries", cluster="shop")["instance"]) == {"shop-1"}


def test_expired_credentials_are_one_line(tmp_path):
    """Expired credentials give one line for all sources and a coverage row each, after a single call."""
    with endpoint() as aws:
        aws.fail(
            "*", "ExpiredTokenException", "The security token included in the request is expired", times=99
        )
        result = fetch(aws, tmp_path, window=HALF)
        assert len(aws.calls) == 1
    assert result.exit_code == 1
    line = "The credentials are not valid (ExpiredTokenException): renew them, then rerun the command."
    every = "cloudwatch, performance insights, enhanced monitoring, slow log"
    assert [each for each in result.output.splitlines() if "credentials" in each] == [f"{every}: {line}"]
    assert len(refusals(Store(tmp_path))) == 4
    assert SECRET not in result.output


def test_a_denial_of_one_instance_names_it(tmp_path):
    """A policy that denies by tag: the line names the instance, and the others are fetched."""
    with endpoint() as aws:
        resource_id = aws.cluster.resource_id("shop-2")
        aws.fail(
            "pi:ListAvailableResourceMetrics",
            "NotAuthorizedException",
            times=99,
            when=lambda parameters: parameters["Identifier"] == resource_id,
        )
        result = fetch(aws, tmp_path, "--source", "performance-insights", window=HALF)
    assert result.exit_code == 1
    line = "performance insights (shop-2): ListAvailableResourceMetrics is not permitted"
    assert line in result.output
    assert set(Store(tmp_path).read("db_load", cluster="shop")["instance"]) == {"shop-1", "shop-3"}


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ("role_arn = arn:aws:iam::1:role/x\nweb_identity_token_file = /nowhere/token", "/nowhere/token"),
        ("credential_process = /nowhere/helper", "/nowhere/helper"),
    ],
)
def test_a_missing_file_of_credentials_is_one_line(tmp_path, settings, named):
    """The line names the file; no call is made."""
    (tmp_path / "config").write_text(f"[default]\n{settings}\n")
    with endpoint() as aws:
        keys = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
        own = environment(aws) | keys | {"AWS_CONFIG_FILE": str(tmp_path / "config")}
        result = CliRunner(env=own).invoke(cli.main, ["doctor", "--cluster", "shop"])
        assert not aws.calls
    assert (result.exit_code, result.output.count("\n")) == (2, 1)
    assert named in result.output
    assert "boto3 cannot get credentials" in result.output


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    """The exit code is 1: the input is right, and the rest of the fetch is not attempted."""
    usage = shutil.disk_usage(tmp_path)._replace(free=2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with endpoint() as aws:
        result = fetch(aws, tmp_path, *CHEAP, window=HALF)
    assert result.exit_code == 1
    assert result.output.splitlines()[-1].endswith(f"{tmp_path} is full: make room, then rerun the command.")


def test_all_clusters_are_fetched_and_one_that_fails_is_a_line(tmp_path):
    """Cluster lost does not exist: the exit code is 1, and cluster shop is in the store."""
    settings = tmp_path / "aurora-analysis.toml"
    settings.write_text('[clusters.lost]\nidentifier = "lost"\n[clusters.shop]\nidentifier = "shop"\n')
    with endpoint() as aws:
        span = [
            "--start",
            HALF.start.isoformat(),
            "--end",
            HALF.end.isoformat(),
            "--now",
            aws.now.isoformat(),
        ]
        command = [
            "fetch",
            "--all",
            "--config",
            str(settings),
            "--store",
            str(tmp_path / "store"),
            *span,
            *CHEAP,
        ]
        result = CliRunner(env=environment(aws)).invoke(cli.main, command, catch_exceptions=False)
        both = CliRunner(env=environment(aws)).invoke(cli.main, [*command, "--cluster", "shop"])
    assert result.exit_code == 1
    assert "lost: There is no cluster 'lost' in eu-central-1" in result.output
    assert_same(Store(tmp_path / "store"), HALF, None, "metrics", "slow_queries")
    assert (both.exit_code, both.output) == (
        2,
        "aurora-analysis: Pass either --cluster or --all, not both.\n",
    )


def test_a_future_window_makes_no_call(tmp_path):
    """A window that begins tomorrow is refused in one line."""
    with endpoint() as aws:
        result = fetch(aws, tmp_path, window=Window(NOW + timedelta(days=1), NOW + timedelta(days=2)))
        assert not aws.calls
    assert (result.exit_code, result.output.count("\n")) == (2, 1)
    assert "has not begun: choose one in the past." in result.output


def test_the_store_replaces_a_refused_description(tmp_path):
    """If RDS refuses to describe the cluster, the store's instances are used; without any, the fetch fails."""
    with endpoint() as aws:
        fetch(aws, tmp_path, "--source", "slow-log", window=HALF)
    later = Window(HALF.end, HALF.end + timedelta(minutes=30))
    with endpoint() as aws:
        aws.deny("rds:DescribeDBClusters")
        result = fetch(aws, tmp_path, "--source", "cloudwatch", window=later)
        assert result.exit_code == 1
        assert "DescribeDBClusters is not permitted" in result.output
        fresh = fetch(aws, tmp_path / "fresh", window=later)
    assert_same(Store(tmp_path), later, None, "metrics")
    assert fresh.exit_code == 2
    assert "The store has no instances of shop to use instead." in fresh.output


def test_deleted_data_are_reported_once(tmp_path):
    """Performance Insights keeps seven days: on the eighth, exit code 1, and the next fetch has nothing to do."""
    late = NOW + timedelta(days=8)
    with endpoint(overrides={}, now=late) as aws:
        result = fetch(aws, tmp_path, "--source", "performance-insights", window=HALF)
        assert result.exit_code == 1
        assert "beyond the 7 days that Performance Insights keeps" in result.output
        assert not [call for call in aws.calls if call.service == "pi"]
        assert fetch(aws, tmp_path, "--source", "performance-insights", window=HALF).exit_code == 0


def test_an_old_failover_is_found_in_cloudwatch(tmp_path):
    """After a month RDS has no event: roles come from the writer's metric, to within five minutes."""
    with endpoint(now=NOW + timedelta(days=30)) as aws:
        fetch(aws, tmp_path, "--source", "cloudwatch")
    store = Store(tmp_path)
    moments = pd.to_datetime(["2026-11-09T11:30Z", "2026-11-09T12:30Z"]).as_unit("us")
    moment_of = pd.DataFrame({"time": moments, "instance": "shop-2"})
    assert store.roles(moment_of, cluster="shop").tolist() == ["reader", "writer"]
    assert set(store.read("metrics", NOON, cluster="shop")["period_s"]) == {300.0}


def test_a_deleted_instance_is_fetched_as_far_as_possible(tmp_path):
    """Metrics and logs of deleted shop-3 are fetched by name; its load needs a resource id and is reported."""
    with endpoint(removed=frozenset({"shop-3"})) as aws:
        result = fetch(aws, tmp_path, *CHEAP, "--source", "performance-insights", window=HALF)
    assert result.exit_code == 1
    assert "shop-3 is no longer in the cluster, and the store does not know its resource id" in result.output
    store = Store(tmp_path)
    assert_same(store, HALF, None, "metrics", "slow_queries")
    assert set(store.read("db_load", cluster="shop")["instance"]) == {"shop-1", "shop-2"}


def renamed() -> dict[str, pd.DataFrame]:
    """Return the day, in which shop-3 is called shop-4 from noon on."""
    noon = pd.Timestamp("2026-11-09T12:00Z")
    frames = {}
    for name, frame in day().items():
        time = frame["ended_at"] if "ended_at" in frame else frame.get("time")
        later = (frame["instance"] == "shop-3") & (time >= noon) if "instance" in frame else None
        frames[name] = (
            frame if later is None else frame.assign(instance=frame["instance"].mask(later, "shop-4"))
        )
    born = frames["instances"].query("instance == 'shop-3'").assign(instance="shop-4", time=noon)
    known = pd.concat([frames["instances"], born], ignore_index=True)
    ids = "db-" + known["instance"].replace("shop-4", "shop-3").str.upper()
    return frames | {"instances": known.assign(resource_id=ids)}


def test_a_renamed_instance_is_fetched_under_both_names(tmp_path):
    """Metrics and logs have two names; Performance Insights has one resource id throughout.

    An earlier fetch recorded the resource id of the first name; otherwise it would be reported as unknown.
    """
    with endpoint(frames=renamed(), now=datetime(2026, 11, 9, 11, 30, tzinfo=UTC)) as aws:
        fetch(aws, tmp_path, "--source", "cloudwatch", window=Window("2026-11-09T11:00", "2026-11-09T11:30"))
    kept = KEPT | {"shop-4": KEPT["shop-3"]}
    with endpoint(frames=renamed(), removed=frozenset({"shop-3"}), overrides=kept) as aws:
        result = fetch(aws, tmp_path, *ALL_BUT_OS, window=HALF)
    assert result.exit_code == 0, result.output
    store = Store(tmp_path)
    assert_same(store, HALF, renamed(), "metrics", "slow_queries")
    load = day()["db_load"]
    whole = load.assign(instance=load["instance"].replace("shop-3", "shop-4"))
    assert_same(store, HALF, {"db_load": whole}, "db_load")


def test_a_deleted_instance_is_fetched_by_its_stored_resource_id(tmp_path):
    """An earlier fetch recorded shop-3's resource id, which finds its load after deletion."""
    with endpoint() as aws:
        fetch(aws, tmp_path, "--source", "slow-log", window=HALF)
    with endpoint(removed=frozenset({"shop-3"})) as aws:
        result = fetch(aws, tmp_path, "--source", "performance-insights", "--instance", "shop-3", window=HALF)
    assert result.exit_code == 0, result.output
    known = {"db_load": day()["db_load"].query("instance == 'shop-3'")}
    assert_same(Store(tmp_path), HALF, known, "db_load")


def test_late_data_are_fetched_and_not_marked_complete(tmp_path):
    """At midnight the last minutes are missing; a later fetch requests only the unmarked ones."""
    midnight = datetime(2026, 11, 10, tzinfo=UTC)
    with endpoint("delivers_late", now=midnight) as aws:
        fetch(aws, tmp_path, *CHEAP, window=DAY)
    store = Store(tmp_path)
    ends = coverage(store, DAY).groupby("source")["end"].max().dt.strftime("%H:%M").to_dict()
    assert (ends["cloudwatch"], ends["slow log"]) == ("23:45", "23:00")
    assert store.read("metrics", DAY, cluster="shop")["time"].max() == pd.Timestamp("2026-11-09T23:54Z")
    with endpoint("delivers_late", now=midnight + timedelta(hours=2)) as aws:
        fetch(aws, tmp_path, *CHEAP, window=DAY)
        starts = [call.parameters["StartTime"] for call in aws.calls if call.operation == "GetMetricData"]
    assert starts[-1] == datetime(2026, 11, 9, 23, 45, tzinfo=UTC).timestamp()
    assert_same(store, DAY, None, "metrics", "slow_queries")


def test_a_dry_run_writes_nothing(tmp_path):
    """It prints calls by service, the least time and the price."""
    with endpoint() as aws:
        result = fetch(aws, tmp_path / "store", "--dry-run")
        assert not [call for call in aws.calls if call.service == "pi"]
    assert result.exit_code == 0
    assert (
        "pi: up to 45 calls, 0 s at 1000 per second (an assumption: AWS publishes no limit)" in result.output
    )
    count = len(KEPT) * len(INSTANCE_METRICS) + len(CLUSTER_METRICS)
    assert f"cost: 0.00 USD for {count} CloudWatch metrics" in result.output
    assert not (tmp_path / "store").exists()


def test_a_fetch_never_writes_into_the_sample(tmp_path, monkeypatch):
    """Without the name of a store, fetch refuses to run."""
    monkeypatch.chdir(tmp_path)
    with endpoint() as aws:
        result = CliRunner(env=environment(aws)).invoke(
            cli.main, ["fetch", "--cluster", "shop", "--last-week"]
        )
    assert result.exit_code == 2
    assert "No store to write into: pass --store FOLDER" in result.output


def killed(aws: Endpoint, location: Path, after: int) -> None:
    """Run a fetch in another process, and kill it after this many groups of chunks have coverage."""
    span = ["--start", "2026-11-09", "--end", "2026-11-10", "--now", aws.now.isoformat()]
    command = [
        sys.executable,
        "-m",
        "aurora_analysis",
        "fetch",
        "--cluster",
        "shop",
        "--store",
        str(location),
    ]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([*command, *span], env=os.environ | environment(aws), **quiet) as run:  # type: ignore[call-overload]
        while (
            run.poll() is None
            and len(list(location.glob("coverage/cluster=shop/_delta_log/*.json"))) < after + 2
        ):
            time.sleep(0.02)
        run.send_signal(signal.SIGKILL)
    assert run.returncode == -signal.SIGKILL


def test_a_killed_fetch_resumes_where_it_was(tmp_path):
    """After SIGKILL, covered chunks are complete and not requested again; the rest is fetched."""
    with endpoint(latency_s=0.1) as aws:
        killed(aws, tmp_path, after=1)
    store = Store(tmp_path)
    before = set(coverage(store)[["source", "instance"]].itertuples(index=False, name=None)) - {("rds", None)}
    assert len(before) >= 3
    with endpoint() as aws:
        result = fetch(aws, tmp_path, *ALL_BUT_OS, window=Window("2026-11-09", "2026-11-10"))
        requested = {call.parameters["Identifier"] for call in aws.calls if call.service == "pi"}
        done = {aws.cluster.resource_id(name) for source, name in before if source == "performance insights"}
    assert result.exit_code == 0, result.output
    assert not requested & done
    assert_same(store, Window("2026-11-09", "2026-11-10"))


def test_statements_get_the_digest_of_a_later_slow_log(tmp_path):
    """Performance Insights came first with another spelling; the same join key means the same digest."""
    store, hour = Store(tmp_path), Window("2026-11-09T00:00", "2026-11-09T01:00")
    seen = pd.Timestamp(hour.start).as_unit("us")
    spans = {"first_seen": [seen], "last_seen": [seen]}
    for source, digest in ((performance_insights.SOURCE, "theirs"), (log_export.SOURCE, "ours")):
        statement = pd.DataFrame({"digest": [digest], "fingerprint": [digest], "join_key": ["key"], **spans})
        store.merge("statements", statement, cluster="shop", source=source)
    load = pd.DataFrame({"time": [seen, seen], "period_s": 60.0, "instance": "a", "dimension": "sql"})
    load = load.assign(member=["theirs", "another"], active_sessions=1.0)
    store.write("db_load", load, hour, cluster="shop", source=performance_insights.SOURCE)
    join_statements(store, cluster="shop")
    assert sorted(store.read("db_load", cluster="shop")["member"]) == ["another", "ours"]
    versions = store.versions()
    join_statements(store, cluster="shop")
    assert store.versions() == versions


def test_progress_is_one_line_per_source(capsys, monkeypatch):
    """On a terminal the lines are redrawn as chunks finish."""
    options = FetchOptions(config.Cluster("shop", "shop"), HALF, NOW)
    chunks = [unavailable(source, None, HALF, "") for source in ("a", "a", "b")]
    report = cli.fetch.progress(Plan(options, None, tuple(chunks)))
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    for chunk in chunks:
        report(Outcome(chunk))
    drawn = capsys.readouterr().err.split("\x1b[2F")
    assert [picture.replace("\x1b[K", "").split("\n")[:2] for picture in drawn] == [
        ["a: 1 of 2", "b: 0 of 1"],
        ["a: 2 of 2", "b: 0 of 1"],
        ["a: 2 of 2", "b: 1 of 1"],
    ]


LITERAL = "hunter2"


def planted() -> dict[str, pd.DataFrame]:
    """Return the day, with a password in each statement."""
    text = day()["statements"]["fingerprint"] + f" and password = '{LITERAL}'"
    return day() | {"statements": day()["statements"].assign(fingerprint=text)}


def stored_text(store: Store) -> str:
    """Return all that the store holds, as text."""
    return "\n".join(store.read(name, cluster="shop").to_csv() for name in store.versions()["shop"])


def test_literals_are_kept_only_if_the_settings_ask(tmp_path, monkeypatch):
    """Without `examples` no table has a literal; with it, one execution of each digest is kept."""
    logs = ("--source", "slow-log", "--source", "performance-insights", "--instance", "shop-3")
    with endpoint(frames=planted()) as aws:
        fetch(aws, tmp_path / "without", *logs, window=HALF)
        monkeypatch.setenv("AURORA_ANALYSIS_FETCH_EXAMPLES", "true")
        fetch(aws, tmp_path / "with", *logs, window=HALF)
    without, kept = Store(tmp_path / "without"), Store(tmp_path / "with")
    assert LITERAL not in stored_text(without)
    assert "examples" not in without.versions()["shop"]
    examples = kept.read("examples", cluster="shop")
    assert examples["text"].str.contains(f"password = '{LITERAL}'").all()
    assert set(examples["digest"]) == set(kept.read("slow_queries", cluster="shop")["digest"])
    assert examples["digest"].is_unique
    assert LITERAL not in kept.read("statements", cluster="shop").to_csv()
