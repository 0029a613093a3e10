"""The examples of deploy/ for a schedule: their commands are ours, and what can run here runs."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import click
import pytest
import yaml
from fetching import NOON, endpoint, environment
from packaging.requirements import Requirement
from test_deploy import resources

from aurora_analysis import Store, config
from aurora_analysis.cli import main
from aurora_analysis.live import exported

DEPLOY = Path(__file__).parent.parent / "deploy"
TEXTS = [
    DEPLOY / "README.md",
    DEPLOY / "systemd" / "aurora-analysis.service",
    DEPLOY / "airflow" / "aurora_weekly.py",
    DEPLOY / "cloudformation" / "schedule-ecs.yaml",
]
FILLED = {
    "WEEK": "--start 2026-11-09 --end 2026-11-16",
    "ARCHIVE": "s3://bucket/reports",
    "name": "shop",
    "Bucket": "b",
}
"""Placeholders of the DAG."""


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_example_fits_the_command(path):
    """Every command parses with its options, and both the fetch and the report are there."""
    examples = re.findall(r"aurora-analysis ((?:fetch|report|store compact)\b[^\n\"`;]*)", path.read_text())
    for example in examples:
        words = shlex.split(re.sub(r"{(\w+)}", lambda placeholder: FILLED[placeholder[1]], example))
        command: click.Command | None = main
        while isinstance(command, click.Group):
            command = command.get_command(click.Context(command), words.pop(0))
        assert command is not None, example
        command.make_parser(click.Context(command)).parse_args(words)
    assert {example.split()[0] for example in examples} >= {"fetch", "report"}


def test_a_schedule_fetches_before_it_reports():
    """In the unit, fetch and compaction may fail, and the report, which is last, may not."""
    unit = (DEPLOY / "systemd" / "aurora-analysis.service").read_text()
    started = re.findall(r"^ExecStart=(-?)/usr/bin/env aurora-analysis (\w+)", unit, re.MULTILINE)
    assert started == [("-", "fetch"), ("-", "store"), ("", "report")]


def test_the_watch_unit_fits_the_command():
    """Its command parses, and ends in time for the unit to start it again."""
    unit = (DEPLOY / "systemd" / "aurora-analysis-watch@.service").read_text()
    (line,) = re.findall(r"^ExecStart=/usr/bin/env aurora-analysis (.*)$", unit, re.MULTILINE)
    name, *words = shlex.split(line)
    command = main.get_command(click.Context(main), name)
    assert command is not None
    given, *_ = command.make_parser(click.Context(command)).parse_args(words)
    assert given["duration_s"] == "7d" and "Restart=always" in unit


def test_the_rules_of_prometheus_name_exported_figures():
    """Each metric and label of an expression is one that `watch` exports."""
    groups = yaml.safe_load((DEPLOY / "prometheus" / "aurora-analysis.rules.yml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    named = {name for rule in rules for name in re.findall(rf"{exported.PREFIX}(\w+)", rule["expr"])}
    assert named and named <= set(exported.OWN)
    labels = {
        label for rule in rules for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])
    }
    assert labels <= {"cluster", "instance"}
    assert all({"alert", "expr", "labels", "annotations"} <= set(rule) for rule in rules)


def test_systemd_understands_the_units():
    """Whatever systemd-analyze complains of, but for programs that this machine lacks."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    units = sorted(map(str, (DEPLOY / "systemd").iterdir()))
    checked = subprocess.run(
        ["systemd-analyze", "verify", *units], check=False, capture_output=True, text=True
    )
    complaints = [
        line for line in checked.stderr.splitlines() if "aurora" in line and "not executable" not in line
    ]
    assert complaints == []


# What runs here: the shell's command lines with a stand-in, and Lambda's handler against the loopback AWS


def cron_line() -> str:
    """The command of the crontab's example."""
    (line,) = re.findall(r"^0 6 \* \* 1  (.*)$", (DEPLOY / "README.md").read_text(), re.MULTILINE)
    return line.replace("cd /etc/aurora-analysis", "cd .")


def container() -> dict:
    """The container of the ECS task."""
    (task,) = resources("schedule-ecs.yaml", "AWS::ECS::TaskDefinition")
    (only,) = task["ContainerDefinitions"]
    return only


@pytest.mark.parametrize("schedule", ["cron", "ecs"])
@pytest.mark.parametrize(("fetch", "report"), [(0, 0), (1, 3), (2, 1)])
def test_a_command_line_reports_after_a_failed_fetch(tmp_path, schedule, fetch, report):
    """A shell runs fetch, compaction and report in this order, and ends with the report's exit code."""
    program = tmp_path / "aurora-analysis"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n'
        f"case $1 in fetch) exit {fetch};; store) exit 1;; report) exit {report};; esac\n"
    )
    program.chmod(0o755)
    shell = container()["EntryPoint"] if schedule == "ecs" else ["sh", "-c"]
    line = container()["Command"][0].replace("${Bucket}", "b") if schedule == "ecs" else cron_line()
    seen = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    ended = subprocess.run([*shell, line], cwd=tmp_path, env=seen, check=False)
    calls = [call.split() for call in (tmp_path / "calls").read_text().splitlines()]
    assert [call[0] for call in calls] == ["fetch", "store", "report"]
    assert "--archive" in calls[2]
    assert ended.returncode == report


