"""The fingerprint's policy: what is replaced, what is collapsed, what stays."""

from __future__ import annotations

import itertools
import random
import re

import pytest
import slow_log_generator as generator
from hypothesis import given, settings
from hypothesis import strategies as st

from aurora_analysis.engines.mysql.fingerprint import (
    FingerprintCache,
    digest,
    fingerprint,
    kind,
    statement,
    tags,
)
from aurora_analysis.engines.sql_mode import SqlMode

POLICY = {
    "select * from t where a = ?": [
        "SELECT * FROM t WHERE a = 1",
        "select  *\nfrom `t` where `a`= -1.5e-3",
        "SELECT * FROM T WHERE A='it''s'",
        r"SELECT * FROM t WHERE a = 'it\'s'",
        'SELECT * FROM t WHERE a = "say \'x\'"',
        "SELECT * FROM t WHERE a = _utf8mb4'x'",
        "SELECT * FROM t WHERE a = N'x'",
        "SELECT * FROM t WHERE a = 0xaf",
        "SELECT * FROM t WHERE a = 0XAF",
        "SELECT * FROM t WHERE a = x'AF'",
        "SELECT * FROM t WHERE a = X'af'",
        "SELECT * FROM t WHERE a = b'01'",
        "SELECT * FROM t WHERE a = 0b01",
        "SELECT * FROM t WHERE a = +.5",
        "SELECT * FROM t WHERE a = 1.",
        "/* app=web */ SELECT * FROM t -- it's a comment\nWHERE a = 1 # and 'so on",
        "SELECT /*+ MAX_EXECUTION_TIME(9) */ * FROM t WHERE a = 9;",
        "SELECT * FROM t WHERE a = NULL",
    ],
    "select id from t where a in(?+)": [
        "SELECT id FROM t WHERE a IN (1)",
        "SELECT id FROM t WHERE a IN (1, 'two', -3, NULL)",
    ],
    "select id from t where (a, b) in((?+))": [
        "SELECT id FROM t WHERE (a, b) IN ((1, 2))",
        "SELECT id FROM t WHERE (a, b) IN ((1, 2), (3, 'four'), (NULL, 5))",
    ],
    "insert into t(a, b) values(?+)": [
        "INSERT INTO t (a, b) VALUES (1, 'x')",
        "INSERT INTO t (a,b) VALUES (NULL, 'x'), (2, NULL), (-3, 'it''s')",
    ],
    "insert into t values(now(), ?)": [
        "INSERT INTO t VALUES (NOW(), 1)",
        "INSERT INTO t VALUES (NOW(), 1), (NOW(), 2), (now(), 3)",
    ],
    "insert into t values row(?+)": ["INSERT INTO t VALUES ROW(1, 2), ROW(3, 'x')", "INSERT INTO t VALUES ROW(4,5)"],
    "insert into t values(?, (select a from u where (b, c) in((?+))))": [
        "INSERT INTO t VALUES (1, (SELECT a FROM u WHERE (b, c) IN ((1, 2), (3, 4))))",
        "INSERT INTO t VALUES (1, (SELECT a FROM u WHERE (b, c) IN ((1, 2)))), (2, (SELECT a FROM u WHERE (b, c) IN ((1, 2), (3, 4), (5, 6))))",
    ],
    "select sql_no_cache a from t": ["SELECT /*!40001 SQL_NO_CACHE */ a FROM t"],
    "select a - ?, (b) - ? from t1 where 123foo between ? and ?": [
        "SELECT a - 1, (b) -2 FROM t1 WHERE 123foo BETWEEN -4 AND - 5"
    ],
    "select * from t limit ?": ["SELECT * FROM t LIMIT 10"],
    "select * from t limit ?+": ["SELECT * FROM t LIMIT 5, 10"],
    "select * from t limit ? offset ?": ["SELECT * FROM t LIMIT 5 OFFSET 10"],
    "call p(?+)": ["CALL p(1, 'x')", "call `p`(2, 3, 4)"],
    "call p()": ["CALL p()"],
    "create function f() returns int language javascript as ?": [
        "CREATE FUNCTION f() RETURNS INT LANGUAGE JAVASCRIPT AS $$ return `it's ${x}`; $$",
        "CREATE FUNCTION f() RETURNS INT LANGUAGE JAVASCRIPT AS $js$ return '$$' + 1; $js$",
        "CREATE FUNCTION f() RETURNS INT LANGUAGE JAVASCRIPT AS 'return 1'",
        "CREATE FUNCTION f() RETURNS INT LANGUAGE JAVASCRIPT AS $$ return secr",
    ],
    "select a$b$c, d$ from t": ["SELECT a$b$c, `d$` FROM t"],
    "select j -> ? from t": ["SELECT j -> '$.a$' FROM t"],
    "use shop": ["USE shop", "use `shop`;"],
    "select @? := ?, @@session.sql_mode": ["SELECT @x := 5, @@session.sql_mode"],
    "select a from t where b is null and c <> ?": ["SELECT a FROM t WHERE b IS NULL AND c != 7"],
    "select `a b`, c.`d-e` from c": ["SELECT `a b`, `c`.`d-e` FROM c"],
    "administrator command: quit": ["# administrator command: Quit;"],
    "": ["", " ;", "/* nothing */"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("expected", "sql"), [(text, sql) for text, several in POLICY.items() for sql in several]
)
def test_policy(expected, sql):
    """Each rule of the policy, by example."""
    assert fingerprint(sql) == expected
    assert FingerprintCache()(sql.encode()) == statement(sql)


def test_the_cache_does_not_change_a_fingerprint():
    """Statements of a log share one cache: protocol commands, comments and statements do not mix."""
    known = FingerprintCache()
    commands = [f"# administrator command: {name};" for name in ("Init DB", "Quit", "Ping")]
    for sql in [*commands, *itertools.chain(*POLICY.values()), *commands]:
        assert known(sql.encode()) == statement(sql)


def test_numbers_in_quoted_names_are_part_of_the_name(scanner):
    """`2020 sales` and `2021 sales` are two tables, also for the cache, in Python and compiled."""
    known = FingerprintCache()
    for name in ("2020 sales", "2021 sales", "a 1, 2", "a 1, 2, 3", "(1, 2), (3, 4)"):
        sql = f"SELECT a FROM `{name}` WHERE b = 1"
        assert known(sql.encode()) == statement(sql)


def test_everything_else_keeps_its_own_fingerprint():
    """Statements that differ in anything but the policy's points have different fingerprints."""
    assert len({fingerprint(several[0]) for several in POLICY.values()}) == len(POLICY)
    apart = [
        "SELECT t1",
        "SELECT t2",
        "SELECT a FROM t",
        "SELECT a, b FROM t",
        "SELECT f(1)",
        "SELECT f(1, 2)",
    ]
    assert len(set(map(fingerprint, apart))) == len(apart)


@pytest.mark.parametrize(
    "cut",
    [
        "SELECT * FROM t WHERE a = 'secr",
        'SELECT * FROM t WHERE a = "secr',
        "SELECT * FROM t WHERE a = 'x' AND b = 'y\\",
        "SELECT * FROM t WHERE a = ' AND b = ' secret ' AND c",
        "SELECT * FROM t WHERE a = `secr",
    ],
)
def test_a_text_whose_quotes_do_not_balance_keeps_nothing_after_the_first(cut):
    """A cut text may have its quotes inside out."""
    found = statement(cut)
    assert not found.whole
    assert found.fingerprint == "select * from t where a = ?"
    assert FingerprintCache()(cut.encode()) == found


def test_a_cut_text_keeps_its_plain_names_up_to_the_first_literal():
    """Cut inserts of two tables are two statements, also if a tool quotes every name; a name with blanks may be a literal."""
    texts = [
        "INSERT INTO `t` (`a`, `b`) VALUES ('secret', 7, 'x",
        "INSERT INTO `t` (`a`, `b",
        "INSERT INTO `t` (`a` = 5 AND `b",
    ]
    assert [fingerprint(text) for text in texts] == [
        "insert into t(a, b) values(?",
        "insert into t(a, ?",
        "insert into t(a = ? and ?",
    ]
    assert fingerprint("SELECT `a FROM t WHERE `b` = 7331 AND `c` = 1") == "select ?"


def test_names_that_no_identifier_can_be_are_replaced():
    """Text between two back-ticks that is too long for a name came there by a cut."""
    assert fingerprint("SELECT `a`, `" + "b" * 65 + "`, `it's`") == "select a, ?+"


def test_sql_modes():
    """Where a literal ends depends on the server's sql_mode."""
    assert fingerprint(r"SELECT 'a\', b, 'c'", SqlMode(backslash_escapes=False)) == "select ?, b, ?"
    assert fingerprint(r"SELECT 'a\', b, 'c'") == "select ?"
    assert fingerprint("SELECT \"a\", 'b'", SqlMode(ansi_quotes=True)) == "select a, ?"


def test_tags_are_the_pairs_of_comments_that_hold_nothing_else():
    """Comments that frameworks write, and none that people write."""
    assert tags("/* connector=etl job='orders_full' */ SELECT 1;") == {
        "connector": "etl",
        "job": "orders_full",
    }
    assert tags("SELECT 1 /*controller='index',route='%2Fshop'*/;") == {
        "controller": "index",
        "route": "/shop",
    }
    assert tags("-- app=web\nSELECT 1 # host=a1") == {"app": "web", "host": "a1"}
    assert tags("SELECT '/* a=b */' -- and x = 'secret'\n") == {}
    assert tags("/* a=1,b=x ; c='x''y' */") == {}
    assert tags("/* a=1,b=x ; c= */") == {"a": "1", "b": "x", "c": ""}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a FROM t WHERE b = 1 /* password='hunter2' */ AND c = 2",
        "SELECT a FROM t -- name='hunter2'\n WHERE b = 1",
        "/* mail=hunter2@example.com */ SELECT 1",
        "/* name='hunter2 rabbit' */ SELECT 1",
        "/* note='it''s hunter2' */ SELECT 1",
        "/* job=hunter2",
        "/* job=etl */ SELECT 'hunter2 /* b=hunter2 */",
        "SELECT a FROM t /* name = 'hunter2' */",
        "/* blob=" + "hunter2" * 15 + " */ SELECT 1",
    ],
)
def test_commented_out_sql_and_personal_data_are_no_tags(sql):
    """Tags keep their values, so a comment without a plain key and value has none."""
    assert "hunter2" not in str(tags(sql))


