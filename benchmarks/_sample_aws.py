"""The sample's cluster `shop` as AWS on loopback, for the studies of `dev.py bench faults`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent


@contextmanager
def aws() -> Iterator[tuple[str, dict[str, str]]]:
    """Serve the sample's `shop` as AWS on loopback; yields its time and the variables that lead to it."""
    serve = [sys.executable, str(ROOT / "tests/aws_endpoint"), "--store", str(ROOT / "data/sample")]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as endpoint:
        assert endpoint.stdout is not None
        lines = iter(endpoint.stdout.readline, "\n")
        _, now, *exports = (line.strip() for line in lines)
        variables = dict(one.removeprefix("export ").split("=", 1) for one in exports)
        rates = {
            f"AURORA_ANALYSIS_RATES_{one}": "1000"
            for one in ("PERFORMANCE_INSIGHTS", "CLOUDWATCH", "LOGS", "RDS")
        }
        try:
            yield now, {name: value.strip("'") for name, value in variables.items()} | rates
        finally:
            endpoint.terminate()
