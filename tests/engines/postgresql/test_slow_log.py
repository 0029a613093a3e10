"""PostgreSQL's log: forms, joins by process, reports of vacuum, events, damage and hostile input."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from aurora_analysis import engines
from aurora_analysis.engines.log_events import Account, Entry, Logged, ServerEvent, Vacuum
from aurora_analysis.engines.log_tables import Layout
from aurora_analysis.engines.postgresql import slow_log
from aurora_analysis.engines.postgresql.slow_log import prefix, records, sessions
from aurora_analysis.engines.sql_mode import SqlMode
from aurora_analysis.errors import Error
from aurora_analysis.sources import log_files

GALLERY = sorted((Path(__file__).parent.parent.parent / "postgresql_logs").glob("*.log"))
RDS = "2026-11-23 10:00:0{second} UTC:10.0.0.1(4711):{user}@{database}:[{pid}]:"


def line(text: str, *, second: int = 0, pid: int = 7, user: str = "bi", database: str = "app") -> bytes:
    """A line with RDS's prefix."""
    start = RDS.format(second=second, pid=pid, user=user, database=database)
    return f"{start}{text}\n".encode()


def read(text: bytes, size: int = 10**9, mode: SqlMode | None = None) -> tuple[list[Logged], Account]:
    """What a log holds that comes in chunks of this size, and its account."""
    account = Account()
    chunks = (text[at : at + size] for at in range(0, len(text), size))
    return list(slow_log.logged(chunks, account, mode or SqlMode())), account


def executed(text: bytes) -> list[tuple[bytes, float]]:
    """Text and duration of each execution."""
    return [(one.sql, float(one.query_time)) for one in read(text)[0] if isinstance(one, Entry)]


@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
def test_every_form_of_the_log_tells_the_same(path):
    """One workload, logged in eight ways by a real server: 22 durations are 16 executions, and the events are the same."""
    found, account = read(path.read_bytes())
    assert account.is_whole
    messages = [one.message.split(",")[0] for one in found if isinstance(one, ServerEvent)]
    assert [message.split(" on relation")[0] for message in messages] == [
        "canceling statement due to statement timeout",
        *(f"process {pid} {waits} AccessShareLock" for pid, waits in _waits(messages)),
    ]
    queue = next(one for one in found if isinstance(one, Vacuum) and one.table == "public.queue")
    assert (queue.database, queue.removed, queue.dead_not_removable) == ("postgres", 34, 0)
    executions = [one for one in found if isinstance(one, Entry)]
    assert len(executions) == (11 if path.stem == "auto_explain" else 16)
    assert all(b"$x$2026-11-23" in one.sql for one in executions if b"planted" in one.sql)
    assert sum(one.sql.startswith(b"SELECT count(*) FROM queue WHERE id = $1") for one in executions) == 3


def _waits(messages: list[str]) -> list[tuple[str, str]]:
    pid = messages[1].split()[1]
    return [(pid, "still waiting for"), (pid, "acquired")]


@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
def test_no_literal_of_the_gallery_reaches_a_table(path):
    """Neither a string nor a parameter: `DETAIL: parameters` is dropped."""
    account = Account()
    shown = ""
    for tables in slow_log.read_slow_log([path.read_bytes()], Layout("db-1"), account=account):
        shown += "".join(
            frame.to_csv()
            for frame in (tables.slow_queries, tables.statements, tables.vacuums, tables.events)
        )
    assert len(shown) > 1000
    assert not [literal for literal in ("secret", "planted", "it''s", "a note", "99.0") if literal in shown]


PREFIXES = {
    "%t:%r:%u@%d:[%p]:": "2026-11-23 10:00:00 UTC:10.0.0.1(33):bi@app:[7]:",
    "%m:%r:%u@%d:[%p]:%l:%e:%s:%v:%x:%c:%q%a": "2026-11-23 10:00:00.000 UTC:[local]:bi@app:[7]:1:00000:2026-11-23 09:00:00 UTC:3/0:0:6b0.1ceb:etl job",
    "%m [%p] ": "2026-11-23 10:00:00.000 UTC [7] ",
    "%m [%p] %q%u@%d ": "2026-11-23 10:00:00.000 UTC [7] bi@app ",
    "%t [%p]: [%l-1] user=%u,db=%d,app=%a,client=%h ": "2026-11-23 10:00:00 UTC [7]: [3-1] user=bi,db=app,app=etl job,client=10.0.0.1 ",
    "%m [%p]: [%l-%x] %quser=%u,db=%d,xid=%x ": "2026-11-23 10:00:00.000 UTC [7]: [3-1] user=bi,db=app,xid=0 ",
    "%m [%p] %q[user=%u,db=%d,app=%a] ": "2026-11-23 10:00:00.000 UTC [7] [user=bi,db=app,app=etl job] ",
    "%n [%p] [queryid=%Q] %q%u@%d ": "1795428000.000 [7] [queryid=-12345678901] bi@app ",
}  # fmt: skip


