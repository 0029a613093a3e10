"""Whether `SET timestamp` is the server's time or one that the session set itself.

`mysqlbinlog | mysql` and a restore to a point in time run statements under `SET timestamp` of another year, and the
server logs that value. A log of MySQL 5.7 and newer has a `# Time` with a zone for each entry, so that nothing depends
on it. Older servers and MariaDB write `# Time` in the server's local time, without a zone, and only if the second
changed: their `SET timestamp` may differ from that time by the zone, but not by more.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

_LOCAL = re.compile(rb"(\d\d)(\d\d)(\d\d) {1,2}(\d{1,2}):(\d\d):(\d\d)")

FURTHEST_S = 15 * 3600
"""Largest difference between a zone's time and UTC, and an hour [s]."""

QUARTER_S = 900
"""Zones differ from UTC by multiples of this [s]."""

EARLIEST_S = 946_684_800
"""2000-01-01: no server wrote a slow log with `SET timestamp` before [s since 1970]."""


class Clock:
    """The log's time so far.

    Attributes
    ----------
    logged : bytes or None
        The latest `# Time`, as written.
    recent : bytes or None
        The first five digits of the latest trusted `SET timestamp`: a span of 28 hours.
    """

    def __init__(self) -> None:
        self.logged: bytes | None = None
        self.recent: bytes | None = None
        self._zone_s: int | None = None

    def checked(self, timestamp: bytes, query_time: bytes) -> bytes | None:
        """Return the entry's `SET timestamp`, or the time of `# Time` if the session set it; None if unknown."""
        at = int(timestamp)
        local = _local(self.logged)
        if local is None:
            if at < EARLIEST_S:
                return None
        elif abs(at - local) <= FURTHEST_S + float(query_time):
            self._zone_s = round((at - local) / QUARTER_S) * QUARTER_S
        else:
            return None if self._zone_s is None else b"%d" % (local + self._zone_s)
        self.recent = timestamp[:5]
        return timestamp


def _local(time: bytes | None) -> int | None:
    """Return a `# Time` without a zone, as if it were UTC [s since 1970]; None if it has another form."""
    found = _LOCAL.fullmatch(time) if time is not None else None
    if found is None:
        return None
    year, month, day, hour, minute, second = map(int, found.groups())
    try:
        return int(datetime(2000 + year, month, day, hour, minute, second, tzinfo=UTC).timestamp())
    except ValueError:
        return None
