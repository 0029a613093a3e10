"""A section that has nothing to show in its window is left out of the page, and named once."""

from __future__ import annotations

import re

import nbformat
import pandas as pd

from aurora_analysis.analysis.verdict import MIME_TYPE, Verdict
from aurora_analysis.report import html

MANIFEST = dict.fromkeys(("notebook", "cluster", "simulated", "compressed", "error", "run_id"), "")
MANIFEST |= {"versions": {}, "package_version": "", "git_sha": ""}
MANIFEST["parameters"] = {"start": "2026-11-09", "end": "2026-11-10", "timezone": "UTC"}
VERDICT = Verdict("load", "the writer", "busy", "act", "The mean was 20.0.", action="look again")

EMPTY = {"text/html": pd.DataFrame({"a": []}).to_html()}
FULL = {"text/html": pd.DataFrame({"a": [1]}).to_html()}
NO_DATA = {
    "image/svg+xml": '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 20"><text>no data</text></svg>'
}


def page(*cells: tuple[str, list[dict[str, object]]]) -> str:
    """Return a page of sections, each with prose and one cell of outputs."""
    made = nbformat.v4.new_notebook(metadata={"aurora_analysis": MANIFEST})
    made.cells = [nbformat.v4.new_markdown_cell("# Is it well?")]
    for heading, outputs in cells:
        made.cells.append(nbformat.v4.new_markdown_cell(f"## {heading}\n\nThe prose of {heading}."))
        if outputs:
            shown = [nbformat.v4.new_output("display_data", data=one) for one in outputs]
            made.cells.append(nbformat.v4.new_code_cell("1", outputs=shown))
    return html.page(made, [one[MIME_TYPE] for _, outputs in cells for one in outputs if MIME_TYPE in one])


def test_an_empty_section_disappears():
    """Its prose and its entry in the contents go with it; a section of prose alone stays."""
    found = page(("Full?", [FULL]), ("Gone?", [EMPTY, NO_DATA]), ("Terms", []), ("Also gone?", [EMPTY]))
    assert re.findall(r'<li><a href="#section-\d">(.*?)</a></li>', found) == ["Full?", "Terms"]
    assert "The prose of Gone?" not in found and "The prose of Terms." in found
    assert "Left out, because this window has nothing to show: Gone? Also gone?</p>" in found


def test_a_section_with_anything_to_show_stays():
    """One empty table beside a verdict or a full table leaves the section where it is."""
    found = page(("Half?", [EMPTY, FULL]), ("Judged?", [{MIME_TYPE: VERDICT.to_dict()}, EMPTY]))
    assert "The prose of Half?" in found and "The prose of Judged?" in found
    assert 'id="empty"' not in found


def test_a_cell_about_the_delivered_notebook_is_not_on_a_page():
    """The page is about another cluster than the one on which the notebook opens."""
    made = nbformat.v4.new_notebook(metadata={"aurora_analysis": MANIFEST})
    words = nbformat.v4.new_markdown_cell("It opens on the sample.", metadata={"tags": ["notebook-only"]})
    made.cells = [nbformat.v4.new_markdown_cell("# Is it well?"), words]
    assert "It opens on" not in html.page(made, [])


def test_the_most_severe_finding_leads_with_its_action():
    """The list on top is by severity, each line links its own card, and the first has what to do."""
    made = nbformat.v4.new_notebook(metadata={"aurora_analysis": MANIFEST})
    calm = {**VERDICT.to_dict(), "severity": "ok", "headline": "All is well", "action": "Nothing to do."}
    found = html.page(made, [calm, VERDICT.to_dict()])
    gist = re.sub(r"\s+", " ", found.split('<ul class="gist"')[1].split("</ul>")[0])
    assert re.findall(r'href="(#finding-\d)"', gist) == ["#finding-2", "#finding-1"]
    assert "What to do:</b> look again" in gist and "Nothing to do" not in gist
