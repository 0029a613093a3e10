"""Export a watch's latest figures: to Prometheus on request, or to an OpenTelemetry collector at an interval.

Labels are the cluster, the instance and the state: no user, no host and no text of a query, whose values have no bound and may be
secret. A figure that the last round did not show is absent; the time of the last successful round stays, so that a
watch that has stopped can be alerted about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aurora_analysis.errors import Error
from aurora_analysis.glossary import METRICS
from aurora_analysis.live.status import PurgeStatus, Sample

PREFIX = "aurora_analysis_"
STATES = ("blocked", "outrun", "keeps up", "idle", "unknown")
OTLP_EVERY_S = 15.0


OWN = {
    "last_success_timestamp_seconds": "When the instance last answered: if it grows old, nothing is watched.",
    "alerts": "Alerts about holders past their limit.",
    "open_alerts": "Holders that were alerted about and still block cleanup.",
    "undelivered_messages": "Messages that a target has not accepted yet.",
    "cleanup_state": "1 for the state of purge or vacuum.",
    "holder_age_seconds": "Age of the transaction that blocks cleanup.",
}
"""Names of ours → meaning; the others are metrics of the glossary."""

TOTALS = {"alerts"}
"""Values that only grow."""


class Figure(NamedTuple):
    """One exported value."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True)
class Snapshot:
    """State after a round. `answered` has the time of each instance's last sample [s since 1970]."""

    cluster: str
    status: PurgeStatus | None = None
    sample: Sample | None = None
    answered: Mapping[str, float] = field(default_factory=dict)
    alerts: int = 0
    open_alerts: int = 0
    waiting: int = 0

    def after(self, status: PurgeStatus, sample: Sample, **alerts: int) -> Snapshot:
        """Return the snapshot after one more round."""
        answered = {one.instance: float(sample.time) for one in sample.instances}
        return Snapshot(self.cluster, status, sample, {**self.answered, **answered}, **alerts)


def figures(now: Snapshot) -> list[Figure]:
    """Return all values of a snapshot."""
    mine = {"cluster": now.cluster}
    found = [
        *(
            Figure("last_success_timestamp_seconds", mine | {"instance": name}, at)
            for name, at in now.answered.items()
        ),
        Figure("alerts", mine, now.alerts),
        Figure("open_alerts", mine, now.open_alerts),
        Figure("undelivered_messages", mine, now.waiting),
    ]
    if now.status is None or now.sample is None:
        return found
    found += [Figure("cleanup_state", mine | {"state": one}, one == now.status.state) for one in STATES]
    writer = now.sample.writer
    if writer is not None:
        at_writer = mine | {"instance": writer.instance}
        values = now.sample.cleanup.metrics(now.sample.instances)
        found += [Figure(name, at_writer, value) for name, value in values.items()]
    if now.status.holder is not None and now.status.since is not None:
        age_s = max(0.0, now.status.time - now.status.since)
        found.append(Figure("holder_age_seconds", mine | {"instance": now.status.holder.instance}, age_s))
    return found


def _meaning(name: str) -> str:
    return OWN.get(name) or f"{METRICS[name].meaning} [{METRICS[name].unit}]"


# Prometheus


class _Collector:
    """Gives Prometheus's client the figures of the latest snapshot."""

    def __init__(self, latest: Callable[[], Snapshot]) -> None:
        self._latest = latest

    def collect(self) -> Iterable[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        families: dict[str, Any] = {}
        for one in figures(self._latest()):
            kind = CounterMetricFamily if one.name in TOTALS else GaugeMetricFamily
            family = kind(PREFIX + one.name, _meaning(one.name), labels=list(one.labels))
            families.setdefault(one.name, family).add_metric(list(one.labels.values()), float(one.value))
        return families.values()


def serve(address: str, latest: Callable[[], Snapshot]) -> Callable[[], None]:
    """Serve Prometheus on HOST:PORT in a thread; return a function that stops it.

    Raises
    ------
    Error
        If the address is wrong or in use.
    """
    from prometheus_client import CollectorRegistry, start_http_server

    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise Error(f"--prometheus {address!r} is not an address: write it as 127.0.0.1:9187.")
    registry = CollectorRegistry()
    registry.register(_Collector(latest))
    try:
        server, thread = start_http_server(int(port), host.strip("[]"), registry)
    except (OSError, OverflowError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise Error(f"--prometheus {address} cannot be served: {reason}. Choose another port.") from None

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop


# OpenTelemetry


def push(url: str, latest: Callable[[], Snapshot], every_s: float = OTLP_EVERY_S) -> Callable[[], None]:
    """Send the figures to an OTLP collector over HTTP at an interval; return a function that sends once more and stops.

    Raises
    ------
    Error
        If the packages of the extra are missing, or the URL is none.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.metrics import Observation
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import Resource
    except ImportError:
        raise Error("--otlp needs OpenTelemetry: pip install 'aurora-analysis[otlp]'.") from None

    if not url.startswith(("http://", "https://")):
        raise Error("--otlp is not a URL: write it as http://127.0.0.1:4318/v1/metrics.")
    reader = PeriodicExportingMetricReader(
        OTLPMetricExporter(endpoint=url, timeout=10), export_interval_millis=1000 * every_s
    )
    provider = MeterProvider([reader], Resource({"service.name": "aurora-analysis"}))
    meter = provider.get_meter("aurora-analysis")

    def observed(name: str) -> Callable[[Any], list[Any]]:
        return lambda _: [
            Observation(float(one.value), dict(one.labels)) for one in figures(latest()) if one.name == name
        ]

    for name in [*OWN, *METRICS]:
        make = meter.create_observable_counter if name in TOTALS else meter.create_observable_gauge
        make(PREFIX + name, [observed(name)], description=_meaning(name))
    stop: Callable[[], None] = provider.shutdown
    return stop
