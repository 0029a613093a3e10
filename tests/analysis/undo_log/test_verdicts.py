"""Verdicts on the simulated cluster: which session blocked purge, and what is unknown."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from aurora_analysis import Window
from aurora_analysis.analysis import undo_log, workloads
from aurora_analysis.analysis.verdict import duration
from aurora_analysis.lab import shop

HOUR = Window("2026-11-09T10:00", "2026-11-09T12:00")


def minutes(values: list[float]) -> pd.Series:
    """One value a minute from 10:00."""
    index = pd.date_range(HOUR.start, periods=len(values), freq="min", unit="us")
    return pd.Series(values, index=index, dtype=float)


DAYS = Window("2026-11-02", "2026-11-06")


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return shop.tables(7, DAYS)


class Read:
    """The notebook's frames for one window."""

    def __init__(self, tables: dict[str, pd.DataFrame], window: Window = DAYS, factor: float = 1.0) -> None:
        metrics = tables["metrics"].query("@window.start <= time < @window.end")
        series = {
            name: rows.set_index("time")["value"].sort_index() for name, rows in metrics.groupby("name")
        }
        none = pd.Series([], index=pd.DatetimeIndex([], dtype="datetime64[us, UTC]"), dtype=float)
        self.window = window
        self.history = factor * series.get("history_list_length", none)
        self.episodes = undo_log.growth_episodes(self.history)
        boundary, finished = (series.get(name, none) for name in ("purge_boundary", "purge_finished"))
        self.purge = undo_log.purge_state(boundary, finished, self.episodes)
        self.runs = workloads.exposures(tables["slow_queries"])
        transactions = undo_log.committed(series.get("commit_throughput", none))
        self.oldest_view = undo_log.attribute_oldest_view(self.history, transactions, self.runs)
        self.spans = undo_log.blocking_spans(self.oldest_view, self.runs, self.purge)

    def verdicts(self, **thresholds: float):
        return undo_log.verdicts(
            self.window, self.history, self.episodes, self.spans, undo_log.Thresholds(**thresholds)
        )


@pytest.fixture(scope="module")
def read(tables) -> Read:
    return Read(tables)


def test_the_verdict_names_the_session_that_blocked_purge(read):
    """Instance, user, statement, thread and start; a workload that held no view is not named."""
    verdicts = read.verdicts()
    first = verdicts[0]
    most = read.spans.query("workload == 'snowflake'").sort_values("growth").iloc[-1]
    assert (first.subject, first.level, first.severity) == ("snowflake on shop-3", "blocked", "watch")
    assert first.headline == "snowflake on shop-3 blocked purge"
    for part in (str(most["thread_id"]), most["digest"], f"{most['since']:%Y-%m-%d %H:%M:%S}"):
        assert part in first.sentence
    assert most["since"] in set(read.runs.query("workload == 'snowflake'")["start"])
    assert {"finance", "deploy"} <= {verdict.subject.split()[0] for verdict in verdicts}
    assert not any("tableau" in str(verdict) for verdict in verdicts)


def test_two_statements_of_one_session_are_one_card(read):
    """One card per workload and instance; its sentence names the costliest statement and counts the others."""
    mine = (read.spans["workload"] == "snowflake").to_numpy()
    other = mine & (np.cumsum(mine) % 2 == 0)
    two = read.spans.assign(digest=read.spans["digest"].mask(other, "another"))
    found = undo_log.verdicts(read.window, read.history, read.episodes, two)
    assert [one.subject for one in found].count("snowflake on shop-3") == 1
    assert "Its runs are of 2 different statements." in found[0].sentence


def test_the_part_around_the_longest_lies_in_the_window(read):
    """One day, moved inside at the window's edge; a shorter window stays whole."""
    part = undo_log.around_highest(read.history, read.window)
    assert part.duration.total_seconds() == 86_400
    assert read.history.idxmax() in part
    assert read.window.start <= part.start
    assert part.end <= read.window.end
    assert undo_log.around_highest(read.history, HOUR) == HOUR
    assert undo_log.around_highest(read.history[:0], HOUR) == HOUR