def test_a_long_comment_takes_no_longer_than_its_length():
    """Pairs with wide gaps, and then prose: a pattern that tries every split of the gaps would not end."""
    assert tags("/*" + "  a=b  " * 2000 + " and so on */ SELECT 1") == {}


def test_digest_is_stable():
    """The digest is the same on every machine and in every release of this schema."""
    assert digest(fingerprint("SELECT 1")) == "b9a4c90ce4157373"
    assert re.fullmatch("[0-9a-f]{16}", digest(""))


def test_kind_is_the_first_word():
    """The kind is SELECT, INSERT and so on."""
    assert [kind(fingerprint(sql)) for sql in ("(SELECT 1)", "INSERT INTO t VALUES (1)", "")] == [
        "select",
        "insert",
        "",
    ]


def test_one_fingerprint_for_each_template():
    """On the generator's statements: no template is split, no two are merged."""
    r = random.Random(7)
    seen: dict[int, set[str]] = {}
    known = FingerprintCache()
    for template, (_, shape, table) in enumerate(generator.TEMPLATES):
        for _ in range(12):
            sql = shape(r, table)
            seen.setdefault(template, set()).add(known(sql.encode()).fingerprint)
            assert known(sql.encode()) == statement(sql)
    assert {len(texts) for texts in seen.values()} == {1}
    assert len(set().union(*seen.values())) == len(generator.TEMPLATES) == 300


