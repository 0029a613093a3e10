"""Alert about the holders that a watch finds."""

from __future__ import annotations

from dataclasses import dataclass

from aurora_analysis.live.alerts import messages
from aurora_analysis.live.alerts.holds import LimitAt, open_alerts, step
from aurora_analysis.live.alerts.outbox import Outbox
from aurora_analysis.live.status import PurgeStatus, Sample


@dataclass(frozen=True)
class Rules:
    """Rules of alerting: each hold's limit by its start, and the pause before a second alert about a session [s]."""

    limit_at: LimitAt
    cooldown_s: float = 1800.0


class Alerting:
    """Follow the holders of one cluster, and put messages into an outbox.

    Parameters
    ----------
    cluster : str
        Name of the cluster.
    rules : Rules
        When to alert.
    outbox : Outbox
        Sends the messages; it also has the alerts that an earlier watch left open.
    """

    def __init__(self, cluster: str, rules: Rules, outbox: Outbox) -> None:
        self._cluster, self._rules, self.outbox = cluster, rules, outbox
        self._state = outbox.load()
        self.alerts = 0

    @property
    def open(self) -> int:
        """Number of alerted holders that still block cleanup."""
        return sum(1 for _ in open_alerts(self._state))

    def observe(self, status: PurgeStatus, sample: Sample) -> list[str]:
        """Judge one more sample; return a line for each message, and for each target that fails or recovers."""
        found = step(self._state, status, sample, self._rules.limit_at, self._rules.cooldown_s)
        composed = [messages.ended(self._cluster, one, status) for one in found.ended]
        if found.alert:
            composed.append(messages.alert(self._cluster, *found.alert, status, sample))
            self.alerts += 1
        for message in composed:
            self.outbox.put(message)
        self._state = found.state
        lines = [message["headline"] for message in composed]
        if composed and (problem := self.outbox.save(self._state)):
            lines.append(problem)
        return [*lines, *self.outbox.problems()]
