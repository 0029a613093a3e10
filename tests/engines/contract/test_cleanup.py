"""Cleanup (purge, vacuum): who holds it back."""

from __future__ import annotations

from aurora_analysis import engines
from aurora_analysis.glossary import METRICS


def test_the_holder_is_the_session_with_the_oldest_view(engine):
    """It is named with its instance, and with the statement that ends it."""
    cleanup = engine.module("cleanup")
    samples = engine.blocked_by(4711)
    found = cleanup.holder(samples)
    assert (found.instance, found.transaction.thread_id) == (samples[0].instance, 4711)
    assert "4711" in found.kill
    assert cleanup.boundary(samples) == found.number < cleanup.counter(samples)


def test_an_instance_without_samples_has_no_holder(engine):
    """An instance that did not answer blames no session and has no boundary."""
    cleanup = engine.module("cleanup")
    assert cleanup.holder([]) is None and cleanup.boundary([]) is None and cleanup.counter([]) is None
    assert cleanup.state([], []) == "unknown"


def test_a_sample_leads_back_to_its_engine(engine):
    """Callers take the modules by what the sample names, and rows of the store from them."""
    cleanup = engine.module("cleanup")
    samples = engine.blocked_by(4711)
    writer = cleanup.writer(samples)
    assert engines.of(writer.engine_name) is engines.of(engine.names[0])
    assert 4711 in cleanup.views(writer)
    assert {instance for instance, *_ in cleanup.oldest_views(writer)} >= {writer.instance}
    found = cleanup.metrics(samples)
    assert found and set(found) <= set(METRICS) and cleanup.metrics([]) == {}
    assert cleanup.backlog(writer) in found.values() and cleanup.progress(writer) in found.values()
    own = cleanup.instance_metrics(writer)
    assert own["active_transactions"] >= 1 and set(own) <= set(METRICS)
    assert all(cleanup.WORDS._replace(log_bytes="may be empty")) and cleanup.WORDS.delay_metric in found
