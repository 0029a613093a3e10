"""Personal data stay in the log: no literal of a statement reaches the store or a report."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from aurora_analysis import Store
from aurora_analysis.cli import main
from aurora_analysis.tables import TABLES

SECRETS = ["hunter2", "4111111111111111", "ada@example.org", "0xC0FFEE42"]
ENTRY = """# Time: 2026-11-09T00:0{minute}:00.000000Z
# User@Host: etl[etl] @  [10.0.0.1]  Id:     {minute}
# Query_time: 3.500000  Lock_time: 0.000000 Rows_sent: 1  Rows_examined: 2
use shop;
SET timestamp=1794182400;
{sql};
"""
STATEMENTS = [
    "select * from users where password = 'hunter2' and card = 4111111111111111",
    'update users set mail = "ada@example.org", token = 0xC0FFEE42 where id in (4111111111111111, 2)',
    "select 'ada@example.org' as broken, 'hunter2",
    "call login('ada@example.org', 'hunter2') /* hunter2 */",
]
"""The last one is whole: an execution that the end of a log cuts is not stored."""
PROFILE = """
from aurora_analysis import Store, Window
from aurora_analysis.analysis.verdict import Verdict
statements = Store(store).read("statements", cluster=cluster)
statements
Verdict("load", "statements", "seen", "ok", " ".join(statements["fingerprint"]))
"""


def test_no_planted_secret_leaves_the_parser(tmp_path, notebook):
    """Literals in strings, numbers, comments and truncated texts reach no table, page, notebook or findings.json."""
    log, location, output = tmp_path / "slow.log", tmp_path / "store", tmp_path / "report"
    log.write_text("".join(ENTRY.format(minute=n, sql=sql) for n, sql in enumerate(STATEMENTS)))
    run = CliRunner().invoke
    where = ["--cluster", "shop", "--store", str(location)]
    ingested = run(main, ["ingest", str(log), "--instance", "shop-1", *where])
    assert ingested.exit_code == 0, ingested.output
    store = Store(location)
    rows = {name: store.read(name, cluster="shop") for name in TABLES}
    assert len(rows["slow_queries"]) == len(STATEMENTS)
    made = ["report", *where, "--notebook", str(notebook("load", PROFILE)), "--record", "--jobs", "1"]
    ran = run(main, [*made, "--output", str(output)])
    assert ran.exit_code == 0, ran.output
    files = [path for path in output.rglob("*") if path.is_file()]
    assert (
        "from users where password"
        in (output / "index.html").read_text() + (output / "shop/load.html").read_text()
    )
    written = {name: store.read(name, cluster="shop").to_csv() for name in TABLES}
    written |= {path.name: path.read_text() for path in files} | {"terminal": ran.output + ingested.output}
    found = [
        (name, secret)
        for name, text in written.items()
        for secret in SECRETS
        if secret.lower() in text.lower()
    ]
    assert found == []


@pytest.mark.parametrize("secret", SECRETS)
def test_the_scan_sees_what_is_planted(secret):
    """Every secret is in the log."""
    assert secret in "".join(STATEMENTS)
