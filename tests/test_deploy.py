"""The policy permits the calls of doctor and fetch and nothing else, and AWS accepts the templates."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from aws_endpoint import Endpoint
from aws_endpoint.policy import permits
from aws_endpoint.wire import model
from botocore import xform_name
from click.testing import CliRunner
from fetching import endpoint, environment, fetch

from aurora_analysis import Window
from aurora_analysis.cli import main

ROOT = Path(__file__).parent.parent


def policy(name: str, partition: str = "aws") -> dict[str, Any]:
    """Return a policy with its placeholders filled, as the README's command does."""
    text = (ROOT / "deploy" / name).read_text()
    filled = {"PARTITION": partition, "BUCKET": "reports", "USER": "analyst", "SECRET": "watcher-AbCdEf"}
    for placeholder, value in filled.items():
        text = text.replace(placeholder, value)
    return dict(json.loads(text))


POLICY = policy("iam-policy.json")
TEMPLATES = sorted((ROOT / "deploy" / "cloudformation").glob("*.yaml"))

MINUTES = Window("2026-11-09T11:00", "2026-11-09T11:10")


def allowed() -> set[str]:
    """The actions that the policy names."""
    return {action for statement in POLICY["Statement"] for action in statement["Action"]}


def called() -> set[str]:
    """Return the actions whose boto3 methods are named in the AWS sources and in the fetch."""
    package = ROOT / "aurora_analysis"
    files = [*(package / "sources" / "aws").glob("*.py"), *(package / "fetch").glob("*.py")]
    text = "".join(path.read_text() for path in files)
    words = set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", text))
    return {
        f"{service}:{operation}"
        for service in ("pi", "rds", "cloudwatch", "logs")
        for operation in model(service).operation_names
        if xform_name(operation) in words
    }


def test_the_policy_names_what_is_called_and_nothing_else():
    """Least privilege: neither an action too few nor one too many."""
    assert allowed() == called()


@pytest.mark.parametrize(
    "name",
    [
        "iam-policy.json",
        "iam-policy-s3.json",
        "iam-policy-live.json",
        "iam-policy-drill.json",
    ],
)
def test_a_policy_fits_every_partition(name):
    """No resource names a partition: GovCloud and China have their own."""
    for partition in ("aws", "aws-us-gov", "aws-cn"):
        statements = policy(name, partition)["Statement"]
        listed = [one["Resource"] for one in statements]
        resources = [each for one in listed for each in ([one] if isinstance(one, str) else one)]
        assert all(each == "*" or each.startswith(f"arn:{partition}:") for each in resources)
    assert "arn:aws" not in (ROOT / "deploy" / name).read_text()


@pytest.mark.parametrize(
    ("name", "action", "resource", "permitted"),
    [
        ("iam-policy-s3.json", "s3:PutObject", "arn:aws:s3:::reports/store/metrics/part-0.parquet", True),
        ("iam-policy-s3.json", "s3:ListBucket", "arn:aws:s3:::reports", True),
        ("iam-policy-s3.json", "s3:GetObject", "arn:aws:s3:::payroll/2026.csv", False),
        (
            "iam-policy-live.json",
            "rds-db:connect",
            "arn:aws:rds-db:eu-west-1:1:dbuser:cluster-A/analyst",
            True,
        ),
        (
            "iam-policy-live.json",
            "rds-db:connect",
            "arn:aws:rds-db:eu-west-1:1:dbuser:cluster-A/admin",
            False,
        ),
    ],
)
def test_the_optional_policies_name_one_bucket_and_one_user(name, action, resource, permitted):
    """Neither another bucket nor another database user is reached."""
    assert permits(policy(name), action, resource) is permitted


def test_the_drills_policy_breaks_tagged_clusters_only():
    """Its actions are the calls of `drill`; those that change something need a tag on the cluster or instance."""
    text = (ROOT / "aurora_analysis" / "live" / "drill" / "aurora.py").read_text()
    words = set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", text))
    calls = {f"rds:{name}" for name in model("rds").operation_names if xform_name(name) in words}
    statements = {one["Sid"]: one for one in policy("iam-policy-drill.json")["Statement"]}
    reading, breaking, login = (
        statements[name] for name in ("DescribeClusters", "BreakTaggedClustersOnly", "LogIn")
    )
    assert {*reading["Action"], *breaking["Action"]} == calls
    assert all(one.startswith("rds:Describe") for one in reading["Action"])
    assert breaking["Condition"] == {"StringEquals": {"aws:ResourceTag/aurora-analysis-drill": "allowed"}}
    assert login["Action"] == ["rds-db:connect"] and len(statements) == 3


def test_no_wildcard_action_is_allowed():
    """`pi:*` would let reports be made and deleted."""
    assert not any("*" in action for action in allowed())