def test_a_session_in_no_log_is_unknown(read):
    """The idle session gets a verdict without a name."""
    unknown = [verdict for verdict in read.verdicts() if verdict.level == "unknown"]
    assert [verdict.subject for verdict in unknown] == ["sessions in no log"]
    assert unknown[0].severity == "unknown"


def test_shares_of_growth_add_up(read):
    """Each span of an episode has one holder."""
    found = undo_log.growth_by_blocker(read.spans)
    assert found["share"].sum() == pytest.approx(1)
    assert list(found["growth"]) == sorted(found["growth"], reverse=True)
    episodes = undo_log.episode_blockers(read.episodes, read.spans)
    assert len(episodes) == len(read.episodes)
    assert episodes["share"].between(0.3, 1).all()


def test_one_number_in_the_sample_changes_the_sentence(tables, read):
    """A sample of the history list inside the greatest growth, doubled."""
    peak = read.history.idxmax()
    metrics = tables["metrics"].copy()
    one = (metrics["time"] == peak) & (metrics["name"] == "history_list_length")
    metrics.loc[one, "value"] *= 2
    changed = Read(tables | {"metrics": metrics}).verdicts()
    assert [verdict.sentence for verdict in changed] != [verdict.sentence for verdict in read.verdicts()]


def test_a_million_calls_for_action(tables, read):
    """From the threshold `act` on, the severity is `act`."""
    peak = read.history.max()
    assert read.verdicts(act=peak)[0].severity == "act"
    assert Read(tables, factor=1.01e6 / peak).verdicts()[0].severity == "act"


def test_purge_is_outrun_if_the_boundary_moves(read):
    """No view blocks purge, whatever ran at the time."""
    moving = read.purge.assign(state="outrun")
    spans = undo_log.blocking_spans(read.oldest_view, read.runs, moving)
    assert set(spans["state"]) == {"outrun"}
    (verdict,) = undo_log.verdicts(DAYS, read.history, read.episodes, spans)
    assert (verdict.level, verdict.subject) == ("outrun", "purge")


def test_a_window_without_data_is_unknown(tables):
    """Not an exception, and not healthy."""
    (verdict,) = Read(tables, Window("2027-01-01", "2027-01-02")).verdicts()
    assert (verdict.level, verdict.severity) == ("unknown", "unknown")
    assert "Only 0 % of the window" in verdict.sentence


def test_a_calm_window_is_healthy(tables):
    """Nothing grew, and all of it was observed."""
    calm = Read({"metrics": calm_metrics(), "slow_queries": tables["slow_queries"]}, HOUR)
    (verdict,) = calm.verdicts()
    assert (verdict.level, verdict.severity) == ("healthy", "ok")
    assert verdict.numbers["coverage"] == 1


def calm_metrics() -> pd.DataFrame:
    history = minutes([500.0, 700.0] * 60)
    return pd.DataFrame({"time": history.index, "name": "history_list_length", "value": history.to_numpy()})


def test_half_a_window_is_not_healthy(tables):
    """The half that was not observed may have been different."""
    metrics = calm_metrics().iloc[:60]
    half = Read({"metrics": metrics, "slow_queries": tables["slow_queries"]}, HOUR)
    (verdict,) = half.verdicts()
    assert (verdict.level, verdict.subject) == ("unknown", "coverage")


def test_growth_without_a_count_of_transactions_has_no_holder(tables):
    """The verdict states the growth, and the missing metric."""
    only = tables["metrics"].query("name == 'history_list_length'")
    (verdict,) = Read(tables | {"metrics": only}).verdicts()
    assert verdict.level == "unknown"
    assert "CommitThroughput" in verdict.action


@pytest.mark.parametrize(
    ("seconds", "text"), [(45, "45 s"), (600, "10 min"), (11_400, "3 h 10 min"), (200_000, "2 d 8 h")]
)
def test_lengths_of_time_have_human_units(seconds, text):
    """From seconds to days."""
    assert duration(seconds) == text
