"""Decide whether `SET timestamp` is the server's time or one that the session set itself.

`mysqlbinlog | mysql` and a restore to a point in time run statements under `SET timestamp` of another time, and the
server logs that value. A log of MySQL 5.7 and newer has a `# Time` with a zone for each entry, so that nothing depends
on it. Older servers and MariaDB write `# Time` in the server's local time, without a zone, and only if the second
changed: their `SET timestamp` differs from that time by the zone. A tool may have removed entries with their `# Time`;
then the entries behind have a later `SET timestamp`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

_LOCAL = re.compile(rb"(\d\d)(\d\d)(\d\d) {1,2}(\d{1,2}):(\d\d):(\d\d)")

LONGEST_LOCAL = len("261129  12:50:20")
"""Longest text of a `# Time` without a zone [bytes]."""

FURTHEST_S = 15 * 3600
"""Largest difference between a zone's time and UTC, and an hour [s]."""

QUARTER_S = 900
"""Zones differ from UTC by multiples of this [s]."""

SUMMER_S = 3600
"""Largest change of a zone's time at the start or end of summer time [s]."""

ROUNDING_S = 1
"""Largest difference of two times of the same moment in one entry [s]."""

EARLIEST_S, LATEST_S = 946_684_800, 4_102_444_800
"""2000-01-01 and 2100-01-01: no server wrote a slow log with `SET timestamp` outside [s since 1970]."""


class Clock:
    """The log's time so far.

    Attributes
    ----------
    logged : bytes or None
        The latest `# Time`, as written.
    recent : bytes or None
        The first five digits of the latest trusted `SET timestamp`: a span of 28 hours.
    local_s : int or None
        The latest `# Time` as if it were UTC [s since 1970]; None if it has a zone.
    zone_s : int or None
        The server's time less UTC, as the log showed it [s].
    """

    def __init__(self) -> None:
        self.logged: bytes | None = None
        self.recent: bytes | None = None
        self.local_s: int | None = None
        self.zone_s: int | None = None

    def log(self, time: bytes | None) -> None:
        """Set the latest `# Time`."""
        if time != self.logged:
            self.logged = time
            self.local_s = _local(time) if time is not None and len(time) <= LONGEST_LOCAL else None

    def checked(self, timestamp: bytes, query_time: bytes, *, is_timed: bool) -> bytes | None:
        """Return the entry's `SET timestamp`, or the time of `# Time` if the session set it; None if unknown.

        `is_timed`: whether the entry has a `# Time` of its own.
        """
        at = int(timestamp)
        if self.local_s is None:
            is_servers = EARLIEST_S <= at < LATEST_S
        elif abs(at - self.local_s) > FURTHEST_S + float(query_time):
            is_servers = False
        elif self.zone_s is None:
            is_servers = self._shows_zone(at, float(query_time)) or not is_timed
        else:
            is_servers = self._agrees(at, float(query_time), self.zone_s, is_timed)
        if not is_servers:
            return (
                None if self.local_s is None or self.zone_s is None else b"%d" % (self.local_s - self.zone_s)
            )
        self.recent = timestamp[:5]
        return timestamp

    def _shows_zone(self, at: int, query_time_s: float) -> bool:
        """Learn the zone from an entry; return whether there is a zone for which it is right."""
        assert self.local_s is not None
        ahead = self.local_s - at
        zone = round(ahead / QUARTER_S) * QUARTER_S
        if abs(ahead - zone) <= ROUNDING_S:
            self.zone_s = zone
        return ahead % QUARTER_S <= query_time_s + ROUNDING_S or -ahead % QUARTER_S <= ROUNDING_S

    def _agrees(self, at: int, query_time_s: float, zone_s: int, is_timed: bool) -> bool:
        """Return whether an entry is right in the log's zone; learn the zone's new time if summer began or ended."""
        assert self.local_s is not None
        later = at - (self.local_s - zone_s)
        if -query_time_s - ROUNDING_S <= later <= ROUNDING_S:
            return True
        change = round(later / QUARTER_S) * QUARTER_S
        if is_timed and 0 < abs(change) <= SUMMER_S and abs(later - change) <= ROUNDING_S:
            self.zone_s = zone_s - change
            return True
        return not is_timed and later > 0


def _local(time: bytes) -> int | None:
    """Return a `# Time` without a zone, as if it were UTC [s since 1970]; None if it has another form."""
    found = _LOCAL.fullmatch(time)
    if found is None:
        return None
    year, month, day, hour, minute, second = map(int, found.groups())
    try:
        return int(datetime(2000 + year, month, day, hour, minute, second, tzinfo=UTC).timestamp())
    except ValueError:
        return None
