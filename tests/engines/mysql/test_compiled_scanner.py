"""The compiled scanner gives what pure Python gives, for any input."""

from __future__ import annotations

import random
import threading
from collections import Counter

import pytest
import scanner_cases as cases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aurora_analysis.engines import compiled
from aurora_analysis.engines.log_events import Account
from aurora_analysis.engines.mysql import slow_log
from aurora_analysis.engines.mysql.fingerprint import FingerprintCache, statement
from aurora_analysis.engines.sql_mode import DEFAULT_MODE, SqlMode
from aurora_analysis.sources.selection import ALL, Selection

MODES = [DEFAULT_MODE, SqlMode(backslash_escapes=False)]


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    """What the comparison sets ends with the test."""
    monkeypatch.setenv(compiled.PURE, "0")
    yield
    compiled.library.cache_clear()


pytestmark = pytest.mark.parametrize("scanner", ["compiled"], indirect=True)


def test_a_shape_has_the_fingerprint_of_its_statement(scanner):
    """Statements of random tokens, whole and in halves; more are compared by `dev.py bench scanner`."""
    r, taken = random.Random(1), 0
    for mode in MODES * 5:
        statements = [cases.statement(r) for _ in range(200)]
        known = FingerprintCache(mode)
        for place, shape in cases.shapes(statements, mode).items():
            sql = (statements[place] + b";").decode("utf-8", "replace")
            assert known.of_shape(shape) == statement(sql, mode), (sql, shape)
            taken += 1
    assert taken > 1000


def test_searches_of_any_width_make_the_same_shapes(scanner):
    """Lists and rows of values, plain and odd: one byte at a time, and as many as the processor takes."""
    library, r = compiled.library(), random.Random(3)
    statements = [b"select " + cases.listed(r).encode() for _ in range(3000)]
    for mode in MODES:
        try:
            by_width = []
            for width in (1, 16, 32, 64):
                library.width(width)
                by_width.append(cases.shapes(statements, mode))
        finally:
            library.width(64)
        assert by_width[0] == by_width[1] == by_width[2]
        assert len(by_width[0]) > 1000


@given(text=st.text(alphabet=st.sampled_from("aN1.e+-'\"`\\,()/*#@$\n é;"), max_size=40))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_shape_has_the_fingerprint_of_any_text(scanner, text):
    """Texts of the characters that mean something."""
    sql = text.replace("\n# ", "\n#").encode()
    for shape in cases.shapes([sql], DEFAULT_MODE).values():
        assert FingerprintCache().of_shape(shape) == statement(text.replace("\n# ", "\n#") + ";")


@pytest.mark.parametrize("size", [7, 1000, 10**9])
def test_every_log_of_the_gallery_has_one_profile(scanner, size):
    """In chunks of any size."""
    for text in cases.GALLERY:
        by_c, by_python = cases.both(text, size)
        assert by_c == by_python


@pytest.mark.parametrize("size", [7, 1000, 10**9])
def test_every_log_of_the_gallery_has_the_same_tables_and_lines(scanner, size):
    """In chunks of any size: every column of every row, and every line of `--format jsonl`."""
    written: Counter[Selection] = Counter()
    for text in cases.GALLERY:
        by_c, by_python = cases.both_tables(text, size)
        assert by_c == by_python
        for selection in (ALL, Selection(user="app"), Selection(since_us=1_750_000_000_000_000)):
            by_c, by_python = cases.both_lines(text, size, selection=selection)
            assert by_c == by_python
            written[selection] += len(by_c[1])
    of_all, *of_some = written.values()
    assert all(0 < some < of_all for some in of_some), written


def test_every_broken_log_has_one_profile(scanner):
    """The account of its losses and its tables are the same as well."""
    r = random.Random(1)
    for _ in range(300):
        text, size, mode = cases.broken(r), r.choice((7, 100, 10**6)), r.choice(MODES)
        by_c, by_python = cases.both(text, size, mode)
        assert by_c == by_python
        by_c, by_python = cases.both_tables(text, size, mode, r.choice((1, 5, 1000)))
        assert by_c == by_python
        by_c, by_python = cases.both_lines(text, size, mode)
        assert by_c == by_python


