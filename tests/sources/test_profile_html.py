"""The profile as an HTML page, in a real browser: complete without scripts, sortable with them, and safe."""

from __future__ import annotations

import pytest

from aurora_analysis.sources import profile, profile_html

HOSTILE = "</title></style></script><script>document.title='owned'</script><img src=x onerror=document.title='owned'>"


def entry(sql: str, seconds: float, user: str) -> bytes:
    """One execution in the slow log."""
    return (
        f"# Time: 2026-11-23T10:00:00.000000Z\n# User@Host: {user}[{user}] @  [10.0.0.1]  Id:     1\n"
        f"# Query_time: {seconds:.6f}  Lock_time: 0.000001 Rows_sent: 2  Rows_examined: 30\nSET timestamp=1795428000;\n{sql};\n"
    ).encode()


@pytest.fixture(scope="module")
def page() -> str:
    """The page of three statements; names and texts are hostile."""
    log = entry("SELECT a FROM t", 3.0, HOSTILE) + entry("SELECT b FROM t", 1.5, "web") * 4
    log += entry("SELECT c FROM t", 10.0, '" onmouseover="x')
    summary = profile.summary(profile.profile_log([log]))
    summary["profile"][0]["fingerprint"] = HOSTILE
    return profile_html.page(summary)


def order(page) -> list[str]:
    """The first digits of the ranks, from top to bottom."""
    return page.locator("tbody tr td:first-child").all_inner_texts()


def test_nothing_in_the_log_is_run_or_fetched(page, chromium_browser):
    """Hostile names and statements are text; the policy blocks every script but the page's own."""
    requests, errors = [], []
    with chromium_browser.new_context() as context:
        tab = context.new_page()
        tab.on("request", lambda request: requests.append(request.url))
        tab.on("console", lambda message: errors.append(message.text))
        tab.set_content(page)
        assert "executions of" in tab.title()
        assert HOSTILE in tab.locator("pre").first.inner_text()
        assert tab.locator("img, iframe, link, form").count() == 0
        assert tab.locator("script").count() == 1
        assert requests == errors == []
        tab.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=document.title=1>')")
        assert tab.title() != "1"


def test_columns_sort_with_a_script_and_the_page_is_complete_without(page, chromium_browser):
    """A click sorts, another reverses, and screen readers are told; without scripts the rank is the order."""
    with chromium_browser.new_context(viewport={"width": 900, "height": 700}) as context:
        tab = context.new_page()
        tab.set_content(page)
        assert order(tab) == ["1", "2", "3"]
        calls = tab.locator("th", has_text="Calls")
        calls.locator("button").click()
        assert order(tab) == ["2", "1", "3"]
        assert calls.get_attribute("aria-sort") == "descending"
        calls.locator("button").click()
        assert order(tab)[-1] == "2"
        tab.locator("th button", has_text="Statement").click()
        assert order(tab) == ["1", "3", "2"]
        assert tab.locator("th[aria-sort]").count() == 1
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    with chromium_browser.new_context(java_script_enabled=False) as context:
        tab = context.new_page()
        tab.set_content(page)
        assert order(tab) == ["1", "2", "3"]
        assert tab.locator("button").count() == 0
        assert tab.locator("section").count() == 3


def test_an_empty_profile_is_a_page():
    """It says that there is nothing."""
    assert "holds no execution" in profile_html.page(profile.summary(profile.profile_log([b""])))
