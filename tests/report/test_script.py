"""The page's script in a real browser: values under the pointer and by keyboard, tables that sort and filter, copied SQL."""

from __future__ import annotations

import io

import matplotlib as mpl
import nbformat
import pandas as pd
import pytest

from aurora_analysis import plots
from aurora_analysis.report import html

MINUTES = pd.date_range("2026-11-09", periods=121, freq="min", tz="UTC")
HISTORY = pd.Series(range(121), index=MINUTES, dtype=float)
EFFECTS = pd.DataFrame({"effect_pct": [50.0], "ci_low_pct": [40.0], "ci_high_pct": [61.0]})
WEEK = pd.date_range("2026-11-09", periods=7 * 1440 + 1, freq="min", tz="UTC")
RISING = pd.Series(range(len(WEEK)), index=WEEK, dtype=float)
"""A week whose value at each minute is the number of minutes before it."""
EPISODES = pd.DataFrame(
    {"start": WEEK[[1440]], "end": WEEK[[2880]], "peak_length": [2880.0], "peak_at": WEEK[[2880]]}
)
TABLE = pd.DataFrame({"user": [f"u{n}" for n in range(9)], "held_s": [90.0, 8000, 700, 1, 2, 3, 4, 5, None]})


MANIFEST = dict.fromkeys(("notebook", "cluster", "simulated", "compressed", "error", "run_id"), "")
MANIFEST |= {"versions": {}, "package_version": "", "git_sha": ""}
MANIFEST["parameters"] = {"start": "2026-11-09", "end": "2026-11-10", "timezone": "UTC"}


def svg(draw) -> str:
    written = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "a"}):
        draw().figure.savefig(written, format="svg", metadata={"Date": None}, bbox_inches="tight")
    return written.getvalue()


@pytest.fixture(scope="module")
def page(chromium_browser, tmp_path_factory):
    """A page with a time series, an interval and a table."""
    columns = ("effect_pct", "ci_low_pct", "ci_high_pct")
    drawn = [
        svg(lambda: plots.history_list_length(HISTORY, timezone="Europe/Berlin")),
        svg(lambda: plots.intervals(EFFECTS, ["<b>etl</b>"], columns=columns)),
        svg(lambda: plots.history_list_length(RISING, EPISODES, timezone="Europe/Berlin")),
    ]
    outputs = [{"image/svg+xml": one} for one in drawn] + [{"text/html": TABLE.to_html()}]
    made = nbformat.v4.new_notebook(metadata={"aurora_analysis": MANIFEST})
    shown = [nbformat.v4.new_output("display_data", data=data) for data in outputs]
    made.cells = [nbformat.v4.new_markdown_cell("# Well?"), nbformat.v4.new_code_cell("1", outputs=shown)]
    file = tmp_path_factory.mktemp("script") / "page.html"
    file.write_text(html.page(made, []))
    opened = chromium_browser.new_page(viewport={"width": 1200, "height": 900})
    complaints = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(file.as_uri())
    yield opened
    opened.close()
    assert complaints == []


def test_pointing_at_a_series_reads_its_time_and_value(page):
    """Half past midnight UTC is 01:30 in Berlin, and the value there is 30."""
    page.locator(".chart").nth(0).scroll_into_view_if_needed()
    box = page.locator(".chart svg [data-note]").nth(1).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    lines = page.locator(".reading").nth(0).inner_text().splitlines()
    assert lines[0].startswith("Mon 2026-11-09 01:") and lines[0].endswith("Europe/Berlin")
    minute = int(lines[0].split("01:")[1][:2])
    value = float(
        lines[1].removeprefix("history list length: ").split(" to ")[-1].removesuffix(" transactions")
    )
    assert abs(minute - 30) <= 2
    assert abs(value - minute) <= 1


def test_the_keyboard_reads_the_same(page):
    """End goes to the last point, Escape closes the reading."""
    page.locator(".chart").nth(0).focus()
    page.keyboard.press("End")
    reading = page.locator(".reading").nth(0)
    assert reading.inner_text().splitlines() == [
        "Mon 2026-11-09 03:00 Europe/Berlin",
        "history list length: 120 transactions",
    ]
    page.keyboard.press("Escape")
    assert not reading.is_visible()


def test_a_tap_reads_as_well(page, chromium_browser):
    """On a phone the reading stays after the finger has left."""
    context = chromium_browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    phone = context.new_page()
    phone.goto(page.url)
    phone.locator(".chart").nth(0).scroll_into_view_if_needed()
    box = phone.locator(".chart").nth(0).bounding_box()
    phone.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert "history list length" in phone.locator(".reading").nth(0).inner_text()
    context.close()


def read_at(page, x: float) -> tuple[str, float]:
    """The time and the value that the week's figure shows at a place of the screen."""
    box = page.locator(".chart").nth(2).locator("svg").bounding_box()
    page.mouse.move(x, box["y"] + box["height"] * 0.4)
    time, value = page.locator(".reading").nth(2).inner_text().splitlines()
    return time, float(value.removeprefix("history list length: ").split(" ")[0].replace(",", ""))


def minutes(time: str) -> float:
    """Minutes from the start of the week to a time that a figure shows."""
    return (pd.Timestamp(time[4:20], tz="Europe/Berlin") - WEEK[0]).total_seconds() / 60


