"""A digest looks the same everywhere: short id, colour, and a link to its statement."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from aurora_analysis import Window, statement_labels
from aurora_analysis.analysis.verdict import Verdict
from aurora_analysis.report import html, statements
from aurora_analysis.report.runner import Outcome

DIGEST = "0c5ae9b67c750a82"
TITLE = f'title="{DIGEST}"'


def test_a_digest_becomes_a_link_in_its_colour():
    """In text, not in attributes; 16-digit numbers and longer hashes are not digests."""
    shown_text = Markup(f"<td {TITLE}>{DIGEST} 1234567890123456 {'a1' * 20}</td>")
    shown = html.linked(shown_text, "shop/")
    assert shown.count("<a ") == 1
    assert f"<td {TITLE}>" in shown
    assert (
        f'class="digest c{statement_labels.colour_index(DIGEST)}" href="shop/statements.html#{DIGEST}"'
        in shown
    )
    assert f">{statement_labels.short_id(DIGEST)}</a>" in shown


def test_the_short_id_of_a_findings_statement_is_a_link():
    """Of its own statement only: any other eight digits stay text."""
    verdict = Verdict("load", "etl", "slows", "act", f"Statement {DIGEST[:8]} and 11bfecc3 changed.")
    finding = replace(verdict, statement={"digest": DIGEST, "text": "select 1"}).to_dict()
    parts = "{% from 'parts.html.j2' import verdict %}{{ verdict(finding) }}"
    shown = html._environment().from_string(parts).render(finding=finding)
    assert shown.count(f'href="statements.html#{DIGEST}"') == 2
    assert " and 11bfecc3 changed." in shown


def test_a_figure_gives_it_the_same_colour():
    """Its line style differs from others of that colour."""
    from aurora_analysis.plots.style import looks_of

    twins = [f"{int(DIGEST[:8], 16) + 10 * n:08x}{'a' * 8}" for n in range(3)]
    looks = looks_of(pd.Series(twins))
    assert {look["color"] for look in looks.values()} == {
        statement_labels.COLOURS[statement_labels.colour_index(DIGEST)]
    }
    assert len({str(look["linestyle"]) for look in looks.values()}) == 3


def test_the_page_of_statements_has_all_that_pages_mention(store, tmp_path):
    """Their text is escaped; the page says which statements have no text in the store."""
    seen = pd.to_datetime(["2026-11-09T01:00:00Z"]).as_unit("us")
    row = {"digest": [DIGEST], "fingerprint": ["select '<b>'"], "kind": ["select"]}
    store.merge(
        "statements",
        pd.DataFrame(row | {"first_seen": seen, "last_seen": seen}),
        cluster="shop",
        source="test",
    )
    (tmp_path / "shop").mkdir()
    other = "f" * 16
    page = html.linked(Markup(f"<p>{DIGEST} {other}</p>"))
    for name in ("db_load", "latency"):
        (tmp_path / f"shop/{name}.html").write_text(page if name == "db_load" else page.replace(other, ""))
    outcomes = [Outcome("shop", name, name, 1.0) for name in ("db_load", "latency")]
    statements.write(tmp_path, store, [CLUSTER], outcomes, "UTC")
    shown_text = (tmp_path / "shop/statements.html").read_text()
    assert shown_text.index(f'id="{DIGEST}"') < shown_text.index(f'id="{other}"')
    assert "select &#39;&lt;b&gt;&#39;" in shown_text
    assert "The store has no text for this statement" in shown_text
    assert shown_text.count('<a href="db_load.html">') == 2


DAY = Window("2026-11-09", "2026-11-10")
CLUSTER = {"cluster": "shop", "simulated": "", "compressed": "", "start": "2026-11-09", "end": "2026-11-10"}


def logged(user: str, instance: str, hours: list[int], seconds: float) -> pd.DataFrame:
    ended = pd.to_datetime([f"2026-11-09T{hour:02}:00:00Z" for hour in hours]).as_unit("us")
    took = {"query_time_s": seconds, "lock_time_s": 0.0, "ordinal": 0, "thread_id": 1}
    rows = {"started_at": ended - pd.Timedelta(seconds=seconds), "ended_at": ended, "digest": DIGEST}
    return pd.DataFrame(rows | took | {"user": user, "instance": instance})


def test_a_statement_shows_who_ran_it_where_and_for_how_long(store, tmp_path):
    """By user and instance from the slow log, and its calls by the statistics; statements that no page mentions as well."""
    runs = [logged("etl", "db-2", [3, 5], 2880.0), logged("<b>", "db-3", [7], 90.0)]
    store.write("slow_queries", pd.concat(runs), DAY, cluster="shop", source="test")
    period = {"time": pd.to_datetime(["2026-11-09T01:00:00Z"]).as_unit("us"), "period_s": 3600.0}
    calls = {"instance": "db-1", "digest": "c" * 16, "calls": 2e6, "mean_latency_ms": 1.5}
    counted = pd.DataFrame(period | calls)
    store.write("statement_metrics", counted, DAY, cluster="shop", source="test")
    statements.write(tmp_path, store, [CLUSTER], [], "Europe/Berlin")
    page = (tmp_path / "shop/statements.html").read_text()
    etl, other = (
        [re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<td[^>]*>.*?</td>", row)]
        for row in re.findall(r"<tr><td>.*?</tr>", page)[:2]
    )
    assert etl == ["etl", "db-2", "2", "96 min", "48 min", "2026-11-09 06:00"]
    assert other == ["&lt;b&gt;", "db-3", "1", "90 s", "90 s", "2026-11-09 08:00"]
    assert '<td>db-1</td><td class="number">2 million</td><td class="number">50 min</td>' in page
    assert page.count('<article class="statement"') == 2


def test_runs_outside_the_window_do_not_count(store, tmp_path):
    """The page is about its window, as every other page of the report."""
    store.write("slow_queries", logged("etl", "db-2", [3, 5], 60.0), DAY, cluster="shop", source="test")
    statements.write(tmp_path, store, [CLUSTER | {"start": "2026-11-09T04:00"}], [], "UTC")
    assert (
        '<td>etl</td><td>db-2</td><td class="number">1</td>'
        in (tmp_path / "shop/statements.html").read_text()
    )


def test_a_broken_table_costs_only_the_page_of_statements(store, tmp_path):
    """The notebooks have run by then: their pages stay, and the report says what is missing."""
    store.write("slow_queries", logged("etl", "db-2", [3], 60.0), DAY, cluster="shop", source="test")
    (file,) = Path(store.location).glob("slow_queries/cluster=shop/week=*/*.parquet")
    file.write_bytes(b"")
    (failed,) = statements.write(tmp_path, store, [CLUSTER], [], "UTC")
    assert (failed.cluster, failed.notebook) == ("shop", "statements")
    assert "Cannot answer the SQL: " in failed.error
    assert "Python exception" not in failed.error
    assert "\x1b" not in failed.error
