"""The guard of `experiment`: a text is judged as the server that runs it would read it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pymysql
import pytest

from aurora_analysis.engines.mysql import query_guard, trial_sessions
from aurora_analysis.errors import Error
from aurora_analysis.lab.server import Server
from aurora_analysis.live.experiment import read_only_query

HARMFUL = [
    "SELECT 1 INTO OUTFILE '{file}'",
    "SELECT 1 INTO DUMPFILE '{file}'",
    "SELECT 1 INTO @a",
    "SELECT 1.5INTO @a",
    "SELECT 1e5INTO @a",
    "SELECT 1e+5INTO @a",
    "SELECT 1 AS a/**/INTO/**/OUTFILE/**/'{file}'",
    "WITH x AS (SELECT 1 AS a) SELECT a FROM x INTO OUTFILE '{file}'",
    "SELECT 1 /*!INTO OUTFILE '{file}'*/",
    "SELECT 1 /*!99999 ' */ INTO OUTFILE '{file}' /* ' */",
    "SELECT 1 /*M!INTO OUTFILE '{file}'*/",
    "SELECT 1 -- '\nINTO OUTFILE '{file}'",
    "SELECT 1 # '\nINTO OUTFILE '{file}'",
    "SELECT $$ INTO OUTFILE '{file}' FROM (SELECT 1 AS `$$`) AS t -- $$",
    "SELECT \u00a0 FROM (SELECT 1 AS `\u00a0`) AS t INTO OUTFILE '{file}'",
    "SELECT 1 --\u00a0 FROM (SELECT 1 AS `\u00a0`) AS t INTO OUTFILE '{file}'",
    "SELECT GET_LOCK('guard', 0)",
    "SELECT GET_LOCK /* x */ ('guard', 0)",
    "SELECT `GET_LOCK`('guard', 0)",
    "SELECT 1 WHERE get_lock('guard', 0)",
    "SELECT LOAD_FILE('/etc/hostname')",
    "SELECT `load_file`('/etc/hostname')",
    "SELECT RELEASE_ALL_LOCKS()",
    "SELECT BENCHMARK(1, 1)",
    "SELECT NEXTVAL(s)",
    "SELECT NEXT VALUE FOR s",
    "SELECT lambda_sync('arn', '')",
    "SELECT id FROM trial.stock WHERE id = 1 FOR UPDATE",
    "SELECT id FROM trial.stock WHERE id = 1 FOR SHARE",
    "SELECT id FROM trial.stock WHERE id = 1 FOR /**/ UPDATE SKIP LOCKED",
    "SELECT id FROM trial.stock WHERE id = 1 LOCK IN SHARE MODE",
    "SELECT /*+ MAX_EXECUTION_TIME(0) */ 1",
    "SELECT /*+ SET_VAR(max_execution_time = 0) */ 1",
    "SELECT /*+ QB_NAME(`*/`) MAX_EXECUTION_TIME(0) */ 1",
    "SELECT 1 PROCEDURE ANALYSE()",
    "WITH x AS (SELECT 1 AS a) DELETE FROM trial.stock WHERE id < 0",
    "WITH x AS (SELECT 1 AS a) UPDATE trial.stock SET id = id WHERE id < 0",
    "SELECT 1; SELECT 2",
    "SELECT 'never closed",
    "SET STATEMENT max_statement_time = 0 FOR SELECT 1",
    "TABLE trial.stock INTO OUTFILE '{file}'",
    "DO GET_LOCK('guard', 0)",
    "HANDLER trial.stock OPEN",
    "",
]
"""Refused in every mode."""

HARMFUL_IN = {
    "": [
        """SELECT "'" INTO OUTFILE '{file}' -- "'""",
        r"""SELECT '\'' INTO OUTFILE '{file}'""",
    ],
    "NO_BACKSLASH_ESCAPES": [
        r"SELECT '\' INTO OUTFILE '{file}' -- '",
        r'SELECT "\" INTO OUTFILE "{file}" -- "',
        r"SELECT '\', GET_LOCK('guard', 0) -- '",
    ],
    "ANSI_QUOTES": [
        r"""SELECT "\" INTO OUTFILE '{file}' -- " FROM (SELECT 1 AS "\") AS t""",
        r"""SELECT "GET_LOCK"('guard', 0)""",
        r"""SELECT "LOAD_FILE"('/etc/hostname')""",
    ],
    "NO_BACKSLASH_ESCAPES,ANSI_QUOTES": [
        r"SELECT '\' INTO OUTFILE '{file}' -- '",
        r"""SELECT "get_lock"('guard', 0)""",
    ],
}
"""Harmful where the mode lets a literal end early."""

