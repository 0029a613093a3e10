"""Record the digests that a MySQL server has for our statements, because no package installs such a server for tests.

`python tests/mysql_digests.py SOCKET` asks a server (performance_schema on, max_digest_length 1048576,
performance_schema_max_digest_length 65536) as root and rewrites the file.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path

import pymysql
import slow_log_generator as generator

ANSWERS = Path(__file__).with_name("mysql_9_digests.json")


def observed(observer: pymysql.Connection) -> tuple[str, str]:
    """The one digest that the server counted; it counts a moment after it has answered."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with observer.cursor() as cursor:
            cursor.execute(
                "SELECT digest, digest_text FROM performance_schema.events_statements_summary_by_digest"
                " WHERE schema_name IS NOT NULL"
            )
            if cursor.rowcount:
                (found,) = cursor.fetchall()
                return found
    raise AssertionError("the server counted no statement")


def generated() -> list[str]:
    """Three statements of each template of the generator."""
    r = random.Random(5)
    return [shape(r, table) for _, shape, table in generator.TEMPLATES for _ in range(3)]


T = "SELECT a FROM t WHERE b = "
AGREED = [
    (T + "1", T + "'it''s'"),
    (T + "1", T + '"x"'),
    (T + "1", T + ".5e-3"),
    (T + "1", T + "0xAf"),
    (T + "1", T + "b'01'"),
    (T + "1", T + "N'x'"),
    (T + "1", T + "NULL"),
    (T + "1", T + "TRUE"),
    (T + "1", T + "1 + 1"),
    (T + "@x", T + "@y"),
    (T + "'x' 'y'", T + "'x'"),
    ("SELECT a FROM t WHERE b IS NULL", "SELECT a FROM t WHERE b IS NOT NULL"),
    ("SELECT a FROM t WHERE b != 1", "SELECT a FROM t WHERE b <> 1"),
    ("SELECT a FROM t WHERE b = 1 AND c = 2", "SELECT a FROM t WHERE b = 1 && c = 2"),
    ("SELECT a FROM t WHERE b BETWEEN -1 AND -2", "SELECT a FROM t WHERE b BETWEEN 1 AND 2"),
    ("SELECT -1, f(-1)", "SELECT 1, f(1)"),
    ("SELECT a - 1 FROM t", "SELECT a - -1 FROM t"),
    ("SELECT a FROM t WHERE b IN (-1, 2)", "SELECT a FROM t WHERE b IN (1, 2, NULL)"),
    ("INSERT INTO t VALUES (NULL, 1)", "INSERT INTO t VALUES (2, NULL)"),
    ("INSERT INTO t VALUES (1, 2), (3, 4)", "INSERT INTO t VALUES (1, 2), (3, 4), (5, 6)"),
    ("SELECT a FROM t WHERE (a, b) IN ((1, 2), (3, 4))", "SELECT a FROM t WHERE (a, b) IN ((1, 2), (3, 4), (5, 6))"),
    ("SELECT a FROM t LIMIT 5, 10", "SELECT a FROM t LIMIT 5"),
    ("SELECT a FROM t LIMIT 5 OFFSET 10", "SELECT a FROM t LIMIT 5, 10"),
    ("SELECT f(1)", "SELECT f(1, 2)"),
    ("SELECT f(1, 2)", "SELECT f(1, 2, 3)"),
    ("SELECT `a` FROM `t`", "SELECT a FROM t;"),
    ("SELECT `select` FROM t", "SELECT `from` FROM t"),
    ("SELECT  a\nFROM t", "SELECT a FROM t"),
    ("SELECT /* it's */ a FROM t -- it's", "SELECT a FROM t # it's"),
    ("SELECT /*+ NO_ICP(t) */ a FROM t", "SELECT a FROM t"),
    ("SELECT /*!40001 SQL_NO_CACHE */ a FROM t", "SELECT SQL_NO_CACHE a FROM t"),
    ("SELECT a1 FROM t", "SELECT a2 FROM t"),
    ("SELECT 123foo FROM t", "SELECT 124foo FROM t"),
    ("CALL p(1)", "CALL p(1, 2)"),
    ("CALL p(1)", "CALL q(1)"),
    ("USE mysql", "USE information_schema"),
    ("SELECT DATE '2026-11-23'", "SELECT '2026-11-23'"),
    ("SELECT COUNT(*) FROM t", "SELECT COUNT(a) FROM t"),
]  # fmt: skip

