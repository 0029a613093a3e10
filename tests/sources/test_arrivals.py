"""Slow logs as people have them: compressed, recoded, in an envelope. Each is read like the plain log."""

from __future__ import annotations

import base64
import bz2
import csv
import gzip
import io
import json
import lzma
import re
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import pytest

from aurora_analysis.engines.log_events import Account
from aurora_analysis.engines.mysql.slow_log import pieces
from aurora_analysis.errors import Error
from aurora_analysis.sources import log_files, profile
from aurora_analysis.store import Store

ARRIVALS = Path(__file__).parent.parent / "slow_logs" / "arrivals"
SAME = [
    "01-s3-export-prefix", "03-filter-log-events-json", "05-portion-json", "06-logs-insights-csv",
    "09-utf16-powershell", "10-utf8-bom", "14-mixed-line-ends",
]  # fmt: skip


def read(path: Path | str, account: Account | None = None) -> list[dict]:
    """Return the executions of a file as `digest --format jsonl` prints them."""
    found: list[str] = []
    profile.write_lines([str(path)], account or Account(), found.extend)
    return [json.loads(line) for line in found]


def lines(found: list[dict]) -> list[str]:
    """Return time, user and fingerprint of each execution."""
    return [f"{one['ended_at']} {one['user']} {one['fingerprint']}" for one in found]


@pytest.mark.parametrize("case", [*SAME, "11-gzip-on-stdin"])
def test_every_arrival_is_read_like_the_plain_log(case, monkeypatch):
    """Times, users and fingerprints are those of the server's own log; nothing is cut or lost."""
    expected = re.findall(
        r"^(2026\S+ .*?) \{\}", (ARRIVALS / case / "expected.txt").read_text(), re.MULTILINE
    )
    (path,) = (each for each in (ARRIVALS / case).iterdir() if each.name != "expected.txt")
    account = Account()
    if case == "11-gzip-on-stdin":
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))
        path = Path("-")
    assert lines(read(path, account)) == expected
    assert account.is_whole


EVENTS = gzip.decompress((ARRIVALS / "11-gzip-on-stdin" / "slow.log.gz").read_bytes())
PLAIN = re.split(rb"(?<=;\n)(?=# Time)", EVENTS)
TEXTS = [each.decode().rstrip("\n") for each in PLAIN]


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> list[str]:
    """Contents of the plain log."""
    log = tmp_path_factory.mktemp("plain") / "slow.log"
    log.write_bytes(EVENTS)
    return lines(read(log))


def zipped(text: bytes) -> bytes:
    """A zip archive of a folder with two files: the first two entries, and the third gzipped."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        first = text.rindex(b"# Time")
        archive.writestr("logs/", b"")
        archive.writestr("logs/slow.log", text[:first].rstrip())
        archive.writestr("logs/slow.log.1.gz", gzip.compress(text[first:]))
    return file.getvalue()


def zip_of(files: dict[str, bytes]) -> bytes:
    """A zip archive of these files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def zstd(text: bytes) -> bytes:
    """The text in zstd."""
    import pyarrow

    return bytes(pyarrow.compress(text, "zstd", asbytes=True))


def subscription(texts: list[str]) -> dict:
    """The record that CloudWatch Logs sends to a subscription."""
    return {
        "messageType": "DATA_MESSAGE",
        "owner": "123456789012",
        "logGroup": "/aws/rds/cluster/shop/slowquery",
        "logStream": "shop-2",
        "subscriptionFilters": ["all"],
        "logEvents": [{"id": "3", "timestamp": 1795000000013, "message": text} for text in texts],
    }


def insights(texts: list[str], **how) -> bytes:
    """An exported result of Logs Insights as CSV."""
    file = io.StringIO()
    writer = csv.writer(file, **how)
    writer.writerow(["@timestamp", "@message", "@logStream"])
    writer.writerows(["2026-11-18 11:06:40.013", text, "shop-2"] for text in texts)
    return file.getvalue().encode()


CONTROL = {"messageType": "CONTROL_MESSAGE", "logEvents": [{"message": "CWL CONTROL MESSAGE: Checking health of destination Firehose."}]}  # fmt: skip
PACKED = base64.b64encode(gzip.compress(json.dumps(subscription(TEXTS)).encode())).decode()