PIECES = st.sampled_from(
    ["# administrator command: Quit", "SELECT ", "a", "t1", "1", "-2", "0xAf", "1e5", "1.5x", "'x'", "'it''s'", r"'a\'b'", '"y"', "`n`", "$$", "$t$", "a$b$", "`q's`", "`h#`",
     "/* c */", "/* it's */", "/*!1 x */", "/*", "*/", "-- c\n", "--", "# c\n", "#", "'", '"', "`", "\\", ", ", ",", "(", ")",
     "NULL", "(1, 2)", "(1,'x'),(2,NULL)", "VALUES ", " IN ", "@v", "_utf8mb4'x'", "x'1f'", " ", "\n", ";", ".", "=", "\x00", "\x01", "\x02", "é"]
)  # fmt: skip


@given(
    st.lists(PIECES, max_size=25).map("".join),
    st.sampled_from([SqlMode(), SqlMode(False), SqlMode(True, True)]),
)
@settings(max_examples=600, deadline=None, derandomize=True)
def test_the_cache_agrees_with_the_lexer(sql, mode):
    """Statements of one shape have one fingerprint: the cache agrees with the lexer, whatever it holds."""
    assert KNOWN[mode](sql.encode()) == statement(sql, mode)


KNOWN = {mode: FingerprintCache(mode) for mode in (SqlMode(), SqlMode(False), SqlMode(True, True))}

