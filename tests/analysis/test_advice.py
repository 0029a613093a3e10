"""An action quotes a number only if the statement's own numbers support it."""

import dataclasses
import re

import pytest

from aurora_analysis.analysis.advice import Held, batches, gain, shorter_views

VIEWS = Held("select * from t", 2880.0, per_hour=500_000.0, base=20_000.0, peak=420_000.0, on_writer=False)


def test_a_long_view_gets_the_length_that_keeps_the_history_list_acceptable():
    """80,000 transactions at 500,000 an hour are 9.6 minutes; the runs last 48."""
    text = shorter_views(VIEWS)
    assert "last up to 48 min" in text and "less than 10 min" in text
    assert "below 100,000 transactions (it reached 420,000)" in text


@pytest.mark.parametrize(
    "known",
    [
        {"peak": 90_000.0},
        {"peak": float("nan")},
        {"base": float("nan")},
        {"base": 150_000.0},
        {"per_hour": 0.0},
        {"longest_s": 300.0},
        {"per_hour": 50_000_000.0},
    ],
)
def test_without_support_the_step_is_general(known):
    """A list that stayed short, an unknown base, short runs or chunks of seconds give no length and no gain."""
    text = shorter_views(dataclasses.replace(VIEWS, **known))
    assert text.startswith("Read in chunks by key, and commit after each.")
    assert not re.search(r"\d|nan|gain", text)


def test_the_writer_has_no_setting_of_readers():
    """READ COMMITTED for readers does not help a statement on the writer; a write is changed in batches."""
    assert "aurora_read_replica_read_committed" in shorter_views(VIEWS)
    assert "aurora_read" not in shorter_views(dataclasses.replace(VIEWS, on_writer=True))
    update = shorter_views(dataclasses.replace(VIEWS, text="UPDATE t set a = ?", on_writer=True))
    assert update.split(". ")[1].startswith("Change the rows in batches by key that take less than 10 min")


def test_an_extract_gets_batches_of_five_minutes():
    """2 million rows in 50 minutes are 200,000 rows in five; a short run needs none."""
    assert "batches of 200,000 rows by key would take about 5 min each" in batches(2_000_000, 3000)
    assert batches(2_000_000, 500) == batches(0, 3000) == batches(float("nan"), 3000) == ""


def test_a_gain_has_its_interval():
    """Size, unit, interval and hours."""
    text = gain("commits", (0.2249, 0.171, 0.281), "27 h a week")
    assert (
        "commits would be 0.22 ms faster (95 % confidence interval 0.17 to 0.28 ms) for 27 h a week" in text
    )
