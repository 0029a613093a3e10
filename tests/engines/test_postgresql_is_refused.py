"""Every command that fetches an Aurora PostgreSQL cluster refuses it with the same line, and exit code 2."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from fetching import KEPT, endpoint, environment

from aurora_analysis.cli import main

REFUSAL = "aurora-postgresql clusters are not fetched from AWS yet: aurora-analysis fetches Aurora MySQL and RDS for MySQL.\n"


@pytest.mark.parametrize("command", [["doctor"], ["fetch", "--last-week"]], ids=" ".join)
def test_a_cluster_of_aws_is_refused(command, tmp_path):
    """RDS names the engine, so nothing else is requested and nothing is written."""
    store = ["--store", str(tmp_path / "store")] if command[0] == "fetch" else []
    with endpoint(overrides={name: {"engine": "aurora-postgresql"} for name in KEPT}) as aws:
        arguments = [*command, "--cluster", "shop", "--now", aws.now.isoformat(), *store]
        result = CliRunner(env=environment(aws)).invoke(main, arguments)
    assert (result.exit_code, result.output) == (2, f"aurora-analysis: shop: {REFUSAL}")
    assert not (tmp_path / "store").exists()