SECRET = "s3cr3t"


def quoted(quote: str, mode: SqlMode) -> st.SearchStrategy[str]:
    """A quoted literal that contains the secret among difficult characters."""
    escaped = [quote * 2, "x", " ", "#", "--", "/*", "*/", "`", "é", "\n", ";", ",", "("]
    escaped += ["\\\\", f"\\{quote}", "\\n"] if mode.backslash_escapes else ["\\"]
    escaped += [other for other in "'\"" if other != quote]
    around = st.lists(st.sampled_from(escaped), max_size=4).map("".join)
    return st.builds(lambda a, b: f"{quote}{a}{SECRET}{b}{quote}", around, around)


def literals(mode: SqlMode) -> st.SearchStrategy[str]:
    """A literal of any kind that holds the secret, or its digits."""
    strings = quoted("'", mode) if mode.ansi_quotes else quoted("'", mode) | quoted('"', mode)
    prefixed = st.builds(
        "{}{}".format, st.sampled_from(["_utf8mb4 ", "_latin1", "N", "n", "@"]), quoted("'", mode)
    )
    numbers = st.sampled_from(
        ["7331", "-7331.5", "7331e7", "0x7331", "0X7331", "x'7331'", "X'7331'", ".7331", "73.31E-1"]
    )
    return strings | prefixed | numbers | st.just("@v7331")


@given(st.data(), st.sampled_from([SqlMode(), SqlMode(False), SqlMode(True, True), SqlMode(False, True)]))
@settings(max_examples=400, deadline=None, derandomize=True)
def test_no_fragment_of_a_literal_survives(data, mode):
    """Secrets in literals of every kind, whole or cut at any place, are not in the fingerprint."""
    between = st.sampled_from([" = ", ", ", " AND b = ", " /* c */ ", " -- c\n", " + ", "), (", " IN ("])
    values = data.draw(st.lists(st.tuples(literals(mode), between), min_size=1, max_size=6))
    sql = "SELECT `a` FROM t WHERE x = " + "".join(itertools.chain(*values))
    for text in (sql, sql[: data.draw(st.integers(28, len(sql)))]):
        for found in (fingerprint(text, mode), KNOWN_SAFE[mode](text.encode()).fingerprint):
            assert not re.search("s3c|cr3|3t|73|33|31", found), text


KNOWN_SAFE = {SqlMode(a, b): FingerprintCache(SqlMode(a, b)) for a in (True, False) for b in (True, False)}


