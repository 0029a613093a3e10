"""Known extractors and BI tools, and how their sessions can be recognised: data, and one function that suggests rules.

A suggestion is not a finding: a user can have any name, and any program can write any statement. So nothing else uses
this table; people compare a suggestion with what they know, and paste its rule into the settings.

Where the marks come from: the tools' public sources (Airbyte, Debezium, Singer tap-mysql, Redash, dbt, mydumper), their
documentation (Fivetran, Hightouch, AWS DMS) and statements in public repositories (Looker, Metabase, Sigma, Spark). A
word in the name of a user or host is a habit of administrators, not of the tool.
"""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pandas as pd

STATEMENT, CURSOR, TRANSACTION = "statement", "cursor", "transaction"
"""Holder of a tool's read view: the statement, the cursor until its last row is fetched, or the transaction."""


@dataclass(frozen=True)
class Client:
    """A tool: what its sessions look like, what holds its read view, and what to tell its owner first.

    `words` are regular expressions for a whole word in the name of a user or host; `tags` are tags of comments that
    only this tool writes; `shapes` are regular expressions for fingerprints that only this tool writes, and
    `shared_shapes` for those that other programs write too.
    """

    workload: str
    title: str
    holds: str
    advice: str
    words: tuple[str, ...]
    tags: tuple[tuple[str, str], ...] = ()
    shapes: tuple[str, ...] = ()
    shared_shapes: tuple[str, ...] = ()


_SNAPSHOT = (r"^start transaction[\w ,]{0,60} with consistent snapshot$", r"^flush tables with read lock$")

CLIENTS = (
    Client(
        "snowflake",
        "Snowflake script or connector",
        STATEMENT,
        "Ask which script this is: Snowflake's Openflow connector reads the writer's binlog and needs no reader. Extract "
        "in ranges of the primary key instead of one long statement.",
        ("snowflake", "openflow"),
    ),
    Client(
        "fivetran",
        "Fivetran",
        STATEMENT,
        "Find out whether this is a first or full sync, which reads whole tables; schedule it for quiet hours.",
        ("fivetran",),
    ),
    Client(
        "airbyte",
        "Airbyte",
        STATEMENT,
        "Give tables without a primary key one: only tables with a key are read in short ranges.",
        ("airbyte",),
        shared_shapes=(r"> \?\)* order by [\w.`, ]{1,300} limit \?$",),
    ),
    Client(
        "debezium",
        "Debezium",
        TRANSACTION,
        "Use incremental snapshots: the initial snapshot reads all tables in one transaction.",
        ("debezium", "dbz"),
        shared_shapes=_SNAPSHOT,
    ),
    Client(
        "dms",
        "AWS DMS",
        TRANSACTION,
        "Split the full load into ranges (parallel-load), and run it in quiet hours.",
        ("dms", "awsdms"),
    ),
    Client(
        "spark",
        "AWS Glue or Spark (JDBC)",
        STATEMENT,
        "Set a partition column with bounds, so that many short range statements replace one long one.",
        ("glue", "spark", "databricks", "emr"),
        shapes=(r"\bspark_gen_(?:subq|alias)_\d+",),
    ),
    Client(
        "stitch",
        "Stitch or a Singer tap",
        CURSOR,
        "Replicate by key instead of the full table: the statement stays open until the last row is fetched.",
        ("stitch", "singer"),
        shapes=(r"^set @@session\.(?:net_read_timeout|innodb_lock_wait_timeout) = \?$",),
    ),
    Client(
        "hightouch",
        "Hightouch",
        CURSOR,
        "The Basic engine reads the whole model at each sync: shorten the model query or sync less often.",
        ("hightouch",),
    ),
    Client(
        "airflow",
        "Airflow, or another Python job",
        TRANSACTION,
        "Commit, or use autocommit, right after the last row: drivers in Python keep the transaction open otherwise.",
        ("airflow", "dagster", "prefect"),
        tags=(("app", "airflow"),),
    ),
    Client(
        "looker",
        "Looker",
        STATEMENT,
        "Set a query timeout for the connection, and move persistent derived tables away from the reader.",
        ("looker",),
        tags=(("tool", "looker"),),
        shapes=(r"\blr\$\w+",),
    ),
    Client(
        "tableau",
        "Tableau",
        STATEMENT,
        "Refresh extracts incrementally and in quiet hours: a full refresh is one long statement.",
        ("tableau",),
        shapes=(r"`custom sql query`",),
    ),
    Client(
        "metabase",
        "Metabase",
        STATEMENT,
        "Set a query timeout for the database connection, and cache dashboards.",
        ("metabase",),
        tags=(("tool", "metabase"),),
    ),
    Client(
        "sigma",
        "Sigma",
        STATEMENT,
        "Set a query timeout for the connection, and materialise heavy workbooks in a warehouse.",
        ("sigma", "sigmacomputing"),
        tags=(("tool", "sigma"),),
    ),
    Client(
        "redash",
        "Redash",
        STATEMENT,
        "Set a time limit for the data source: Redash has none by default.",
        ("redash",),
        tags=(("tool", "redash"),),
    ),
    Client(
        "power_bi",
        "Power BI",
        STATEMENT,
        "Use incremental refresh: an import reads whole tables.",
        ("powerbi", "power_bi", "power-bi"),
        shapes=(r"(?<![\w$])`?\$table`?(?![\w$])",),
    ),
    Client(
        "dbt",
        "dbt",
        TRANSACTION,
        "Run models where the data are written for analysis; on a reader only tests and freshness checks can run.",
        ("dbt",),
        tags=(("app", "dbt"),),
    ),
    Client(
        "dump",
        "mysqldump, mariadb-dump or mydumper",
        TRANSACTION,
        "Dump from a clone or a snapshot export: --single-transaction keeps one read view for the whole dump.",
        ("mysqldump", "mydumper", "mysqlpump", "mariadbdump", "backup", "dump"),
        shared_shapes=(r"^select sql_no_cache [\w`., ]*\*?[\w`., ]* from ", *_SNAPSHOT),
    ),
)