HARMLESS = [
    "SELECT 1",
    "SELECT 'into outfile', 'FOR UPDATE'",
    "SELECT id AS `into`, quantity AS `get_lock` FROM trial.stock WHERE id = 1",
    "SELECT COUNT(*) FROM trial.stock -- reads\n",
    "SELECT /*+ QB_NAME(one) */ COUNT(*) FROM trial.stock # reads",
    "WITH x AS (SELECT id FROM trial.stock) SELECT COUNT(*) FROM x",
    "SELECT REPLACE('a', 'b', 'c'), INSERT('a', 1, 1, 'b'), SUBSTRING('abc' FROM 2 FOR 1)",
    "SELECT COUNT(*) FROM trial.stock USE INDEX FOR JOIN (PRIMARY)",
    "SELECT 1.5e3, 0xFF, x'41', .5, @a, @@version, 1 - -1",
    "SELECT SLEEP(0)",
]


@pytest.mark.parametrize("modes", trial_sessions.ALL_MODES)
def test_what_does_more_than_read_is_refused_in_every_mode(modes):
    """The line names what was found."""
    for text in HARMFUL + HARMFUL_IN[modes]:
        with pytest.raises(Error, match="The query contains .+: a trial runs one SELECT that only reads"):
            read_only_query(text.format(file="/tmp/x"), "mysql", modes)


@pytest.mark.parametrize("modes", trial_sessions.ALL_MODES)
def test_what_reads_is_accepted(modes):
    """Words inside literals, comments and quoted names do not count."""
    for text in HARMLESS:
        assert read_only_query(text, "mysql", modes).startswith(("SELECT", "WITH"))


def test_without_a_server_only_what_every_mode_refuses_is_refused():
    """The server's mode decides the rest."""
    depends = HARMFUL_IN["NO_BACKSLASH_ESCAPES"][0].format(file="x")
    assert read_only_query(depends, "mysql") == depends
    with pytest.raises(Error, match="with the server's sql_mode 'NO_BACKSLASH_ESCAPES'"):
        read_only_query(depends, "mysql", "NO_BACKSLASH_ESCAPES")


@pytest.fixture(params=["real_server", "mysql_server"])
def family(request) -> Server:
    """A MariaDB, then a MySQL."""
    found: Server = request.getfixturevalue(request.param)
    return found


def _effects(cursor: Any, text: str, file: Path) -> Iterator[str]:
    """What a text does on a server: its files and locks."""
    with suppress(pymysql.MySQLError):
        cursor.execute(text.format(file=file))
        cursor.fetchall()
    cursor.execute("SELECT IS_USED_LOCK('guard')")
    if cursor.fetchone()[0] is not None:
        cursor.execute("DO RELEASE_LOCK('guard')")
        yield "a lock"
    if file.exists():
        file.unlink()
        yield "a file"


@pytest.mark.real
@pytest.mark.parametrize("modes", trial_sessions.ALL_MODES)
def test_no_accepted_text_has_an_effect_on_a_real_server(family, modes, tmp_path):
    """Every text of this file is run in each mode; whatever writes a file or takes a lock there was refused."""
    every = [*HARMFUL, *(text for texts in HARMFUL_IN.values() for text in texts), *HARMLESS]
    tmp_path.chmod(0o777)
    for parent in list(tmp_path.parents)[:3]:
        parent.chmod(0o755)
    harmful, file = set(), tmp_path / "out"
    with family.connect() as session, session.cursor() as cursor:
        cursor.execute(trial_sessions.READ_ONLY)
        cursor.execute(trial_sessions.set_modes(modes))
        for text in filter(None, every):
            if effects := list(_effects(cursor, text, file)):
                harmful.add(text)
                assert query_guard.refusal(text.format(file=file), query_guard.mode(modes)), (text, effects)
    assert len(harmful) > 8  # the texts do reach the server's effects
    assert harmful & set(HARMFUL_IN[modes]) or modes == ""


@pytest.mark.real
def test_no_accepted_hint_lifts_the_time_limit(mysql_server):
    """MySQL's hints do, on a real server; the guard refuses each that does."""
    lifts = 0
    for hint in (
        "MAX_EXECUTION_TIME(0)",
        "SET_VAR(max_execution_time = 0)",
        "MAX_EXECUTION_TIME(5000)",
        "QB_NAME(a)",
    ):
        text = f"SELECT /*+ {hint} */ COUNT(*) FROM trial.stock WHERE id < 10 AND SLEEP(0.05) = 0"
        with mysql_server.connect() as session, session.cursor() as cursor:
            cursor.execute("SET SESSION max_execution_time = 200")
            try:
                cursor.execute(text)
            except pymysql.MySQLError:
                continue
            lifts += 1
            assert query_guard.refusal(text, query_guard.mode("")), hint
    assert lifts
