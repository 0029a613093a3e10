"""Accessibility: axe-core finds no violation in Chromium, at desktop and phone width."""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

import nbformat
import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe

from aurora_analysis import Store, Window, hover
from aurora_analysis.analysis.sparkline import sparklines
from aurora_analysis.analysis.verdict import Verdict
from aurora_analysis.bundled import bundled
from aurora_analysis.report import history, html, index, statements
from aurora_analysis.report.runner import Outcome

WINDOW = {"start": "2026-11-09T00:00:00Z", "end": "2026-11-16T00:00:00Z"}
RUN = {
    "archived": True,
    "id": "1",
    "store": "/store",
    "versions": {"shop": {"metrics": 1}},
    "timezone": "UTC",
    "parameters": {},
    "package_version": "0.1.0",
    "git_sha": "",
}
DIGEST = "0c5ae9b67c750a82"
VERDICTS = [
    Verdict(
        "load", f"one {severity}", level, severity, "It was so.", {}, f"Seen of {DIGEST}.", "Look."
    ).to_dict()
    for severity, level in (("act", "so"), ("watch", "so"), ("unknown", "unknown"), ("ok", "so"))
]
HOURS = pd.DataFrame({"time": pd.date_range(WINDOW["start"], periods=168, freq="h"), "value": 1.0})
LINES = sparklines(
    "load", HOURS.assign(role="writer", measure="load"), {"load": "sessions"}, Window(*WINDOW.values())
)
FRAME = '<table class="dataframe"><thead><tr><th></th><th>{0}</th></tr></thead><tbody><tr><th>0</th><td>1</td></tr></tbody></table>'
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

LONG = pd.DataFrame({"user": [f"u{n}" for n in range(9)], "held_s": range(9)}).to_html()
"""A table that sorts and filters."""
AXIS = {"at": [20, 180], "is": [0, 9], "scale": "linear", "name": "load [s]", "zone": ""}
WEEK = AXIS | {"is": [0, 7 * 86_400_000], "scale": "time", "name": "time [UTC]", "zone": "UTC"}
"""A time axis that zooms."""
NOTES = [
    hover.note("axes", title="", x=WEEK, y=AXIS),
    hover.note("line", name="a"),
    hover.note("label", text="b"),
]
MARKS = "".join(f"<g id={quoteattr(note)}><path d='M 20 20 L 180 80'/></g>" for note in NOTES)
DRAWING = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 100">{MARKS}<g id="matplotlib.axis_1"><text x="9" y="95">09</text></g><text x="9" y="9">load</text></svg>'


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """An archive of one report of two clusters, one of them simulated, with a notebook that stopped."""
    root = tmp_path_factory.mktemp("archive")
    folder = root / "2026-W46"
    (folder / "shop").mkdir(parents=True)
    row = {
        "table": "metrics",
        "instance": None,
        "source": "a",
        "covered": 0.5,
        "unit": "points",
        "note": "late",
    }
    row |= {"expected": 24.0, "received": 12.0, "lost": 1.0}
    seen = dict.fromkeys(("role", *index.FACTS), "") | {"instance": "shop-1"}
    known = {
        "coverage": [row],
        "instances": [seen],
        "failovers": [],
        "simulated": "simulated",
        "compressed": "",
    }
    clusters = [{"cluster": name, "error": ""} | WINDOW | known for name in ("shop", "toy")]
    clusters.append({"cluster": "gone", "error": "The store has no cluster."} | WINDOW | index.NOTHING)
    outcomes = [
        Outcome("shop", "load", "Is it well?", 1.0, "", VERDICTS, [line.to_dict() for line in LINES]),
        Outcome("toy", "undo", "Does it grow?", 1.0, "cell [4] stopped"),
    ]
    (folder / "shop" / "load.html").write_text(html.page(_notebook(), VERDICTS))
    statements.write(folder, Store(tmp_path_factory.mktemp("store")), clusters[:1], outcomes, "UTC")
    index.write(folder, index.record(RUN, clusters, outcomes))
    history.write(root)
    return root


def _notebook() -> nbformat.NotebookNode:
    new = nbformat.v4.new_notebook()
    outputs = [{"text/html": FRAME.format("x" * 200)}, {"image/png": DOT}, {html.MIME_TYPE: VERDICTS[0]}]
    outputs += [{html.SPARKLINE: LINES[0].to_dict()}, {"image/svg+xml": DRAWING}, {"text/html": LONG}]
    shown = [nbformat.v4.new_output("display_data", data=data) for data in outputs]
    new.cells = [
        nbformat.v4.new_markdown_cell("# Is it well?"),
        nbformat.v4.new_markdown_cell("## When?\n\nThen."),
        nbformat.v4.new_code_cell("x = 1  # why\n'text'", outputs=shown),
    ]
    manifest = {
        "notebook": "load",
        "cluster": "shop",
        "simulated": "",
        "compressed": "",
        "error": "cell [3] stopped",
        "run_id": "1",
    }
    manifest |= {
        "versions": {},
        "package_version": "",
        "git_sha": "",
        "parameters": WINDOW | {"timezone": "UTC"},
    }
    new.metadata["aurora_analysis"] = manifest
    return new


@pytest.mark.parametrize("width", [1200, 390])
@pytest.mark.parametrize(
    "name", ["index.html", "2026-W46/index.html", "2026-W46/shop/load.html", "2026-W46/shop/statements.html"]
)
def test_pages_are_accessible(chromium_browser, archive, name, width):
    """WCAG 2.2 A and AA and axe-core's best practices: contrast, names, order, keyboard; no page wider than its screen."""
    page = chromium_browser.new_page(viewport={"width": width, "height": 900})
    page.goto((archive / name).as_uri())
    found = Axe().run(page).response
    violations = [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]]
    fits = page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()
    assert violations == []
    assert fits
    assert len(found["passes"]) >= 20, "axe-core ran"


def test_a_figure_has_an_alternative_text():
    """It describes the section and what is drawn; a verdict is on the page already."""
    text = html.figure_text("When?", "ax = plots.history_list_length(answer.history, timezone=timezone)")
    assert text.startswith("Figure: When? What waits for cleanup over time [transactions]")
    assert html.figure_text("Load", "ax = own_plot(x)") == "Figure: Load."


def test_every_plot_that_a_notebook_draws_has_a_description():
    """The suite's figures are not silent."""
    for notebook in bundled("notebooks").glob("*.ipynb"):
        for cell in nbformat.read(notebook, as_version=4).cells:
            for name in html.PLOTS.findall(cell.source):
                assert html.figure_text("", f"plots.{name}(") != "Figure: on this page.", name


@pytest.mark.parametrize("name", ["index.html", "2026-W46/index.html", "2026-W46/shop/load.html"])
def test_dark_pages_are_accessible(chromium_browser, archive, name):
    """The dark colours have the contrast of the light ones."""
    page = chromium_browser.new_page(viewport={"width": 1200, "height": 900}, color_scheme="dark")
    page.goto((archive / name).as_uri())
    found = Axe().run(page).response["violations"]
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.close()
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []
    assert dark != "rgb(255, 255, 255)"
