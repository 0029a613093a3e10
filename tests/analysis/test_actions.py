"""The first action never contradicts the sentence: both name the same step, from one source."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from aurora_analysis.analysis import experiment, latency, reader_impact, undo_log, workload_change
from aurora_analysis.analysis.effect_level import ACTIONS, LEVELS
from aurora_analysis.analysis.experiment.estimate import EFFECT_COLUMNS
from aurora_analysis.analysis.reader_impact import sentences
from aurora_analysis.analysis.reader_impact.refusals import MOVES, SETTLES
from aurora_analysis.analysis.reader_impact.sentences import EffectRow
from aurora_analysis.analysis.undo_log.episodes import SPAN_COLUMNS
from aurora_analysis.analysis.verdict import Verdict
from aurora_analysis.analysis.workload_change.verdicts import NUMBERS
from aurora_analysis.analysis.workloads import IDLE
from aurora_analysis.window import Window

HOUR = Window("2026-11-09T00:00", "2026-11-09T01:00")
READ_COMMITTED = "aurora_read_replica_read_committed"


def effect_row(**columns) -> EffectRow:
    return EffectRow("etl", "commit_latency", 20, 500, 9, "a fortnight", np.nan, **columns)


KINDS = [[kind] for kind in SETTLES] + [list(pair) for pair in combinations(SETTLES, 2)]


@pytest.mark.parametrize("level", ["cannot tell", "unknown"])
def test_what_settles_a_refusal_is_its_action(level):
    """The sentence ends with the step that the action commands, for each reason and each two reasons together."""
    for kinds in KINDS:
        check_step(kinds, level)


def check_step(kinds: list[str], level: str) -> None:
    reasons = {kind: f"reason {kind}" for kind in kinds}
    row = effect_row(refused=reasons) if level == "cannot tell" else effect_row(not_assessed=reasons)
    sentence, action = sentences.sentence(row, level, 5.0), sentences.action(row, level)
    step = sentence.split("To settle this, ")[1]
    assert action[0].isupper()
    assert step.casefold() == action.casefold()
    assert all(f"reason {kind}" in sentence for kind in kinds)
    assert action.count("random days") <= 1
    wanted = ["placebo"] if "placebo" in kinds else kinds if not set(kinds) <= set(MOVES) else kinds[:1]
    assert all(SETTLES[kind].format(workload="etl") in sentence for kind in wanted if kind not in MOVES[1:])


def test_an_undecided_effect_has_the_action_of_its_reason():
    """A longer observation does not help where an assumption decides, or where runs leave no room."""
    assert "trial" in sentences.action(effect_row(unstable="a variant"), "inconclusive")
    assert "Pause the workload" in sentences.action(
        effect_row(incomplete="its runs are close"), "inconclusive"
    )
    assert sentences.action(effect_row(), "inconclusive") == ACTIONS["inconclusive"]


def effects(effect_pct: float, low: float, high: float, p: float) -> pd.DataFrame:
    return pd.DataFrame([("etl", "commit_latency", effect_pct, low, high, p, 12, 12)], columns=EFFECT_COLUMNS)


TRIALS = {
    "slows": effects(20, 15, 25, 0.001),
    "slows a little": effects(4, 2, 7, 0.001),
    "speeds up": effects(-20, -25, -15, 0.001),
    "inconclusive": effects(8, -3, 20, 0.2),
    "unknown": effects(np.nan, np.nan, np.nan, np.nan),
    "no material effect": effects(1, -2, 3, 0.4),
}


def grown(by: float, judged_share: float = 1.0, idle_share: float = 0.0) -> pd.DataFrame:
    values = ("etl", 0.5, by, 100.0 if by else 0.0, 2 * by, np.nan, np.nan, judged_share, idle_share)
    return pd.DataFrame([values], columns=reader_impact.GROWTH_COLUMNS)


def impact(level: str, growth: pd.DataFrame) -> Verdict:
    days = pd.DataFrame(columns=reader_impact.COLUMNS)
    (found,) = reader_impact.verdicts(reader_impact.Evidence(TRIALS[level], days, growth, 1.0, HOUR))
    return found


@pytest.mark.parametrize("level", TRIALS)
def test_after_a_randomised_trial_no_action_asks_for_one_in_place_of_longer_observation(level):
    """The page of the trial and that of the reader's impact give the same kind of action."""
    history = pd.DataFrame([("etl", *[np.nan] * 6)], columns=experiment.GROWTH_COLUMNS)
    (tried,) = experiment.verdicts(TRIALS[level], history, pd.Series(dtype=object))
    found = impact(level, grown(by=0.0))
    for verdict in (tried, found)[: 1 if level == "unknown" else 2]:
        assert verdict.level == level
        assert "Observe it" not in verdict.action
        assert verdict.action.startswith("Nothing") == (LEVELS[level] == "ok" or level == "slows a little")


@pytest.mark.parametrize(
    ("growth", "advised", "evidence"),
    [
        (5000.0, True, "were the oldest during"),
        (0.0, False, "were never the oldest"),
        (np.nan, False, "is unknown"),
    ],
)
def test_read_committed_is_advised_only_where_read_views_blocked_purge(growth, advised, evidence):
    """The evidence and the action agree on the mechanism."""
    found = impact("slows", grown(by=growth))
    assert evidence in found.evidence
    assert (READ_COMMITTED in found.action) == advised


def test_views_that_are_partly_unknown_are_not_said_to_be_harmless():
    """If a third of the time has samples, "never" and "would not help" are unknown."""
    found = impact("slows", grown(by=0.0, judged_share=0.3))
    assert "is known for 30 % only of the 30 min" in found.evidence
    assert found.action.startswith("First find out whether")


EPISODES = pd.DataFrame(columns=["start", "peak_at", "end", "peak_length"])


