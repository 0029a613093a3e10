"""Measure the time and the memory of a fetch.

It fetches a week of a simulated cluster with five instances from an endpoint on loopback, which takes 80 ms per call
and throttles above the configured rates. The floor is the shortest time that these rates allow for the calls made.

    python benchmarks/fetch.py            prints one line per result; exits with 1 if a target is missed
    python benchmarks/fetch.py --serve    serves the endpoint only (each answer is computed once and kept)
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from aws_endpoint import Cluster, Endpoint  # noqa: E402

from aurora_analysis import Window  # noqa: E402
from aurora_analysis.config import Rates  # noqa: E402
from aurora_analysis.lab import shop  # noqa: E402

WEEK = Window("2026-11-09", "2026-11-16")
NOW = datetime(2026, 11, 16, 3, tzinfo=UTC)
LATER = datetime(2026, 11, 16, 4, tzinfo=UTC)
LATENCY_S = 0.080
SLOWER = 1.3
RSS_MIB = 400
COPIES = {"shop-4": "shop-3", "shop-5": "shop-3"}
"""Instances that the simulation lacks → the instance that each copies."""


class Kept(Endpoint):
    """An endpoint that computes each answer once, so that the fetch is measured and not the simulation."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.answers: dict[tuple[str, bytes], Any] = {}
        self.made: Counter[str] = Counter()

    def answer(self, headers: Any, body: bytes) -> tuple[int, str, bytes, dict[str, str]]:
        """Return the kept answer, with the same delay and rate limit as the first one."""
        target = headers.get("X-Amz-Target", "")
        key = (target, body)
        if target == "count":
            return 200, "application/json", json.dumps(self.made).encode(), {}
        service = _service(headers)
        self.made[service] += 1
        if key not in self.answers:
            self.answers[key] = super().answer(headers, body)
            return self.answers[key]
        time.sleep(self.latency_s)
        return self.answers[key]


def _service(headers: Any) -> str:
    scope = headers.get("Authorization", "").partition("Credential=")[2].split(",")[0].split("/")
    return {"monitoring": "cloudwatch"}.get(scope[3], scope[3]) if len(scope) > 3 else "?"


def five_instances() -> dict[str, pd.DataFrame]:
    """Return the simulated week with two additional readers."""
    tables = shop.tables(1, WEEK)
    return {name: _with_copies(frame) for name, frame in tables.items()}


def _with_copies(frame: pd.DataFrame) -> pd.DataFrame:
    if "instance" not in frame:
        return frame
    more = [frame[frame["instance"] == like].assign(instance=name) for name, like in COPIES.items()]
    return pd.concat([frame, *more], ignore_index=True)


def serve() -> None:
    """Serve until the input ends."""
    names = ["shop-1", "shop-2", "shop-3", *COPIES]
    cluster = Cluster("shop", five_instances(), overrides={name: {"pi_retention_days": 31} for name in names})
    with Kept(cluster, NOW, latency_s=LATENCY_S) as aws:
        print(json.dumps(aws.environment), flush=True)
        sys.stdin.read()


def fetched(
    environment: dict[str, str], store: Path, end: datetime, now: datetime
) -> tuple[float, float, float, str]:
    """Return wall-clock [s], CPU [s], peak RSS [MiB] and the last output line of one fetch in its own process."""
    span = ["--start", WEEK.start.isoformat(), "--end", end.isoformat(), "--now", now.isoformat()]
    command = [
        sys.executable,
        "-m",
        "aurora_analysis",
        "fetch",
        "--cluster",
        "shop",
        "--store",
        str(store),
        *span,
    ]
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as output:
        run = subprocess.Popen(command, env=os.environ | environment, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(run.pid, 0)
        seconds = time.monotonic() - started
        run.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        lines = output.read().strip().splitlines()
    if run.returncode:
        raise SystemExit("\n".join(["the fetch failed:", *lines]))
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, lines[-1]


def counted(url: str) -> Counter[str]:
    """Return the number of calls per service that the endpoint received."""
    request = urllib.request.Request(url, data=b"", headers={"X-Amz-Target": "count"})
    with urllib.request.urlopen(request) as answer:
        return Counter(json.load(answer))


def floor(calls: Counter[str]) -> dict[str, float]:
    """Return the shortest time per service that its calls take at the configured rate [s]."""
    rates = Rates()
    allowed = {
        "pi": rates.performance_insights,
        "cloudwatch": rates.cloudwatch,
        "logs": rates.logs,
        "rds": rates.rds,
    }
    return {service: count / allowed[service] for service, count in calls.items()}


def main() -> int:
    """Measure and print; return 1 if a target is missed."""
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as server,
    ):
        assert server.stdout is not None
        environment = json.loads(server.stdout.readline())
        url = environment["AWS_ENDPOINT_URL"]
        fast = {
            f"AURORA_ANALYSIS_RATES_{name}": "1000"
            for name in ("PERFORMANCE_INSIGHTS", "CLOUDWATCH", "LOGS", "RDS")
        }
        fetched(environment | fast, Path(folder, "warm"), WEEK.end, NOW)
        before = counted(url)
        seconds, cpu, mib, summary = fetched(environment, Path(folder, "store"), WEEK.end, NOW)
        whole = counted(url) - before
        before = counted(url)
        again, _, _, second_summary = fetched(environment, Path(folder, "store"), WEEK.end, LATER)
        second = counted(url) - before
        server.communicate("")
    least = floor(whole)
    slowest = max(least, key=lambda service: least[service])
    ratio = seconds / least[slowest]
    print(summary)
    print(f"calls {sum(whole.values())}: {dict(whole)}")
    print(
        f"floor {least[slowest]:.1f} s ({slowest}); wall-clock {seconds:.1f} s; ratio {ratio:.2f} (target {SLOWER})"
    )
    print(f"CPU {cpu:.1f} s; peak memory {mib:.0f} MiB (target {RSS_MIB})")
    print(f"second run {again:.1f} s, calls {dict(second)}: {second_summary}")
    return int(ratio > SLOWER or mib > RSS_MIB or second["pi"] > 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--serve", action="store_true", help="Serve the endpoint until the input ends")
    if parser.parse_args().serve:
        serve()
    else:
        raise SystemExit(main())
