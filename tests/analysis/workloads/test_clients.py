"""Known extractors and BI tools are suggested with the rule to paste, and nothing is asserted."""

from __future__ import annotations

import json
import tomllib

import pandas as pd
import pytest

from aurora_analysis import config
from aurora_analysis.analysis import workloads
from aurora_analysis.analysis.workloads import clients
from aurora_analysis.engines.mysql.fingerprint import FingerprintCache, tags
from aurora_analysis.engines.sql_mode import SqlMode


def logged(*executions: tuple[str, str, str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Executions of (user, host, statement), as ingest stores them, and their statements."""
    cache = FingerprintCache(SqlMode())
    found = [cache(sql.encode() + b";") for _, _, sql in executions]
    rows = pd.DataFrame(
        {
            "user": [user for user, _, _ in executions],
            "host": [host for _, host, _ in executions],
            "tags": [json.dumps(tags(sql)) if tags(sql) else None for _, _, sql in executions],
            "digest": [one.digest for one in found],
            "query_time_s": 2.0,
        }
    )
    texts = {one.digest: one.fingerprint for one in found}
    return rows, pd.DataFrame(texts.items(), columns=["digest", "fingerprint"])


CASES = {
    "snowflake": ("snowflake_etl", "h", "SELECT * FROM t"),
    "fivetran": ("svc-fivetran", "h", "SELECT * FROM t"),
    "airbyte": ("reader", "airbyte-worker-7.svc", "SELECT * FROM t"),
    "debezium": ("Debezium", "h", "SELECT * FROM t"),
    "dms": ("dms_user", "h", "SELECT * FROM t"),
    "spark": ("etl", "h", "SELECT * FROM (SELECT a FROM t) SPARK_GEN_SUBQ_7 WHERE 1=0"),
    "stitch": ("etl", "h", "SET @@session.net_read_timeout=3600"),
    "hightouch": ("hightouch", "h", "SELECT 1"),
    "airflow": ("etl", "h", "/* app=airflow */ SELECT * FROM t"),
    "looker": ("bi", "h", '-- Looker Query Context \'{"user_id":6,"history_slug":"x"}\'\nSELECT 1'),
    "tableau": ("bi", "h", "SELECT `Custom SQL Query`.`a` FROM (select 1) `Custom SQL Query`"),
    "metabase": (
        "bi",
        "h",
        "-- Metabase:: userID: 1 queryType: MBQL queryHash: " + "a1" * 32 + "\nSELECT 1",
    ),
    "sigma": ("bi", "h", 'SELECT 1\n-- Sigma Σ {"kind":"adhoc","request-id":"g1"}'),
    "redash": ("bi", "h", "/* Username: a@b.c, query_id: 5, Queue: q, Query Hash: ff */ SELECT 1"),
    "power_bi": ("bi", "h", "select `$Table`.`a` from `t` `$Table`"),
    "dbt": ("bi", "h", '/* {"app": "dbt", "node_id": "model.a"} */ SELECT 1'),
    "dump": ("root", "h", "SELECT /*!40001 SQL_NO_CACHE */ * FROM `orders`"),
}


@pytest.mark.parametrize("workload", CASES)
def test_each_known_tool_is_suggested_with_a_rule_that_finds_it(workload):
    """By user, host, tag or statement shape; our own settings reader takes the rule, which matches the same executions."""
    others = [("shop", "10.0.0.1", "SELECT a FROM t WHERE id = 1"), ("onlooker", "h9", "SELECT 2")]
    rows, statements = logged(*others, CASES[workload], CASES[workload])
    (one,) = workloads.suggest(rows, statements).to_dict("records")
    assert (one["workload"], one["executions"], one["query_time_s"]) == (workload, 2, 4.0)
    assert one["holds"] in {clients.STATEMENT, clients.CURSOR, clients.TRANSACTION}
    assert one["advice"].endswith(".")
    rules = config.groups(one["rule"]).workloads
    named = workloads.workload_names(rows, rules)
    assert named[named == workload].index.tolist() == [2, 3]


def test_every_client_has_a_case():
    """A tool without one would be suggested by nothing that was tried."""
    assert set(CASES) == {client.workload for client in clients.CLIENTS}


def test_all_rules_together_are_one_settings_file():
    """Several matches of one tool are alternatives; the most executions come first."""
    rows, statements = logged(*CASES.values(), ("looker", "h", "SELECT 9"))
    found = workloads.suggest(rows, statements)
    assert found["tool"].iloc[0] == "Looker"
    rules = config.groups("\n".join(found["rule"])).workloads
    assert set(rules) == set(CASES)
    assert [next(iter(rule)) for rule in rules["looker"]] == ["user", "tags.tool"]


def test_a_shape_that_others_write_too_does_not_claim_another_tools_executions():
    """Keyset pages are Airbyte's habit and that of many: the rule says so, and Metabase's are left out."""
    page = "SELECT a FROM t WHERE id > 5 ORDER BY id LIMIT 100"
    rows, statements = logged(("app", "h", page), ("metabase", "h", page))
    found = workloads.suggest(rows, statements).set_index("workload")
    assert found["executions"].to_dict() == {"airbyte": 1, "metabase": 1}
    assert "other programs write too" in found.loc["airbyte", "matched"]
    assert found.loc["airbyte", "rule"].startswith("# Other programs write such statements too")


def test_names_of_any_characters_stay_data():
    """A hostile user name ends neither the string nor the line, and no glob in it widens the rule."""
    name = 'looker"]\n[jobs.x]\nuser = "*\x1b[31m\u202e'
    rows, statements = logged(
        (name, "h", "SELECT 1"), ("looker[x]*", "h", "SELECT 1"), ("lookers", "h", "SELECT 1")
    )
    (one,) = workloads.suggest(rows, statements).to_dict("records")
    assert one["matched"].isprintable()
    content = tomllib.loads(one["rule"])
    assert [*content] == ["workloads"]
    named = workloads.workload_names(rows, config.groups(one["rule"]).workloads)
    assert named[named == "looker"].index.tolist() == [0, 1]


def test_nothing_known_gives_no_suggestion():
    """Ordinary applications match no signature."""
    rows, statements = logged(("shop", "h", "SELECT a FROM t"), (None, None, "COMMIT"))  # type: ignore[arg-type]
    assert workloads.suggest(rows, statements).empty