FIGURES = st.lists(
    st.tuples(
        st.sampled_from(["A", "Rows_affected", "Bytes", "aB", "X1", "Schema", "End", "Start"]),
        st.sampled_from([": ", ":", ":  "]),
        st.one_of(
            st.decimals(0, 10**6, places=6).map(str),
            st.text(alphabet='0123456789.eE+-:_naifNIT"\\é', min_size=1, max_size=8),
        ),
    ),
    max_size=5,
)


@given(fields=FIGURES, line=st.sampled_from(["\n# ", "\n# explain: ", "  "]))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_further_figures_have_one_reading(scanner, fields, line):
    """Numbers, words and times of any form, in the lines of figures."""
    more = "".join(line + name + colon + value for name, colon, value in fields).encode()
    one, two = (cases.entry(b"u", b"SET timestamp=1795429471;\nSELECT %d" % n) for n in range(2))
    by_c, by_python = cases.both_tables(one + two.replace(b"\nSET", more + b"\nSET") + one + b"\n", 10**6)
    assert by_c == by_python


def test_tags_depend_on_the_place_of_a_comment(scanner):
    """Statements of one shape share the place, and each has the tags of its own comments."""
    texts = [
        b"/* a=%s */ SELECT /* b=x%d */ 1 /* c='y' */ + %d -- d=%s" % (name, n, n, name)
        for n, name in enumerate((b"p", b"q", b"p", b"1"))
    ]
    texts += [b"(%s) /* a=p */ FROM t /* b=q */" % value for value in (b"1", b"NULL", b"'x'")]
    texts += [
        b"# administrator command: Quit",
        b"/*+ a=p */ SELECT 1",
        b"SELECT 1 /* a=p */" + b" /* b=q */" * 9,
    ]
    log = b"".join(cases.entry(b"u", b"SET timestamp=1795429471;\n" + text) for text in texts) + b"\n"
    by_c, by_python = cases.both_tables(log, 10**6)
    assert by_c == by_python
    assert str(by_c[1]).count('"a":"p"') == 3


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a\u00a0in (''), (NULL), ('b'),(2.5NULL".encode(),
        "INSERT INTO t\u00a0VALUES (1),(2),(3)".encode(),
        b"SELECT @@@1e+N'x'",
        b"SELECT a in*/(1),(2),('s' x",
        b"SELECT a in */ /*c*/ (1),(2),('s'x",
        b"VALUES*/(1),(2),(3",
        b"SELECT 2*/*c*/(3), (4)",
        b"SELECT a$.5e-- c",
        b"SELECT @@a.5e+N'x'",
        "SELECT @a\u2003.5e-- c".encode(),
    ],
)
@pytest.mark.parametrize("width", [1, 16, 32, 64])
def test_unusual_text_has_one_fingerprint(scanner, sql, width):
    """A list behind a stray end of a comment, or behind a blank that does not break, belongs to IN; a third @ begins no variable.

    A number behind the point of a word has the sign of its exponent.
    """
    compiled.library().width(width)
    known = FingerprintCache(DEFAULT_MODE)
    for shape in cases.shapes([sql], DEFAULT_MODE).values():
        assert known.of_shape(shape) == statement((sql + b";").decode(), DEFAULT_MODE)
    by_c, by_python = cases.both(cases.entry(b"u", sql) * 2, 10**6)
    compiled.library().width(64)
    assert by_c == by_python


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Rows_examined: 0", b"Rows_examined: 1T timestamp=1795429471;"),
        (b"Rows_examined: 0", b"Rows_examined: 1.5"),
        (b"  Rows_examined: 0", b""),
        (b"Rows_sent: 0", b"Rows_sent: 0x"),
        (b"Rows_sent: 0", b"Rows_sent: 18446744073709551615"),
        (b"Query_time: 0.000001", b"Query_time: 1234567890.5"),
        (b"Query_time: 0.000001", b"Query_time: 0.0000015"),
        (b"Query_time: 0.000001", b"Query_time: 99999999"),
        (b"Lock_time: 0.0 ", b"Lock_time: 0. "),
        (b"Lock_time: 0.0 ", b"Lock_time: 31622401.0 "),
        (b"SELECT", b"SELECT ';"),
        (b"[u] @ h [1]", b"[u] @  []"),
        (b"u1[u]", b"[u'1]"),
        (b"SELECT", b"use `a`;\nSET timestamp=1795429471;\nSELECT"),
        (b"SELECT", b"SET last_insert_id=5,timestamp=1795429471.5;\nSELECT"),
        (b"SELECT", b"SET timestamp=17954294711;\nSELECT"),
        (b"# Query", b"# Thread_id: 3  Schema: shop  QC_hit: No\n# Query"),
        (b"# Query", b"# Schema: a[b  Last_errno: 0\n# Query"),
        (b";", b";\n# Time: 071123 10:00:00 # User@Host: x[x] @ h []\n# Query_time: 1  Lock_time: 0  Rows_sent: 1  Rows_examined: 1\nSELECT 2;"),
        (b";", b";\r"),
    ],
)  # fmt: skip
def test_a_header_that_is_not_plain_has_one_reading(scanner, old, new):
    """What C may not read goes to Python, and the entries around it are the same."""
    entries = [cases.entry(b"u%d" % n, b"SELECT %d" % n) for n in range(4)]
    text = b"".join([entries[0], entries[1].replace(old, new), *entries[2:]])
    assert text != b"".join(entries)
    by_c, by_python = cases.both(text + b"\n", 10**6)
    assert by_c == by_python


