"""A digest looks the same everywhere: short id, colour, and a link to its statement."""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup

from aurora_analysis import statement_labels
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
    statements.write(tmp_path, store, [{"cluster": "shop", "simulated": "", "compressed": ""}], outcomes)
    shown_text = (tmp_path / "shop/statements.html").read_text()
    assert shown_text.index(f'id="{DIGEST}"') < shown_text.index(f'id="{other}"')
    assert "select &#39;&lt;b&gt;&#39;" in shown_text
    assert "The store has no text for this statement" in shown_text
    assert shown_text.count('<a href="db_load.html">') == 2


def test_a_statement_shows_who_ran_it_where_and_for_how_long():
    """Each line once, from the findings of the same cluster; a finding with the text alone adds none."""
    runs = {
        "digest": "3b560e0ddbe6e8b9",
        "text": "select 1",
        "runs": 2,
        "instance": "db-3",
        "total_s": 5760.0,
    }
    runs |= {"longest_s": 2880.0, "last": "Monday", "thread": 7}
    verdicts = [
        Verdict("load", subject, "so", "act", "So.", statement=statement).to_dict()
        for subject, statement in (("bi on db-3", runs), ("bi", runs), ("etl", {"digest": "a", "text": "b"}))
    ]
    outcomes = [Outcome(cluster, "a", "A?", 1.0, "", verdicts) for cluster in ("shop", "other")]
    assert statements.ran(outcomes, "shop") == {
        "3b560e0ddbe6e8b9": ["bi: 2 runs on db-3, 96 min in all, longest 48 min; last run Monday, thread 7"]
    }