def doctor(aws: Endpoint) -> str:
    """Output of doctor."""
    command = ["doctor", "--cluster", "shop", "--now", aws.now.isoformat()]
    return CliRunner(env=environment(aws)).invoke(main, command, catch_exceptions=False).output


@pytest.mark.parametrize("exports", [("slowquery",), ()], ids=["log exported", "log files only"])
def test_under_the_policy_doctor_and_fetch_are_denied_nothing(tmp_path, exports):
    """An endpoint that denies whatever the policy does not allow, by action and resource."""
    with endpoint(exports=exports) as aws:
        aws.policy = POLICY
        result = fetch(aws, tmp_path, window=MINUTES)
        assert "not permitted" not in result.output
        assert "not permitted" not in doctor(aws)
        assert set(aws.count()) <= allowed()
        assert aws.count()["pi:GetResourceMetrics"]


def test_an_action_that_is_taken_out_is_missed(tmp_path):
    """The endpoint does enforce: without GetMetricData a fetch says what is not permitted."""
    with endpoint() as aws:
        text = json.dumps(POLICY).replace("cloudwatch:GetMetricData", "cloudwatch:GetDashboard")
        aws.policy = json.loads(text)
        result = fetch(aws, tmp_path, "--source", "cloudwatch", window=MINUTES)
    assert result.exit_code == 1
    assert "GetMetricData is not permitted" in result.output


@pytest.mark.parametrize(
    ("action", "resource", "permitted"),
    [
        ("logs:FilterLogEvents", "arn:aws:logs:eu-west-1:1:log-group:RDSOSMetrics:log-stream:", True),
        ("logs:FilterLogEvents", "arn:aws:logs:eu-west-1:1:log-group:/aws/lambda/pay:log-stream:", False),
        ("pi:GetResourceMetrics", "arn:aws:pi:eu-west-1:1:metrics/rds/db-A", True),
        ("pi:CreatePerformanceAnalysisReport", "arn:aws:pi:eu-west-1:1:metrics/rds/db-A", False),
        ("rds:DownloadDBLogFilePortion", "arn:aws:rds:eu-west-1:1:db:shop-1", True),
        ("rds:ModifyDBInstance", "arn:aws:rds:eu-west-1:1:db:shop-1", False),
    ],
)
def test_the_policy_permits_reading_only(action, resource, permitted):
    """The policy permits reading metrics and logs of databases, and nothing else."""
    assert permits(POLICY, action, resource) is permitted


def test_the_templates_are_clean():
    """cfn-lint, which has AWS's own schemas, finds nothing, not even a remark."""
    program = "import sys; from cfnlint.runner import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "--include-checks", "I", "--template", *map(str, TEMPLATES)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert len(TEMPLATES) == 6
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short functions, whose arguments are all that is kept."""


_Loader.add_multi_constructor("!", lambda loader, _, node: loader.construct_object(_plain(node)))


def _plain(node: yaml.Node) -> yaml.Node:
    kinds = {yaml.ScalarNode: "str", yaml.SequenceNode: "seq", yaml.MappingNode: "map"}
    return type(node)(f"tag:yaml.org,2002:{kinds[type(node)]}", node.value, node.start_mark, node.end_mark)


def resources(name: str, kind: str) -> list[dict]:
    """The properties of the resources of a kind in a template."""
    template = yaml.load((ROOT / "deploy" / "cloudformation" / name).read_text(), _Loader)
    return [one["Properties"] for one in template["Resources"].values() if one["Type"] == kind]


@pytest.mark.parametrize("name", ["cluster.yaml", "clone.yaml"])
def test_every_instance_is_watched(name):
    """Writer and reader alike: Performance Insights, Enhanced Monitoring, the slow log."""
    instances = resources(name, "AWS::RDS::DBInstance")
    assert len(instances) == 2
    for one in instances:
        assert one["EnablePerformanceInsights"] is True
        assert {"MonitoringInterval", "MonitoringRoleArn", "DBParameterGroupName"} <= set(one)
    assert "slowquery" in resources(name, "AWS::RDS::DBCluster")[0]["EnableCloudwatchLogsExports"]


def test_the_clone_shares_its_sources_pages():
    """Copy-on-write takes the latest time only, and a new user's name or password would be refused."""
    clone = resources("clone.yaml", "AWS::RDS::DBCluster")[0]
    assert [clone["RestoreType"], clone["UseLatestRestorableTime"]] == ["copy-on-write", True]
    assert not {"RestoreToTime", "MasterUsername", "ManageMasterUserPassword", "DatabaseName"} & set(clone)


