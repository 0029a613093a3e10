"""What a MySQL server's performance_schema says of our statements, kept as a file, for no package brings such a server.

`python tests/mysql_digests.py SOCKET` asks a server (performance_schema on, max_digest_length 1048576,
performance_schema_max_digest_length 65536) as root and writes the file anew.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pymysql
from test_fingerprint_server import AGREED, DIFFERENT, generated, observed

ANSWERS = Path(__file__).with_name("mysql_9_digests.json")

DIFFERENT_MYSQL = {name: pairs for name, pairs in DIFFERENT.items() if name != "sign"} | {
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
    ("VALUES ROW(1, 2)", "VALUES ROW(1, 2), ROW(3, 4)"),
    ("SELECT a MEMBER OF('[1]') FROM t", "SELECT a MEMBER OF('[2]') FROM t"),
]  # fmt: skip


def statements() -> list[str]:
    """Every statement that is asked about."""
    pairs = [*AGREED_MYSQL, *(pair for several in DIFFERENT_MYSQL.values() for pair in several)]
    return list(dict.fromkeys([*generated(), *(sql for pair in pairs for sql in pair)]))


def main(socket: str) -> None:
    """Ask the server, and keep what it answers: its version, and the place of each statement's text among the texts."""
    asked = pymysql.connect(unix_socket=socket, user="root")
    observer = pymysql.connect(unix_socket=socket, user="root", autocommit=True)
    asked.cursor().execute("CREATE DATABASE IF NOT EXISTS shop")
    texts: dict[tuple[str, str], int] = {}
    places = []
    for sql in statements():
        observer.cursor().execute("TRUNCATE performance_schema.events_statements_summary_by_digest")
        asked.select_db("shop")
        try:
            asked.cursor().execute(sql)
        except pymysql.err.Error as problem:
            assert problem.args[0] != pymysql.constants.ER.PARSE_ERROR, sql
        places.append(texts.setdefault(observed(observer), len(texts)))
    told = {"version": asked.get_server_info(), "texts": [text for _, text in texts], "places": places}
    ANSWERS.write_text(json.dumps(told, ensure_ascii=False, indent=0) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