def lambda_handler() -> ModuleType:
    """Lambda's module, which is no package."""
    spec = importlib.util.spec_from_file_location("h", DEPLOY / "container" / "lambda_handler.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_lambda_fetches_the_days_before_its_schedules_time(tmp_path, monkeypatch):
    """The template's own input, with the scheduler's time filled in, fetches into the store of the environment."""
    (schedule,) = resources("schedule-lambda.yaml", "AWS::Scheduler::Schedule")
    event = yaml.safe_load(
        schedule["Target"]["Input"].replace("<aws.scheduler.scheduled-time>", "2026-11-16T02:00:00Z")
    )
    assert lambda_handler().window(event) == ["--start", "2026-11-08", "--end", "2026-11-16"]
    settings = tmp_path / "aurora-analysis.toml"
    settings.write_text("[clusters.shop]\n")
    one_day = {"days": 1, "until": "2026-11-10T02:00:00+00:00"}
    with endpoint() as aws:
        paths = {"AURORA_ANALYSIS_CONFIG": str(settings), "AURORA_ANALYSIS_STORE": str(tmp_path / "store")}
        for name, value in (environment(aws) | paths).items():
            monkeypatch.setenv(name, value)
        more = ["--source", "cloudwatch", "--now", aws.now.isoformat()]
        given = event | one_day | {"arguments": [*event["arguments"], *more]}
        assert lambda_handler().handler(given, None) == {"exit_code": 0}
        with pytest.raises(RuntimeError, match="fetch ended with exit code 2"):
            lambda_handler().handler(given | {"arguments": ["fetch", "--cluster", "nosuch", *more]}, None)
    assert len(Store(str(tmp_path / "store")).read("metrics", NOON, cluster="shop"))


@pytest.mark.parametrize(
    ("event", "line"),
    [
        ({}, "no list of texts"),
        ({"arguments": "fetch --all"}, "no list of texts"),
        ({"arguments": []}, "run others on ECS"),
        ({"arguments": ["report", "--all"]}, "run report on ECS"),
    ],
)
def test_lambda_refuses_what_it_cannot_run(event, line):
    """A report needs processes."""
    with pytest.raises(ValueError, match=line):
        lambda_handler().handler(event, None)


# The image


DOCKERFILE = (DEPLOY / "container" / "Dockerfile").read_text()


def test_the_image_has_fonts_and_runs_as_nobody_in_particular():
    """Each target ends as a numbered user, the base images have a version, and what is copied is there."""
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
    users = {stage.split()[2]: re.findall(r"^USER (.*)$", stage, re.MULTILINE)[-1:] for stage in stages}
    assert users == {"build": [], "base": ["10001:10001"], "lambda": ["10001:10001"], "report": []}
    assert stages[-1].startswith("base AS report")  # a base's user stays
    assert all(re.match(r"python:3\.\d+-|base ", stage) for stage in stages)
    assert {"fonts-noto-cjk", "fonts-noto-core"} <= set(DOCKERFILE.split())
    for path in re.findall(r"^COPY (deploy/\S+)", DOCKERFILE, re.MULTILINE):
        assert (DEPLOY.parent / path).is_file(), path


def test_the_image_gets_the_locks_versions():
    """The Dockerfile's own sed turns the lock into constraints that pip accepts."""
    (program,) = re.findall(r"sed -E '([^']+)' requirements.lock", DOCKERFILE)
    made = subprocess.run(
        ["sed", "-E", program, DEPLOY.parent / "requirements.lock"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    lines = [line for line in made.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    pinned = {Requirement(line).name: Requirement(line).specifier for line in lines}
    assert {"pandas", "deltalake", "boto3"} <= set(pinned)
    assert all(str(version).startswith("==") for version in pinned.values())


def test_the_images_settings_are_settings():
    """They are read without an error, and name a cluster."""
    loaded = config.load(DEPLOY / "container" / "aurora-analysis.toml")
    assert loaded.clusters


def test_lambdas_handler_is_the_images_command():
    """The file that the image copies has the function that its command names."""
    module, _, function = re.findall(r'^CMD \["(\w+)(\.)(\w+)"\]', DOCKERFILE, re.MULTILINE)[0]
    assert f"/srv/{module}.py" in DOCKERFILE
    assert callable(getattr(lambda_handler(), function))
