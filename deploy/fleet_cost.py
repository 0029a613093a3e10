"""Print what a fleet costs per week on AWS: `python deploy/fleet_cost.py [fleet-cost.toml]`.

The model multiplies measured CPU seconds and counts of calls by list prices. It leaves out NAT gateways, data transfer between
regions, CloudWatch Logs and the scheduler's own task. Every assumption and price is in the settings file.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

WEEKS_PER_MONTH = 365.25 / 12 / 7


def costs(settings: dict[str, Any]) -> dict[str, float]:
    """Return USD per week of the whole fleet, by item."""
    measured, assumed, prices, worker = (
        settings[name] for name in ("measured", "assumed", "prices", "worker")
    )
    clusters = assumed["clusters"]
    cpu_hours = clusters * (measured["fetch_cpu_s"] + measured["report_cpu_s"]) / 3600
    hours = cpu_hours / worker["cpus"] / assumed["worker_share"]
    per_hour = worker["cpus"] * prices["fargate_cpu_hour"] + worker["gb"] * prices["fargate_gb_hour"]
    requests = clusters * assumed["commits"] * measured["commit_requests"]
    stored_gb = clusters * assumed["store_gb"] * assumed["weeks_kept"]
    metrics, calls = (clusters * measured[name] for name in ("cloudwatch_metrics", "fetch_calls"))
    paid_calls = max(0.0, calls - assumed["free_calls_per_month"] / WEEKS_PER_MONTH)
    return {
        "workers on Fargate": hours * per_hour,
        "S3 requests": requests / 1000 * prices["s3_1000_requests"],
        "S3 storage": stored_gb * prices["s3_gb_month"] / WEEKS_PER_MONTH,
        "CloudWatch metrics": metrics / 1000 * prices["cloudwatch_1000_metrics"],
        "Performance Insights": paid_calls / 1000 * prices["performance_insights_1000_calls"],
    }


def main() -> None:
    """Print one line for each item, and the sum."""
    default = Path(__file__).with_name("fleet-cost.toml")
    settings = tomllib.loads(Path(sys.argv[1] if len(sys.argv) > 1 else default).read_text(encoding="utf-8"))
    found = costs(settings)
    print(f"USD per week for {settings['assumed']['clusters']} clusters (list prices, not verified)")
    for name, usd in (found | {"sum": sum(found.values())}).items():
        print(f"{name:22}{usd:8.2f}")


if __name__ == "__main__":
    main()
