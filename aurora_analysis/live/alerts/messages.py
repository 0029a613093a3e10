"""The message of an alert: one sentence, its JSON, and its forms for Slack and SNS. Pure.

No message has the text of a query: a running statement is named by its digest. Every name that comes from a server is made
printable, and nothing in it acts as markup.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from aurora_analysis import engines
from aurora_analysis.engines.certainty import Certainty, certainty
from aurora_analysis.engines.live_evidence import Holder
from aurora_analysis.engines.vocabulary import Words
from aurora_analysis.live.alerts.holds import Hold, Limit, Slowdown, explanations
from aurora_analysis.live.status import PurgeStatus, Sample
from aurora_analysis.printable import json_line, printable

SUBJECT = 100
"""Longest subject that SNS accepts [characters]."""


Message = Mapping[str, Any]
"""JSON of a message. `id` is the same however often it is sent; `headline` is one line, `text` the sentences."""


def alert(cluster: str, hold: Hold, limit: Limit, status: PurgeStatus, sample: Sample) -> Message:
    """Compose the message that a hold has outlasted its limit."""
    assert status.holder is not None
    words = engines.words(status.engine_name)
    sessions = [_session(one, status.engine_name) for one in explanations(status.holder)]
    headline = f"{cluster}: {hold.who} has blocked {words.cleanup} for {_duration(status.time - hold.since)}"
    if certainty(status.holder.confidence) is Certainty.UNDECIDED:
        sessions = [one | {"end_statement": None} for one in sessions]
    ends = [
        f"To end it, on {one['instance']}: {one['end_statement']}" for one in sessions if one["end_statement"]
    ]
    sentences = [
        f"{headline}, since {_clock(hold.since)}.",
        f"The {words.backlog} {_is(words)} {_backlog(status)}.",
        _forecast(limit, hold, status.time),
        f"The limit is {_duration(limit.alert_after_s)}: {limit.basis}.",
        *(ends or ["No statement is suggested, because the session that would have to end is not certain."]),
    ]
    body = {
        "event": "holder past limit",
        "sessions": sessions,
        "minutes_held": _minutes(status.time - hold.since),
        "limit_minutes": _minutes(limit.alert_after_s),
        "limit_basis": limit.basis,
        "slowdown": _slowdown(limit, hold, status.time),
        "delay": {
            "name": words.delay,
            "transactions": sample.cleanup.metrics(sample.instances).get(words.delay_metric),
        },
    }
    return _message(cluster, hold, status, [headline, *sentences], body)


def ended(cluster: str, hold: Hold, status: PurgeStatus) -> Message:
    """Compose the message that a hold, about which an alert was sent, no longer blocks cleanup."""
    words = engines.words(status.engine_name)
    headline = f"{cluster}: {hold.who} no longer blocks {words.cleanup}"
    sentences = [
        f"{headline}, after at most {_duration(status.time - hold.since)}.",
        f"The {words.backlog} reached {hold.peak:,} and {_is(words)} {_backlog(status)}.",
    ]
    body = {"event": "holder ended", "peak": hold.peak, "minutes_held": _minutes(status.time - hold.since)}
    return _message(cluster, hold, status, [headline, *sentences], body)


def _message(
    cluster: str, hold: Hold, status: PurgeStatus, lines: Sequence[str], body: dict[str, Any]
) -> Message:
    headline, *sentences = map(printable, lines)
    words = engines.words(status.engine_name)
    common = {
        "id": f"{incident(cluster, hold)}-{body['event'].split()[-1]}",
        "incident": incident(cluster, hold),
        "time": _iso(status.time),
        "cluster": printable(cluster),
        "since": _iso(hold.since),
        "holder": printable(hold.who),
        "backlog": {
            "name": words.backlog,
            "value": status.history_list_length,
            "per_second": None if status.slope is None else round(status.slope, 1),
        },
        "headline": headline,
        "text": " ".join(sentences),
    }
    return common | body


def incident(cluster: str, hold: Hold) -> str:
    """Return a hold's id: 16 hex digits, the same in its alert and its end message, and after a restart of the watch."""
    text = "\0".join([cluster, str(hold.number), *hold.sessions])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _session(one: Holder, engine: str) -> dict[str, Any]:
    transaction = one.transaction
    digest = None
    if transaction and transaction.query:
        digest = engines.module(engine, "fingerprint").statement(transaction.query).digest
    found = {
        "instance": one.instance,
        "session": transaction.thread_id if transaction else None,
        "name": one.name or None,
        "user": transaction.user if transaction else None,
        "host": transaction.host if transaction else None,
        "program": transaction.client if transaction else None,
        "database": transaction.database if transaction else None,
        "running_digest": digest,
        "how": one.how,
        "confidence": round(one.confidence, 3),
        "end_statement": one.kill,
    }
    return {name: printable(value) if isinstance(value, str) else value for name, value in found.items()}


def _forecast(limit: Limit, hold: Hold, now: float) -> str:
    found = limit.slowdown
    if found is None:
        return "When the writer becomes slower is not known."
    left = _left(found, hold, now)
    slower = f"{found.percent:g} % slower"
    if math.isinf(left.after_s):
        return f"The writer is not predicted to become {slower} within the times that were recorded."
    if left.after_s == 0:
        return f"The writer is predicted to be {slower} by now."
    most = "never" if math.isinf(left.high_s) else _duration(left.high_s)
    return (
        f"The writer is predicted to be {slower} in {_duration(left.after_s)} (95 % prediction interval "
        f"{_duration(left.low_s)} to {most})."
    )


def _left(found: Slowdown, hold: Hold, now: float) -> Slowdown:
    after, low, high = (max(0.0, hold.since + one - now) for one in found[1:])
    return Slowdown(found.percent, after, low, high)


def _slowdown(limit: Limit, hold: Hold, now: float) -> dict[str, Any] | None:
    if limit.slowdown is None:
        return None
    left = _left(limit.slowdown, hold, now)
    return {
        "percent": left.percent,
        "minutes_until": _minutes(left.after_s),
        "low": _minutes(left.low_s),
        "high": _minutes(left.high_s),
    }


def _minutes(seconds: float) -> float | None:
    return None if math.isinf(seconds) else round(seconds / 60, 1)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:,.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _is(words: Words) -> str:
    return "are" if words.backlog.endswith("s") else "is"


def _backlog(status: PurgeStatus) -> str:
    if status.history_list_length is None:
        return "unknown"
    slope = "" if status.slope is None else f" ({status.slope:+,.1f}/s)"
    return f"{status.history_list_length:,}{slope}"


def _clock(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


# Forms


def as_json(message: Message) -> str:
    """Return the message's JSON, one line."""
    return json_line(message)


def as_slack(message: Message) -> str:
    """Return the JSON of a Slack webhook: a block of plain text; its fallback text mentions and links nobody."""
    text = message["text"]
    for sign, harmless in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("@", "@\u2060")):
        text = text.replace(sign, harmless)
    block = {
        "type": "section",
        "text": {"type": "plain_text", "text": message["text"][:3000], "emoji": False},
    }
    return json_line({"text": text, "blocks": [block]})


def as_sns(message: Message) -> dict[str, str]:
    """Return the arguments of SNS's Publish: mail and SMS carry the text, other subscribers the JSON."""
    subject = "".join(one if " " <= one <= "~" else "?" for one in message["headline"])
    forms = {"default": as_json(message), "email": message["text"], "sms": message["headline"]}
    return {"Subject": subject[:SUBJECT], "Message": json_line(forms), "MessageStructure": "json"}
