"""Keep messages on disk until their target has accepted them, so that none is lost while a target is down.

Each target has a folder with one file per message, which the target's thread sends in order. A message is sent at least once:
a watch that is killed between the target's answer and the removal of the file sends it again, under the same `id`.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aurora_analysis.errors import Error
from aurora_analysis.live.alerts.holds import Hold, State
from aurora_analysis.live.alerts.messages import Message
from aurora_analysis.live.alerts.targets import DeliveryError, Target

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
"""Pause after a failure; it doubles with each further one."""

MOST_REFUSALS = 5
"""A message that its target has refused so often in a row is set aside in the folder until the next watch starts."""

REFUSED = ".refused"

MOST_WAITING = 10_000
"""Most messages that wait for a target; beyond that the oldest are dropped, and their number is reported."""


class Outbox:
    """Queues of messages on disk, one per target, and the state of alerts, which outlives a restart.

    Parameters
    ----------
    folder : pathlib.Path
        Where messages wait; created, readable by its owner only.
    targets : sequence of Target
        Each receives every message.

    Raises
    ------
    Error
        If the folder cannot be written.
    """

    def __init__(self, folder: Path, targets: Sequence[Target]) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _locked(folder / "lock")
            self._queues = [_Queue(folder / one.key, one) for one in targets]
        except BlockingIOError:
            raise Error(
                f"Another watch alerts from {folder}: stop it, or choose another folder with --spool."
            ) from None
        except OSError as problem:
            raise Error(
                f"Alerts cannot wait in {folder}: {problem.strerror}. Choose another folder with --spool."
            ) from None

    def put(self, message: Message) -> None:
        """Store a message for every target; the targets' threads send it."""
        for queue in self._queues:
            queue.put(message)

    def problems(self) -> list[str]:
        """Return one line for each target that failed, or that accepts messages again, since the last call."""
        return [line for queue in self._queues for line in queue.news()]

    @property
    def waiting(self) -> int:
        """Number of messages that a target has not accepted yet."""
        return sum(queue.waiting for queue in self._queues)

    @property
    def sent(self) -> int:
        """Number of messages that targets have accepted."""
        return sum(queue.sent for queue in self._queues)

    def close(self, patience_s: float) -> str:
        """Wait for messages to be sent, at most so long [s]; return which remain, or an empty text."""
        until = time.monotonic() + patience_s
        for queue in self._queues:
            queue.close(until)
        os.close(self._lock)
        left = [f"{one.waiting} for the {one.target.name}" for one in self._queues if one.waiting]
        if not left:
            return ""
        return f"messages not delivered: {', '.join(left)}. They wait in {self._folder}; the next watch sends them."

    # The state of alerts

    def load(self) -> State:
        """Return the alerts that an earlier watch left open, and the sessions that it alerted about; empty if there are none."""
        try:
            content = json.loads((self._folder / "open-alerts.json").read_text(encoding="utf-8"))
            holds = [Hold(**{**one, "sessions": tuple(one["sessions"])}) for one in content["holds"]]
            alerted = {str(name): float(at) for name, at in content["alerted"].items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return State()
        return State(holds=tuple(holds), alerted=alerted)

    def save(self, state: State) -> str:
        """Store the open alerts and their sessions; return why that failed, or an empty text."""
        content = {
            "holds": [asdict(one) for one in state.holds if one.alerted_at],
            "alerted": dict(state.alerted),
        }
        try:
            _write(self._folder / "open-alerts.json", json.dumps(content))
        except OSError as problem:
            return f"open alerts are not stored in {self._folder}: {problem.strerror}"
        return ""


class _Queue:
    """The messages of one target, in order of file name, and the thread that sends them."""

    def __init__(self, folder: Path, target: Target) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.target, self.sent = target, 0
        self._folder, self._news = folder, list[str]()
        self._unsaved: dict[Path, Message] = {}
        self._failing, self._refusals = False, 0
        for path in folder.glob(f"*-*.json{REFUSED}"):
            path.rename(path.with_name(path.name.removesuffix(REFUSED)))
        self._lock, self._wake = threading.Lock(), threading.Event()
        self._until: float | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, message: Message) -> None:
        found = self._files()
        for old in found[: len(found) - MOST_WAITING + 1]:
            old.unlink(missing_ok=True)
            self._note(f"more than {MOST_WAITING:,} messages wait: the oldest was dropped")
        path = self._folder / f"{time.time_ns():020d}-{message['id']}.json"
        try:
            _write(path, json.dumps(message))
        except OSError as problem:
            self._note(
                f"a message waits in memory only, because {self._folder} is not writable: {problem.strerror}"
            )
            self._unsaved[path] = message
        self._wake.set()

    def news(self) -> list[str]:
        with self._lock:
            news, self._news = self._news, []
        return news

    @property
    def waiting(self) -> int:
        return len(self._files()) + len(self._unsaved)

    def close(self, until: float) -> None:
        """Let the thread send waiting messages, without long pauses, until a time of the monotonic clock."""
        self._until = until
        self._wake.set()
        self._thread.join(max(0.0, until - time.monotonic()))

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("*-*.json"))

    def _note(self, line: str) -> None:
        with self._lock:
            self._news.append(f"{self.target.name}: {line}")

    def _run(self) -> None:
        wait_s = FIRST_WAIT_S
        while True:
            self._wake.clear()
            accepted = all(map(self._send, sorted([*self._files(), *self._unsaved])))
            wait_s = FIRST_WAIT_S if accepted else min(2 * wait_s, LONGEST_WAIT_S)
            if self._until is not None:
                if not self.waiting or time.monotonic() >= self._until:
                    return
                time.sleep(0 if accepted else 0.2)
            elif accepted:
                self._wake.wait()
            else:
                self._pause(wait_s / 2)

    def _pause(self, seconds: float) -> None:
        """Wait after a failure; the end of the watch shortens the wait, a new message does not."""
        until = time.monotonic() + seconds
        while self._until is None and time.monotonic() < until:
            time.sleep(0.1)

    def _send(self, path: Path) -> bool:
        """Send a message and remove its file; report the first failure, and the first success after failures."""
        message = self._unsaved.get(path) or _read(path)
        if message is None:
            self._note(f"a message that cannot be read was set aside: {path.name}.unreadable")
            path.rename(path.with_name(f"{path.name}.unreadable"))
            return True
        try:
            self.target.send(message)
        except Exception as problem:  # of any kind: the thread must go on, and the text may have the secret
            reason = (
                problem if isinstance(problem, DeliveryError) else f"it failed with {type(problem).__name__}"
            )
            if not self._failing:
                self._note(f"{reason}; messages wait, and are sent again")
            self._failing = True
            is_refusal = isinstance(problem, DeliveryError) and problem.is_refusal
            self._refusals = self._refusals + 1 if is_refusal else 0
            if self._refusals < MOST_REFUSALS or self._until is not None or not path.exists():
                return False
            self._set_aside(path, str(reason))
            return True
        if self._failing:
            self._note("messages are delivered again")
        self._failing, self._refusals, self.sent = False, 0, self.sent + 1
        self._unsaved.pop(path, None)
        path.unlink(missing_ok=True)
        return True

    def _set_aside(self, path: Path, reason: str) -> None:
        """Keep a message that its target refuses, out of the way of the next one."""
        self._refusals = 0
        path.rename(path.with_name(path.name + REFUSED))
        self._note(
            f"{reason} {MOST_REFUSALS} times in a row: the message is set aside as {path.name}{REFUSED} in {self._folder}. "
            "Correct the target; the next watch sends it again"
        )


def _locked(path: Path) -> int:
    """Open and lock a file, where the system has such locks: two watches with one outbox would alert twice."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    if os.name == "posix":
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
    return descriptor


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "id" in found else None


def _write(path: Path, text: str) -> None:
    """Write a file, readable by its owner only, that is complete or absent even after a power cut."""
    new = path.with_name(f".{path.name}.new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