def each_line(prefix: str) -> bytes:
    """Every line of the log with a prefix; `{n}` is the line's number."""
    return "".join(
        prefix.format(n=n) + line + "\n" for n, line in enumerate(EVENTS.decode().splitlines(), 1)
    ).encode()


def each_event(prefix: str, suffix: str = "\n") -> bytes:
    """Every event with a prefix and a suffix; `{n}` is the event's number."""
    return "".join(prefix.format(n=n) + text + suffix for n, text in enumerate(TEXTS)).encode()


TOKENS = "b/" + "3" * 56 + "/s\tf/" + "4" * 56 + "/s\n"
FORMS = {
    "bzip2": bz2.compress(EVENTS),
    "xz": lzma.compress(EVENTS),
    "zip": zipped(EVENTS),
    "gzip, several members": b"".join(map(gzip.compress, PLAIN)) + b"\0" * 100,
    "gzip in gzip": gzip.compress(gzip.compress(EVENTS)),
    "zstd": zstd(EVENTS),
    "UTF-16 big endian": b"\xfe\xff" + EVENTS.decode().encode("utf-16-be"),
    "UTF-16 without a mark": EVENTS.decode().encode("utf-16-le"),
    "UTF-16 of a gzipped export": gzip.compress(each_event("2026-11-18T11:06:4{n}.013Z ").decode().encode("utf-16")),
    "files with marks, joined": b"".join(b"\xef\xbb\xbf" + each for each in PLAIN),
    "CRLF, then LF": EVENTS[: EVENTS.rindex(b"# Time")].replace(b"\n", b"\r\n") + PLAIN[-1],
    "LF, then CRLF": PLAIN[0] + b"".join(PLAIN[1:]).replace(b"\n", b"\r\n"),
    "CRLF export": each_event("2026-11-18T11:06:4{n}.013Z ").replace(b"\n", b"\r\n"),
    "aws logs tail": each_event("2026-11-18T11:06:4{n}.013000+00:00 shop-2 "),
    "aws logs tail in colour": each_event("\x1b[32m2026-11-18T11:06:4{n}.013000+00:00\x1b[0m \x1b[36mshop-2\x1b[0m "),
    "aws logs tail --format short": each_event("2026-11-18T11:06:4{n} "),
    "get-log-events --output text": (TOKENS + each_event("EVENTS\t179500000001{n}\t", "\t1795000000013\n").decode()).encode(),
    "filter-log-events --output text": each_event("EVENTS\t37{n}\t1795000000013\tshop-2\t", "\t1795000000013\n") + b"SEARCHEDLOGSTREAMS\tshop-2\tTrue\n",
    "messages --output text": "\t".join(TEXTS).encode() + b"\n",
    "portion --output text": b"False\t" + EVENTS + b"\t5:123\n",
    "console copy": each_event("2026-11-18T11:06:4{n}.013Z\t"),
    "syslog": each_line("Nov 18 11:06:4{n} db-1 mysqld[77{n}]: "),
    "docker compose": each_line("db-1  | "),
    "kubectl": each_line("2026-11-18T11:06:4{n}.013Z stdout F "),
    "grep -n": each_line("{n}:"),
    "quoted in a mail": each_line("> "),
    "get-log-events": json.dumps({"events": [{"message": text, "timestamp": 1} for text in TEXTS], "nextForwardToken": "f/1"}, indent=4).encode(),
    "get-query-results": json.dumps({"results": [[{"field": "@timestamp", "value": "2026"}, {"field": "@message", "value": text}, {"field": "@ptr", "value": "x"}] for text in TEXTS]}).encode(),
    "Insights as JSON": json.dumps([{"@timestamp": "2026", "@message": text} for text in TEXTS]).encode(),
    "JSON in UTF-16": json.dumps({"events": [{"message": text} for text in TEXTS]}, ensure_ascii=False).encode("utf-16"),
    "list of messages": json.dumps([{"message": text} for text in TEXTS]).encode(),
    "portions in lines": b"\n".join(json.dumps({"LogFileData": EVENTS[at : at + 150].decode(), "Marker": "1"}).encode() for at in range(0, len(EVENTS), 150)),
    "subscription": gzip.compress(json.dumps(subscription(TEXTS)).encode()),
    "Firehose": b"".join(gzip.compress(json.dumps(each).encode()) for each in (CONTROL, subscription(TEXTS[:2]), subscription(TEXTS[2:]))),
    "Firehose, unpacked": b"".join(json.dumps(each).encode() for each in (CONTROL, subscription(TEXTS[:1]), subscription(TEXTS[1:]))),
    "Lambda": json.dumps({"awslogs": {"data": PACKED}}).encode(),
    "Kinesis": json.dumps({"Records": [{"kinesis": {"data": PACKED}}]}).encode(),
    "docker's JSON lines": b"\n".join(json.dumps({"log": line + "\n", "stream": "stderr"}).encode() for line in EVENTS.decode().splitlines()),
    "Insights CSV, quoted": insights(TEXTS, quoting=csv.QUOTE_ALL),
    "Insights CSV, semicolons": insights(TEXTS, delimiter=";"),
    "get-query-results --output text": "".join(f"RESULTS\t@timestamp\t2026-11-18 11:06:4{n}.013\nRESULTS\t@message\t{text}\nRESULTS\t@ptr\tCm0K\n" for n, text in enumerate(TEXTS)).encode() + b"STATISTICS\t0.0\t3.0\t3.0\nComplete\n",
    "CSV with a blank behind each comma": insights(TEXTS, quoting=csv.QUOTE_ALL).replace(b'","', b'", "'),
    "colours within the text": EVENTS.replace(b"SELECT", b"\x1b[1;31mSELECT\x1b[0m"),
    "Insights CSV, joined": insights(TEXTS[:1]) + insights(TEXTS[1:]),
    "Insights CSV, named by its query": insights(TEXTS).replace(b"@message", b"entry"),
    "console CSV": insights(TEXTS).replace(b"@timestamp,@message,@logStream", b"timestamp,message,stream"),
    "CSV with a mark": b"\xef\xbb\xbf" + insights(TEXTS),
    "CSV of another tool": insights(TEXTS).replace(b"@message", b"_raw"),
    "CSV without a header": insights(TEXTS).partition(b"\n")[2],
    "messages as a list": json.dumps(TEXTS, indent=2).encode(),
    "messages as JSON strings in lines": "\n".join(map(json.dumps, TEXTS)).encode(),
    "JSON of another tool": json.dumps({"data": {"result": [{"values": [["1795", text] for text in TEXTS]}]}}).encode(),
    "messages one behind the other": "".join(TEXTS).encode(),
    "messages separated by blanks": "  ".join(TEXTS).encode(),
    "UTF-16 big endian without a mark": EVENTS.decode().encode("utf-16-be"),
    "times in brackets": each_event("[2026-11-18 11:06:4{n},013] "),
    "one JSON object per line": "".join(json.dumps({"labels": {}, "line": line, "timestamp": "1"}) + "\n" for line in EVENTS.decode().splitlines()).encode(),
    "Loki, a line each": json.dumps({"data": {"result": [{"values": [["1795000000013000000", line] for line in EVENTS.decode().splitlines()]}]}}).encode(),
    "Fluentd": "".join("2026-11-18T11:06:40+00:00\tmysql.slow\t" + json.dumps({"log_line": text}) + "\n" for text in TEXTS).encode(),
    "JSON in JSON": json.dumps({"events": [{"message": json.dumps({"log": text})} for text in TEXTS]}).encode(),
    "pipes": insights(TEXTS, delimiter="|"),
    "Insights CSV, newest first": insights(TEXTS[::-1]),
    "JSON lines, newest first": "".join(json.dumps({"_raw": line}) + "\n" for line in EVENTS.decode().splitlines()[::-1]).encode(),
    "UTF-32": EVENTS.decode().encode("utf-32"),
    "two marks": b"\xef\xbb\xbf\n\xef\xbb\xbf\xef\xbb\xbf" + EVENTS,
    "lzma alone": lzma.compress(EVENTS, format=lzma.FORMAT_ALONE),
    "zlib": zlib.compress(EVENTS),
    "pzstd": b"\x50\x2a\x4d\x18\x04\0\0\0size" + zstd(EVENTS),
    "zip with hidden files": zip_of({".DS_Store": b"\0\1Bud1", "__MACOSX/._slow.log": b"\0", "slow.log": EVENTS}),
}  # fmt: skip


