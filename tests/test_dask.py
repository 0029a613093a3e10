"""Commands on a Dask cluster: a scheduler and two workers on loopback do the same work as this process."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import dask_cluster
import fetching
import nbformat
import pandas as pd
import pytest
from aws_endpoint import Endpoint
from click.testing import CliRunner, Result
from dask_cluster import DaskCluster

from aurora_analysis import Store, executors
from aurora_analysis.cli import connections, main, output
from aurora_analysis.config import Cluster, Config
from aurora_analysis.fetch import plan, rates
from aurora_analysis.fetch.work import Access, work
from aurora_analysis.sources import log_files

ROOT = Path(__file__).parent.parent
SAMPLE = str(ROOT / "data" / "sample")


@pytest.fixture(scope="module")
def aws() -> Iterator[Endpoint]:
    """The simulated day behind an endpoint, which the workers reach, too."""
    with fetching.endpoint() as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def cluster(aws: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """A scheduler and two workers of three threads each."""
    folder = tmp_path_factory.mktemp("dask")
    with dask_cluster.running(folder, variables=fetching.environment(aws), threads=3) as found:
        yield found


def run(*words: str) -> Result:
    return CliRunner().invoke(main, list(words), catch_exceptions=False)


PI_RATE = 20.0


@pytest.fixture
def slow_pi(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rate of Performance Insights that is far below what the workers could do."""
    monkeypatch.setitem(fetching.RATES, "AURORA_ANALYSIS_RATES_PERFORMANCE_INSIGHTS", str(PI_RATE))


def most_in_a_second(times: list[float]) -> int:
    """The most calls within any second."""
    return max(sum(at <= other < at + 1 for other in times) for at in times)


def test_a_fetch_on_workers_stores_the_same(aws, cluster, tmp_path):
    """Rows, coverage and the counts of calls are those of a local fetch."""
    before = len(aws.calls)
    result = fetching.fetch(aws, tmp_path / "store", "--dask", cluster.address)
    assert result.exit_code == 0, result.output
    fetching.assert_same(Store(tmp_path / "store"))
    calls = Counter(call.service for call in aws.calls[before:])
    counted = ", ".join(f"{service} {count}" for service, count in sorted(calls.items()))
    assert f"fetched 10 of 10 chunks; calls: {counted}" in result.output


def test_more_workers_do_not_call_faster(aws, cluster, slow_pi, tmp_path):
    """Six threads on two workers have nine chunks of Performance Insights at once: all together keep to the account's rate."""
    env = {name: value for name, value in fetching.environment(aws).items() if name.startswith("AWS_")}
    with pytest.MonkeyPatch.context() as patched, executors.dask(cluster.address) as pool:
        for name, value in env.items():
            patched.setenv(name, value)
        account = connections.Accounts(Config(), shared=False).of(Cluster("shop", "shop"))
        options = plan.FetchOptions(Cluster("shop", "shop"), fetching.NOON, fetching.NOW)
        chunks = [c for c in plan.plan(account.clients, Store(tmp_path), options).chunks if c.service == "pi"]
        connect = partial(connections.leased_clients, options.cluster, ("pi",), 4)
        leases = rates.Leases("a test", {"pi": PI_RATE / rates.LEASES})
        before = len(aws.calls)
        waiting = [pool.executor.submit(work, chunk, Access(connect, leases=leases)) for chunk in chunks * 3]
        fetched = [each.result() for each in waiting]
    assert not any(each.failure for each in fetched)
    times = [call.at for call in aws.calls[before:]]
    assert sum(each.calls for each in fetched) == len(times) > 40
    assert most_in_a_second(times) <= PI_RATE + rates.LEASES  # each lease begins with a call
    assert (len(times) - rates.LEASES) / (max(times) - min(times)) <= PI_RATE


def test_a_call_without_a_lease_is_refused():
    """A thread that holds no lease of a service cannot call it past the others."""
    with pytest.raises(RuntimeError, match="without a lease"):
        rates.Leased("pi").take()


PARAMETERS = ("store", "cluster", "start", "end", "timezone")


def notebook(path: Path) -> Path:
    """A notebook that takes parameters, and prints its cluster and a setting."""
    cells = [
        nbformat.v4.new_code_cell("\n".join(f'{name}: str = ""  # the {name}' for name in PARAMETERS)),
        nbformat.v4.new_code_cell(
            "from aurora_analysis import config\nprint(cluster, config.load().objectives.budget_pct)"
        ),
    ]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)
    return path