MOST_VALUES = 20
"""Maximum number of names or digests in one rule; the most frequent ones are taken."""

COLUMNS = ["user", "host", "tags", "digest", "query_time_s"]
"""Columns of the table slow_queries that `suggest` needs."""

SUGGESTION = ["tool", "workload", "executions", "query_time_s", "matched", "holds", "advice", "rule"]

_SHAPE, _SHARED = "statement shape", "statement shape that other programs write too"


@dataclass(frozen=True)
class _Match:
    """Executions that match in one field: what matched in words, the rule's field, and its value in each execution that matched."""

    what: str
    field: str
    seen: pd.Series


def suggest(slow_queries: pd.DataFrame, statements: pd.DataFrame) -> pd.DataFrame:
    """Suggest a rule for each known tool that seems to have run some of these executions.

    Parameters
    ----------
    slow_queries : DataFrame
        Rows of the table slow_queries, with `COLUMNS`.
    statements : DataFrame
        Rows of the table statements, with `digest` and `fingerprint`.

    Returns
    -------
    DataFrame
        One row per tool, the most executions first: `tool, workload, executions, query_time_s, matched` (what matched,
        and how many executions), `holds` (statement, cursor or transaction), `advice` (the first thing to tell the
        owner), `rule` (TOML for the settings).
    """
    rows = slow_queries[COLUMNS].astype(dict.fromkeys(COLUMNS[:4], object)).reset_index(drop=True)
    own = {client: _own_matches(rows, statements, client) for client in CLIENTS}
    suggestions = []
    for client, matches in own.items():
        others = _executions(match for other in CLIENTS if other is not client for match in own[other])
        shared = _with_shape(rows, statements, client.shared_shapes)
        shared = shared[~shared.index.isin(others | _executions(matches))]
        found = [match for match in [*matches, _Match(_SHARED, "digest", shared)] if len(match.seen)]
        if found:
            suggestions.append(_suggestion(client, rows.loc[sorted(_executions(found))], found))
    return pd.DataFrame(suggestions, columns=SUGGESTION).sort_values(
        ["executions", "tool"], ascending=[False, True], ignore_index=True
    )


def _own_matches(rows: pd.DataFrame, statements: pd.DataFrame, client: Client) -> list[_Match]:
    """Match executions by the client's name and by marks that only the client writes."""
    word = re.compile(rf"(?i)(?<![a-z])(?:{'|'.join(map(re.escape, client.words))})(?![a-z])")
    matches = [_Match(field, field, _where(rows[field], word.search)) for field in ("user", "host")]
    for key, value in client.tags:
        tagged = rows["tags"].map(lambda text, key=key: json.loads(text).get(key), na_action="ignore")
        matches.append(_Match(f"tag {key}", f"tags.{key}", tagged[tagged == value]))
    return [*matches, _Match(_SHAPE, "digest", _with_shape(rows, statements, client.shapes))]


def _where(names: pd.Series, is_wanted: Callable[[str], object]) -> pd.Series:
    wanted = {name for name in names.dropna().unique() if is_wanted(name)}
    return names[names.isin(wanted)]


def _with_shape(rows: pd.DataFrame, statements: pd.DataFrame, shapes: Iterable[str]) -> pd.Series:
    """Return the digests of executions whose fingerprint has one of these shapes."""
    pattern = re.compile("|".join(shapes) or r"(?!)")
    has_shape = statements["fingerprint"].map(lambda text: pattern.search(text) is not None).astype(bool)
    return rows.loc[rows["digest"].isin(statements.loc[has_shape, "digest"]), "digest"]


def _executions(matches: Iterable[_Match]) -> set[int]:
    return set().union(*(match.seen.index for match in matches))


def _suggestion(client: Client, taken: pd.DataFrame, matches: list[_Match]) -> tuple[object, ...]:
    return (
        client.title,
        client.workload,
        len(taken),
        float(taken["query_time_s"].sum()),
        "; ".join(_in_words(match) for match in matches),
        client.holds,
        client.advice,
        "\n".join(_rule(client.workload, match) for match in matches),
    )


def _in_words(match: _Match) -> str:
    counts = match.seen.value_counts()
    shown = [f"{_toml_text(str(value))} {count:,}" for value, count in counts.head(3).items()]
    return f"{match.what}: {', '.join(shown)}" + f" and {len(counts) - 3} more" * (len(counts) > 3)


def _rule(workload: str, match: _Match) -> str:
    """Return the TOML of a rule that matches exactly the observed values."""
    counts = match.seen.value_counts()
    globs = ", ".join(_toml_text(glob.escape(str(value))) for value in counts.index[:MOST_VALUES])
    left = len(counts) - MOST_VALUES
    note = f"# Other programs write such statements too: check these {len(counts)} digests first.\n" * (
        match.what == _SHARED
    ) + f"# The {MOST_VALUES} most frequent of {len(counts)} values.\n" * (left > 0)
    return f"{note}[[workloads.{workload}]]\n{match.field} = [{globs}]\n"


def _toml_text(text: str) -> str:
    r"""Return a text as a TOML string of printable characters.

    >>> print(_toml_text("a" + chr(27)))
    "a\U0000001B"
    """
    escaped = (one if one.isprintable() and one not in '"\\' else f"\\U{ord(one):08X}" for one in text)
    return f'"{"".join(escaped)}"'
