"""A holder is alerted about once, when it outlasts its limit, and once more when it has ended."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from aurora_analysis.engines.live_evidence import Transaction
from aurora_analysis.engines.mysql.innodb_status import InnodbStatus
from aurora_analysis.engines.mysql.live import InstanceSample
from aurora_analysis.live.alerts.holds import Limit, State, step
from aurora_analysis.live.status import Sample, purge_status

START, LIMIT_S, EVERY_S = 1_800_000_000, 60.0, 5
BEFORE = 3600
"""Transactions begin long before they read: their age is no evidence."""


@dataclass
class Server:
    """A MariaDB at one moment: `views` maps each session to the number that its view needs."""

    counter: int = 1000
    views: dict[int, int] = field(default_factory=dict)

    def sample(self, at: int) -> Sample:
        lowest = min(self.views.values(), default=self.counter)
        status = InnodbStatus(
            self.counter - lowest + 1,
            self.counter,
            lowest,
            lowest,
            None,
            len(self.views),
            dict(self.views),
            {},
        )
        listed = [
            Transaction(
                thread, "etl", "10.0.0.7:41", "Sleep", START - BEFORE, "REPEATABLE READ", 0, "SELECT 's3cret'"
            )
            for thread in self.views
        ]
        one = InstanceSample(at, "db-1", "writer", "10.11.6-MariaDB", {}, status, listed, [], "db:3306")
        return Sample(at, [one])


def limit_at(since: float) -> Limit:
    return Limit(LIMIT_S, "in this test")


class Day:
    """Plays samples, and collects what is alerted about: `(seconds, event, who)`."""

    def __init__(self, state: State = State(), cooldown_s: float = 600.0) -> None:  # noqa: B008
        self.server, self.state, self.cooldown_s = Server(), state, cooldown_s
        self.at, self.samples, self.found = 0, list[Sample](), list[tuple[int, str, str]]()

    def play(self, seconds: int, *, idle: bool = False, lost: bool = False, **views: int | None) -> Day:
        """Play so many seconds; `s7=0` opens a view of session 7 at the present number, None closes it."""
        for name, number in views.items():
            if number is None:
                self.server.views.pop(int(name[1:]), None)
            else:
                self.server.views[int(name[1:])] = self.server.counter - number
        for _ in range(0, seconds, EVERY_S):
            self.at += EVERY_S
            self.server.counter += 0 if idle else 50
            sample = Sample(START + self.at, []) if lost else self.server.sample(START + self.at)
            self.samples = [*self.samples[-200:], sample]
            made = step(self.state, purge_status(self.samples), sample, limit_at, self.cooldown_s)
            self.state = made.state
            self.found += [(self.at, "ended", one.who) for one in made.ended]
            self.found += [(self.at, "alert", made.alert[0].who)] if made.alert else []
        return self

    @property
    def events(self) -> list[tuple[str, str]]:
        return [(event, who.split(" of ")[0]) for _, event, who in self.found]


def test_one_alert_within_two_samples_past_the_limit_and_one_end():
    """However long the holder stays; its transaction began an hour before it read."""
    day = Day().play(30).play(300, s7=0).play(60, s7=None)
    assert day.events == [("alert", "session 7"), ("ended", "session 7")]
    (at, *_), (end, *_) = day.found
    assert 30 + LIMIT_S <= at <= 30 + LIMIT_S + 2 * EVERY_S
    assert 330 < end <= 330 + 4 * EVERY_S


def test_a_holder_within_its_limit_is_no_alert():
    """Nor are many short views of one session, one after the other, however long that goes on."""
    day = Day().play(30).play(50, s7=0).play(30, s7=None)
    for _ in range(40):
        day.play(20, s7=0).play(5, s7=None)
    assert day.events == []


def test_a_new_view_at_each_sample_is_no_hold():
    """One session that is always the oldest, with a younger view each time."""
    day = Day().play(30)
    for _ in range(60):
        day.play(EVERY_S, s7=0)
    assert day.events == []


@pytest.mark.parametrize("gap", [{"lost": True}, {"idle": True}])
def test_samples_that_show_nothing_neither_end_nor_repeat_an_alert(gap):
    """A lost writer or an idle one is no evidence that the holder has ended."""
    day = Day().play(30).play(100, s7=0).play(120, **gap).play(100)
    assert day.events == [("alert", "session 7")]


def test_a_single_sample_without_the_holder_does_not_end_it():
    """The end takes three: a status may miss a session once."""
    day = Day().play(30).play(100, s7=0)
    number = day.server.views.pop(7)
    day.play(EVERY_S)
    day.server.views[7] = number
    day.play(100)
    assert day.events == [("alert", "session 7")]


def test_each_of_two_holders_is_alerted_about():
    """The second view began behind the first one: its age counts from its own start."""
    day = Day().play(30).play(40, s7=0).play(100, s8=0).play(100, s7=None).play(60, s8=None)
    assert day.events == [
        ("alert", "session 7"),
        ("alert", "session 8"),
        ("ended", "session 7"),
        ("ended", "session 8"),
    ]


def test_sessions_that_need_one_number_share_an_alert_which_ends_with_the_last():
    """Cleanup goes on only after both have ended."""
    day = Day().play(30).play(100, s7=0, s8=0).play(60, s7=None).play(60, s8=None)
    (at, event, who), (_, end, _) = day.found
    assert (event, end) == ("alert", "ended")
    assert who == "session 7 of etl on db-1 and session 8 of etl on db-1"


def test_a_session_that_comes_back_is_alerted_about_after_the_cooldown():
    """Two further holds within it are not; one that still holds when it is over is."""
    day = Day(cooldown_s=400).play(30)
    for _ in range(2):
        day.play(100, s7=0).play(20, s7=None)
    assert [event for event, _ in day.events] == ["alert", "ended"]
    day.play(400, s7=0)
    assert [event for event, _ in day.events] == ["alert", "ended", "alert"]
    assert day.found[2][0] >= day.found[0][0] + 400


def test_a_restarted_watch_continues_an_open_alert():
    """With the state on disk it neither repeats the alert nor forgets the end."""
    first = Day().play(30).play(100, s7=0)
    kept = tuple(one for one in first.state.holds if one.alerted_at)
    second = Day(State(holds=kept, alerted=first.state.alerted))
    second.server = first.server
    assert second.play(200).play(60, s7=None).events == [("ended", "session 7")]


def test_a_holder_of_before_the_watch_counts_from_its_transaction():
    """The counter had passed its number at the first sample, so the server's own start is all that is known."""
    day = Day().play(15, s7=500)
    assert day.events == [("alert", "session 7")]


def test_the_clock_of_the_server_does_not_age_a_holder():
    """A server whose clock is an hour behind reports a transaction that began an hour ago."""

    def played(ahead_s: float) -> list[Any]:
        day = Day()
        plain = day.server.sample
        day.server.sample = lambda at: Sample(  # type: ignore[method-assign]
            at,
            [
                one._replace(
                    clock_ahead_s=ahead_s,
                    transactions=[
                        each._replace(started_at=START + ahead_s) for each in one.transactions or ()
                    ],
                )
                for one in plain(at).instances
            ],
        )
        return day.play(40, s7=500).events

    assert played(-3600.0) == played(0.0) == []


def test_a_new_counter_forgets_the_old_one():
    """After a failover to a server with numbers of its own."""
    day = Day().play(30)
    day.server = replace(day.server, counter=10)
    day.play(20)
    assert [counter for _, counter in day.state.counters][0] == 60
