"""Baselines: kept, found again, replaced by name, forgotten."""

from __future__ import annotations

import pandas as pd
import pytest
from click.testing import CliRunner

from aurora_analysis import Store, Window
from aurora_analysis.cli import main
from aurora_analysis.errors import Error
from aurora_analysis.store import baseline

WEEK = Window("2026-11-09", "2026-11-16")


@pytest.fixture
def store(tmp_path) -> Store:
    """A store with three weeks of the clusters shop and other."""
    opened = Store(tmp_path)
    span = Window("2026-10-26", "2026-11-16")
    row = pd.DataFrame({"time": [span.start], "end": [span.end], "table": ["metrics"], "note": ["all there"]})
    row = row.astype({"time": "datetime64[us, UTC]", "end": "datetime64[us, UTC]"})
    for cluster in ("shop", "other"):
        opened.write("coverage", row, span, cluster=cluster, source="test")
    return opened


def test_a_saved_window_is_found_by_its_name(store):
    """As it was, with its note; another cluster does not see it."""
    baseline.save(store, "before the sale", WEEK, cluster="shop", note="all was well")
    assert baseline.window(store, "before the sale", cluster="shop") == WEEK
    assert baseline.saved(store, cluster="shop")["note"].to_list() == ["all was well"]
    assert baseline.saved(store, cluster="other").empty


def test_a_name_stands_for_its_last_window(store):
    """Saving again replaces, also where the window is another one; other names stay."""
    baseline.save(store, "good", WEEK, cluster="shop")
    baseline.save(store, "same week", WEEK, cluster="shop")
    baseline.save(store, "good", WEEK.previous(), cluster="shop")
    names = baseline.saved(store, cluster="shop").set_index("name")["start"]
    assert names.to_dict() == {"good": WEEK.previous().start, "same week": WEEK.start}


def test_a_dropped_name_is_gone(store):
    """And only that one, though both keep the same window."""
    baseline.save(store, "one", WEEK, cluster="shop")
    baseline.save(store, "two", WEEK, cluster="shop")
    baseline.drop(store, "one", cluster="shop")
    assert baseline.saved(store, cluster="shop")["name"].to_list() == ["two"]


@pytest.mark.parametrize(
    ("name", "window", "message"),
    [
        ("a/b", WEEK, "'a/b' cannot name a baseline"),
        ("good", Window("2025-01-06", "2025-01-13"), "The store has no data of shop from 2025-01-06"),
    ],
)
def test_a_wrong_baseline_is_refused(store, name, window, message):
    """A baseline needs a plain name and a window with data."""
    with pytest.raises(Error, match=message):
        baseline.save(store, name, window, cluster="shop")


def test_an_unknown_name_is_told_with_the_known(store):
    """The line names what there is."""
    baseline.save(store, "good", WEEK, cluster="shop")
    with pytest.raises(Error, match=r"shop has no baseline 'bad' \(it has: good\)"):
        baseline.window(store, "bad", cluster="shop")


def test_a_window_can_be_compared_with_any_other(store):
    """The one before it, a baseline, or two times: before and after a deploy."""
    baseline.save(store, "good", Window("2026-10-26", "2026-11-02"), cluster="shop")

    def before(named: str) -> Window:
        return baseline.against(store, named, WEEK, cluster="shop")

    assert before("") == WEEK.previous()
    assert before("good") == Window("2026-10-26", "2026-11-02")
    assert before("2026-11-02T10:00/2026-11-04") == Window("2026-11-02T10:00", "2026-11-04")


def test_the_commands(store):
    """save, list, show and drop, as a team uses them."""
    where = ["--cluster", "shop", "--store", store.location]

    def output(*words: str) -> str:
        done = CliRunner().invoke(main, ["baseline", *words, *where])
        assert done.exit_code == 0, done.output
        return done.output

    kept = "good: 2026-11-09 00:00 to 2026-11-16 00:00 UTC"
    assert output("save", "good", "--week", "2026-W46", "--note", "calm") == f"{kept}\n"
    assert output("list") == f"{kept}  calm\n"
    assert output("show", "good").startswith(f"{kept}\n")
    assert "all there" in output("show", "good")
    assert output("drop", "good") == ""
    assert output("list").startswith("shop has no baseline")


def test_a_window_must_be_named(store):
    """Nothing is kept by accident: exit code 2, one line."""
    done = CliRunner().invoke(main, ["baseline", "save", "x", "--cluster", "shop", "--store", store.location])
    assert done.exit_code == 2
    assert "Name a window: --week" in done.output