@pytest.mark.parametrize("format_", PREFIXES)
def test_a_prefix_is_inferred(format_):
    """Also one that no list has, if its parts are unambiguous; each gives time, process and what it names."""
    text = "".join(
        f"{PREFIXES[format_]}LOG:  duration: {n}.000 ms  statement: SELECT {n}\n" for n in range(1, 4)
    ).encode()
    assert prefix.inferred(text) == format_
    (first, *_), account = read(text)
    assert account.is_whole and account.events == 3
    assert slow_log.ended(first, False)[0] == 1_795_428_000_000_000
    assert first.thread_id == b"7"
    names = {"%u": (first.user, b"bi"), "%d": (first.database, b"app"), "%a": (first.more, b"etl job")}
    assert [found for part, (found, name) in names.items() if part in format_ and found != name] == []


def test_names_of_a_session_that_is_not_authorized_yet():
    """They are written as [unknown], whose brackets may be those of the prefix."""
    text = "2026-11-23 10:00:00.000 UTC [7] [user=[unknown],db=[unknown],app=[unknown]] LOG:  connection received: host=[local]\n"
    assert prefix.inferred(text.encode()) == "%m [%p] %q[user=%u,db=%d,app=%a] "
    assert read(text.encode())[1].is_whole


def test_names_may_be_unusual():
    """Addresses as user names, and names with the characters of the prefix."""
    for user, database in (("me@corp.example", "app"), ("a:b", "app"), ("bi", "my db"), ("svc-1", "d:[1]:x")):
        text = line("LOG:  duration: 1.0 ms  statement: SELECT 1", user=user, database=database)
        (*_, one, _), account = read(PLAIN * 3 + text + PLAIN)
        assert (one.user.decode(), one.database.decode(), account.lost) == (user, database, 0)


def test_only_execute_counts():
    """parse, bind and execute of a statement are three durations; a cursor's fetch is an execution."""
    text = b"".join(
        line(f"LOG:  duration: {ms} ms  {step}: SELECT $1") + line("DETAIL:  parameters: $1 = 'secret'")
        for ms, step in (
            ("1.0", "parse s1"),
            ("2.0", "bind s1/c1"),
            ("4.0", "execute s1/c1"),
            ("8.0", "execute fetch from s1/c1"),
        )
    )
    assert executed(text) == [(b"SELECT $1", 0.004), (b"SELECT $1", 0.008)]


def test_a_statement_and_its_later_duration_are_one():
    """log_statement writes the text first; other processes' lines stand between, and a process id may come again."""
    text = (
        line("LOG:  statement: SELECT 1", pid=7)
        + line("LOG:  execute s1: SELECT $1", pid=8)
        + line("DETAIL:  parameters: $1 = 'x'", pid=8)
        + line("LOG:  duration: 5.000 ms", pid=7)
        + line("LOG:  duration: 6.000 ms", pid=8)
        + line("LOG:  duration: 7.000 ms", pid=8)
        + line("LOG:  statement: SELECT 2", pid=9)
        + line("ERROR:  division by zero", pid=9)
        + line("LOG:  duration: 8.000 ms", pid=9)
        + line("LOG:  statement: SELECT 3", pid=9, user="bi")
        + line("LOG:  duration: 9.000 ms", pid=9, user="etl")
    )  # fmt: skip
    assert executed(text) == [(b"SELECT 1", 0.005), (b"SELECT $1", 0.006)]
    assert read(text)[1].without_text == 3


PLANS = {
    "text": 'Query Text: SELECT a\n\tFROM t WHERE b = \'x\'\n\tSeq Scan on t  (cost=0.00..1.05 rows=1 width=4)\n\t  Filter: (b = \'x\'::text)',
    "json": '{\n\t  "Query Text": "SELECT a\\nFROM t WHERE b = \'x\'",\n\t  "Plan": {}\n\t}',
    "xml": "<explain>\n\t<Query-Text>SELECT a\n\tFROM t WHERE b = &apos;x&apos;</Query-Text>\n\t</explain>",
    "yaml": 'Query Text: "SELECT a\\nFROM t WHERE b = \'x\'"\n\tPlan: \n\t  Node Type: "Seq Scan"',
}  # fmt: skip


