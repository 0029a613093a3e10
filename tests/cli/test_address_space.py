"""A limit on virtual memory gives one line, instead of an abort inside a library."""

from __future__ import annotations

import resource
import shlex
import subprocess
import sys

import pytest
from click.testing import CliRunner

from aurora_analysis.cli import main
from aurora_analysis.errors import Error
from aurora_analysis.store import address_space, location


@pytest.fixture
def limit(monkeypatch):
    """Pretends a soft limit [bytes]."""

    def limited(to: int) -> None:
        monkeypatch.setattr(resource, "getrlimit", lambda which: (to, resource.RLIM_INFINITY))

    return limited


@pytest.mark.parametrize("resolve", [location.resolve, location.writable])
def test_a_limit_of_a_gigabyte_is_refused_wherever_a_store_is_named(resolve, limit, tmp_path):
    """Every command with a store finds it here, and so does a notebook; the line has the limit and the next step."""
    limit(10**9)
    with pytest.raises(Error, match=r"limited to 1 GB \(ulimit -v\).*MemoryMax="):
        resolve(tmp_path)


def test_a_real_limit_is_one_line():
    """Of the process that `ulimit -v` limits."""
    command = f"ulimit -v 1000000; exec {shlex.quote(sys.executable)} -m aurora_analysis store coverage"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "ulimit -v unlimited" in done.stderr


def test_what_is_enough_is_not_refused(limit):
    for enough in (address_space.NEEDED, resource.RLIM_INFINITY):
        limit(enough)
        address_space.check()


def test_memory_that_runs_out_is_one_line(monkeypatch):
    """Wherever it does."""

    def full(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(location, "resolve", full)
    done = CliRunner().invoke(main, ["store", "coverage"])
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1) and "not enough memory" in done.stderr