@pytest.mark.parametrize("values", [(b"'a'", b'"b"', b"0x1F", b"1"), (b"1", b"0x1F", b'"b"', b"'a'")])
@pytest.mark.parametrize(
    "sql",
    [
        b"SELECT a FROM t WHERE b = %s AND c IN (%s, 2)",
        b"SELECT _utf8mb4 %s, %s",
        b"SELECT _utf8mb4\xc2\xa0%s, '%s'",
        b"SELECT 1e+%s, a.%s",
        b"SELECT %s.1, %sa",
        b"SELECT %s%s",
        b"SELECT @%s, a%s",
        b"SELECT x /* c */%s, %s/* c */y",
    ],
)
def test_literals_of_any_kind_are_one_only_if_nothing_beside_them_belongs_to_them(scanner, sql, values):
    """The cache lexes one of the shapes that differ in the kind of a literal: whichever comes first, each keeps its fingerprint."""
    known = FingerprintCache()
    for value in values:
        for shape in cases.shapes([sql % (value, value)], DEFAULT_MODE).values():
            text = (sql % (value, value) + b";").decode()
            assert known.of_shape(shape) == statement(text), (text, shape)


def test_bulk_inserts_of_any_length_are_one_shape(scanner):
    """Rows of values, and rows with a call in them; a list of any length, with signs, NULL and hex."""
    for one, many in [
        (b"INSERT INTO t VALUES (1, 'a')", b"INSERT INTO t VALUES (1, 'a')" + b", (-2, NULL)" * 99),
        (b"INSERT INTO t VALUES (1, NOW())", b"INSERT INTO t VALUES (1, NOW())" + b",\n (3, NOW())" * 99),
        (
            b"SELECT a FROM t WHERE b IN (1, 2)",
            b"SELECT a FROM t WHERE b IN (1" + b", 0xAF, 'x', -1.5e3" * 99 + b")",
        ),
    ]:
        assert len(set(cases.shapes([one, many], DEFAULT_MODE).values())) == 1


