"""When executions ended in logs whose `SET timestamp` is at times the session's own, by both scanners."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from aurora_analysis.engines import compiled
from aurora_analysis.engines.log_events import Account
from aurora_analysis.sources import log_files, profile
from aurora_analysis.store import Store

AT = 1795920620
"""2026-11-29 02:50:20 UTC."""
TIME = "261129  2:50:20"


def entry(timestamp: int, time: str | None = None, *, is_mariadb: bool = True) -> str:
    """An entry of MariaDB or MySQL 5.6, whose `# Time` has no zone and is written only if the second changed."""
    head = (f"# Time: {time}\n" if time else "") + "# User@Host: app[app] @ localhost []\n"
    head += "# Thread_id: 4  Schema: shop  QC_hit: No\n" * is_mariadb
    figures = "# Query_time: 0.500000  Lock_time: 0.0 Rows_sent: 1  Rows_examined: 1\n"
    return f"{head}{figures}SET timestamp={timestamp};\nselect 1;\n"


def ends(log: str, path) -> list[int | None]:
    """When each execution was logged, in seconds after `AT`; the same by C and by Python alone."""
    path.write_text(log)
    found = []
    for is_pure in ("0", "1"):
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv(compiled.PURE, is_pure)
            compiled.library.cache_clear()
            lines: list[str] = []
            profile.write_lines([str(path)], Account(), lines.extend)
            found.append([json.loads(line)["ended_at"] for line in lines])
    compiled.library.cache_clear()
    assert found[0] == found[1]
    moments = [None if each is None else datetime.fromisoformat(each) for each in found[0]]
    return [None if each is None else int(each.timestamp()) - AT for each in moments]


@pytest.mark.parametrize(
    "own", [0, 1000, AT - 5 * 31536000, AT - 20 * 3600, AT - 3 * 3600, AT - 1800, AT + 315360000, 4294967295]
)
@pytest.mark.parametrize("is_mariadb", [True, False])
def test_the_time_of_the_log_replaces_the_sessions_own(own, is_mariadb, tmp_path):
    """A replay of minutes, hours or years ago, and one ahead; before and after it the log's times stay right."""
    parts = [
        entry(AT, TIME),
        entry(own),
        entry(AT + 2, "261129  2:50:22"),
        entry(own + 1, "261129  2:50:23"),
        entry(AT + 9, "261129  2:50:29"),
    ]
    log = (
        "".join(parts)
        if is_mariadb
        else "".join(parts).replace("# Thread_id: 4  Schema: shop  QC_hit: No\n", "")
    )
    assert ends(log, tmp_path / "slow.log") == [0, 0, 2, 3, 9]


@pytest.mark.parametrize("zone_h", [-9.5, -3, 0, 5.75, 14])
def test_a_servers_zone_is_learned(zone_h, tmp_path):
    """`# Time` is local: whatever the zone, a session's own timestamp is told from the server's."""
    moments = (datetime.fromtimestamp(AT + n + zone_h * 3600, UTC) for n in (0, 5, 7))
    first, second, third = (f"{each:%y%m%d %H:%M:%S}" for each in moments)
    log = entry(AT, first) + entry(AT - 7000, second) + entry(AT + 7, third)
    assert ends(log, tmp_path / "slow.log") == [0, 5, 7]


def test_summer_time_moves_the_zone(tmp_path):
    """At the end of summer time the local clock goes back by an hour, and the log's times go on."""
    log = entry(AT, TIME) + entry(AT + 60, "261129  1:51:20") + entry(AT + 61, "261129  1:51:21")
    log += entry(AT + 3600, "261129  3:50:20")
    assert ends(log, tmp_path / "slow.log") == [0, 60, 61, 3600]


def test_entries_that_lost_their_time_keep_their_timestamp(tmp_path):
    """A filter removed the entries between, with their `# Time`."""
    assert ends(entry(AT, TIME) + entry(AT + 700) + entry(AT + 7000), tmp_path / "slow.log") == [0, 700, 7000]


@pytest.mark.parametrize("own", [1000, AT - 12345, 2**31 - 1])
def test_a_first_entry_under_a_sessions_own_time_is_untimed_and_counted(own, tmp_path):
    """The zone is not known yet: the store leaves the execution out, and the line names the reason."""
    log, path = entry(own, TIME) + entry(AT + 1, "261129  2:50:21"), tmp_path / "slow.log"
    assert ends(log, path) == [None, 1]
    account = log_files.ingest(log_files.Target(str(tmp_path / "store"), "m", "i"), str(path))
    assert "1 left out, whose time the log does not give" in str(account)
    (row,) = Store(tmp_path / "store").read("coverage", cluster="m").to_dict("records")
    assert str(row["time"])[:16] == "2026-11-29 02:50"


@pytest.mark.parametrize("year", ["1970", "0000", "2199"])
def test_an_impossible_year_of_a_zoned_time_is_not_covered(year, tmp_path):
    """A server without a clock: `SET timestamp` counts, and the years since are not marked as covered."""
    log = entry(AT, "2026-11-29T02:50:20.000000Z", is_mariadb=False)
    log += entry(AT + 1, f"{year}-01-01T00:00:00.000000Z", is_mariadb=False)
    assert ends(log, tmp_path / "slow.log") == [0, 1]
