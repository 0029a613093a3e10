"""Prometheus and OpenTelemetry get the latest figures: no query, no user, and no value that is out of date."""

from __future__ import annotations

import http.server
import socket
import sys
import threading
import urllib.request
import zlib

import pytest
from engine_cases import CASES
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from aurora_analysis.errors import Error
from aurora_analysis.live import exported
from aurora_analysis.live.exported import Snapshot
from aurora_analysis.live.status import PurgeStatus, Sample

NOW = 1_800_000_000
ALERTS = {"alerts": 2, "open_alerts": 1, "waiting": 3}


def snapshot(engine) -> Snapshot:
    """A cluster that is blocked."""
    sample = Sample(NOW, engine.blocked_by(4711))
    blocked = PurgeStatus(NOW, "blocked", 50, 1.0, sample.holder, NOW - 90.0, engine.names[0])
    return Snapshot("shop\n\"'").after(blocked, sample, **ALERTS)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def scraped(latest: Snapshot) -> dict[str, float]:
    """What Prometheus reads: each sample with its labels → value."""
    port = free_port()
    stop = exported.serve(f"127.0.0.1:{port}", lambda: latest)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            text = answer.read().decode()
    finally:
        stop()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


@pytest.mark.parametrize("engine", CASES, ids=lambda case: case.name)
def test_prometheus_reads_the_latest_figures(engine):
    """By cluster and instance; a hostile cluster's name stays a label."""
    found = scraped(snapshot(engine))
    cluster = 'cluster="shop\\n\\"\'"'
    at = f'{cluster},instance="db-1"'
    assert found[f"aurora_analysis_last_success_timestamp_seconds{{{at}}}"] == NOW
    assert found[f"aurora_analysis_holder_age_seconds{{{at}}}"] == 90
    assert found[f'aurora_analysis_cleanup_state{{{cluster},state="blocked"}}'] == 1
    assert found[f'aurora_analysis_cleanup_state{{{cluster},state="keeps up"}}'] == 0
    assert found[f"aurora_analysis_alerts_total{{{cluster}}}"] == 2
    assert found[f"aurora_analysis_undelivered_messages{{{cluster}}}"] == 3
    metric = engine.module("cleanup").WORDS.delay_metric
    assert f"aurora_analysis_{metric}{{{at}}}" in found
    assert not [name for name in found if "etl" in name or "4711" in name or "SELECT" in name]


def test_a_writer_that_does_not_answer_leaves_its_last_success_and_no_figure():
    """Missing is not zero: a dead server must not look calm."""
    lost = PurgeStatus(NOW + 60, "unknown", None, None, None, None)
    found = scraped(snapshot(CASES[0]).after(lost, Sample(NOW + 60, [])))
    assert [value for name, value in found.items() if "last_success" in name] == [NOW]
    assert not [name for name in found if "history_list" in name or "holder_age" in name]
    assert [name.partition("{")[0] for name, value in found.items() if value == 1] == [
        "aurora_analysis_cleanup_state"
    ]


@pytest.mark.parametrize("address", ["9187", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:99999", ":9187"])
def test_a_wrong_address_is_one_line(address):
    with pytest.raises(Error, match="--prometheus"):
        exported.serve(address, lambda: Snapshot("shop"))


def test_a_port_in_use_is_one_line():
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(Error, match="Address already in use"),
    ):
        exported.serve(f"127.0.0.1:{taken.getsockname()[1]}", lambda: Snapshot("shop"))


def test_a_collector_gets_the_figures_over_otlp():
    """At the end once more, so that a short watch is complete."""
    bodies: list[bytes] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        stop = exported.push(
            f"http://127.0.0.1:{server.server_address[1]}/v1/metrics", lambda: snapshot(CASES[0])
        )
        stop()
        server.shutdown()
    body = zlib.decompress(bodies[0], 47) if bodies[0][:2] == b"\x1f\x8b" else bodies[0]
    sent = ExportMetricsServiceRequest.FromString(body)
    metrics = {
        one.name: one
        for each in sent.resource_metrics
        for scope in each.scope_metrics
        for one in scope.metrics
    }
    assert metrics["aurora_analysis_history_list_length"].gauge.data_points[0].as_double == 50
    assert metrics["aurora_analysis_alerts"].sum.data_points[0].as_double == 2
    labels = {
        each.key for one in metrics.values() for point in one.gauge.data_points for each in point.attributes
    }
    assert labels == {"cluster", "instance", "state"}


def test_without_the_extra_otlp_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.metrics", None)
    with pytest.raises(Error, match=r"pip install 'aurora-analysis\[otlp\]'"):
        exported.push("http://127.0.0.1:1/", lambda: Snapshot("shop"))
