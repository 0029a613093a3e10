"""The instance of a holder in no log, by the age of each instance's oldest transaction; impostors hold nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd

from aurora_analysis import Window
from aurora_analysis.analysis import undo_log
from aurora_analysis.analysis.undo_log import candidates
from aurora_analysis.analysis.undo_log.verdicts import with_candidates
from aurora_analysis.engines.mysql.innodb_status import InnodbStatus, Transaction
from aurora_analysis.lab import tables
from aurora_analysis.lab.sampler import InnodbSample

START = pd.Timestamp("2026-11-09T10:00Z")
EPOCH = int(START.timestamp())
MINUTES = pd.date_range(START, periods=240, freq="min", unit="us")


def held(begun: int, ended: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Spans and attribution of one view in no log, from minute to minute, of a writer with 3,000 commits a minute."""
    committed = 3000.0 * np.arange(240)
    age = [n - begun if begun <= n < ended else 0 for n in range(240)]
    history = pd.Series(300 + 3000.0 * np.array(age), MINUTES)
    runs = pd.DataFrame(
        {
            "workload": "bi",
            "instance": "reader-1",
            "digest": "x",
            "thread_id": [1],
            "start": [MINUTES[5]],
            "end": [MINUTES[20]],
        }
    )
    found = undo_log.attribution(history, pd.Series(committed, MINUTES), runs).oldest_view
    none = pd.Series([], index=MINUTES[:0], dtype=float)
    purge = undo_log.purge_state(none, none, undo_log.growth_episodes(history))
    return undo_log.blocking_spans(found, runs, purge), found


def ages(**transactions: tuple[int, int]) -> pd.DataFrame:
    """TransactionAgeMaximum of each instance, with one transaction from minute to minute and short ones otherwise."""
    rows = [
        {"time": time, "instance": name.replace("_", "-"), "value": 60.0 * (n - a) if a <= n < b else 0.2}
        for name, (a, b) in transactions.items()
        for n, time in enumerate(MINUTES)
    ]
    return pd.DataFrame(rows)


def found(view: tuple[int, int], **transactions: tuple[int, int]) -> list[tuple[str, pd.Timestamp]]:
    spans, oldest_view = held(*view)
    assert list(spans["state"]) == ["unknown"]
    rows = candidates.candidates(spans, oldest_view, candidates.transaction_starts(ages(**transactions)))
    return [(row.instance, row.since) for row in rows.itertuples()]


def test_the_transaction_that_began_with_the_view_is_a_candidate():
    """Its instance and start are given; the quiet instance is not."""
    assert found((60, 120), reader_1=(60, 120), writer=(0, 0)) == [("reader-1", MINUTES[60])]


def test_an_old_bare_begin_on_another_instance_is_no_candidate():
    """It is older than the view, lives on after it, and holds nothing; the true holder is on the other reader."""
    assert found((60, 120), reader_1=(10, 240), reader_2=(60, 120)) == [("reader-2", MINUTES[60])]


def test_an_old_idle_read_committed_transaction_hides_the_holder_of_its_own_instance():
    """The metric shows the oldest transaction only, so nobody is a candidate, and nobody is named."""
    assert found((60, 120), reader_1=(30, 200)) == []


def test_a_transaction_that_ends_long_before_the_view_is_no_candidate():
    """It began with the view, and the history list went on growing after its end."""
    assert found((60, 120), reader_1=(60, 80)) == []


def test_two_that_began_together_are_both_candidates():
    """The metric cannot decide between their instances."""
    assert [name for name, _ in found((60, 120), reader_1=(60, 120), reader_2=(60, 120))] == [
        "reader-1",
        "reader-2",
    ]


def test_the_verdict_names_the_instance_and_no_session():
    """Headline and subject stay those of an unidentified session."""
    spans, oldest_view = held(60, 120)
    matching = candidates.candidates(
        spans, oldest_view, candidates.transaction_starts(ages(reader_1=(60, 120), reader_2=(60, 120)))
    )
    history = oldest_view["length"]
    window = Window(MINUTES[0], MINUTES[-1])
    (only,) = undo_log.verdicts(window, history, undo_log.growth_episodes(history), spans)
    found = with_candidates(only, spans, matching)
    assert (found.level, found.headline) == ("unknown", "An unidentified session may have blocked purge")
    assert "oldest transaction of reader-1 or reader-2 (TransactionAgeMaximum)" in found.sentence
    assert found.sentence.endswith("cannot decide between them.")


def open_transaction(thread: int, user: str, begun: int, level: str) -> Transaction:
    return Transaction(thread, user, "localhost", "Sleep", float(EPOCH + 60 * begun), level, 0, None)


IMPOSTORS = (
    open_transaction(1, "app", -300, "REPEATABLE READ"),  # a bare BEGIN has no view
    open_transaction(2, "app", 20, "READ COMMITTED"),  # idle, and between its statements it has none
)
HOLDER = open_transaction(3, "night_job", 60, "REPEATABLE READ")


def recorded(*transactions: tuple[Transaction, int]) -> pd.DataFrame:
    """Ages that the lab records of its two instances; each transaction is open from its start to a minute."""
    samples = [
        InnodbSample(
            EPOCH + 60 * n,
            InnodbStatus(0, 0, 0, 0, 0, 0, {}, {}),
            None,
            [one for one, end in transactions if one.started_at <= EPOCH + 60 * n < EPOCH + 60 * end],
        )
        for n in range(240)
    ]
    frames = [
        tables.transaction_ages(samples, lambda user, own=own: (user == "app") == own, 60).assign(
            instance=name
        )
        for name, own in (("lab-writer", True), ("lab-reader", False))
    ]
    return pd.concat(frames)


def printed(ages_: pd.DataFrame) -> str:
    """The sentence of the verdict on the view from minute 60 to 120."""
    spans, oldest_view = held(60, 120)
    history = oldest_view["length"]
    (only,) = undo_log.verdicts(
        Window(MINUTES[0], MINUTES[-1]), history, undo_log.growth_episodes(history), spans
    )
    matching = candidates.candidates(spans, oldest_view, candidates.transaction_starts(ages_))
    return with_candidates(only, spans, matching).sentence


def test_the_lab_records_the_holder_beside_transactions_that_hold_nothing():
    """An old bare BEGIN and an old idle READ COMMITTED transaction on the writer: the page names the reader."""
    ages_ = recorded(*((one, 240) for one in IMPOSTORS), (HOLDER, 120))
    assert ages_["value"].max() == 60.0 * (239 + 300)
    sentence = printed(ages_)
    assert "oldest transaction of lab-reader (TransactionAgeMaximum)" in sentence
    assert "lab-writer" not in sentence


def test_the_lab_names_nobody_where_an_older_transaction_hides_the_holder():
    """The idle READ COMMITTED transaction is on the holder's instance, so the metric shows only that one."""
    hidden = open_transaction(2, "dashboard", 20, "READ COMMITTED")
    sentence = printed(recorded((IMPOSTORS[0], 240), (hidden, 240), (HOLDER, 120)))
    assert "TransactionAgeMaximum" not in sentence
    assert "lab-" not in sentence