def test_pages_come_back_from_the_workers(cluster, tmp_path, monkeypatch):
    """The folder has the page and its notebook; the kernel reads the settings of the command, not of the worker."""
    (tmp_path / "aurora-analysis.toml").write_text(
        f'dask = "{cluster.address}"\n[objectives]\nbudget_pct = 4.5\n'
    )
    monkeypatch.chdir(tmp_path)
    own = str(notebook(tmp_path / "own.ipynb"))
    result = run("report", "--store", SAMPLE, "--cluster", "lab", "--notebook", own, "--output", "out")
    assert result.exit_code == 0, result.output
    assert "lab own: 0 findings" in result.output
    assert "lab 4.5" in (tmp_path / "out" / "lab" / "own.ipynb").read_text()
    assert (tmp_path / "out" / "lab" / "own.html").exists()


# Faults


def logs(folder: Path, count: int) -> list[str]:
    """Write slow logs of an hour each; return their names."""
    folder.mkdir()
    text = (ROOT / "tests" / "slow_logs" / "aurora_mysql_3.log").read_bytes()
    for number in range(count):
        (folder / f"{number:02}.log").write_bytes(text.replace(b"2026-", b"20%02d-" % (10 + number)))
    return sorted(map(str, folder.iterdir()))


def rows(store: Path) -> pd.DataFrame:
    """Every execution of a store, in one order."""
    order = ["ended_at", "thread_id", "digest", "ordinal"]
    return Store(store).read("slow_queries", cluster="a").sort_values(order, ignore_index=True)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The executions of twelve logs, as this process reads them."""
    folder = tmp_path_factory.mktemp("expected")
    for name in logs(folder / "logs", 12):
        log_files.ingest(log_files.Target(str(folder / "store"), "a", "b"), name)
    return rows(folder / "store")


def after(lines: int, act: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do something once a command has printed so many lines."""
    echo, printed = output.echo, []

    def counted(*words: object, **how: Any) -> None:
        echo(*words, **how)
        printed.append(words)
        if len(printed) == lines:
            act()

    monkeypatch.setattr(output, "echo", counted)


def ingest(folder: Path, *more: str) -> Result:
    return run(
        "ingest",
        str(folder / "logs"),
        "--cluster",
        "a",
        "--instance",
        "b",
        "--store",
        str(folder / "store"),
        *more,
    )


def test_the_work_of_a_killed_worker_runs_on_another_one(cluster, expected, tmp_path, monkeypatch):
    """SIGKILL of a worker in the middle of an ingest: the command succeeds, no row is lost, none is there twice."""
    logs(tmp_path / "logs", 12)
    after(2, cluster.kill_worker, monkeypatch)
    result = ingest(tmp_path, "--dask", cluster.address)
    assert result.exit_code == 0, result.output
    assert len(cluster.workers) == 1
    pd.testing.assert_frame_equal(rows(tmp_path / "store"), expected)


def test_a_lost_scheduler_ends_the_command_and_the_next_run_finishes(
    cluster, expected, tmp_path, monkeypatch
):
    """SIGKILL of the scheduler: exit 1 and one line; the same command goes on with the logs that are missing."""
    logs(tmp_path / "logs", 12)
    after(2, cluster.kill_scheduler, monkeypatch)
    result = ingest(tmp_path, "--dask", cluster.address)
    assert result.exit_code == 1
    *done, last = result.output.splitlines()
    assert last.startswith(f"aurora-analysis: The Dask scheduler {cluster.address} was lost")
    assert 2 <= len(done) < 12
    again = ingest(tmp_path)
    assert again.exit_code == 0
    assert again.output.count("in the store already") == len(done)
    pd.testing.assert_frame_equal(rows(tmp_path / "store"), expected)


# What is missing


def test_without_the_extra_one_line_says_what_to_install(monkeypatch, tmp_path):
    """An installation without Dask refuses --dask in one line."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    result = run(
        "report", "--store", SAMPLE, "--output", str(tmp_path / "out"), "--dask", "tcp://127.0.0.1:8786"
    )
    assert (result.exit_code, result.output) == (
        2,
        "aurora-analysis: --dask needs Dask: pip install 'aurora-analysis[dask]'.\n",
    )


@pytest.mark.parametrize(
    ("address", "code", "reason"),
    [("tcp://127.0.0.1:9", 1, "does not answer"), ("nonsense", 2, "is not a scheduler's address")],
)
def test_a_scheduler_that_does_not_answer_is_one_line(monkeypatch, tmp_path, address, code, reason):
    """The command ends within seconds, names the scheduler, and leaves no report."""
    monkeypatch.setattr(executors, "CONNECT_S", 0.3)
    monkeypatch.setenv("AURORA_ANALYSIS_DASK", address)
    result = run("report", "--store", SAMPLE, "--cluster", "lab", "--output", str(tmp_path / "out"))
    assert result.exit_code == code
    assert result.output.count("\n") == 1
    assert address in result.output
    assert reason in result.output
    assert not list(tmp_path.iterdir())


def test_a_daemon_runs_its_work_in_threads(monkeypatch):
    """Dask's workers below a nanny may not have children: what would start processes there uses threads."""
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    with executors.processes(2) as executor:
        assert executor.submit(os.getpid).result() == os.getpid()
