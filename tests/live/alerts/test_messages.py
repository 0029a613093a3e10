"""The message names the holder, the limit, the forecast and the statement, and has no text of a query."""

from __future__ import annotations

import json
import math

import pytest
from engine_cases import CASES

from aurora_analysis.live.alerts import messages
from aurora_analysis.live.alerts.holds import Hold, Limit, Slowdown, names
from aurora_analysis.live.status import PurgeStatus, Sample

NOW = 1_800_000_000
SINCE = float(NOW - 1860)
LIMIT = Limit(1800.0, "learned from 71 recorded holds", Slowdown(10.0, 2880.0, 1860.0, 4200.0))


def status(engine, **more) -> tuple[PurgeStatus, Sample]:
    """A cluster in which session 4711 blocks cleanup and runs a statement with a secret."""
    instances = engine.blocked_by(4711)
    sample = Sample(NOW, instances)
    holder = sample.holder
    transaction = holder.transaction._replace(
        query="SELECT a FROM t WHERE b = 's3cret'", user="etl\x1b[2J", client="nightly\nall is well", **more
    )
    found = PurgeStatus(
        NOW, "blocked", 120_400, 59.71, holder._replace(transaction=transaction), SINCE, engine.names[0]
    )
    return found, sample


def composed(engine, limit: Limit = LIMIT) -> dict:
    found, sample = status(engine)
    hold = Hold(found.holder.number, ("session 4711 on db-1",), SINCE, who=names(found.holder))
    return dict(messages.alert("shop", hold, limit, found, sample))


@pytest.mark.parametrize("engine", CASES, ids=lambda case: case.name)
def test_an_alert_says_who_since_when_and_how_to_end_it(engine):
    """As fields and as sentences; the statement is that of the engine."""
    body = composed(engine)
    (session,) = body["sessions"]
    assert (session["session"], session["instance"], body["minutes_held"]) == (4711, "db-1", 31.0)
    assert (body["since"], body["limit_minutes"]) == ("2027-01-15T07:29:00Z", 30.0)
    assert body["backlog"]["value"] == 120_400 and body["delay"]["transactions"] is not None
    assert body["slowdown"] == {"percent": 10.0, "minutes_until": 17.0, "low": 0.0, "high": 39.0}
    assert "session 4711 of etl\ufffd[2J with nightly\ufffdall is well on db-1 has blocked " in body["text"]
    verb = "are" if body["backlog"]["name"] == "dead rows" else "is"
    assert f"The {body['backlog']['name']} {verb} 120,400 (+59.7/s)." in body["text"]
    assert "10 % slower in 17 min" in body["text"]
    assert "(95 % prediction interval 0 s to 39 min)" in body["text"]
    assert body["text"].endswith(f"To end it, on db-1: {session['end_statement']}")
    assert "4711" in session["end_statement"]


@pytest.mark.parametrize("engine", CASES, ids=lambda case: case.name)
def test_no_literal_and_nothing_unprintable_is_in_a_message(engine):
    """In none of the forms; the statement that runs is a digest."""
    body = composed(engine)
    forms = [messages.as_json(body), messages.as_slack(body), json.dumps(messages.as_sns(body))]
    assert all("s3cret" not in form and "\\u001b" not in form and "\x1b" not in form for form in forms)
    assert len(body["sessions"][0]["running_digest"]) == 16


@pytest.mark.parametrize(
    ("limit", "sentence"),
    [
        (Limit(60.0, "x"), "When the writer becomes slower is not known."),
        (Limit(60.0, "x", Slowdown(10.0, 600.0, 300.0, 900.0)), "is predicted to be 10 % slower by now."),
        (
            Limit(60.0, "x", Slowdown(10.0, math.inf, math.inf, math.inf)),
            "is not predicted to become 10 % slower within the times that were recorded.",
        ),
        (
            Limit(60.0, "x", Slowdown(10.0, 2460.0, 1860.0, math.inf)),
            "in 10 min (95 % prediction interval 0 s to never).",
        ),
    ],
    ids=["unknown", "by now", "beyond", "open end"],
)
def test_the_forecast_states_what_is_not_known(limit, sentence):
    """No figure is made up, and JSON has null where nothing is known."""
    body = composed(CASES[0], limit)
    assert sentence in body["text"]
    assert json.loads(messages.as_json(body))["slowdown"] is None or "Infinity" not in json.dumps(body)


def test_an_uncertain_holder_is_named_with_its_rivals_and_without_a_statement():
    """A wrong name ends an innocent session."""
    found, sample = status(CASES[0])
    rival = found.holder._replace(
        transaction=found.holder.transaction._replace(thread_id=9), kill="KILL 9;", confidence=0.4
    )
    unsure = found.holder._replace(confidence=0.6, rivals=(rival,))
    now = PurgeStatus(NOW, "blocked", 5, None, unsure, SINCE)
    hold = Hold(500, ("a",), SINCE, who=names(unsure))
    body = messages.alert("shop", hold, LIMIT, now, sample)
    assert "one of session 4711 of etl" in body["text"] and "(which one cannot be decided)" in body["text"]
    assert "KILL" not in messages.as_json(body)
    assert [one["session"] for one in body["sessions"]] == [4711, 9]


def test_the_end_states_how_long_it_lasted_and_has_its_alerts_incident():
    """With the longest backlog meanwhile."""
    found, sample = status(CASES[0])
    hold = Hold(500, ("a",), SINCE, 0, 130_000, NOW - 60.0, "session 4711 of etl on db-1")
    body = messages.ended("shop", hold, found)
    assert body["text"].startswith(
        "shop: session 4711 of etl on db-1 no longer blocks purge, after at most 31 min."
    )
    assert "reached 130,000 and is 120,400" in body["text"] and body["peak"] == 130_000
    alert = messages.alert("shop", hold, LIMIT, found, sample)
    assert alert["incident"] == body["incident"] and alert["id"] != body["id"]
