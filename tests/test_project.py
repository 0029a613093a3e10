"""The project's own files agree with each other, and contain no secrets."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

CONDA_NAMES = {
    "prometheus_client": "prometheus-client",
    "matplotlib-base": "matplotlib",
    "nbconvert-core": "nbconvert",
    "python-duckdb": "duckdb",
}
"""conda-forge's name → PyPI's, where they differ."""


def requirements(names: list[str]) -> dict[str, Requirement]:
    return {canonicalize_name(Requirement(name).name): Requirement(name) for name in names}


RUN = requirements(PYPROJECT["project"]["dependencies"])
DEV = requirements(PYPROJECT["dependency-groups"]["dev"])


def conda() -> dict[str, str]:
    """Return the version range of each package in environment.yml."""
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    found = [re.fullmatch(r"([\w.-]+)(.*)", entry) for entry in entries if isinstance(entry, str)]
    return {CONDA_NAMES.get(match[1], match[1]): match[2] for match in found if match}


def test_environment_yml_has_what_pyproject_has():
    """The same packages with the same ranges; in addition only Python, pip and tools of the group dev."""
    ranges = conda()
    assert ranges.pop("python") == PYPROJECT["project"]["requires-python"]
    assert ranges.pop("pip") == ""
    assert {name: ranges[name] for name in RUN} == {name: str(one.specifier) for name, one in RUN.items()}
    assert {name: ranges[name] for name in set(ranges) - set(RUN)} == {
        name: str(DEV[name].specifier) for name in set(ranges) - set(RUN)
    }


def test_the_lock_pins_every_requirement():
    """Every requirement is pinned inside its range, with hashes."""
    lock = (ROOT / "requirements.lock").read_text()
    pins = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", lock, flags=re.MULTILINE))
    for name, requirement in (RUN | DEV).items():
        assert requirement.specifier.contains(pins[name]), (
            f"{name} {pins[name]} is not {requirement.specifier}"
        )
    entries = re.split(r"^(?=[\w.-]+==)", lock, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in entry for entry in entries)


def tracked() -> list[Path]:
    """The files that git tracks; a copy without git has none."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


INDEX_HOSTS = re.compile(
    rb"https?://[^\s\"'<>]*(?:/simple\b|pypi|pythonhosted|npmjs|registry\.)[^\s\"'<>]*", re.IGNORECASE
)


def test_no_registry_host_is_tracked():
    """No tracked file, the lock included, contains the address of a package index."""
    found = [(path.name, match) for path in tracked() for match in INDEX_HOSTS.findall(path.read_bytes())]
    assert not found


def test_the_search_for_hosts_would_find_one():
    """The pattern of the test above matches an index address."""
    assert INDEX_HOSTS.search(b"--index-url https" + b"://mirror.example/simple")


def test_the_lock_files_of_uv_are_not_tracked():
    """They record the package index of the machine that locked."""
    assert not [path for path in tracked() if path.name in {"uv.lock", "pylock.toml"}]


@pytest.mark.parametrize("name", ["README.md", "LICENSE", "CHANGELOG.md", "environment.yml", ".ci/run"])
def test_the_usual_files_exist(name):
    """They are at the top level of the repository."""
    assert (ROOT / name).is_file()


def test_the_workflows_are_valid_and_one_runs_what_a_commit_must_pass():
    """The schema of GitHub's workflows; the container has Debian's Python 3.11."""
    path = ROOT / ".github" / "workflows" / "ci.yml"
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.github-workflows",
        *map(str, path.parent.iterdir()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    job = yaml.safe_load(path.read_text())["jobs"]["test"]
    assert job["container"]["image"] == "debian:12"
    assert ".ci/run" in [step.get("run") for step in job["steps"]]


def test_the_hooks_are_valid_and_local():
    """Nothing is downloaded before a commit."""
    path = ROOT / ".pre-commit-config.yaml"
    command = [sys.executable, "-m", "pre_commit", "validate-config", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert {one["repo"] for one in yaml.safe_load(path.read_text())["repos"]} == {"local"}