def test_a_clone_can_carry_a_custom_endpoint():
    """The endpoint leads to the clone's reader, and exists only if it is named."""
    template = yaml.load((ROOT / "deploy" / "cloudformation" / "clone.yaml").read_text(), _Loader)
    endpoint = template["Resources"]["CustomEndpoint"]
    assert (endpoint["Type"], endpoint["Condition"]) == ("AWS::RDS::DBClusterEndpoint", "HasCustomEndpoint")
    assert endpoint["Properties"]["StaticMembers"] == ["Reader"]
    assert template["Parameters"]["CustomEndpointIdentifier"]["Default"] == ""


def test_the_clones_function_may_do_four_things_on_named_resources():
    """Least privilege: each resource is one of the stack's own or one of its parameters, in any partition."""
    (role,) = resources("clone.yaml", "AWS::IAM::Role")
    statements = role["Policies"][0]["PolicyDocument"]["Statement"]
    plain = [one[1] if isinstance(one, list) else one for one in statements]
    assert {str(one["Action"]): one["Resource"] for one in plain} == {
        "rds-data:ExecuteStatement": "Clone.DBClusterArn",
        "secretsmanager:GetSecretValue": "SecretArn",
        "['logs:CreateLogStream', 'logs:PutLogEvents']": "PostCloneLog.Arn",
        "kms:Decrypt": "SecretKeyArn",
    }


def test_a_clone_can_be_serverless():
    """Its capacity is set where, and only where, the class is db.serverless."""
    clone = resources("clone.yaml", "AWS::RDS::DBCluster")[0]
    capacity = {"MinCapacity": "MinCapacity", "MaxCapacity": "MaxCapacity"}
    assert clone["ServerlessV2ScalingConfiguration"] == ["IsServerless", capacity, "AWS::NoValue"]
    assert clone["EnableHttpEndpoint"] == ["RunsStatements", True, "AWS::NoValue"]


def test_cloudformation_waits_for_the_clones_function_for_minutes():
    """Without a timeout of its own, a custom resource that does not answer takes an hour."""
    (resource,) = resources("clone.yaml", "AWS::CloudFormation::CustomResource")
    (function,) = resources("clone.yaml", "AWS::Lambda::Function")
    assert function["Timeout"] < resource["ServiceTimeout"] <= 1000


def test_doctor_finds_no_gap_in_the_parameters_that_the_template_sets():
    """monitoring.yaml sets the parameters that doctor checks."""
    parameters = resources("monitoring.yaml", "AWS::RDS::DBParameterGroup")[0]["Parameters"]
    assert {"slow_query_log", "long_query_time", "log_output", "innodb_monitor_enable"} == set(parameters)
    assert [parameters["slow_query_log"], parameters["log_output"]] == ["1", "FILE"]


def test_the_costs_of_a_fleet_are_those_that_the_page_prints():
    """The page's table is the script's output; with twice the clusters, nothing costs less, and workers cost double."""
    printed = subprocess.run(
        [sys.executable, ROOT / "deploy" / "fleet_cost.py"], capture_output=True, text=True, check=True
    )
    lines = [line.rsplit(maxsplit=1) for line in printed.stdout.splitlines()[1:]]
    page = (ROOT / "docs" / "how-to" / "fleet.md").read_text()
    assert len(lines) == 6
    for name, usd in lines:
        assert f"| {name.strip()} | {usd} |" in page
    spec = importlib.util.spec_from_file_location("fleet_cost", ROOT / "deploy" / "fleet_cost.py")
    assert spec is not None and spec.loader is not None
    model = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(model)
    settings = tomllib.loads((ROOT / "deploy" / "fleet-cost.toml").read_text())
    once = model.costs(settings)
    settings["assumed"]["clusters"] *= 2
    twice = model.costs(settings)
    assert all(twice[name] >= usd for name, usd in once.items())
    assert twice["workers on Fargate"] == pytest.approx(2 * once["workers on Fargate"])


def test_the_workers_of_the_template_are_those_of_the_cost_model():
    """The worker's task has the CPU and the memory that are priced, and the scheduler listens where workers connect."""
    template = yaml.load((ROOT / "deploy/cloudformation/dask-ecs.yaml").read_text(), _Loader)
    worker = template["Resources"]["WorkerTask"]["Properties"]
    priced = tomllib.loads((ROOT / "deploy" / "fleet-cost.toml").read_text())["worker"]
    assert (int(worker["Cpu"]), int(worker["Memory"])) == (1024 * priced["cpus"], 1024 * priced["gb"])
    (container,) = template["Resources"]["SchedulerTask"]["Properties"]["ContainerDefinitions"]
    port = container["Command"][container["Command"].index("--port") + 1]
    assert worker["ContainerDefinitions"][0]["Command"][0].endswith(f":{port}")