def test_a_week_zooms_and_its_ticks_stay_right(page):
    """Each tick stands at its own time, where the line has that time's value; the whole week comes back unchanged."""
    chart = page.locator(".chart").nth(2)
    chart.scroll_into_view_if_needed()
    whole = chart.locator("svg").inner_html()
    chart.focus()
    for _ in range(3):
        page.keyboard.press("+")
    ticks = chart.locator(".ticks text")
    assert 4 <= ticks.count() <= 9
    for n in range(1, ticks.count() - 1):
        box, label = ticks.nth(n).bounding_box(), ticks.nth(n).text_content()
        time, value = read_at(page, box["x"] + box["width"] / 2)
        assert abs(value - minutes(time)) <= 7, "a thousandth of the value axis is seven minutes"
        tick = minutes(f"Mon 2026-11-09 {label}") if ":" in label else -60  # midnight in Berlin
        assert abs((minutes(time) - tick + 720) % 1440 - 720) <= 4, (label, time)
    chart.focus()
    page.keyboard.press("0")
    page.keyboard.press("Escape")
    assert chart.locator("svg").inner_html() == whole


def test_dragging_and_buttons_zoom(page):
    """The dragged part fills the figure; the number of an episode moves with it; a button shows the whole week."""
    chart, tools = page.locator(".chart").nth(2), page.locator(".zoom")
    assert tools.count() == 1, "only a long time axis zooms"
    number = chart.locator("svg > g > text, svg text").get_by_text("1", exact=True).first
    before, box = number.bounding_box(), chart.locator("svg").bounding_box()
    for n, share in enumerate((0.25, 0.45)):
        page.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] * 0.4)
        (page.mouse.up if n else page.mouse.down)()
    shown = tools.locator(".range").inner_text()
    assert (
        shown.startswith("Mon 2026-11-09")
        and " to Wed 2026-11-11" in shown
        and shown.endswith("Europe/Berlin")
    )
    after = number.bounding_box()
    assert after["x"] != before["x"]
    page.mouse.move(after["x"] + after["width"] / 2, box["y"] + box["height"] * 0.4)
    assert page.locator(".reading").nth(2).inner_text().startswith("episode 1:"), "it stands over its episode"
    assert tools.get_by_text("Whole window").is_enabled()
    tools.get_by_text("Whole window").click()
    assert chart.locator(".ticks text").count() == 0
    assert tools.get_by_text("Whole window").is_disabled()


def test_a_mark_has_its_text(page):
    """The label is text, also where it looks like markup."""
    page.locator(".chart").nth(1).focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".reading").nth(1).inner_text() == "<b>etl</b>: +50.0 % (+40.0 to +61.0 %)"
    assert page.locator(".reading b").count() == 0


def column(page, number: int) -> list[str]:
    return page.locator(f".output tbody tr:not([hidden]) > :nth-child({number})").all_inner_texts()


def test_a_table_sorts_by_value_and_comes_back(page):
    """Durations sort by length, what is missing comes last, and a third click restores the order."""
    head = page.get_by_role("button", name="held for")
    head.click()
    assert column(page, 2)[:3] == ["2 h 13 min", "12 min", "90 s"]
    assert column(page, 2)[-1] == "–"
    head.press("Enter")
    assert column(page, 2)[0] == "1 s" and column(page, 2)[-1] == "–"
    assert page.locator("[aria-sort=ascending]").count() == 1
    head.click()
    assert column(page, 1) == list(TABLE["user"])


def test_a_table_filters(page):
    """Rows without the words are hidden, and the count says how many are left."""
    field = page.get_by_role("searchbox", name="Filter rows")
    field.fill("u1")
    assert column(page, 1) == ["u1"]
    assert page.locator(".count").first.inner_text().strip() == "1 of 9 rows"
    field.fill("")
    assert len(column(page, 1)) == 9


def test_statements_are_searched_and_copied(chromium_browser, tmp_path):
    """The field finds words of the SQL; the button copies all of it."""
    rows = [
        {"digest": f"{n:016x}", "pages": [], "statement": None, "logged": [], "counted": [], "text": text}
        for n, text in enumerate(("select 1 from orders", "delete from queue"))
    ]
    for row in rows:
        seen = pd.Timestamp("2026-11-09", tz="UTC")
        row["statement"] = {"fingerprint": row["text"], "kind": "x", "first_seen": seen, "last_seen": seen}
    cluster = {"cluster": "shop", "simulated": "", "compressed": ""}
    (tmp_path / "statements.html").write_text(
        html.render("statements.html.j2", cluster=cluster, rows=rows, window="", timezone="UTC")
    )
    context = chromium_browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    opened = context.new_page()
    opened.goto((tmp_path / "statements.html").as_uri())
    opened.get_by_role("searchbox", name="Filter statements").fill("queue delete")
    assert [one.is_visible() for one in opened.locator("article").all()] == [False, True]
    opened.get_by_role("button", name="Copy SQL").click()
    opened.get_by_role("button", name="Copied").wait_for()
    assert opened.evaluate("navigator.clipboard.readText()") == "delete from queue"
    context.close()