@pytest.mark.parametrize("size", [7, 2**20])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read_like_the_plain_log(form, size, expected, tmp_path, monkeypatch):
    """Whatever the tool, and whatever the size of the chunks."""
    monkeypatch.setattr(log_files, "CHUNK", size)
    path = tmp_path / "log"
    path.write_bytes(FORMS[form])
    account = Account()
    assert lines(read(path, account)) == expected
    assert account.is_whole, account


ENDS = {
    "messages joined by PowerShell": "".join(text + "\r\n" for text in TEXTS).encode(),
    "CRLF written in text mode": EVENTS.replace(b"\n", b"\r\r\n"),
    "blanks of a terminal": EVENTS.replace(b"\n", b"  \n"),
    "zero bytes at the end": EVENTS + bytes(5000),
    "zero bytes in the middle": PLAIN[0] + bytes(5000) + b"".join(PLAIN[1:]),
    "zero bytes at the start": bytes(5000) + EVENTS,
    "zero bytes at the start of a part": b"\n" + bytes(5000) + b"\n" + EVENTS,
    "marks of joined files": b"\xef\xbb\xbf".join(PLAIN),
    "blank lines": EVENTS.replace(b";\n#", b";\n\n\f\n#"),
}


@pytest.mark.parametrize("ends", ENDS)
def test_what_stands_between_entries_belongs_to_none(ends, expected, tmp_path, monkeypatch):
    """Each entry ends at its semicolon, and the next one keeps its time."""
    path = tmp_path / "log"
    path.write_bytes(ENDS[ends])
    account = Account()
    assert lines(read(path, account)) == expected
    assert account.is_whole, account


