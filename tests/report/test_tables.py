"""A DataFrame's table becomes readable: titles, local times, human units, dashes, one row of headings; nothing else changes."""

from __future__ import annotations

import re

import nbformat
import pandas as pd
import pytest

from aurora_analysis.analysis import limits, reader_impact
from aurora_analysis.bundled import bundled
from aurora_analysis.report import html, suite, tables


def shown(frame: pd.DataFrame, timezone: str = "UTC", caption: str = "") -> list[list[str]]:
    """Return the texts of a frame's table, its header first."""
    with pd.option_context("display.float_format", None):  # notebooks of other tests set it
        page = tables.readable(html.clean(frame.to_html()), timezone, caption)
    rows = re.findall(r"<tr>(.*?)</tr>", page)
    return [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row) for row in rows]


def test_times_stand_in_the_readers_zone():
    """With the zone in the title; seconds only if there are any."""
    frame = pd.DataFrame({"start": pd.to_datetime(["2026-07-01 22:30Z", None]), "n": [1, 2]})
    assert shown(frame, "Europe/Berlin") == [
        ["start [Europe/Berlin]", "n"],
        ["2026-07-02 00:30", "1"],
        ["–", "2"],
    ]
    assert shown(frame, "Europe/Berlin", "Monday Europe/Berlin")[0] == ["start", "n"]
    frame["start"] += pd.Timedelta(seconds=7)
    assert shown(frame)[1][0] == "2026-07-01 22:30:07"


def test_an_index_shares_the_row_of_titles():
    """pandas writes its names in a second row, and repeated entries of an index only once."""
    frame = pd.DataFrame({"instance": ["a", "a", "b"], "quantile": [0.5, 0.9, 0.5], "shift_pct": [1, 2, 3]})
    assert shown(frame.set_index(["instance", "quantile"])) == [
        ["instance", "quantile", "shift [%]"],
        ["a", "0.5", "1"],
        ["a", "0.9", "2"],
        ["b", "0.5", "3"],
    ]


def test_the_ends_of_an_interval_are_one_column():
    """An interval that excludes next to nothing is not printed; a missing one is a dash."""
    ends = {"low_pct": [-1.5, -99.9, None, -20], "high_pct": [2.0, 142231.9, None, 1200]}
    assert shown(pd.DataFrame({"shift_pct": 1.0} | ends)) == [
        ["shift [%]", "interval [%]"],
        ["1.0", "-1.5 to 2.0"],
        ["1.0", "too wide to judge"],
        ["1.0", "–"],
        ["1.0", "too wide to judge"],
    ]
    texts = pd.DataFrame({"change [%]": ["+27.1 [-99.9, +142,231.9]", "+2.0 [-1.0, +5.0]"]})
    assert shown(texts)[1:] == [["+27.1 [too wide to judge]"], ["+2.0 [-1.0, +5.0]"]]


def test_long_latencies_are_not_milliseconds():
    """One long value gives each cell of its column a unit; a column of short ones keeps it in the title."""
    frame = pd.DataFrame({"p50_ms": [1.5, 2], "p99_ms": ["584 [584, 596]", "1,740,000 [306,000, 2,350,000]"]})
    assert shown(frame) == [
        ["p50 [ms]", "p99"],
        ["1.5", "584 ms [584 ms, 596 ms]"],
        ["2.0", "29 min [306 s, 39.2 min]"],
    ]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("executions", "2048", "2,048"),
        ("growth", "390975.1", "390,975"),
        ("share", "0.752", "75.2"),
        ("share", "75.2", "75.2"),
        ("thread_id", "445052", "445052"),
        ("move", "", "–"),
        ("version", "8.0.36", "8.0.36"),
        ("metric", "dml_latency", "dml latency"),
        ("held_s", "2875.4", "48 min"),
        ("held_s", "unknown", "unknown"),
        ("lag_ms", "inf", "–"),
    ],
)
def test_a_cell(name, value, expected):
    """By its column's name."""
    assert shown(pd.DataFrame({name: [value]}))[1] == [expected]


