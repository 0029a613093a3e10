"""A page runs no script, sends no request, and shows its notebook's outputs."""

from __future__ import annotations

import base64
import hashlib
import re

import nbformat
import pandas as pd
import pytest

from aurora_analysis import hover, statement_labels
from aurora_analysis.analysis.verdict import MIME_TYPE, Verdict
from aurora_analysis.plots import style
from aurora_analysis.report import html, tables

HOSTILE = "<script>document.title = 'stolen'</script><img src=x onerror=\"document.title = 'stolen'\">"
"""Markup that a statement, a user name or a comment may contain."""

HOSTILE_SVG = f"""<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"
 viewBox="0 0 200 100" onload="document.title = 'stolen'"><script>document.title = 'stolen'</script>
<style>* {{ background: url(http://x.test) }}</style><image href="http://x.test/a.png"/><g id="x" onclick="x()"/>
<foreignObject><body xmlns="http://www.w3.org/1999/xhtml">{HOSTILE.replace("=x", "='x'")}</img></body>
</foreignObject><a xlink:href="javascript:document.title=1"><text>a</text></a><use xlink:href="http://x.test/#a"/>
<rect style="fill: url(http://x.test/#a)" x="1"/><text>{HOSTILE.replace("<", "&lt;")}</text>
<set attributeName="onmouseover" to="document.title = 'stolen'"/><animate attributeName="href" values="javascript:x"/>
<g id="{hover.note("label", text=HOSTILE).replace('"', "&quot;").replace("<", "&lt;")}"><path d="M 0 0 L 9 9"/></g>
</svg>"""
"""The same in a figure that parses: elements, attributes and addresses that run or request something."""

MANIFEST = {
    "schema": 1,
    "run_id": "20261109T000000Z-abcdef",
    "notebook": "load",
    "cluster": "shop",
    "simulated": "",
    "compressed": "",
    "parameters": {"cluster": "shop", "start": "2026-11-09", "end": "2026-11-10", "timezone": "UTC"},
    "versions": {"metrics": 3},
    "package_version": "0.1.0",
    "git_sha": "",
    "error": "",
}
VERDICT = Verdict("load", "the writer", "busy", "act", "The mean was 20.0.", action="look again")


def executed(*outputs: dict[str, object], **manifest: object) -> nbformat.NotebookNode:
    """Return an executed notebook: a title, a section, and one cell with these outputs."""
    made = nbformat.v4.new_notebook(metadata={"aurora_analysis": MANIFEST | manifest})
    cell = nbformat.v4.new_code_cell("answer = 42", outputs=[shown(data) for data in outputs])
    made.cells = [nbformat.v4.new_markdown_cell("# Is it `well`?\n\n## When\n\nIf not, it *grows*."), cell]
    return made


def shown(data: dict[str, object]) -> nbformat.NotebookNode:
    return nbformat.v4.new_output("display_data", data=data)


def hostile_notebook() -> nbformat.NotebookNode:
    """Return a notebook with hostile text in tables, Styler, HTML, markdown, print, a verdict and the manifest."""
    frame = pd.DataFrame({"user": [HOSTILE]})
    outputs = [
        {"text/html": frame.to_html(escape=False)},
        {"text/html": frame.style.to_html()},
        {"text/html": HOSTILE, "text/plain": HOSTILE},
        {"text/markdown": HOSTILE},
        {"text/plain": HOSTILE},
        {"image/svg+xml": f"<svg xmlns='http://www.w3.org/2000/svg'>{HOSTILE}</svg>", "text/plain": "svg"},
        {"application/javascript": "document.title = 'stolen'", "text/plain": "js"},
        {"image/svg+xml": HOSTILE_SVG},
        {"image/svg+xml": HOSTILE_SVG.replace("</svg>", "")},
        {"image/png": f'"{HOSTILE}'},
        {"text/html": '<a href="javascript:document.title=1">a</a><p style="background:url(http://x.test)">'},
        {
            "text/html": '<img src="http://x.test/a.png"><iframe src="http://x.test"></iframe><style>b{}</style>'
        },
        {MIME_TYPE: Verdict("load", HOSTILE, HOSTILE, "act", HOSTILE, {}, HOSTILE, HOSTILE).to_dict()},
    ]
    made = executed(*outputs, cluster=HOSTILE, simulated=HOSTILE, error=f"[1] {HOSTILE}", notebook=HOSTILE)
    made.cells[1].source = f"print({HOSTILE!r})"
    made.cells += [nbformat.v4.new_markdown_cell(f"## {HOSTILE}\n\n{HOSTILE}\n\n[a](javascript:alert(1))")]
    made.cells += [nbformat.v4.new_code_cell("1/0", outputs=[failure()])]
    return made