@pytest.mark.parametrize("form", PLANS)
def test_a_plan_is_an_execution_unless_its_duration_follows(form):
    """auto_explain in each of its formats."""
    plan = line(f"LOG:  duration: 5.000 ms  plan:\n\t{PLANS[form]}")
    sql = b"SELECT a\nFROM t WHERE b = 'x'"
    assert executed(plan) == [(sql, 0.005)]
    assert executed(plan + line("LOG:  duration: 5.100 ms  statement: SELECT 1")) == [(b"SELECT 1", 0.0051)]
    assert executed(plan + line("LOG:  duration: 1.000 ms  statement: SELECT 1")) == [
        (sql, 0.005),
        (b"SELECT 1", 0.001),
    ]


REPORT = """LOG:  automatic vacuum of table "app.public.queue": index scans: 0
\tpages: 0 removed, 5 remain, 5 scanned (100.00% of total)
\ttuples: 3 removed, 9 remain, 1200 are dead but not yet removable{old}{new}
\tsystem usage: CPU: user: 0.00 s, system: 0.00 s, elapsed: 2.50 s"""


def test_the_cutoff_of_a_vacuum_is_of_its_start():
    """The report is written at the end; the next transaction id may pass 2**32. Versions to 14 give no age."""
    new = line(
        REPORT.format(
            old="", new="\n\tremovable cutoff: 4294967000, which was 1000 XIDs old when operation ended"
        ),
        second=9,
    )
    old = line(REPORT.format(old=", oldest xmin: 77", new=""))
    (first, second), account = read(new + old)
    assert account.is_whole
    assert (first.database, first.table, first.removed, first.dead_not_removable) == (
        "app",
        "public.queue",
        3,
        1200,
    )
    assert (first.cutoff, first.next_xid, first.next_xid > 2**32) == (4294967000, 4294968000, True)
    assert (first.time_us - first.started_at, first.elapsed_s) == (2_500_000, 2.5)
    assert (second.cutoff, second.next_xid) == (77, None)
    _, account = read(line(REPORT.format(old="", new="").rpartition("\n")[0]))
    assert account.lost == 1


EVENTS = {
    "LOG:  process 7 still waiting for ShareLock on transaction 99 after 1000.1 ms": "lock wait",
    "LOG:  process 7 acquired ShareLock on transaction 99 after 2000.1 ms": "lock wait",
    "ERROR:  deadlock detected": "deadlock",
    "FATAL:  terminating connection due to conflict with recovery": "recovery conflict",
    "ERROR:  canceling statement due to conflict with recovery": "recovery conflict",
    "LOG:  recovery still waiting after 1000.108 ms: recovery conflict on lock": "recovery conflict",
    "ERROR:  canceling statement due to statement timeout": "timeout",
    "FATAL:  terminating connection due to idle-in-transaction timeout": "timeout",
    "ERROR:  canceling statement due to user request": "cancellation",
    'LOG:  parameter "log_min_duration_statement" changed to "100"': "configuration change",
}


@pytest.mark.parametrize("text", EVENTS)
def test_events_keep_who_and_which_statement_but_no_literal(text):
    """Details come from the lines of the same process, whatever stands between; a statement is named by its digest."""
    log = (
        line(text, pid=7)
        + line("ERROR:  duplicate key value violates unique constraint", pid=8)
        + line("DETAIL:  User query might have needed to see row versions that must be removed.", pid=7)
        + line("DETAIL:  Key (mail)=(secret@x.example) already exists.", pid=8)
        + line("STATEMENT:  SELECT 'secret'", pid=7)
    )  # fmt: skip
    (event,), account = read(log)
    assert account.is_whole
    assert event.category == EVENTS[text]
    assert event.message.startswith(text.split("  ", 1)[1])
    assert "row versions that must be removed, process 7, user bi, database app" in event.message
    assert event.message.endswith(engines.module("postgresql", "fingerprint").statement("SELECT 'x'").digest)
    assert "secret" not in event.message


