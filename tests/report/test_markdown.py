"""findings.md says what the page says, and text from the store stays text wherever it is pasted."""

from __future__ import annotations

import re

import pytest
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from aurora_analysis.analysis.verdict import Verdict
from aurora_analysis.report import index, markdown, records
from aurora_analysis.report.runner import Outcome

HOSTILE = (
    "<script>alert(1)</script> <!channel> @here [a](javascript:alert(1)) ![b](http://x.test/p.png) `c` **d**\n"
    "# e\n- f\nhttps://x.test | ~g~ &lt; \\"
)
CLUSTER = {
    "cluster": HOSTILE,
    "start": "2026-11-09T00:00:00Z",
    "end": "2026-11-10T00:00:00Z",
    "simulated": "",
}
STATEMENT = {"digest": "3b560e0ddbe6e8b9", "text": HOSTILE, "runs": 2, "instance": HOSTILE, "total_s": 60.0}
STATEMENT |= {"longest_s": 48.0, "last": HOSTILE, "thread": 7}


def written(tmp_path, *verdicts: Verdict, sample: bool = False) -> str:
    run = {"id": "r", "timezone": "UTC", "sample": sample}
    cluster = index.NOTHING | CLUSTER | {"error": ""}
    found = [Outcome(HOSTILE, "a", "A?", 1.0, "", [one.to_dict() for one in verdicts])]
    document = index.record(run, [cluster], found)
    findings = document["findings"]
    return markdown.text(
        document, index._leading(findings), index._unknown(findings), records.failures(document)
    )


def hostile(severity: str, level: str = "so") -> Verdict:
    texts = {"evidence": HOSTILE, "action": HOSTILE, "headline": HOSTILE, "statement": STATEMENT}
    return Verdict("load", HOSTILE, level, severity, HOSTILE, **texts)


def test_text_from_the_store_is_shown_as_it_is(tmp_path):
    """No HTML, no link, no image, no mention, no heading or item of its own; nothing is lost."""
    text = written(tmp_path, hostile("act"), hostile("unknown", "unknown"))
    shown = MarkdownWithMath(renderer=IPythonRenderer(escape=False, exclude_anchor_links=True)).render(text)
    assert set(re.findall(r"<(\w+)", shown)) <= {"h1", "p", "strong", "ul", "li", "code"}
    outside_code = re.sub(r"(?<!\\)`[^`]*`", "", text)
    assert shown.count("<h1") == 1 and "<" not in outside_code
    assert not re.search(r"@\w|\w://", outside_code)
    assert "alert(1)" in shown and len([line for line in text.splitlines() if line.startswith("- ")]) == 2


def test_a_finding_has_headline_statement_action_and_number(tmp_path):
    """The lines that a reader of a chat needs; names of settings stay readable."""
    verdict = Verdict(
        "load",
        "x",
        "slows",
        "act",
        "It is 10 % slower (95 % CI 5 to 15).",
        action="Set aurora_read_replica_read_committed.",
        headline="x's `select *` makes commits 0.2 ms slower",
        statement=STATEMENT | {"text": "select * from a_b", "instance": "db-2", "last": "Monday"},
    )
    text = written(tmp_path, verdict, sample=True)
    for part in (
        "**1 act**",
        "x's `select *` makes commits 0.2 ms slower\n",
        "  - Statement: `select * from a_b` (2 runs on db-2, 60 s in all, longest 48 s; last run Monday, thread 7)\n",
        "  - What to do: Set aurora_read_replica_read_committed.\n",
        "  - How sure: It is 10 % slower (95 % CI 5 to 15).\n",
        "about the bundled sample",
    ):
        assert part in text, part


@pytest.mark.parametrize("severity", ["act", "ok"])
def test_it_stands_beside_findings_json(tmp_path, severity):
    """Every report has it, and the page links it."""
    found = [Outcome("shop", "a", "A?", 1.0, "", [Verdict("a", "b", "c", severity, "So.").to_dict()])]
    run = {"id": "r", "store": "s", "timezone": "UTC", "parameters": {}, "versions": {}}
    run |= {"package_version": "1", "git_sha": "", "archived": False}
    index.write(
        tmp_path, index.record(run, [index.NOTHING | CLUSTER | {"cluster": "shop", "error": ""}], found)
    )
    assert f"**1 {severity}**" in (tmp_path / "findings.md").read_text(encoding="utf-8")
    assert 'href="findings.md"' in (tmp_path / "index.html").read_text(encoding="utf-8")