def failure() -> nbformat.NotebookNode:
    return nbformat.v4.new_output("error", ename="Error", evalue=HOSTILE, traceback=[HOSTILE])


def page_of(notebook: nbformat.NotebookNode) -> str:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    findings = [output.data[MIME_TYPE] for output in outputs if MIME_TYPE in output.get("data", {})]
    return html.page(notebook, findings)


def test_a_page_shows_what_its_notebook_showed():
    """Title, contents, prose, folded code, the verdict with an anchor, and the figure with alternative text."""
    page = page_of(executed({MIME_TYPE: VERDICT.to_dict()}, {"image/png": "iVBORw0KGgo="}))
    for part in (
        "<title>Is it well? · shop</title>",
        '<a href="#section-1">When</a>',
        '<h2 id="section-1">When<a class="anchor" href="#section-1"',
        "<em>grows</em>",
        '<input type="checkbox" id="show-code"> Show code',
        '<div class="code">',
        '<article class="verdict act" id="finding-1">',
        '<a href="#finding-1">Verdict for the writer: busy</a>',
        'src="data:image/png;base64,iVBORw0KGgo=" alt="Figure: When.',
        "metrics=3",
    ):
        assert part in page, part


def test_parameters_are_told_once():
    """The parameters' cells are not shown as code; a table at the end of the page lists the values."""
    notebook = executed()
    notebook.cells[1].metadata["tags"] = ["injected-parameters"]
    assert "answer" not in page_of(notebook)


def test_the_window_stands_in_the_readers_zone():
    """The window is on the reader's clock only."""
    parameters = MANIFEST["parameters"] | {"timezone": "Europe/Berlin"}
    assert html.window_text(parameters) == ("2026-11-09 01:00 to 2026-11-10 01:00 Europe/Berlin")


def test_compressed_time_is_said_to_be():
    """A page with compressed time states the factor."""
    note = "time compressed 360 times: a day is 240 s of a real server"
    assert note in page_of(executed(compressed=note))
    assert "Compressed time." not in page_of(executed())


def test_simulated_data_are_said_to_be():
    """Every page of a simulated cluster has the notice."""
    assert "Simulated data." in page_of(executed(simulated="simulated, seed 1"))
    assert "Simulated data." not in page_of(executed())


def test_every_page_about_the_sample_says_so():
    """The notice is on the page itself, because a page can be shared without its index."""
    notice = "This report is about the bundled sample, not about your clusters."
    assert notice in page_of(executed(sample=True))
    assert notice not in page_of(executed(sample=False))


def test_a_failure_is_a_red_box():
    """The page shows the error."""
    page = page_of(executed(error="cell [4] stopped: KeyError"))
    assert '<div class="notice failure"><strong>This notebook did not finish:</strong> cell [4]' in page


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("<script>x</script>text", "text"),
        ('<b onclick="x()">bold</b>', "<b>bold</b>"),
        ('<a href="data:text/html,x">a</a>', '<a rel="noopener noreferrer">a</a>'),
        ('<img src="https://x.test/p.png">', "<img>"),
        ('<img src="data:image/png;base64,AA">', '<img src="data:image/png;base64,AA">'),
        ('<table class="dataframe act"><tr><td class="verdict">1</td></tr></table>', None),
    ],
)
def test_unsafe_html_is_removed(given, shown):
    """Scripts, handlers, requests, and classes that imitate the page's own parts are removed."""
    shown = shown or '<table class="dataframe"><tbody><tr><td>1</td></tr></tbody></table>'
    assert html.clean(given) == shown


def test_numbers_stand_right_and_names_unbroken():
    """Alignment is per column; a dash does not turn a column of numbers into text."""
    frame = pd.DataFrame({"n": ["1,200", "–", "3.5 %"], "day": "2026-11-09", "text": "a long " * 9})
    table = tables.readable(html.clean(frame.to_html(index=False)))
    assert table.count('<td class="number">') == 3
    assert table.count('<td class="short">2026-11-09</td>') == 3
    assert table.count("<td>a long") == 3


