"""`workloads suggest`, as it is typed."""

from __future__ import annotations

from click.testing import CliRunner

from aurora_analysis import config
from aurora_analysis.cli import main
from aurora_analysis.sources import log_files

LOG = b"""# Time: 2026-11-18T11:06:40.013324Z
# User@Host: looker_ro[looker_ro] @  [10.0.0.1]  Id:     1
# Query_time: 3.000000  Lock_time: 0.000000 Rows_sent: 1  Rows_examined: 1
SET timestamp=1795000000;
SELECT 'secret';
"""


def test_suggestions_are_toml_for_the_settings_file(tmp_path, monkeypatch):
    """What is printed is a settings file; a workload that is already defined there is only compared."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slow.log").write_bytes(LOG)
    log_files.ingest(log_files.Target("store", "shop", "shop-2"), "slow.log")
    command = ["workloads", "suggest", "--store", "store", "--cluster", "shop"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0
    assert config.groups(done.output).workloads == {"looker": ({"user": ("looker_ro",)},)}
    assert '# Matched by user: "looker_ro" 1.' in done.output
    assert "secret" not in done.output
    (tmp_path / "aurora-analysis.toml").write_text(done.output)
    again = CliRunner().invoke(main, command)
    assert config.groups(again.output + "\n[workloads.x]\nuser = 'x'").workloads == {"x": ({"user": ("x",)},)}
    assert "The settings define the workload looker already" in again.output


def test_log_files_give_the_suggestions_of_the_store(tmp_path, monkeypatch):
    """Without a store; a window selects executions, and without files or a cluster there is nothing to read."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slow.log").write_bytes(LOG)
    log_files.ingest(log_files.Target("store", "shop", "shop-2"), "slow.log")
    suggest = ["workloads", "suggest"]
    stored = CliRunner().invoke(main, [*suggest, "--store", "store", "--cluster", "shop"])
    done = CliRunner().invoke(main, [*suggest, "slow.log"])
    assert done.exit_code == 0
    assert done.output == stored.output.replace("executions of shop", "executions of slow.log")
    earlier = CliRunner().invoke(main, [*suggest, "--start", "2026-11-01", "--end", "2026-11-02", "slow.log"])
    assert (earlier.exit_code, "no logged execution of this window in slow.log" in earlier.output) == (
        2,
        True,
    )
    neither = CliRunner().invoke(main, suggest)
    assert (neither.exit_code, "Name the slow logs to read" in neither.output) == (2, True)


def test_a_window_without_executions_is_refused(tmp_path):
    """One line that names the cluster and the next step."""
    (tmp_path / "slow.log").write_bytes(LOG)
    log_files.ingest(log_files.Target(str(tmp_path / "store"), "shop", "shop-2"), str(tmp_path / "slow.log"))
    done = CliRunner().invoke(
        main,
        [
            "workloads",
            "suggest",
            "--store",
            str(tmp_path / "store"),
            "--cluster",
            "shop",
            "--week",
            "2020-W01",
        ],
    )
    assert done.exit_code == 2
    assert "no logged execution of shop in this window: fetch or ingest its slow log first" in done.output