WIDE = ["select * from orders where id = ?", "select count(*) from orders where note = ?"]


@pytest.mark.parametrize("size", [7, 2**20])
@pytest.mark.parametrize(
    ("lost", "last", "is_cut"),
    [(1, "update orders set note = ? where id = ?", None), (61, "update order", True), (101, "", True)],
)
def test_a_wide_text_is_read_up_to_a_cut_within_a_character(lost, last, is_cut, size, tmp_path, monkeypatch):
    """Half a character is lost and counted; it changes no fingerprint, and an entry up to its semicolon is whole."""
    monkeypatch.setattr(log_files, "CHUNK", size)
    path = tmp_path / "log"
    path.write_bytes(EVENTS.decode().encode("utf-16")[:-lost])
    account = Account()
    found = [(one["fingerprint"], one.get("cut")) for one in read(path, account)]
    assert found == [*((text, None) for text in WIDE), (last, is_cut)]
    assert account.lost_bytes >= 1


@pytest.mark.parametrize("before", [b"", PLAIN[0]])
def test_any_number_of_zero_bytes_is_no_loss(before, tmp_path, monkeypatch):
    """A truncated file may begin with more of them than a statement is long."""
    monkeypatch.setattr(pieces, "LONGEST_TEXT", 10_000)
    monkeypatch.setattr(log_files, "CHUNK", 4000)
    path = tmp_path / "log"
    path.write_bytes(before + bytes(50_000) + PLAIN[1])
    account = Account()
    assert [one["user"] for one in read(path, account)] == ["app"] * bool(before) + ["bi"]
    assert account.is_whole, account


@pytest.mark.parametrize("size", [7, 2**20])
@pytest.mark.parametrize("before", [b"", PLAIN[0]])
def test_a_header_behind_zero_bytes_begins_its_entry(before, size, tmp_path, monkeypatch):
    """Older servers write no `# Time` for an entry of the same second: nothing else separates it from the zero bytes."""
    monkeypatch.setattr(log_files, "CHUNK", size)
    path = tmp_path / "log"
    path.write_bytes(before + bytes(50) + PLAIN[1][PLAIN[1].index(b"# User@Host: ") :] + PLAIN[2])
    account = Account()
    found = [one["user"] for one in read(path, account)]
    assert (found, account.is_whole) == (["app"] * bool(before) + ["bi", "app"], True)


def test_the_time_behind_a_cut_text_is_the_next_entrys(tmp_path):
    """An event that was cut ends without a line end."""
    path = tmp_path / "log"
    path.write_bytes(PLAIN[0].removesuffix(b" = 1;\n") + b" = 'secret" + b"".join(PLAIN[1:]))
    account = Account()
    found = read(path, account)
    assert [one["ended_at"][17:26] for one in found] == ["40.013324", "41.013324", "42.013324"]
    assert (account.cut, found[0]["fingerprint"]) == (1, "select * from orders where id = ?")