HOSTILE = "a_b\" onclick='x()' <script>x()</script>&lt;b&gt; 2,000 [1, 2]"


@pytest.mark.parametrize(
    "name", ["user", "metric", "held_s", "p99_ms", "share", "low_pct", "change [%]", "start"]
)
def test_text_stays_text_in_every_column(name):
    """No cell becomes an attribute or an element, whatever its column does to its text."""
    frame = pd.DataFrame({name: [HOSTILE, "1"], "high_pct": [HOSTILE, "2"]})
    page = tables.readable(html.clean(frame.to_html()), "UTC", "now")
    assert set(re.findall(r"<(\w+)", page)) == {"table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert set(re.findall(r"<[^>]*? (\w[\w-]*)=", page)) <= {"class", "data-value"}
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    "fragment",
    [
        "<p>text</p>",
        "<table><tr><td>no header</td></tr></table>",
        "text <table><thead><tr><th>a</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table>",
        '<table><thead><tr><th colspan="2">a</th></tr></thead><tbody><tr><td>1</td><td>2</td></tr></tbody></table>',
    ],
)
def test_other_html_stays_as_it_is(fragment):
    """Only a table of its own, without joined cells, is written anew."""
    clean = html.clean(fragment)
    assert tables.readable(clean) == clean


def test_a_table_names_its_window():
    """The report's, the days compared, or both windows: by the tag of its cell and the notebook's own parameters."""
    parameters = {"start": "2026-11-09", "end": "2026-11-16", "timezone": "UTC", "lookback_days": 14}
    week, before = "2026-11-09 to 2026-11-16 UTC", "2026-11-02 to 2026-11-09 UTC"
    assert html.captions(parameters) == {
        "": week,
        "compared": "2026-11-02 to 2026-11-16 UTC",
        "against": f"{week}, against {before}",
        "weeks": f"{week}, against earlier weeks",
    }
    own = {name: value for name, value in parameters.items() if name != "lookback_days"}
    assert html.captions(own)["compared"] == "2026-11-02 to 2026-11-16 UTC", "as Options of the analyses"
    assert {limits.Options().lookback_days, reader_impact.Options().lookback_days} == {html.LOOKBACK_DAYS}
    assert html.captions(parameters | {"against": "calm"})["against"] == f"{week}, against calm"
    minutes = {"start": "2026-11-09T10:00", "end": "2026-11-09T11:00", "timezone": "Europe/Berlin"}
    assert html.captions(minutes)[""] == "2026-11-09 11:00 to 2026-11-09 12:00 Europe/Berlin"


def test_a_notebooks_default_reaches_its_captions():
    """A report's manifest has only the parameters that were set; all others are the notebook's."""
    made = nbformat.v4.new_notebook()
    made.cells = [
        nbformat.v4.new_code_cell("lookback_days: int = 28  # days", metadata={"tags": ["parameters"]})
    ]
    frame = {"text/html": pd.DataFrame({"n": [1]}).to_html()}
    output = [nbformat.v4.new_output("display_data", data=frame)]
    made.cells += [nbformat.v4.new_code_cell("x", outputs=output, metadata={"tags": ["compared"]})]
    manifest = dict.fromkeys(("notebook", "cluster", "simulated", "compressed", "error", "run_id"), "")
    parameters = {"start": "2026-11-09", "end": "2026-11-16", "timezone": "UTC"}
    manifest |= {"versions": {}, "package_version": "", "git_sha": "", "parameters": parameters}
    made.metadata["aurora_analysis"] = manifest
    assert "<caption>2026-10-19 to 2026-11-16 UTC</caption>" in html.page(made, [])


def test_the_suites_tags_are_known():
    """A misspelt tag would give a table the report's window."""
    captions = html.captions({"start": "2026-11-09", "end": "2026-11-16", "timezone": "UTC"})
    known = {*captions, *html.ANCHORS, *html.PARAMETER_TAGS, html.ONLY_NOTEBOOK, *suite.CLEANUPS}
    for path in bundled("notebooks").glob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            assert set(cell.metadata.get("tags", [])) <= known, path.name