def test_the_cache_is_bounded():
    """The cache stays bounded while a log contains new statements only."""
    known = FingerprintCache()
    known.SHAPES = 10_000
    for n in range(1000):
        known(f"SELECT c{n} FROM t".encode())
    assert known._size <= 10_000
    assert len(known._known) < 100


def test_no_control_character_survives():
    """A fingerprint that is printed does nothing to a terminal."""
    assert fingerprint("SELECT a\x1b[2J, `b\x1b[2J`, 'c\x07'\x00 FROM t") == "select a[2j, ?+ from t"


SQL = st.lists(
    st.sampled_from(["INSERT INTO t VALUES ", "SELECT a FROM t WHERE b IN ", "(", "(", ")", ")", ", ", "(1, 2), (3, 4)", "ROW(1, 2), ROW(3, 4)",
                     "(SELECT a FROM u WHERE (b, c) IN ", "((1, 2), (3, 4))", "1", "'x'", "NOW()", "f((1, 2), (3, 4))", " VALUES "]),
    max_size=14,
).map("".join)  # fmt: skip


@given(st.lists(SQL, min_size=2, max_size=8), st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_a_digest_does_not_depend_on_order_or_split(statements, r):
    """Any order of the statements, and any split over processes, gives each text the same digest."""
    shuffled = r.sample(statements, len(statements))
    cut = r.randint(0, len(statements))
    split_up = {}
    for part in (shuffled[:cut], shuffled[cut:]):
        known = FingerprintCache()
        split_up |= {sql: known(sql.encode()) for sql in part}
    whole = FingerprintCache()
    assert (
        {sql: whole(sql.encode()) for sql in statements}
        == split_up
        == {sql: statement(sql) for sql in statements}
    )


def test_rows_inside_rows_are_bounded():
    """A text of nothing but brackets ends with a fingerprint, not with a RecursionError."""
    assert fingerprint("SELECT a IN " + "(VALUES (" * 5000).startswith("select a in(")


TAGGED = {
    "SELECT 1 /*connector='etl',job=orders*/": {"connector": "etl", "job": "orders"},
    "SELECT 1 /*action='%2Fparam*d',controller='index,',framework='spring'*/;": {"action": "/param*d", "controller": "index,", "framework": "spring"},
    "SELECT 1 /*%72oute='x',us%65r='bob'*/": {"route": "x"},
    f"SELECT 1 /*route='{'x' * 400}',app='web'*/": {"route": "x" * 400, "app": "web"},
    "SELECT 1 /*application:Shop,line:lib/x.rb:3:in `block (2 levels) in <main>'*/":
        {"application": "Shop", "line": "lib/x.rb:3:in `block (2 levels) in <main>'"},
    "SELECT * FROM FOO /*action='%2Fparam*d',controller='index,'framework='spring',\ntraceparent='00-5bd6-c532-01',\ntracestate='congo%3Dt61%2Crojo%3D00f'*/":
        {"action": "/param*d", "controller": "index,", "framework": "spring", "traceparent": "00-5bd6-c532-01", "tracestate": "congo=t61,rojo=00f"},
    "SELECT 2 /*route='%2F(shop)%2Fcart~1',app='web'*/;": {"route": "/(shop)/cart~1", "app": "web"},
    "SELECT /*framework='django%3A4.2',app='web'*/ 3": {"framework": "django:4.2", "app": "web"},
    "SELECT 1 /*application:Shop,controller:orders,action:index*/;": {"application": "Shop", "controller": "orders", "action": "index"},
    "/*application:Shop,controller:Admin::Orders*/ SELECT 1": {"application": "Shop", "controller": "Admin::Orders"},
    "INSERT /*app:Shop,job:Mail*/ INTO t VALUES (1)": {"app": "Shop", "job": "Mail"},
    """-- Looker Query Context '{"user_id":6,"history_slug":"ab1","instance_slug":"cd2"}'\nSELECT 1;""": {"tool": "looker", "user_id": "6", "history_slug": "ab1", "instance_slug": "cd2"},
    "-- Metabase:: userID: 1 queryType: MBQL queryHash: 09af\nSELECT 1;": {"tool": "metabase", "userID": "1", "queryType": "MBQL", "queryHash": "09af"},
    """SELECT 1 -- Sigma Σ {"sourceUrl":"https://app.sigmacomputing.com/x/workbook/a-1","kind":"adhoc","request-id":"g1","user-id":"u2"};""":
        {"tool": "sigma", "sourceUrl": "https://app.sigmacomputing.com/x/workbook/a-1", "kind": "adhoc", "request-id": "g1", "user-id": "u2"},
    "/* Username: ann@example.com, query_id: 5, Queue: queries, Job ID: a-1, Query Hash: 09af, Scheduled: True */ SELECT 1":
        {"tool": "redash", "query_id": "5", "Queue": "queries", "Job ID": "a-1", "Query Hash": "09af", "Scheduled": "True"},
    """/* {"app": "dbt", "dbt_version": "1.8.0", "profile_name": "p", "target_name": "prod", "node_id": "model.shop.orders"} */ CREATE TABLE a AS SELECT 1""":
        {"app": "dbt", "dbt_version": "1.8.0", "profile_name": "p", "target_name": "prod", "node_id": "model.shop.orders"},
    """SELECT 1 /* {"app": "dbt", "node_id": "m.a", "user": "ann", "email": "ann@example.com"} */;""": {"app": "dbt", "node_id": "m.a"},
    """/* {"node_id": "m.a", "app": "dbt"} */ SELECT 1;""": {"node_id": "m.a", "app": "dbt"},
    "/*application:Shop,controller:users,line:/app/models/user.rb:12:in `all'*/ SELECT 1": {"application": "Shop", "controller": "users", "line": "/app/models/user.rb:12:in `all'"},
    "SELECT 1 /*app='web',route='O\\'Hara%2F'*/": {"app": "web", "route": "O'Hara/"},
    """SELECT 1 -- {"user":"@ann","email":"a@x.org","url":"https://modeanalytics.com/a/reports/b","scheduled":true};""": {"tool": "mode", "url": "https://modeanalytics.com/a/reports/b"},
    "SELECT a FROM t /* id=5 */;": {},
    "SELECT 1 /*route='GET /users/{id}',app='web'*/;": {"route": "GET /users/{id}", "app": "web"},
    "SELECT 1 /*application='My Shop',controller='index',framework='rails'*/;": {"controller": "index", "framework": "rails"},
    "SELECT 1 /*app='web',user='ann@example.com',note='{\"a\": 1}',job='sync'*/": {"app": "web", "job": "sync"},
    "SELECT /*+ MAX_EXECUTION_TIME(9) */ /*app='web'*/ 1;": {"app": "web"},
    "SELECT 1 /*dddbs='orders-db',dde='prod',ddps='checkout'*/;": {"dddbs": "orders-db", "dde": "prod", "ddps": "checkout"},
    "SELECT 1 /* application:Shop, controller:orders, action:valid?, */;": {"application": "Shop", "controller": "orders", "action": "valid?"},
    "SELECT 1 /*application: Shop, controller: orders*/;": {"application": "Shop", "controller": "orders"},
    "# application:My Shop,controller:orders,action:index\nSELECT 1;": {"controller": "orders", "action": "index"},
    "SELECT 1 /*application:Shop,email:ann@example.com,user:ann*/;": {"application": "Shop"},
    "/*application:web,correlation_id:01E,endpoint_id:GET /api/:version/projects/:id,db_config_name:main*/ SELECT 1":
        {"application": "web", "correlation_id": "01E", "endpoint_id": "GET /api/:version/projects/:id", "db_config_name": "main"},
    "SELECT 1 /*application:Shop,route:/orders/:id(.:format),controller:*/;": {"application": "Shop", "route": "/orders/:id(.:format)", "controller": ""},
    "/* dag_id: etl, task_id: load */ SELECT 1": {"dag_id": "etl", "task_id": "load"},
    '/*\n{\n  "app": "dbt",\n  "node_id": "m.a"\n}\n*/ SELECT 1': {"app": "dbt", "node_id": "m.a"},
    "/* ApplicationName=DBeaver 23.1.0 - Main */ SELECT 1": {"ApplicationName": "DBeaver 23.1.0"},
    "SELECT 1 /* app='web',user_name='ann',email='ann%40example.com' */": {"app": "web"},
}  # fmt: skip


@pytest.mark.parametrize("sql", TAGGED)
def test_tags_of_the_tools_that_people_use(sql):
    """Each tool's own form, before and behind the statement and behind its first word; no person's name."""
    assert tags(sql) == TAGGED[sql]


@pytest.mark.parametrize(
    "comment",
    ["TODO:hunter2", "see http://hunter2/x", "note: hunter2", "a:hunter2,b:c", "{hunter2}", '{"app": "hunter2', "Username: hunter2", "Metabase hunter2", "app: hunter2, note: x", "app='x y', note='hunter2'", "ApplicationName=hunter2 is slow",
     "Looker Query Context hunter2", '{"name": "hunter2"}', "app='hunter2", "app=hunter2 is slow", "hunter2", "password='hunter2'", "query_id: hunter2", "app:"],
)  # fmt: skip
@pytest.mark.parametrize(
    "place", ["/* {} */ SELECT 1", "SELECT 1 /*{}*/;", "-- {}\nSELECT 1", "SELECT /* {} */ 1"]
)
def test_comments_that_only_look_alike_give_no_tag(comment, place):
    """A note, or a form that is not whole."""
    assert tags(place.format(comment)) == {}


PLACES = ["/* {} */ SELECT 1", "SELECT 1 /*{}*/;", "-- {}\nSELECT 1", "SELECT /* {} */ a FROM t"]
PIECES = ["s3cr3t", "s3cr3t@x.org", "Username: ", "query_id: ", "Metabase::", "Looker Query Context '", "Sigma Σ ", "{", "}", '"', "'", ":", " : ", "app", "user", "=", " = ",
          "''", "\\'", " and ", "select ", "note", "`", "(", ")", "dbt"]  # fmt: skip
NOTES = ["{w}: {w}", "{w} = {w}", "{w} = '{w}', {w} = {n}", "id={n}", "a={n} b={n}, c={n}", "{w}={w} and {w}={w}", "{{{w}}}", '{{"{w}": "{w}"}}', "see {w}={w} for more", "{w}:{w}, {w}:{w}",
         "Username: {w}", "query_id: {w}, {w}", "Metabase {w}", "-- Metabase:: {w}", "Looker Query Context {{{w}}}", "Sigma {{'{w}': {n}}}", "{w}='{w}", "{w}='{w} {w}'", "{w} like '{w}%'", "app: {w}", "TODO({w}): {n}%"]  # fmt: skip


def test_ten_thousand_random_comments_leak_nothing_and_notes_give_no_tag():
    """No fingerprint contains a comment's text; a tag is a key with a plain value, and a note has none."""
    r = random.Random(11)
    for _ in range(5000):
        comment = "".join(r.choice(PIECES) for _ in range(r.randrange(14)))
        sql = r.choice(PLACES).replace("{}", comment)
        assert "s3cr3t" not in fingerprint(sql), sql
        assert all(re.fullmatch(r"[^\s@]*", value) for value in tags(sql).values()), sql
    for _ in range(5000):
        note = r.choice(NOTES).replace("{n}", str(r.randrange(999)))
        while "{w}" in note:
            word = r.choice(["s3cr3t", "note", "job", "state", "x"]) + str(r.randrange(9))
            note = note.replace("{w}", word, 1)
        sql = r.choice(PLACES).replace("{}", note.replace("{{", "{").replace("}}", "}"))
        assert tags(sql) == {}, sql
        assert "s3cr3t" not in fingerprint(sql), sql