def test_a_csv_without_quotation_marks_is_read_by_its_prefix(tmp_path, expected):
    """Its line of names is counted as unread."""
    path = tmp_path / "log"
    path.write_text(
        "@timestamp,@message\n"
        + "".join(f"2026-11-18 11:06:4{n}.013,{text}\n" for n, text in enumerate(TEXTS))
    )
    account = Account()
    assert lines(read(path, account)) == expected
    assert (account.cut, account.lost_bytes) == (0, len("@timestamp,@message"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (PLAIN[0] + EVENTS.decode().encode("utf-16-le"), "is UTF-8 first and UTF-16 at byte 303"),
        (EVENTS.decode().encode("utf-16") + PLAIN[0], "is UTF-16 first and UTF-8 at byte"),
        (
            EVENTS.decode().encode("utf-16")[:-1] + EVENTS.decode().encode("utf-16"),
            "lacks a byte, .* before byte 1,",
        ),
        (b"\xff\xfe" + bytes(400) + EVENTS, "is UTF-16 first and UTF-8 at byte 4"),
        (b"\xff\xfe" + bytes(400), "has nothing but zero bytes"),
        (bytes(400), "has nothing but zero bytes"),
        (PLAIN[0] + gzip.compress(EVENTS), "is plain first and gzipped at byte"),
        (
            zip_of({"[Content_Types].xml": b"<Types/>", "xl/sharedStrings.xml": EVENTS}),
            "is an Office document",
        ),
        (EVENTS.replace(b"=", b"=3D"), "is encoded for an e-mail"),
        (insights([each.replace("\n", " ") for each in TEXTS]), "lost (its|their) line ends"),
        (
            json.dumps({"events": [{"message": TEXTS[0].replace("\n", "\\n")}]}).encode(),
            "lost (its|their) line ends",
        ),
        (b"<events><message>" + EVENTS + b"</message></events>", "is XML or HTML"),
    ],
)
@pytest.mark.parametrize("size", [7, 2**20])
def test_a_mixture_is_refused_with_its_place(content, says, size, tmp_path, monkeypatch):
    """Half of it would be read, and the rest would be text of an entry."""
    monkeypatch.setattr(log_files, "CHUNK", size)
    path = tmp_path / "log"
    path.write_bytes(content)
    with pytest.raises(Error, match=says):
        read(path)


def test_a_form_has_no_parts(tmp_path):
    """Processes share a plain log only."""
    for form, content in FORMS.items():
        path = tmp_path / "log"
        path.write_bytes(content)
        # A log whose first header lines are plain is read entry by entry, so that it may be read in parts.
        assert form in {"CRLF, then LF", "LF, then CRLF"} or log_files.size(str(path)) is None, form
    path.write_bytes(EVENTS)
    assert log_files.size(str(path)) == len(EVENTS)


@pytest.mark.parametrize("form", ["bzip2", "xz", "zip", "zstd", "gzip in gzip"])
def test_damaged_data_are_one_error(form, tmp_path):
    """A compressed file that ends early is refused with the reason."""
    path = tmp_path / "log"
    path.write_bytes(FORMS[form][:-10])
    with pytest.raises(Error, match="is damaged"):
        read(path)


def test_a_zip_with_a_password_is_not_damaged(tmp_path):
    """Its message names the password and the next step, without the library's own words."""
    archive = bytearray(zip_of({"slow.log": EVENTS}))
    archive[archive.index(b"PK\x03\x04") + 6] |= 1
    archive[archive.index(b"PK\x01\x02") + 8] |= 1
    path = tmp_path / "log"
    path.write_bytes(archive)
    with pytest.raises(Error, match=r"log is a zip archive with a password, which is not read: unpack it"):
        read(path)


@pytest.mark.parametrize(
    ("head", "command"),
    [
        (b"\x1f\x9d", "zcat"),
        (b"\x04\x22\x4d\x18", "lz4"),
        (b"7z\xbc\xaf\x27\x1c", "7z x"),
        (b"LZIP\1", "lzip"),
        (b"\xff\x06\0\0sNaPpY", "snzip"),
        (b"Rar!\x1a\x07\0", "unrar"),
    ],
)
def test_a_compression_that_is_not_read_names_the_command(head, command, tmp_path):
    """The message names the next step."""
    path = tmp_path / "log"
    path.write_bytes(head + b"x" * 600)
    with pytest.raises(Error, match=f"run {command}.*digest -"):
        read(path)


