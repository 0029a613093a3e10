"""Sample all instances of a cluster in rounds that end in time.

Each instance is sampled in a thread of its own. A round waits for the instances that answered last time, at most until its
deadline; the connection of one that is late is broken. An instance that is lost is tried again in every round, but no
round waits for it while another instance answers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from aurora_analysis.engines.live_evidence import ConnectionLost, InstanceSample, Probe

DEADLINE_S = 5.0
"""Longest time that a round waits for an instance: the probes' statements end after two seconds."""

Answer = InstanceSample | ConnectionLost | Exception | None
"""A sample, why there is none, or None while the instance has not answered yet."""


class Rounds:
    """Takes one sample of each instance, round after round.

    Parameters
    ----------
    probes : sequence of Probe
        One for each instance.
    deadline_s : float
        Longest time of a round [s].
    """

    def __init__(self, probes: Sequence[Probe], deadline_s: float = DEADLINE_S) -> None:
        self._probes, self._deadline_s = probes, deadline_s
        self._attempts: dict[str, _Attempt] = {}
        self._lost: set[str] = set()

    def sample(self) -> list[InstanceSample | ConnectionLost | None]:
        """Return the answer of each instance, in order; None for one that was lost before and has not answered.

        Raises
        ------
        Error
            If a server rejects the login.
        """
        until = time.monotonic() + self._deadline_s
        for probe in self._probes:
            self._begin(probe)
        waited_for = {probe.name for probe in self._probes} - self._lost or {*self._attempts}
        for name in waited_for:
            self._attempts[name].wait(until)
        return [self._answer(probe) for probe in self._probes]

    def _begin(self, probe: Probe) -> None:
        """Start an attempt, unless one still runs; one that succeeded late shows that the instance is back."""
        running = self._attempts.get(probe.name)
        if running is not None and running.answer is None and running.thread.is_alive():
            return
        if running is not None and probe.name in self._lost and not isinstance(running.answer, Exception):
            self._lost.discard(probe.name)
        self._attempts[probe.name] = _Attempt(probe)

    def _answer(self, probe: Probe) -> InstanceSample | ConnectionLost | None:
        attempt = self._attempts[probe.name]
        was_lost = probe.name in self._lost
        answer = attempt.answer
        if answer is None and (not was_lost or attempt.age_s > self._deadline_s):
            probe.abort()
            answer = ConnectionLost(f"it did not answer within {self._deadline_s:g} s")
        if isinstance(answer, Exception) and not isinstance(answer, ConnectionLost):
            raise answer
        if isinstance(answer, ConnectionLost):
            self._lost.add(probe.name)
        elif answer is not None:
            self._lost.discard(probe.name)
        return answer


class _Attempt:
    """One sample of one instance, in a thread that never keeps the program from ending."""

    def __init__(self, probe: Probe) -> None:
        self._probe, self._began = probe, time.monotonic()
        self.answer: Answer = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    @property
    def age_s(self) -> float:
        """Time since it began [s]."""
        return time.monotonic() - self._began

    def wait(self, until: float) -> None:
        """Wait for the answer until a time of the monotonic clock."""
        self.thread.join(max(0.0, until - time.monotonic()))

    def _run(self) -> None:
        try:
            self.answer = self._probe.sample()
        except Exception as problem:
            self.answer = problem