def held_spans(idle_share: float) -> pd.DataFrame:
    """Purge was blocked for 50 minutes, by etl's statement and then by its idle transaction."""
    start = pd.Timestamp(HOUR.start)
    middle, end = start + (1 - idle_share) * pd.Timedelta("50min"), start + pd.Timedelta("50min")
    rows = [
        (start, middle, "held", "etl", "db-2", "a", 7, start, 4000.0, 1e5),
        (middle, end, "held", "etl", "db-2", IDLE, 8, middle, 3000.0, 1e5),
    ]
    spans = pd.DataFrame(rows, columns=SPAN_COLUMNS)
    return spans[spans["end"] > spans["start"]]


SHORTEN, COMMIT = "Shorten its statements", "the client commit before it goes idle"


@pytest.mark.parametrize(
    ("idle_share", "advised"),
    [(0.0, [SHORTEN]), (1 / 3, [SHORTEN, COMMIT]), (2 / 3, [COMMIT, SHORTEN]), (0.95, [COMMIT])],
)
def test_the_action_follows_the_time_that_cleanup_was_blocked_without_a_statement(idle_share, advised):
    """Both parts are advised where both matter, the longer one first, on all three pages."""
    times = pd.date_range(HOUR.start, HOUR.end, freq="min", inclusive="left")
    history = pd.Series(1e5, index=times)
    (blocked,) = undo_log.verdicts(HOUR, history, EPISODES[:0], held_spans(idle_share))
    row = dict.fromkeys(experiment.GROWTH_COLUMNS, 500.0) | {
        "workload": "etl",
        "p": 0.01,
        "idle_share": idle_share,
    }
    (tried,) = experiment.verdicts(TRIALS["slows"], pd.DataFrame([row]), pd.Series(dtype=object))
    for action in (
        impact("slows", grown(by=5000.0, idle_share=idle_share)).action,
        blocked.action,
        tried.action,
    ):
        places = [action.find(part) for part in (SHORTEN, COMMIT)]
        found = [part for place, part in sorted(zip(places, (SHORTEN, COMMIT))) if place >= 0]
        assert found == advised
        assert (f"{100 * idle_share:.0f} % of the time" in action) == (len(advised) == 2)


@pytest.mark.parametrize(
    ("low", "high", "advised"), [(500.0, 900.0, True), (-50.0, 900.0, False), (np.nan, np.nan, False)]
)
def test_a_trial_advises_read_committed_only_if_it_shows_the_growth(low, high, advised):
    """The interval of the history list's growth decides."""
    difference = 700.0 if low == low else np.nan
    row = dict.fromkeys(experiment.GROWTH_COLUMNS, 0.0) | {"workload": "etl", "difference": difference}
    history = pd.DataFrame([row | {"ci_low": low, "ci_high": high, "p": 0.01}])
    (found,) = experiment.verdicts(TRIALS["slows"], history, pd.Series(dtype=object))
    assert (READ_COMMITTED in found.action) == advised


def change(**columns) -> pd.DataFrame:
    """A change of the writer's commit latency that the table `changes` may hold."""
    row = dict.fromkeys(NUMBERS, 1.0) | {"role": "writer", "digest": "", "measure": "commit_latency"}
    row |= {"hours_matched": 100, "matched_by": "hour and weekday", "spread_pct": 5.0, "apart": False}
    row |= {"unusual_low_pct": 1.0, "unusual_high_pct": 9.0, "detectable_pct": 8.0, "alike_pct": np.nan}
    row |= {"siblings": 0, "apart_pct": np.nan, "weeks": 8}
    return pd.DataFrame([row | columns])


@pytest.mark.parametrize(
    ("columns", "said", "done"),
    [
        ({"level": "unknown", "weeks": 2}, "of the 5 weeks needed", "from 5 weeks on"),
        ({"level": "unknown", "unusual_pct": np.nan}, "no earlier week covers", "earlier weeks"),
        ({"level": "unknown", "low_pct": np.nan}, "too few days for an interval", "more days"),
        ({"level": "inconclusive"}, "changes of at least 8 %", "too small to count"),
        ({"level": "inconclusive", "low_pct": -1.0}, "changes of at least 8 %", "single days"),
    ],
)
def test_the_action_on_a_change_follows_from_the_reason_of_its_level(columns, said, done):
    """Weeks, days and earlier hours are asked for where each is what lacks."""
    moved = pd.DataFrame({"move": [], "rank_before": [], "share_pct": [], "digest": []})
    found = workload_change.verdicts(change(**columns), moved)
    of_role = next(one for one in found if one.subject == "writer")
    of_statements = next(one for one in found if one.subject == "statements")
    assert said in of_role.sentence
    assert done in of_role.action
    assert "No statement has statistics" in of_statements.sentence
    assert "Fetch the statement statistics" in of_statements.action


def test_too_few_executions_ask_for_more_executions():
    """A next window would have as few; without a previous window, the next one helps."""
    ends = pd.date_range(HOUR.start, HOUR.end, 41, inclusive="left", unit="us")
    rows = pd.DataFrame({"ended_at": ends, "instance": "db-1", "digest": "d", "query_time_s": 2.0})
    cuts = pd.DataFrame({"instance": ["db-1"], "long_query_time_ms": [1000.0]})
    few = latency.Sample(HOUR, latency.counts(rows))
    many = latency.Sample(HOUR, latency.counts(rows.loc[rows.index.repeat(10)]))
    none = latency.Sample(HOUR.previous(), latency.counts(rows.iloc[:0]))
    for now, step in ((few, "Lower long_query_time"), (many, "Fetch the previous window")):
        (found,) = latency.verdicts(latency.compare(now, none, cuts))
        assert found.action.startswith(step)
