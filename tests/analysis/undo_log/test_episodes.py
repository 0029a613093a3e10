"""Episodes of the history list, the state of purge, and the verdict on who held it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from aurora_analysis import Window
from aurora_analysis.analysis import undo_log, workloads
from aurora_analysis.analysis.undo_log import episodes as growth
from aurora_analysis.lab import shop

HOUR = Window("2026-11-09T10:00", "2026-11-09T12:00")


def minutes(values: list[float]) -> pd.Series:
    """One value a minute from 10:00."""
    index = pd.date_range(HOUR.start, periods=len(values), freq="min", unit="us")
    return pd.Series(values, index=index, dtype=float)


def clock(times: pd.Series) -> list[str]:
    return list(times.dt.strftime("%H:%M"))


CALM = [100.0] * 10
RISE = [2000.0, 4000.0, 6000.0, 8000.0]


def test_an_episode_has_a_start_a_peak_and_an_end():
    """It begins where the rise does and ends where a tenth of it is left; rates are a second's."""
    episodes = undo_log.growth_episodes(minutes([*CALM, *RISE, 4000, 100, *CALM]))
    assert clock(episodes["start"]) == ["10:09"]
    assert clock(episodes["peak_at"]) == ["10:13"]
    assert clock(episodes["end"]) == ["10:15"]
    assert episodes["growth_per_s"][0] == pytest.approx(7900 / 240)
    assert episodes["drain_per_s"][0] == pytest.approx(7900 / 120)
    assert episodes["complete"].all()


def test_a_partial_drain_does_not_end_an_episode():
    """Half of it is purged and it grows again: one view followed another."""
    episodes = undo_log.growth_episodes(minutes([*CALM, *RISE, 4000, *RISE[2:], 10_000, 100, *CALM]))
    assert clock(episodes["start"]) == ["10:09"]
    assert list(episodes["peak_length"]) == [10_000]


def test_what_is_cut_by_the_window_is_not_complete():
    """One grows from the first sample on, the other to the last."""
    episodes = undo_log.growth_episodes(minutes([*RISE, 100, *CALM, *RISE]))
    assert list(episodes["complete"]) == [False, False]
    assert np.isnan(episodes["drain_per_s"].iloc[-1])


def test_an_episode_ends_at_a_gap():
    """What the history list did while nobody looked is not known."""
    history = minutes([*CALM, *RISE, *[9000.0] * 20, *CALM])
    seen = history.drop(history.index[14:30])
    episodes = undo_log.growth_episodes(seen)
    assert clock(episodes["end"]) == ["10:14"]
    assert not episodes["complete"].any()


def test_a_calm_history_list_has_no_episode():
    """It wavers by a few times its base."""
    wavering = 500 + 400 * np.sin(np.arange(120) / 5)
    assert undo_log.growth_episodes(minutes(list(wavering))).empty


def test_a_long_history_list_is_notable_whatever_its_base():
    """A view that has been open for weeks leaves no calm sample, and growth counts from 100,000."""
    episodes = undo_log.growth_episodes(minutes(list(np.linspace(5e6, 6e6, 120))))
    assert len(episodes) == 1


def test_purge_is_blocked_where_the_boundary_stands_still():
    """In the first episode it stands; in the second it moves and purge trails it."""
    history = minutes([*CALM, *RISE, 100, *CALM, *RISE, 100, *CALM])
    boundary = minutes(list(np.cumsum([0, *[500] * 9, 0, 0, 0, 0, 2500, *[500] * 25])))
    finished = boundary - [*[0] * 25, 2000, 4000, 6000, 8000, *[0] * 11]
    purge = undo_log.purge_state(boundary, finished, undo_log.growth_episodes(history))
    assert list(purge["state"]) == ["blocked", "outrun"]
    assert list(purge["backlog"]) == [0, 8000]
    assert purge["still_share"][0] == 1


def test_a_boundary_that_never_moves_is_blocked():
    """A view that is older than the window leaves no movement to compare with."""
    history = minutes([*CALM, *RISE])
    still = minutes([7000.0] * 14)
    purge = undo_log.purge_state(still, still - 10, undo_log.growth_episodes(history))
    assert list(purge["state"]) == ["blocked"]


def test_without_a_boundary_the_state_of_purge_is_unknown():
    """Older engine versions do not publish it."""
    history = minutes([*CALM, *RISE, 100, *CALM])
    purge = undo_log.purge_state(minutes([]), minutes([]), undo_log.growth_episodes(history))
    assert list(purge["state"]) == ["unknown"]


# From the simulated cluster to the verdict

DAYS = Window("2026-11-02", "2026-11-06")


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return shop.tables(7, DAYS)