DIFFERENT = {
    "list length": [
        ("SELECT a FROM t WHERE b IN (1)", "SELECT a FROM t WHERE b IN (1, 2)"),
        ("INSERT INTO t VALUES (1, 2)", "INSERT INTO t VALUES (1, 2), (3, 4)"),
        ("INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (1), (2)"),
        ("SELECT a FROM t WHERE (a, b) IN ((1, 2))", "SELECT a FROM t WHERE (a, b) IN ((1, 2), (3, 4))"),
    ],
    "rows of expressions": [("INSERT INTO t VALUES (NOW(), 1)", "INSERT INTO t VALUES (NOW(), 1), (NOW(), 2)")],
    "letter case": [("SELECT a FROM t", "SELECT A FROM T")],
    "sign": [(T + "-1", T + "1"), ("SELECT a FROM t WHERE b > - 1.5", "SELECT a FROM t WHERE b > 2")],
    "introducer": [(T + "_utf8mb4'x'", T + "'x'"), (T + "X'41'", T + "'x'")],
    "hexadecimal 0X": [(T + "0XAF", T + "1")],
    "synonym": [
        ("SELECT SUBSTR(a, 1) FROM t", "SELECT SUBSTRING(a, 1) FROM t"),
        ("SELECT a FROM t WHERE b REGEXP 'x'", "SELECT a FROM t WHERE b RLIKE 'x'"),
        ("SELECT DATABASE()", "SELECT SCHEMA()"),
        ("SELECT STD(a) FROM t", "SELECT STDDEV(a) FROM t"),
    ],
    "version comment": [("SELECT /*!99999 b, */ a FROM t", "SELECT a FROM t")],
}  # fmt: skip

DIFFERENT_MYSQL = {name: pairs for name, pairs in DIFFERENT.items() if name != "sign"} | {
    "list length": [*DIFFERENT["list length"], ("VALUES ROW(1, 2)", "VALUES ROW(1, 2), ROW(3, 4)")],
    "optimizer hint": [("SELECT /*+ NO_ICP(t) */ a FROM t", "SELECT a FROM t")],
    "position": [("SELECT a FROM t ORDER BY 1", "SELECT a FROM t ORDER BY 2")],
}
AGREED_MYSQL = [
    *(pair for pair in AGREED if pair not in DIFFERENT_MYSQL["optimizer hint"]),
    *DIFFERENT["sign"],
    ("SELECT a FROM t WHERE b IN (1)", "SELECT a FROM t WHERE b IN (1, 2)"),
    ("SELECT a FROM t WHERE b IN (1, a, 2)", "SELECT a FROM t WHERE b IN (1, a, 2, 3)"),
    ("SELECT IF(a, 1, 2) FROM t", "SELECT IF(a, 1, NULL) FROM t"),
    ("SELECT a FROM t GROUP BY 1, 2", "SELECT a FROM t GROUP BY 1"),
    ("SELECT a FROM t WHERE b > NOW() - INTERVAL 1 DAY", "SELECT a FROM t WHERE b > NOW() - INTERVAL 7 DAY"),
    ("SELECT a->'$.x' FROM t", "SELECT a->'$.y' FROM t"),
    ("SELECT a->>'$.x' FROM t", "SELECT a->'$.x' FROM t"),
    ("SELECT a FROM t WHERE b = 1 OR c = 2", "SELECT a FROM t WHERE b = 1 || c = 2"),
    ("SELECT a*-1 FROM t", "SELECT a*1 FROM t"),
    ("SELECT 1--1", "SELECT 1 - -1"),
    ("SELECT CASE a WHEN -1 THEN -2 ELSE -3 END FROM t", "SELECT CASE a WHEN 1 THEN 2 ELSE 3 END FROM t"),
    ("SELECT a FROM t WHERE b = 'x' COLLATE utf8mb4_bin", "SELECT a FROM t WHERE b = 'é' COLLATE utf8mb4_bin"),
    ("WITH x AS (SELECT 1) SELECT * FROM x", "WITH x AS (SELECT 2) SELECT * FROM x"),
    ("INSERT INTO t VALUES (DEFAULT, 1)", "INSERT INTO t VALUES (2, 1)"),
    ("SELECT a MEMBER OF('[1]') FROM t", "SELECT a MEMBER OF('[2]') FROM t"),
]  # fmt: skip


def statements() -> list[str]:
    """Every recorded statement."""
    pairs = [*AGREED_MYSQL, *(pair for several in DIFFERENT_MYSQL.values() for pair in several)]
    return list(dict.fromkeys([*generated(), *(sql for pair in pairs for sql in pair)]))


def main(socket: str) -> None:
    """Record the server's version, its digest texts, and the index of each statement's text among them."""
    connection = pymysql.connect(unix_socket=socket, user="root")
    observer = pymysql.connect(unix_socket=socket, user="root", autocommit=True)
    connection.cursor().execute("CREATE DATABASE IF NOT EXISTS shop")
    texts: dict[tuple[str, str], int] = {}
    places = []
    for sql in statements():
        observer.cursor().execute("TRUNCATE performance_schema.events_statements_summary_by_digest")
        connection.select_db("shop")
        try:
            connection.cursor().execute(sql)
        except pymysql.err.Error as problem:
            assert problem.args[0] != pymysql.constants.ER.PARSE_ERROR, sql
        places.append(texts.setdefault(observed(observer), len(texts)))
    answers = {
        "version": connection.get_server_info(),
        "texts": [text for _, text in texts],
        "places": places,
    }
    ANSWERS.write_text(json.dumps(answers, ensure_ascii=False, indent=0) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
