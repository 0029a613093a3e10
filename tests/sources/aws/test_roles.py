"""The writer at each time, from events, from CloudWatch, and from RDS's present state."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pandas as pd
import pytest

from aurora_analysis import Window
from aurora_analysis.sources.aws import roles
from aurora_analysis.sources.aws.rds import Instance, Topology
from aurora_analysis.sources.aws.roles import Change

WINDOW = Window("2026-11-01", "2026-11-15")
NOW = datetime(2026, 11, 20, tzinfo=UTC)
SINCE = datetime(2026, 11, 6, tzinfo=UTC)
"""RDS remembers 14 days before now."""


def at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def writers(
    from_events: list[Change], from_cloudwatch: list[Change], now: str, window: Window = WINDOW
) -> list[tuple[int, str | None]]:
    """Return the day of each change, and the writer from then on."""
    changes = roles.writers(from_events, from_cloudwatch, Change(NOW, now), window, SINCE)
    return [(change.time.day, change.writer) for change in changes]


def test_without_a_failover_the_present_writer_always_was():
    """Without events the present writer wrote since events are kept; before that, CloudWatch's writer."""
    assert writers([], [Change(at(1), "a")], "a") == [(1, "a")]


def test_a_failover_after_the_window_is_undone():
    """b is the writer since the 18th; in the window it was CloudWatch's writer a."""
    assert writers([Change(at(18), "b")], [Change(at(1), "a")], "b") == [(1, "a")]


def test_a_failover_in_the_window_changes_the_writer():
    """CloudWatch has the writer before the failover; between start and completion there is none."""
    from_events = [Change(at(10), None), Change(at(10, 0, 1), "b")]
    assert writers(from_events, [Change(at(1), "a"), Change(at(10), "b")], "b") == [
        (1, "a"),
        (10, None),
        (10, "b"),
    ]


def test_before_the_events_cloudwatch_decides():
    """Failovers of the 2nd and the 4th are older than RDS's events."""
    seen = [Change(at(1), "a"), Change(at(2), "b"), Change(at(4), "a")]
    assert writers([], seen, "a") == [(1, "a"), (2, "b"), (4, "a")]


def test_an_unknown_writer_is_not_guessed():
    """An event shows the failover but not the writer before it."""
    assert writers([Change(at(10), "b")], [], "b") == [(1, None), (10, "b")]


def test_two_failovers_need_no_cloudwatch_in_between():
    """After a failover's event the writer is known without CloudWatch."""
    assert writers([Change(at(8), "b"), Change(at(12), "a")], [], "a")[1:] == [(8, "b"), (12, "a")]


def test_the_writer_is_found_by_its_metric():
    """In the hour of the failover both instances published it, so that hour has no writer."""
    hours = pd.to_datetime(
        ["2026-11-02T00:00Z", "2026-11-02T01:00Z", "2026-11-02T01:00Z", "2026-11-02T02:00Z"]
    )
    presence = pd.DataFrame({"time": hours, "instance": ["a", "a", "b", "b"], "writer": True})
    reader = presence.assign(writer=False, instance="c")
    seen = roles.writers_in_cloudwatch(pd.concat([presence, reader]))
    assert [(change.time.hour, change.writer) for change in seen] == [(0, "a"), (1, None), (2, "b")]


@pytest.mark.parametrize(
    ("message", "writer"),
    [
        ("Completed failover to DB instance: shop-2.", "shop-2"),
        ("Completed failover to DB instance: shop-2", "shop-2"),
        ("Started cross AZ failover to DB instance: shop-2.", None),
        ("Started same AZ failover to DB instance: shop-2.", None),
        ("Promoting previous primary again: shop-1.", "shop-1"),
    ],
)
def test_failovers_are_matched_by_the_text_of_events(message, writer):
    """The API has no event ids; the final period is optional."""
    rows = pd.DataFrame({"time": [pd.Timestamp("2026-11-10", tz="UTC")], "message": [message]})
    assert roles.failovers(rows) == [Change(at(10), writer)]


