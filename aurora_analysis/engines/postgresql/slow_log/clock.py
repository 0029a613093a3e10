"""Times of a log: `%t`, `%m` and `%n` → microseconds since 1970 (UTC)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

_TIME = re.compile(rb"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(?: (\S+))?")
_EPOCH = re.compile(rb"(\d+)\.(\d{1,6})")
_OFFSET = re.compile(r"([+-])(\d\d)(?::?(\d\d))?(?::?(\d\d))?")

Moment = tuple[int | None, float | None]
"""A time [us since 1970, UTC] and its precision [s]; None if it is not known."""


@lru_cache(maxsize=4096)
def moment(text: bytes) -> Moment:
    r"""Return a time of the log. An abbreviation other than UTC and GMT is not an offset: the time is not known.

    >>> moment(b"2026-11-23 10:00:00.250 UTC")
    (1795428000250000, 0.001)
    >>> moment(b"2026-11-23 10:00:00 CET")
    (None, None)
    """
    if epoch := _EPOCH.fullmatch(text):
        return int(epoch[1]) * 1_000_000 + _micros(epoch[2]), 0.001
    found = _TIME.fullmatch(text)
    offset_s = None if found is None else _offset_s((found[3] or b"").decode("utf-8", "replace"))
    if found is None or offset_s is None:
        return None, None
    try:
        second = datetime.strptime(found[1].decode(), "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None, None
    us = (int(second.timestamp()) - offset_s) * 1_000_000
    return (us + _micros(found[2]), 0.001) if found[2] else (us, 1.0)


@lru_cache(maxsize=4096)
def in_utc(text: bytes, log_timezone: str) -> bytes:
    """Return a time of this zone as UTC; as it stands if the zone does not have its abbreviation then.

    >>> in_utc(b"2026-10-25 02:30:00 CET", "Europe/Berlin")
    b'2026-10-25 01:30:00 UTC'
    """
    found = _TIME.fullmatch(text)
    if found is None or found[3] is None:
        return text
    try:
        local = datetime.strptime(found[1].decode(), "%Y-%m-%d %H:%M:%S").replace(
            tzinfo=ZoneInfo(log_timezone)
        )
    except ValueError:
        return text
    for fold in (0, 1):
        if (local.replace(fold=fold).tzname() or "").encode() == found[3]:
            utc = f"{local.replace(fold=fold).astimezone(UTC):%Y-%m-%d %H:%M:%S}".encode()
            return utc + (b"." + found[2] if found[2] else b"") + b" UTC"
    return text


def _micros(fraction: bytes) -> int:
    return int(fraction.ljust(6, b"0"))


def _offset_s(zone: str) -> int | None:
    """Return a zone's offset from UTC [s]; None if its name is an abbreviation, which several zones share."""
    if zone in {"UTC", "GMT", "Z"}:
        return 0
    found = _OFFSET.fullmatch(zone)
    if found is None:
        return None
    hours, minutes, seconds = (int(part or 0) for part in found.groups()[1:])
    return (hours * 3600 + minutes * 60 + seconds) * (1 if found[1] == "+" else -1)