def _exported(text: bytes) -> list[bytes]:
    """The same log in each envelope, with events of whole entries and of single lines."""
    lines = text.splitlines()
    entries = text.rstrip(b"\n").replace(b"\n2026", b"\x002026").split(b"\x00")
    messages = [[each.decode() for each in pieces] for pieces in (entries, lines)]
    return [
        b"".join(b"2026-11-29T14:10:31.123Z " + each + b"\n" for each in entries),
        b"".join(b"2026-11-29T14:10:31.%03dZ %s\n" % (n % 1000, each) for n, each in enumerate(lines)),
        b"".join(b"2026-11-29T14:10:31.1+00:00 ledger-1.0 " + each + b"\n" for each in lines),
        b"".join(b"db-1  | " + each + b"\n" for each in lines),
        *(
            json.dumps({"events": [{"timestamp": 1, "message": one} for one in each]}).encode()
            for each in messages
        ),
        json.dumps({"LogFileData": text.decode(), "AdditionalDataPending": False}).encode(),
        b"\xef\xbb\xbf" + text,
        text.decode().encode("utf-16"),
        gzip.compress(text),
    ]


@pytest.mark.parametrize("number", range(10))
def test_an_envelope_of_aws_or_docker_is_taken_off(number, tmp_path):
    """Exports to S3, `aws logs tail`, filter-log-events, download-db-log-file-portion, and what Windows makes of a file."""
    text = next(path for path in GALLERY if path.stem == "rds_seconds").read_bytes()
    path = tmp_path / "log"
    path.write_bytes(_exported(text)[number])
    found, chunks = log_files.recognised(log_files.chunks(str(path)))
    assert found == "postgresql"
    assert read(b"".join(chunks))[0] == read(text)[0]


def test_processes_that_wait_for_ever_take_bounded_memory():
    """Texts without a duration, plans and events of ever new processes: the oldest are given up, and counted."""
    large = "x" * 100_000
    found, account = read(b"".join(line(f"LOG:  statement: SELECT '{large}'", pid=pid) for pid in range(300)))
    assert found == [] and 150 < account.lost < 300
    plan = f"LOG:  duration: 5.000 ms  plan:\n\tQuery Text: SELECT '{large}'\n\tResult  (cost=0.00..0.01 rows=1 width=4)"
    found, account = read(b"".join(line(plan, pid=pid) for pid in range(300)))
    assert (len(found), account.events, account.lost) == (300, 300, 0)
    waits = b"".join(
        line("ERROR:  canceling statement due to statement timeout", pid=pid)
        for pid in range(sessions.MOST + 10)
    )
    sessions_ = sessions.Sessions(Account())
    held = [len(sessions_._waiting) for _ in sessions_.read(slow_log.reading._of_form([waits], Account()))]
    assert len(held) == sessions.MOST + 10 and max(held) <= sessions.MOST


# Damage and hostile input

PLAIN = line("LOG:  duration: 1.0 ms  statement: SELECT 1")


def test_a_file_that_begins_in_the_middle_of_an_entry():
    """Its first lines belong to an entry that is lost."""
    entries, account = read(b"\tFROM t WHERE a = 'secret'\n\tAND b\n" + PLAIN * 2)
    assert (len(entries), account.lost, account.lost_bytes) == (2, 1, 34)


def test_two_prefixes_in_one_file():
    """log_line_prefix may change when the server reloads its configuration, and change back."""
    other = b"2026-11-23 10:00:05.000 UTC [7] bi@app LOG:  duration: 2.0 ms  statement: SELECT 2\n"
    entries, account = read(PLAIN * 3 + other * 3 + PLAIN * 3)
    assert [float(one.query_time) for one in entries] == [0.001] * 3 + [0.002] * 3 + [0.001] * 3
    assert account.is_whole and {one.database for one in entries} == {b"app"}


def test_line_ends_and_nul_bytes():
    """CRLF, and a hole that a crash left."""
    sql = b"SELECT a\r\n\tFROM t"
    crlf = line("LOG:  duration: 1.0 ms  statement: " + sql.decode()).replace(b"\n\t", b"\n\t")[:-1] + b"\r\n"
    entries, account = read(crlf * 3)
    assert account.is_whole and {one.sql for one in entries} == {b"SELECT a\nFROM t"}
    entries, account = read(PLAIN + b"\x00" * 100 + PLAIN)
    assert (len(entries), account.lost_bytes) == (2, 100)


@pytest.mark.parametrize("form", ["text", "csvlog", "jsonlog"])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_size_of_chunks_does_not_matter(form, size):
    """A chunk may end anywhere, in each form."""
    name = {"text": "debian"}.get(form, form)
    text = next(path for path in GALLERY if path.stem == name).read_bytes()
    assert read(text, size) == read(text)


