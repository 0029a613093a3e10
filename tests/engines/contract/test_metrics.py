"""Metrics: each vendor's name leads to one of ours, whose unit `glossary.METRICS` states."""

from __future__ import annotations

from aurora_analysis.glossary import METRICS
from aurora_analysis.tables import TABLES


def test_every_metric_is_one_of_ours(engine):
    """No name is written that the glossary lacks."""
    metrics = engine.module("metrics")
    ours = [one.name for one in (*metrics.INSTANCE_METRICS.values(), *metrics.CLUSTER_METRICS.values())]
    assert {*ours, *metrics.COUNTERS.values()} <= set(METRICS)


def test_no_two_metrics_share_a_name(engine):
    """One of our names has one source."""
    metrics = engine.module("metrics")
    ours = [one.name for one in (*metrics.INSTANCE_METRICS.values(), *metrics.CLUSTER_METRICS.values())]
    ours += metrics.COUNTERS.values()
    assert len(ours) == len(set(ours))


def test_conversions_are_positive_and_request_a_statistic(engine):
    """A value is scaled, never inverted or dropped."""
    metrics = engine.module("metrics")
    for one in (*metrics.INSTANCE_METRICS.values(), *metrics.CLUSTER_METRICS.values()):
        assert one.factor > 0 and one.statistics, one.name


def test_role_metrics_are_metrics(engine):
    """The metrics that only a writer or only a reader publishes are among the instance's."""
    metrics = engine.module("metrics")
    assert {metrics.WRITER_METRIC, metrics.READER_METRIC} <= set(metrics.INSTANCE_METRICS)
    assert set(metrics.PUBLISHED_SINCE) <= set(metrics.INSTANCE_METRICS)


def test_statement_statistics_are_columns_of_their_table(engine):
    """Each statistic fills one column of `statement_metrics`."""
    columns = [one.column for one in engine.module("metrics").STATEMENT_STATISTICS.values()]
    assert set(columns) <= set(TABLES["statement_metrics"].column_names())
    assert len(columns) == len(set(columns))
