"""How sure the name of a holder is, and what the verdict then states."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from aurora_analysis import Window
from aurora_analysis.analysis import undo_log
from aurora_analysis.analysis.undo_log import confidence
from aurora_analysis.analysis.verdict import Verdict

START = pd.Timestamp("2026-11-09T10:00Z")


def verdicts(views: list[tuple[float, float]], runs: pd.DataFrame, samples: int = 300) -> list[Verdict]:
    """Verdicts on a writer that commits 3,000 a minute while these views are open, from minute to minute."""
    index = pd.date_range(START, periods=samples, freq="min", unit="us")
    committed = 3000.0 * np.arange(samples)
    oldest = [min([start for start, end in views if start <= n < end], default=n) for n in range(samples)]
    history = pd.Series(300 + committed - 3000.0 * np.array(oldest), index)
    episodes = undo_log.growth_episodes(history)
    none = pd.Series([], index=index[:0], dtype=float)
    purge = undo_log.purge_state(none, none, episodes)
    found = undo_log.attribution(history, pd.Series(committed, index), runs)
    spans = undo_log.blocking_spans(found.oldest_view, runs, purge)
    sureness = confidence.by_blocker(spans, found, runs)
    window = Window(START, START + pd.Timedelta(minutes=samples))
    return undo_log.verdicts(window, history, episodes, spans, sureness=sureness)


def statements(**spans: list[tuple[float, float]]) -> pd.DataFrame:
    """Logged statements of these workloads, from minute to minute."""
    rows = [
        {"workload": name, "start": START + pd.Timedelta(minutes=a), "end": START + pd.Timedelta(minutes=b)}
        for name, own in spans.items()
        for a, b in own
    ]
    return pd.DataFrame(rows).assign(
        digest=lambda frame: frame["workload"], instance="reader", thread_id=range(len(rows))
    )


def test_a_lone_statement_is_named_with_its_confidence():
    """Nothing else was open: the name is certain, and never printed as 1."""
    (only,) = verdicts([(60, 120)], statements(snowflake=[(60, 120)]))
    assert only.headline == "snowflake on reader blocked purge"
    assert only.sentence.endswith("Confidence in the name: 0.99.")


def test_two_that_always_run_together_are_not_decided_between():
    """They begin within ten seconds and end together, every time: the page names neither as the blocker."""
    times = [(60, 90), (130, 160), (200, 230)]
    later = [(a + 0.15, b) for a, b in times]
    (only,) = verdicts(times, statements(snowflake=times, tableau=later))
    assert (only.level, only.severity) == ("unknown", "unknown")
    assert only.headline == "Cannot decide whether snowflake on reader or tableau on reader blocked purge"


def beside_a_digest_that_left_no_trace(alone: list[tuple[float, float]]) -> Verdict:
    """The only verdict if tableau starts ten seconds before snowflake, and its runs `alone` left no trace."""
    times = [(60, 90), (130, 160), (200, 230)]
    earlier = [(a - 0.15, b) for a, b in times]
    (only,) = verdicts(times, statements(snowflake=times, tableau=[*earlier, *alone]))
    return only


def test_a_digest_that_never_holds_alone_loses_the_tie():
    """Nine runs without a trace outweigh a start ten seconds earlier."""
    often = [
        (5, 20),
        (22, 40),
        (42, 56),
        (95, 110),
        (112, 126),
        (165, 180),
        (182, 196),
        (240, 260),
        (265, 285),
    ]
    assert beside_a_digest_that_left_no_trace(often).headline == "snowflake on reader blocked purge"


def test_few_runs_without_a_trace_do_not_decide_a_tie():
    """Three runs without a trace leave both possible, so neither is named as the blocker."""
    few = [(5, 30), (250, 280), (100, 120)]
    assert beside_a_digest_that_left_no_trace(few).severity == "unknown"


@pytest.mark.parametrize("probability", [0.05, 0.5, 0.75, 0.999])
def test_calibration_keeps_the_order_and_the_sides(probability):
    """A likelier explanation stays likelier, and one that is improbable does not become probable."""
    below, value = confidence.calibrated(np.array([probability - 0.01, probability]))
    assert below <= value
    assert (value > 0.5) == (probability > 0.6)