def test_other_events_are_no_failover():
    """A failed failover changes nothing."""
    message = "Cluster failover failed, check the health of your cluster instances and try again."
    assert roles.failovers(pd.DataFrame({"time": [at(10)], "message": [message]})) == []


CHANGES = [Change(at(1), "a"), Change(at(10), None), Change(at(10, 0, 1), "b")]


def test_only_the_two_writers_have_no_role_in_a_failover():
    """c was a reader throughout."""
    found = {name: roles.role_at(name, CHANGES, at(10)) for name in "abc"}
    assert found == {"a": None, "b": None, "c": "reader"}
    assert roles.role_at("b", CHANGES, at(11)) == "writer"
    assert roles.role_at("a", CHANGES, at(11)) == "reader"


def test_an_instance_has_no_role_before_its_creation():
    """c was created on the 5th: its rows begin there."""
    cluster = Topology(
        "shop", "", (), "", (Instance("c", created_at=at(5)), Instance("late", created_at=at(20)))
    )
    frame = roles.instances(cluster, CHANGES, WINDOW)
    assert frame[["time", "instance", "role"]].to_numpy().tolist() == [[pd.Timestamp(at(5)), "c", "reader"]]


def test_settings_are_those_that_were_recorded_at_the_time():
    """c had tier 15 and no endpoint until a fetch of the 8th found another tier; before the first record, that counts."""
    c = Instance("c", promotion_tier=0, custom_endpoints=("bi",), endpoints_as_writer=("bi",))
    cluster = Topology("shop", "", (), "", (c,))
    old = Topology("shop", "", (), "", (Instance("c", promotion_tier=15),))
    known = pd.concat(
        [
            roles.instances(t, CHANGES, Window(at(day), at(day, 1)))
            for t, day in ((old, 5), (old, 6), (cluster, 8))
        ]
    )
    frame = roles.with_history(roles.instances(cluster, CHANGES, WINDOW), known, ["c"], WINDOW)
    columns = ["time", "role", "promotion_tier", "custom_endpoints", "endpoints_as_writer"]
    assert frame[columns].to_numpy().tolist() == [
        [pd.Timestamp(at(1)), "reader", 15, "", ""],
        [pd.Timestamp(at(8)), "reader", 0, "bi", "bi"],
    ]


def test_settings_that_were_never_recorded_are_the_present_ones():
    """Without records, and for an instance that has left the cluster."""
    cluster = Topology("shop", "", (), "", (Instance("c", promotion_tier=3), Instance("x", gone=True)))
    plain = roles.instances(cluster, CHANGES, WINDOW)
    pd.testing.assert_frame_equal(roles.with_history(plain, plain[:0], ["c"], WINDOW), plain)
    assert pd.isna(plain.set_index("instance").loc["x", "custom_endpoints"])


def test_refused_endpoints_are_unknown_not_none():
    """An empty text says that no endpoint leads to the instance."""
    c = Topology("shop", "", (), "", (Instance("c"),))
    assert roles.instances(c, CHANGES, WINDOW)["custom_endpoints"].tolist() == [""]
    refused = roles.instances(replace(c, has_endpoints=False), CHANGES, WINDOW)
    assert refused["custom_endpoints"].isna().all()


def test_former_instances_are_found_by_their_traces():
    """The store knows x and its resource id, a log stream names y, an event names z; a is still present."""
    rows = {"time": [at(1), at(1)], "instance": ["a", "x"], "resource_id": ["db-A", "db-X"], "role": "reader"}
    known = pd.DataFrame(rows | {"pi_retention_days": 31.0, "monitoring_interval_s": None})
    events = [{"Message": "Completed failover to DB instance: z."}]
    cluster = Topology("shop", "", (), "", (Instance("a"),))
    gone = roles.former(cluster, known, events, ["a", "y"])
    assert [(each.name, each.resource_id, each.gone) for each in gone] == [
        ("x", "db-X", True),
        ("y", "", True),
        ("z", "", True),
    ]
