"""No metric is fetched for nothing: an analysis, a plot, the roles or doctor names each of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aurora_analysis import engines
from aurora_analysis.sources.aws import enhanced_monitoring

PACKAGE = Path(__file__).parent.parent.parent / "aurora_analysis"
READERS = [*PACKAGE.glob("analysis/**/*.py"), *PACKAGE.glob("plots/*.py"), PACKAGE / "fetch" / "doctor.py"]

METRICS = {engine: engines.module(engine, "metrics") for engine in ("mysql", "postgresql")}


def fetched(engine: str) -> dict[str, str]:
    """Our name of each metric that a fetch requests of an engine → the vendor's name in CloudWatch; empty if it is from elsewhere."""
    metrics = METRICS[engine]
    by_name = {
        one.name: vendor for vendor, one in (metrics.INSTANCE_METRICS | metrics.CLUSTER_METRICS).items()
    }
    others = (*metrics.COUNTERS.values(), *metrics.MORE_COUNTERS.values(), *enhanced_monitoring.METRICS)
    return dict.fromkeys(others, "") | by_name


FETCHED = [(engine, name, vendor) for engine in METRICS for name, vendor in sorted(fetched(engine).items())]


@pytest.fixture(scope="module")
def named() -> set[str]:
    """Every word in quotes in the modules that use metrics, and the vendor's names of the metrics that show who the writer was."""
    texts = [file.read_text(encoding="utf-8") for file in READERS]
    roles = {name for each in METRICS.values() for name in (each.WRITER_METRIC, each.READER_METRIC)}
    return {word for text in texts for word in re.findall(r'"(\w+)"', text)} | roles


@pytest.mark.parametrize(("engine", "name", "vendor"), FETCHED)
def test_each_fetched_metric_is_used(engine, name, vendor, named):
    """CloudWatch bills each metric that is requested, and what nobody reads slows every fetch."""
    assert {name, vendor} & named, f"nothing names {name} of {engine}: use it, or do not fetch it"


@pytest.mark.parametrize("engine", METRICS)
def test_each_statistic_of_statements_is_used(engine, named):
    """An analysis names each column that Performance Insights' statistics of statements fill."""
    columns = {statistic.column for statistic in METRICS[engine].STATEMENT_STATISTICS.values()}
    assert columns - named == set()
