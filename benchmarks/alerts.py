"""Measure the alerts of `watch` on a compressed day: `python3 dev.py bench alerts`.

A real MariaDB under writes has holders that outlast the limit, and innocent sessions beside them: views that end before the limit,
bare BEGINs, idle READ COMMITTED transactions, short writes, and old transactions that read late. Meanwhile the webhook is down, slow, and
answers 500. The exit code is 1 if the median time to an alert is above two samples past the limit, if more than one innocent is
alerted about, or if a holder has no alert or several.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from live_server import prepare, written_to
from notified import Sink

from aurora_analysis.engines.mysql.live import Probe
from aurora_analysis.lab import server
from aurora_analysis.lab.server import Server
from aurora_analysis.live.alerts import targets
from aurora_analysis.live.alerts.alerting import Alerting, Rules
from aurora_analysis.live.alerts.holds import Limit
from aurora_analysis.live.alerts.outbox import Outbox
from aurora_analysis.live.watch import Watch

LIMIT_S, EVERY_S = 5.0, 1.0
MOST_MEDIAN, MOST_FALSE = 2.0, 1
READ = ("SELECT COUNT(*) FROM trial.stock",)
READ_COMMITTED = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"
WRITE = "UPDATE trial.stock SET quantity = quantity + 1 WHERE id = {}"


@dataclass
class Day:
    """What was planted, by the session's number: when a holder's view began, and the numbers of innocents."""

    held: dict[int, float] = field(default_factory=dict)
    innocent: set[int] = field(default_factory=set)


def session(ours: Server, statements: tuple[str, ...], hold_s: float, note: Callable[[int], None]) -> None:
    """Run statements in a transaction, and stay open for so long."""
    with ours.connect("app") as connection, connection.cursor() as cursor:
        note(connection.thread_id())
        for statement in statements:
            if statement.startswith("sleep "):
                time.sleep(float(statement.split()[1]))
                continue
            cursor.execute(statement)
            cursor.fetchall()
        time.sleep(hold_s)
        connection.rollback()


def innocent(number: int, rng: random.Random) -> tuple[tuple[str, ...], float]:
    """Statements of an innocent session, and how long it stays open [s]."""
    brief = rng.uniform(0.2, 0.6 * LIMIT_S)
    return [
        (("BEGIN", *READ), brief),
        (("BEGIN",), rng.uniform(10, 40)),
        ((READ_COMMITTED, "BEGIN", *READ), rng.uniform(10, 40)),
        (("BEGIN", WRITE.format(number % 400 + 1)), brief),
        (("BEGIN", f"sleep {rng.uniform(8, 30):.2f}", *READ), brief),
    ][number % 5]


def plan(chosen: argparse.Namespace, rng: random.Random) -> list[tuple[float, str, int]]:
    """When which session begins: (seconds, kind, number)."""
    length_s = 14.0 * chosen.holders
    holders = [(14.0 * n + rng.uniform(1, 4), "holder", n) for n in range(chosen.holders)]
    innocents = [(rng.uniform(0, length_s), "innocent", n) for n in range(chosen.innocents)]
    return sorted(holders + innocents)


def play(ours: Server, chosen: argparse.Namespace, day: Day, stopping: threading.Event) -> None:
    """Begin each session at its time; return once all have ended."""
    rng, threads, began = random.Random(chosen.seed), list[threading.Thread](), time.monotonic()
    for at, kind, number in plan(chosen, rng):
        time.sleep(max(0.0, began + at - time.monotonic()))
        if kind == "holder":
            statements, hold_s = ("BEGIN", *READ), rng.uniform(7.5, 10)
            note: Callable[[int], None] = lambda thread: day.held.update({thread: time.time()})  # noqa: E731
        else:
            statements, hold_s = innocent(number, rng)
            note = day.innocent.add
        threads.append(threading.Thread(target=session, args=(ours, statements, hold_s, note)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    time.sleep(6)
    stopping.set()


def misbehave(sink: Sink, length_s: float, stopping: threading.Event) -> None:
    """Answer 500, then slowly, then refuse connections, for a sixth of the day each, with good times between."""
    for answer, wait_s in ((500, 0.0), (200, 0.0), (200, 4.0), (200, 0.0), (0, 0.0), (200, 0.0)):
        sink.answer, sink.wait_s = answer, wait_s
        if not answer:
            sink.stop()
        is_over = stopping.wait(length_s / 6)
        if not answer:
            sink.start()
        if is_over:
            break
    sink.answer, sink.wait_s = 200, 0.0


def main() -> int:
    """Play the day, compare the messages with what was planted, and return 1 if a gate is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--holders", type=int, default=20)
    parser.add_argument("--innocents", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    day, stopping = Day(), threading.Event()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ours = prepare(stack.enter_context(server.running({"performance_schema": True})))
        sink = stack.enter_context(Sink().serving())
        outbox = Outbox(folder, [targets.parse(sink.url, lambda region: None)])
        limit = Limit(LIMIT_S, "of the benchmark")
        alerting = Alerting("bench", Rules(lambda since: limit), outbox)
        watching = Watch(
            [Probe(ours.engine(), "lab-writer", "writer")], None, cluster="bench", every_s=EVERY_S
        )
        stack.enter_context(written_to(ours))
        threads = [
            threading.Thread(target=play, args=(ours, chosen, day, stopping)),
            threading.Thread(target=misbehave, args=(sink, 14.0 * chosen.holders, stopping)),
        ]
        for thread in threads:
            thread.start()
        watching.run(
            1e6,
            on_sample=lambda events, status: alerting.observe(status, watching.samples[-1]) and None,
            stopping=stopping,
        )
        for thread in threads:
            thread.join()
        left = outbox.close(60)
        return judge(day, [json.loads(body) for body in sink.bodies], left)


def judge(day: Day, sent: list[dict], left: str) -> int:
    """Print the figures; return 1 if a gate is missed."""
    alerts = [one for one in sent if one["event"] == "holder past limit"]
    ends = {one["incident"] for one in sent if one["event"] == "holder ended"}
    named = [one["session"] for alert in alerts for one in alert["sessions"]]
    false = [one for one in named if one not in day.held]
    repeated = len([one for one in named if one in day.held]) - len({*named} & {*day.held})
    missed = {*day.held} - {*named}
    late = []
    for alert in alerts:
        at = time.mktime(time.strptime(alert["time"], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
        late += [
            (at - day.held[one["session"]] - LIMIT_S) / EVERY_S
            for one in alert["sessions"]
            if one["session"] in day.held
        ]
    median = statistics.median(late) if late else float("inf")
    print(
        f"holders {len(day.held)}, innocents {len(day.innocent)}; alerts {len(alerts)}, ends {len(ends)}, messages twice "
        f"{len(sent) - len({one['id'] for one in sent})}, undelivered {left or 0}"
    )
    print(
        f"time to alert past the limit: median {median:.1f} samples (gate {MOST_MEDIAN:g}), longest {max(late, default=0):.1f}"
    )
    print(
        f"innocents named {len(false)} (gate {MOST_FALSE}); holders without an alert {len(missed)}, with several {repeated}"
    )
    no_end = {one["incident"] for one in alerts} - ends
    print(f"alerts without an end {len(no_end)}")
    passed = (
        median <= MOST_MEDIAN
        and len(false) <= MOST_FALSE
        and not missed | no_end
        and not repeated
        and not left
    )
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
