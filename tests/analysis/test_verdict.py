"""A verdict displays itself, travels as JSON, and has a headline that cannot be read the wrong way round."""

from __future__ import annotations

import json

import pytest

from aurora_analysis.analysis.verdict import MIME_TYPE, Remarks, Verdict, by_severity


def verdict(headline: str = "", severity: str = "act") -> Verdict:
    return Verdict(
        "undo_log", "bi on db-2", "blocked", severity, "It grew by 5.", {"n": 5}, headline=headline
    )  # type: ignore[arg-type]


def test_a_headline_is_what_text_and_html_show_first():
    """The level alone would read as if the subject were the victim."""
    shown = verdict("bi on db-2 blocked purge")
    assert str(shown).splitlines()[0] == "▲ act · bi on db-2 blocked purge"
    assert "▲ act · bi on db-2 blocked purge</strong>" in shown._repr_mimebundle_()["text/html"]


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