class Read:
    """What the notebook computes, of a window."""

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
        self.held = undo_log.holders(self.history, transactions, self.runs)
        self.spans = undo_log.holds(self.held, self.runs, self.purge)

    def verdicts(self, **thresholds: float):
        return undo_log.verdicts(self.window, self.history, self.episodes, self.spans, **thresholds)


@pytest.fixture(scope="module")
def read(tables) -> Read:
    return Read(tables)


def test_the_verdict_names_who_blocked_purge(read):
    """Instance, user, statement, thread and since when; what did not hold is not named."""
    verdicts = read.verdicts()
    first = verdicts[0]
    most = read.spans.query("workload == 'snowflake'").sort_values("growth").iloc[-1]
    assert (first.subject, first.level, first.severity) == ("snowflake on shop-3", "blocked", "watch")
    for part in (str(most["thread_id"]), most["digest"], f"{most['since']:%Y-%m-%d %H:%M:%S}"):
        assert part in first.sentence
    assert most["since"] in set(read.runs.query("workload == 'snowflake'")["start"])
    assert {"finance", "deploy"} <= {verdict.subject.split()[0] for verdict in verdicts}
    assert not any("tableau" in str(verdict) for verdict in verdicts)


def test_two_statements_of_one_session_are_one_card(read):
    """The workload and instance make the card; its sentence names the costliest statement, and how many there were."""
    mine = (read.spans["workload"] == "snowflake").to_numpy()
    other = mine & (np.cumsum(mine) % 2 == 0)
    two = read.spans.assign(digest=read.spans["digest"].mask(other, "another"))
    told = undo_log.verdicts(read.window, read.history, read.episodes, two)
    assert [one.subject for one in told].count("snowflake on shop-3") == 1
    assert "(of 2 different ones)" in told[0].sentence


def test_the_part_around_the_longest_lies_in_the_window(read):
    """A day of it, moved inside at the window's edge; a shorter window is shown whole."""
    part = undo_log.around_highest(read.history, read.window)
    assert part.duration.total_seconds() == 86_400
    assert read.history.idxmax() in part
    assert read.window.start <= part.start
    assert part.end <= read.window.end
    assert undo_log.around_highest(read.history, HOUR) == HOUR
    assert undo_log.around_highest(read.history[:0], HOUR) == HOUR


def test_what_no_log_tells_of_is_unknown(read):
    """The idle session gets a verdict that names nobody."""
    unknown = [verdict for verdict in read.verdicts() if verdict.level == "unknown"]
    assert [verdict.subject for verdict in unknown] == ["sessions in no log"]
    assert unknown[0].severity == "unknown"


def test_shares_of_growth_add_up(read):
    """Each span of an episode has one holder."""
    found = undo_log.by_holder(read.spans)
    assert found["share"].sum() == pytest.approx(1)
    assert list(found["growth"]) == sorted(found["growth"], reverse=True)
    episodes = undo_log.episode_holders(read.episodes, read.spans)
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
    """Beyond the threshold the severity is `act`; it is a keyword."""
    peak = read.history.max()
    assert read.verdicts(act=peak)[0].severity == "act"
    assert Read(tables, factor=1.01e6 / peak).verdicts()[0].severity == "act"


def test_where_the_boundary_moves_purge_is_outrun(read):
    """No view holds it, whatever ran at the time."""
    moving = read.purge.assign(state="outrun")
    spans = undo_log.holds(read.held, read.runs, moving)
    assert set(spans["state"]) == {"outrun"}
    (verdict,) = undo_log.verdicts(DAYS, read.history, read.episodes, spans)
    assert (verdict.level, verdict.subject) == ("outrun", "purge")


def test_a_window_without_data_is_unknown(tables):
    """Not an exception, and not healthy."""
    (verdict,) = Read(tables, Window("2027-01-01", "2027-01-02")).verdicts()
    assert (verdict.level, verdict.severity) == ("unknown", "unknown")
    assert "0%" in verdict.sentence


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
    """The half that was not observed may have been otherwise."""
    metrics = calm_metrics().iloc[:60]
    half = Read({"metrics": metrics, "slow_queries": tables["slow_queries"]}, HOUR)
    (verdict,) = half.verdicts()
    assert (verdict.level, verdict.subject) == ("unknown", "coverage")


def test_growth_without_a_count_of_transactions_has_no_holder(tables):
    """It is told that it grew, and what is missing."""
    only = tables["metrics"].query("name == 'history_list_length'")
    (verdict,) = Read(tables | {"metrics": only}).verdicts()
    assert verdict.level == "unknown"
    assert "CommitThroughput" in verdict.action


@pytest.mark.parametrize(
    ("seconds", "said"), [(45, "45 s"), (600, "10 min"), (11_400, "3 h 10 min"), (200_000, "2 d 8 h")]
)
def test_lengths_of_time_are_said_as_people_say_them(seconds, said):
    """From seconds to days."""
    assert growth._duration(seconds) == said
