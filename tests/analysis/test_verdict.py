"""A verdict displays itself, travels as JSON, and has a headline that cannot be read the wrong way round."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest

from aurora_analysis.analysis.verdict import (
    EDGES,
    MIME_TYPE,
    SEVERITIES,
    SYMBOLS,
    Remarks,
    Verdict,
    by_severity,
)


def verdict(headline: str = "", severity: str = "act") -> Verdict:
    return Verdict(
        "undo_log", "bi on db-2", "blocked", severity, "It grew by 5.", {"n": 5}, headline=headline
    )  # type: ignore[arg-type]


def test_a_headline_is_what_text_and_html_show_first():
    """The level alone would read as if the subject were the victim."""
    shown = verdict("bi on db-2 blocked purge")
    assert str(shown).splitlines()[0] == "▲ act · bi on db-2 blocked purge"
    assert "▲ act · bi on db-2 blocked purge</strong>" in shown._repr_mimebundle_()["text/html"]


CARD_TAGS = {"div", "p", "strong", "code"}


class _Tags(HTMLParser):
    """Tags and attributes of a page, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attributes}

    def handle_data(self, data):
        self.text += data


def test_a_notebook_shows_a_card_with_every_field_escaped():
    """Names and SQL come from the data: no tag or attribute of theirs reaches the page."""
    evil = "<img src=x onerror=alert(1)>' style='position:fixed"
    statement = {
        "digest": evil,
        "text": evil,
        "runs": 1,
        "total_s": 60.0,
        "longest_s": 60.0,
        "instance": evil,
    }
    shown = Verdict("t", evil, evil, "act", evil, {}, evil, evil, evil, statement | {"last": evil})
    page = _Tags()
    page.feed(str(shown._repr_mimebundle_()["text/html"]))
    assert set(page.tags) == CARD_TAGS
    assert page.attributes == {"class", "style"}
    assert page.text.count(evil) == 7
    assert shown._repr_mimebundle_()["text/plain"].count(evil) == 7


@pytest.mark.parametrize("severity", SEVERITIES)
def test_each_severity_has_a_card_of_its_own(severity):
    """By its edge, its symbol and its name."""
    html = verdict("h", severity)._repr_mimebundle_()["text/html"]
    assert EDGES[severity] in html
    assert f"{SYMBOLS[severity]} {severity} · h" in html
    assert len(set(EDGES.values())) == len(SEVERITIES)


def test_a_verdict_without_a_headline_gets_one_from_subject_and_level():
    """The level is marked as a verdict, not used as the subject's verb."""
    assert verdict().headline == "Verdict for bi on db-2: blocked"


def test_json_restores_the_verdict():
    """The executed notebook stores the JSON, and the report reads it."""
    sent = verdict("bi on db-2 blocked purge")
    assert Verdict(**json.loads(json.dumps(sent._repr_mimebundle_()[MIME_TYPE]))) == sent


def test_json_of_an_earlier_version_has_no_headline_and_gets_one():
    """Stored notebooks from before the field existed stay readable."""
    data = verdict().to_dict()
    del data["headline"]
    assert Verdict(**data).headline == "Verdict for bi on db-2: blocked"


def test_an_unlisted_severity_is_refused():
    """Only the four severities sort and have a symbol."""
    with pytest.raises(ValueError, match="not one of act, watch, unknown, ok"):
        verdict(severity="bad")


def test_the_most_severe_verdict_comes_first():
    """Equally severe verdicts keep their order."""
    found = by_severity(
        [verdict("a", "ok"), verdict("b", "act"), verdict("c", "ok"), verdict("d", "unknown")]
    )
    assert [one.headline for one in found] == ["b", "d", "a", "c"]


def test_remarks_are_escaped_in_html():
    """A user name may contain markup."""
    assert "<p>&lt;b&gt;</p>" in Remarks("<b>")._repr_mimebundle_()["text/html"]
