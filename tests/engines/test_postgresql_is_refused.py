"""Every command that reaches a PostgreSQL cluster refuses it with the same line, and exit code 2."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from fetching import KEPT, endpoint, environment

from aurora_analysis.cli import main

REFUSAL = "aurora-postgresql is not supported yet: aurora-analysis reads Aurora MySQL, MySQL and MariaDB.\n"


@pytest.mark.parametrize("command", [["doctor"], ["fetch", "--last-week"]], ids=" ".join)
def test_a_cluster_of_aws_is_refused(command, tmp_path):
    """RDS names the engine, so nothing else is requested and nothing is written."""
    store = ["--store", str(tmp_path / "store")] if command[0] == "fetch" else []
    with endpoint(overrides={name: {"engine": "aurora-postgresql"} for name in KEPT}) as aws:
        arguments = [*command, "--cluster", "shop", "--now", aws.now.isoformat(), *store]
        result = CliRunner(env=environment(aws)).invoke(main, arguments)
    assert (result.exit_code, result.output) == (2, f"aurora-analysis: shop: {REFUSAL}")
    assert not (tmp_path / "store").exists()


def test_a_server_is_refused_by_its_url(tmp_path):
    """The URL names the engine, so no connection is made."""
    arguments = ["watch", "--writer", "postgresql://me@127.0.0.1:1/", "--store", str(tmp_path)]
    result = CliRunner().invoke(main, arguments)
    expected = REFUSAL.replace("aurora-postgresql", "postgresql")
    assert (result.exit_code, result.output) == (2, f"aurora-analysis: {expected}")