def test_a_record_that_is_too_long_is_cut():
    """A plan of megabytes is read as a whole; of a longer text the first MiB is kept, and the rest is counted."""
    numbers = (" 9," * 20 + "\n\t") * 2**15
    plan = line(f'LOG:  duration: 5.000 ms  plan:\n\t{{ "Query Text": "SELECT 1", "Plan": [{numbers} 9] }}')
    assert executed(PLAIN + plan + PLAIN)[1:2] == [(b"SELECT 1", 0.005)]
    long = line("LOG:  duration: 5.000 ms  statement: SELECT 'x" + ("y" * 60 + "\n\t") * 2**18 + "'")
    entries, account = read(PLAIN + long + PLAIN, 2**18)
    assert [len(one.sql) > 2**19 for one in entries] == [False, True, False]
    assert account.cut == 1 and account.lost_bytes == len(long) - records.KEPT
    assert entries[1].cut


def test_a_marker_of_rds_cuts_a_statement():
    """What RDS's file API writes in place of the rest of a line."""
    marked = PLAIN[:-1] + b" 'secr [Your log message was truncated]\n"
    (event,), account = _events(marked)
    assert (event.cut, account.cut, event.statement.fingerprint) == (True, 1, "select ? ?")


def _events(text: bytes):
    account = Account()
    return list(slow_log.events(slow_log.entries([text], account))), account


def test_a_damaged_row_of_csv_loses_itself_only():
    """A quote that is missing, a row cut in half, and text that looks like a row inside of a statement."""
    text = next(path for path in GALLERY if path.stem == "csvlog").read_bytes()
    rows = text.splitlines(keepends=True)
    at = next(n for n, row in enumerate(rows) if b"CREATE TABLE" in row)
    whole, _ = read(text)
    for broken in (rows[at].replace(b'"duration', b"duration"), rows[at][:40] + b"\n", b"garbage\n"):
        found, account = read(b"".join([*rows[:at], broken, *rows[at + 1 :]]))
        assert (len(found), account.lost) == (len(whole) - 1, 1), broken
        assert 0 < account.lost_bytes <= len(broken) + 1


def test_other_languages_are_refused_with_their_reason():
    """lc_messages other than English: neither severities nor durations are recognised, and the refusal says so."""
    for text in ("FEHLER:  Division durch Null", "LOG:  Dauer: 5.000 ms  Anweisung: SELECT 'secret'"):
        found, account = read(line(text) * 3)
        assert (found, account.unknown, account.lost) == ([], 3, 3)
        assert "lc_messages" in slow_log.refusal(account, "a.log")


def test_a_slow_log_of_mysql_in_the_same_file_is_refused():
    """The refusal names what it found."""
    with pytest.raises(Error, match="also has entries of a slow log of the mysql family"):
        read(PLAIN + b"# Time: 2026-11-23T10:00:00.000000Z\n# User@Host: a[a] @ h []\n")


def test_the_engine_is_recognised_although_a_statement_quotes_the_other_log():
    """The first line decides."""
    quoted = line("LOG:  duration: 1.0 ms  statement: SELECT '\n# Time: 2026-11-23T10:00:00.000000Z\n'")
    assert engines.of_log(quoted) == "postgresql"
    assert (
        engines.of_log(b"# Time: 2026-11-23T10:00:00.000000Z\n# User@Host: a[a] @ h []\n" + PLAIN) == "mysql"
    )


def test_an_abbreviation_of_a_zone_is_not_an_offset():
    """CET needs log_timezone, which also tells the hour that comes twice; a number is an offset; UTC is exact."""

    def ends(time: str, zone: str = "") -> int | None:
        (one,), _ = read(
            PLAIN.replace(b"2026-11-23 10:00:00 UTC", time.encode()), mode=SqlMode(log_timezone=zone)
        )
        return slow_log.ended(one, False)[0]

    at = 1_795_428_000_000_000
    assert ends("2026-11-23 11:00:00 CET") is None
    assert ends("2026-11-23 11:00:00 CET", "Europe/Berlin") == at
    assert ends("2026-11-23 11:00:00 CST", "Europe/Berlin") is None
    assert ends("2026-11-23 07:00:00 -03") == at
    assert ends("2026-11-23 15:30:00 +0530") == at
    twice = [ends(f"2026-10-25 02:30:00 {name}", "Europe/Berlin") for name in ("CEST", "CET")]
    assert twice[1] - twice[0] == 3_600_000_000