def test_an_event_that_was_cut_ends_at_its_boundary(tmp_path):
    """CloudWatch cuts long events: the next event is an entry of its own, and the text is marked as cut."""
    cut = TEXTS[0].partition(" WHERE")[0] + " WHERE a = 'secret"
    path = tmp_path / "log"
    path.write_text(json.dumps({"events": [{"message": text} for text in (cut, *TEXTS[1:])]}))
    account = Account()
    found = read(path, account)
    assert [one.get("cut") for one in found] == [True, None, None]
    assert found[0]["fingerprint"] == "select * from orders where a = ?"
    assert (account.cut, account.lost) == (1, 0)


def test_a_plain_log_with_prefixed_headers_in_its_literals_stays_plain(tmp_path):
    """Text that looks like an export inside a statement does not change how the log is read."""
    quoted = (
        b"INSERT INTO t VALUES ('" + each_event("2026-11-18T11:06:4{n}.013Z ").replace(b"'", b"''") + b"');"
    )
    path = tmp_path / "log"
    path.write_bytes(EVENTS * 3 + PLAIN[0].replace(b"SELECT * FROM orders WHERE id = 1;", quoted))
    assert len(read(path)) == 10


def test_joined_messages_that_were_cut_are_entries_of_their_own(tmp_path):
    """Without a line end between them, the header still begins an entry, and the text before it was cut."""
    path = tmp_path / "log"
    path.write_bytes((TEXTS[0] + TEXTS[1] + TEXTS[2].partition(" WHERE")[0] + "".join(TEXTS)).encode())
    account = Account()
    assert [bool(one.get("cut")) for one in read(path, account)] == [False, False, True, False, False, False]
    assert (account.cut, account.lost) == (1, 0)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"rows": [{"text": "nothing of a slow log"}]}', "No entry of a slow log"),
        (
            b"events:\n- message: '# Time: 2026-11-18T11:06:40.013324Z\n",
            "is YAML, which is not read: export it with --output json",
        ),
    ],
)
def test_a_document_without_a_log_is_refused(content, says, tmp_path):
    """It never passes for an empty log."""
    path = tmp_path / "log"
    path.write_bytes(content)
    with pytest.raises(Error, match=says):
        read(path)


def test_a_document_without_events_is_an_empty_log(tmp_path):
    """A window of a log group in which nothing was logged."""
    path = tmp_path / "log"
    path.write_bytes(b'{"events": [], "searchedLogStreams": []}')
    account = Account()
    assert read(path, account) == []
    assert account.bytes == account.lost == 0


def test_large_json_strings_are_read_in_bounded_memory(tmp_path):
    """`download-db-log-file-portion` joins all pages into one string."""
    log = EVENTS * 30_000
    path = tmp_path / "log"
    path.write_bytes(json.dumps({"LogFileData": log.decode(), "Marker": "1"}).encode())
    program = (
        "import resource, sys\nfrom aurora_analysis.sources import log_files\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(sum(map(len, log_files.chunks(sys.argv[1]))), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    size, grown_kib = map(int, done.stdout.split())
    assert size == len(log)
    assert grown_kib < 60_000


def test_an_unknown_prefix_that_leaves_entries_cut_is_refused(tmp_path):
    """Where nearly all entries end within their statement, the log is not as the server wrote it."""
    path = tmp_path / "log"
    path.write_bytes(EVENTS.replace(b";\n#", b"; end of event\n#").removesuffix(b";\n") + b"; end of event\n")
    with pytest.raises(Error, match="not a slow log as the server wrote it"):
        read(path)


def test_a_log_of_another_server_is_refused_with_the_reason(tmp_path):
    """TiDB writes '# User@Host: ' too, and other lines after it."""
    path = ARRIVALS / "34-tidb-log-message" / "tidb.log"
    with pytest.raises(Error, match=r"the lines after '# User@Host: ' are not those .* TiDB"):
        read(path)


def test_coverage_does_not_begin_at_a_sessions_own_timestamp(tmp_path):
    """A restore under `SET timestamp` does not mark the years since as covered."""
    log = ARRIVALS / "20-session-timestamp-mariadb" / "slow.log"
    log_files.ingest(log_files.Target(str(tmp_path), "m", "i"), str(log))
    (row,) = Store(tmp_path).read("coverage", cluster="m").to_dict("records")
    assert str(row["time"])[:10] == "2026-11-29"