def test_no_page_speaks_of_another_host():
    """No page contains an address to load from, with or without hostile text."""
    page, _, script = page_of(hostile_notebook()).partition('<script id="page-script">')
    assert "x.test" not in page + script
    for opening in ("<script", "<iframe", "<style>b", "<foreignObject", "javascript:", 'src="http', "url("):
        assert opening not in page, opening
    assert page.count("<svg") == 1, "the figure that parses is shown, cleaned"
    assert script.count("<script") == 0


def test_the_policy_allows_one_script():
    """It is named by the hash of its text, which is the same on every page."""
    page = page_of(hostile_notebook())
    [text] = re.findall(r'<script id="page-script">(.*?)</script>', page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in page
    assert page.count("script-src") == 1
    for risky in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "eval(",
        "Function(",
        "document.write",
        "fetch(",
    ):
        assert risky not in text, risky


@pytest.mark.real
def test_stored_scripts_do_not_run(tmp_path, browser):
    """In a real browser: no script of a statement, user name or comment runs, with or without the policy."""
    page = page_of(hostile_notebook())
    (tmp_path / "page.html").write_text(page)
    (tmp_path / "bare.html").write_text(page.replace("Content-Security-Policy", "Off"))
    for name in ("page", "bare"):
        visit = browser(tmp_path / f"{name}.html")
        assert visit.title.startswith("Is it well?")
        assert visit.requests == []
        assert visit.elements == 0


@pytest.mark.real
def test_the_policy_alone_stops_a_script(tmp_path, browser):
    """The policy blocks a script that passed the sanitiser; without the policy the browser test detects it."""
    breached = page_of(executed()).replace("</main>", f"{HOSTILE}</main>")
    (tmp_path / "page.html").write_text(breached)
    (tmp_path / "bare.html").write_text(breached.replace("Content-Security-Policy", "Off"))
    assert browser(tmp_path / "page.html").title.startswith("Is it well?")
    assert browser(tmp_path / "bare.html").title == "stolen"


def test_what_is_empty_leaves_one_line():
    """A table without rows and the small figure of a window without data are no table and no figure; the line names them."""
    small = (
        b"\x89PNG\r\n\x1a\n"
        + b"\0\0\0\rIHDR"
        + (871).to_bytes(4, "big")
        + (71).to_bytes(4, "big")
        + b"\0" * 40
    )
    large = small[:20] + (271).to_bytes(4, "big") + small[24:]
    encoded = [base64.b64encode(png).decode() for png in (small, large)]
    table = pd.DataFrame({"user": [], "held_s": [], "low_pct": [], "high_pct": []}).to_html()
    page = page_of(executed({"text/html": table}, *({"image/png": one} for one in encoded)))
    assert "No rows in this window for the table of: user, held for, interval [%]." in page
    assert page.count("No data in this window for this figure: ") == 1
    assert page.count("<img ") == 1 and "<table" not in page


def luminance(colour: str) -> float:
    """Relative luminance of a colour as #rrggbb (WCAG 2.2)."""
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_series_are_seen_on_a_dark_page():
    """Each colour of a series has the contrast of 3 to 1 that WCAG asks of graphics, and no two look the same."""
    dark = re.search(r"dark\).*?--paper: (#\w{6})", str(page_of(executed())), re.DOTALL)
    colours = [
        *statement_labels.COLOURS,
        *(one for one in style.COLOURS if one not in statement_labels.COLOURS),
    ]
    shown = [html.ON_DARK.get(one, one) for one in colours]
    assert len(set(shown)) == len(colours)
    for colour in shown:
        assert (luminance(colour) + 0.05) / (luminance(dark[1]) + 0.05) >= 3, colour


def test_a_table_has_titles_durations_and_dashes():
    """Code names become titles with units, seconds become minutes, and missing values a dash; other tables stay."""
    frame = pd.DataFrame({"metric": ["dml_latency"], "held_s": [2875.4], "p": [None], "effect_pct": [1.5]})
    page = page_of(
        executed({"text/html": frame.to_html()}, {"text/html": "<table><tr><th>held_s</th></tr></table>"})
    )
    for part in (
        "held for</th>",
        ">48 min<",
        ">p (raw)<",
        ">effect [%]<",
        ">dml latency<",
        ">–<",
        ">held_s<",
    ):
        assert part in page, part
    assert ">2875" not in page and "None" not in page