def test_a_cache_gives_the_fingerprints_of_the_texts_with_and_without_the_library(scanner):
    """Statements that are cut, empty or commands of the protocol are among them; what came before changes nothing."""
    r = random.Random(2)
    texts = [cases.statement(r) + r.choice((b"", b";")) for _ in range(2000)]
    texts += [
        b"",
        b";",
        b"# administrator command: Quit;",
        b"SELECT 'cut",
        b"a .'x', .5",
        b"a .5, .'x'",
        b"1e--",
        b"1e+'x'",
    ]
    compiled_cache, pure_cache = FingerprintCache(), FingerprintCache()
    pure_cache._library = None
    for sql in texts:
        assert compiled_cache(sql) == pure_cache(sql) == statement(sql.decode("utf-8", "replace")), sql
    assert compiled_cache._marked and not pure_cache._marked


def test_plain_entries_are_taken(scanner):
    """Of a log as servers write it, Python reads almost nothing."""
    log = b"".join(
        cases.entry(b"web", b"SELECT c FROM t WHERE id = %d AND s = 'a%d'" % (n, n)) for n in range(1000)
    )
    entries = slow_log.hard_entries(
        [log],
        account := Account(),
        slow_log.State(),
        ours := compiled.library().Scanner(True, 100),
        lambda _reason, _text: ours.learn(0),
        DEFAULT_MODE,
    )
    assert (len(list(entries)), account.events) == (1, 1000)


def test_a_scanner_refuses_what_it_cannot_do(scanner):
    """A start outside the buffer, a row beyond any number, a name that no server writes."""
    ours = compiled.library().Scanner(True, 10)
    for start in (-1, 4):
        with pytest.raises(ValueError, match="outside the buffer"):
            ours.scan(b"abc", start)
    with pytest.raises(ValueError, match="too long"):
        ours.count(0, b"u" * 256, b"h", None)
    with pytest.raises(ValueError, match="row"):
        ours.learn(2**32)
    with pytest.raises(ValueError, match="most_pairs"):
        compiled.library().Scanner(True, 0)
    assert ours.resume((b"x" * 65, None, None, None), (None, None, False)) is False
    assert ours.resume((None, None, None, None), (None, b"x" * 256, False)) is False
    assert ours.take() == ([], [])
    assert ours.ends() == (None, None)


@pytest.mark.parametrize("text", cases.GALLERY)
def test_an_account_alone_is_that_of_all_entries(scanner, text):
    """The places where a log is cut are checked by accounts."""
    account = slow_log.Account()
    list(slow_log.entries([text], account))
    assert slow_log.account_of([text]) == account
    assert slow_log.account_of(text[at : at + 100] for at in range(0, len(text), 100)) == account


def test_threads_share_no_scanner(scanner):
    """While one scans, the other gets an error, and nothing is lost."""
    ours, log = compiled.library().Scanner(True, 10), cases.entry(b"u", b"SELECT 1") * 50_000
    at, _, _ = ours.scan(log, 14)
    ours.learn(0)
    busy: list[bool] = []

    def scan_again() -> None:
        try:
            ours.scan(log, 14)
        except RuntimeError:
            busy.append(True)

    threads = [threading.Thread(target=scan_again) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ours.held == 49_999 * (2 - len(busy))


def test_too_many_pairs_are_handed_over(scanner):
    """The scanner stops, and goes on once its counts are taken."""
    library = compiled.library()
    ours, log = library.Scanner(True, 2), b"".join(cases.entry(b"u%d" % n, b"SELECT 1") for n in range(7))
    at, reason, taken, calls = 14, library.NEW_SHAPE, 0, []
    while reason != library.ENDED:
        at, reason, events = ours.scan(log, at)
        taken += events
        if reason == library.NEW_SHAPE:
            ours.learn(0)
        else:
            calls += ours.take()[1]
    assert taken == 6
    assert calls == [(0, b"u%d" % n, b"h", 1) for n in range(6)]
