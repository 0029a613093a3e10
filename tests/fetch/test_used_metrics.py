"""No metric is fetched for nothing: an analysis, a plot, the roles or doctor names each of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aurora_analysis.engines.mysql import metrics
from aurora_analysis.sources.aws import enhanced_monitoring

PACKAGE = Path(__file__).parent.parent.parent / "aurora_analysis"
READERS = [*PACKAGE.glob("analysis/**/*.py"), *PACKAGE.glob("plots/*.py"), PACKAGE / "fetch" / "doctor.py"]

VENDOR = {metric.name: name for name, metric in (metrics.INSTANCE_METRICS | metrics.CLUSTER_METRICS).items()}
FETCHED = sorted({*VENDOR, *metrics.COUNTERS.values(), *enhanced_monitoring.METRICS})
ROLES = {metrics.WRITER_METRIC, metrics.READER_METRIC}
"""Vendor's names of the two metrics by which a fetch tells who was the writer."""


@pytest.fixture(scope="module")
def named() -> set[str]:
    """Every word in quotes in the modules that use metrics."""
    texts = [file.read_text(encoding="utf-8") for file in READERS]
    return {word for text in texts for word in re.findall(r'"(\w+)"', text)} | ROLES


@pytest.mark.parametrize("name", FETCHED)
def test_each_fetched_metric_is_used(name, named):
    """CloudWatch bills each metric that is requested, and what nobody reads slows every fetch."""
    assert {name, VENDOR.get(name, "")} & named, f"nothing names {name}: use it, or do not fetch it"
