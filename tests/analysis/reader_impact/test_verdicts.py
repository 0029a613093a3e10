"""Trial, ordinary days and mechanism give one verdict per workload, and missing data is unknown."""

import numpy as np
import pandas as pd
import pytest

from aurora_analysis.analysis import reader_impact
from aurora_analysis.analysis.experiment import EFFECT_COLUMNS
from aurora_analysis.analysis.reader_impact import dose_response
from aurora_analysis.analysis.reader_impact.verdicts import _interval
from aurora_analysis.analysis.verdict import Verdict
from aurora_analysis.analysis.workloads.exposure import SOURCE_COLUMNS, Exposure
from aurora_analysis.window import Window

HOUR = Window("2026-11-09T00:00", "2026-11-09T01:00")
MINUTES = pd.date_range(HOUR.start, HOUR.end, freq="min", inclusive="left")
RUNS = pd.DataFrame(
    {
        "workload": ["etl", "bi"],
        "instance": "db-2",
        "digest": "extract",
        "start": MINUTES[[10, 10]],
        "end": MINUTES[[40, 40]],
    }
)


def held() -> pd.DataFrame:
    """The first run blocked purge for half an hour, then an unknown session for ten minutes."""
    state = ["none"] * 10 + ["held"] * 30 + ["unknown"] * 10 + ["none"] * 10
    run = pd.array([0 if one == "held" else pd.NA for one in state], dtype="Int64")
    return pd.DataFrame({"state": state, "run": run, "growth": 100.0}, index=MINUTES)


GROWN = reader_impact.growth(held(), RUNS, HOUR)


def verdicts(
    trial: pd.DataFrame, days: pd.DataFrame, grown: pd.DataFrame, coverage: float, **more
) -> list[Verdict]:
    return reader_impact.verdicts(reader_impact.Evidence(trial, days, grown, coverage, HOUR, **more))


NO_TRIAL = pd.DataFrame(columns=EFFECT_COLUMNS)
NO_ESTIMATE = pd.DataFrame(columns=reader_impact.COLUMNS)


def effect(workload: str, effect_pct: float, low: float, high: float, p: float) -> pd.DataFrame:
    row = (workload, "commit_latency", effect_pct, low, high, p, 12, 12)
    return pd.DataFrame([row], columns=EFFECT_COLUMNS)


def test_growth_is_attributed_to_the_owner_of_the_oldest_read_view():
    """Three quarters by etl, a quarter by a session in no log, nothing by bi."""
    by_workload = GROWN.set_index("workload")
    assert by_workload["share_pct"].to_dict() == {"etl": 75.0, "(unknown)": 25.0, "bi": 0.0}
    assert by_workload["per_exposed_hour"]["etl"] == pytest.approx(6000)
    assert np.isnan(by_workload["exposed_hours"]["(unknown)"])


def test_runs_outside_of_the_window_are_not_unjudged():
    """Estimates compare two weeks, the mechanism one window: runs of the other week leave nothing of it unknown."""
    earlier = RUNS.assign(start=RUNS["start"] - pd.Timedelta("1D"), end=RUNS["end"] - pd.Timedelta("1D"))
    both = reader_impact.growth(held(), pd.concat([RUNS, earlier], ignore_index=True), HOUR)
    shares = both.set_index("workload")["judged_share"]
    assert shares["etl"] == shares["bi"] == 1


FORTNIGHT = Window("2026-11-09", "2026-11-23")


def grown_by_hour(rates: list[float], hours: list[float]) -> pd.DataFrame:
    """Growth over one run per day with the given lengths [h] and rates [transactions/hour]."""
    starts = [pd.Timestamp(FORTNIGHT.start) + pd.Timedelta(days=n, hours=9) for n in range(len(rates))]
    ends = [start + pd.Timedelta(hours=length) for start, length in zip(starts, hours)]
    runs = pd.DataFrame({"workload": "etl", "digest": "extract", "start": starts, "end": ends})
    total = [rate * length for rate, length in zip(rates, hours)]
    index = pd.DatetimeIndex([start + pd.Timedelta("30min") for start in starts])
    held = pd.DataFrame(
        {"state": "held", "run": pd.array(range(len(runs)), dtype="Int64"), "growth": total}, index=index
    )
    return reader_impact.growth(held, runs, FORTNIGHT)


def test_growth_per_exposed_hour_has_an_interval_over_days():
    """Equal rates give no width, different rates contain their mean, and three days give no interval."""
    even = grown_by_hour([1000.0] * 10, [1.0, 2.0] * 5).iloc[0]
    assert even[["low_per_hour", "per_exposed_hour", "high_per_hour"]].to_list() == pytest.approx([1000] * 3)
    uneven = grown_by_hour([500.0, 1500.0] * 5, [1.0] * 10).iloc[0]
    assert 500 < uneven["low_per_hour"] < 1000 < uneven["high_per_hour"] < 1500
    assert np.isnan(grown_by_hour([1000.0] * 3, [1.0] * 3).iloc[0]["low_per_hour"])


def test_the_interval_of_growth_covers():
    """About 95 % of 300 intervals contain the true rate, with rates and lengths that differ by day."""
    rng, held = np.random.default_rng(1), 0
    for _ in range(300):
        hours = rng.lognormal(0, 0.5, 14)
        rates = 1000 * rng.lognormal(-(0.3**2) / 2, 0.3, 14)
        low, high = _interval(rates * hours, hours, 0.95)
        held += low <= 1000 <= high
    assert 0.91 <= held / 300 <= 0.99


@pytest.mark.parametrize(
    ("found", "level"),
    [
        (effect("etl", 50, 40, 60, 0.001), "slows"),
        (effect("etl", 1, -2, 4, 0.4), "no material effect"),
        (effect("etl", 4, 2, 7, 0.01), "slows a little"),
        (effect("etl", 8, -3, 20, 0.2), "inconclusive"),
        (effect("etl", -20, -30, -10, 0.01), "speeds up"),
        (effect("etl", np.nan, np.nan, np.nan, np.nan), "unknown"),
    ],
)
def test_the_level_of_a_trial(found, level):
    """Significant does not imply material, and not significant does not imply harmless."""
    by_subject = {one.subject: one for one in verdicts(found, NO_ESTIMATE, GROWN, coverage=1)}
    assert by_subject["etl"].level == level
    assert by_subject["bi"].level == "unknown"


def test_a_changed_number_changes_the_sentence():
    """The sentence is computed from the numbers."""
    sentences = [
        verdicts(effect("etl", pct, 40, 60, 0.001), NO_ESTIMATE, GROWN, coverage=1)[0].sentence
        for pct in (50, 51)
    ]
    assert "+50 %" in sentences[0]
    assert "+51 %" in sentences[1]


def test_the_mechanism_stands_beside_the_effect():
    """The evidence names the blocker of purge even if the effect is unknown."""
    by_subject = {one.subject: one for one in verdicts(NO_TRIAL, NO_ESTIMATE, GROWN, coverage=1)}
    assert "75 % of the history list's growth" in by_subject["etl"].evidence
    assert "were never the oldest while the history list grew" in by_subject["bi"].evidence


@pytest.mark.parametrize(
    ("found", "level", "of_blocker", "of_other"),
    [
        (lambda name: effect(name, 50, 40, 60, 0.001), "slows", "", "in another way than by blocking purge"),
        (lambda name: effect(name, 1, -2, 4, 0.4), "no material effect", "longer runs may still slow", ""),
        (
            lambda name: effect(name, 8, -3, 20, 0.2),
            "inconclusive",
            "Blocking purge does not show that it slowed",
            "",
        ),
        (lambda name: effect(name, -20, -30, -10, 0.01), "speeds up", "one more sign of another cause", ""),
    ],
)
def test_effect_and_mechanism_are_reconciled_where_they_disagree(found, level, of_blocker, of_other):
    """`etl` held the oldest view and `bi` never did; one sentence says what that means, and the level stays."""
    for name, expected in (("etl", of_blocker), ("bi", of_other)):
        (shown,) = [
            one for one in verdicts(found(name), NO_ESTIMATE, GROWN, coverage=1) if one.subject == name
        ]
        assert shown.level == level
        assert expected in shown.evidence
        words = ("another way", "longer runs", "does not show", "one more sign")
        assert sum(word in shown.evidence for word in words) == bool(expected)


def test_an_effect_on_ordinary_days_without_a_view_may_have_another_cause():
    """A trial excludes other causes; ordinary days do not."""
    days = pd.DataFrame([estimated("bi", "commit_latency", "slows", effect_pct=12.0)])
    days = days.assign(ci_low_pct=8.0, ci_high_pct=16.0, p_adjusted=0.001)
    (shown,) = [one for one in verdicts(NO_TRIAL, days, GROWN, coverage=1) if one.subject == "bi"]
    assert (shown.level, shown.severity) == ("slows", "act")
    assert "or from a cause that accompanies it" in shown.evidence
    assert "would not help" in shown.action


def test_the_advice_follows_the_part_that_the_slowdown_grows_with():
    """`etl` blocked purge: shorter statements help, unless the slowdown does not grow with the history list."""
    days = pd.DataFrame([estimated("etl", "commit_latency", "slows", effect_pct=12.0)])
    days = days.assign(ci_low_pct=8.0, ci_high_pct=16.0, p_adjusted=0.001)
    for parts, expected in (
        ((9, 7, 11, 1, -1, 3), "Shorten"),
        ((0.1, -1, 1, 12, 8, 16), "would hardly help"),
    ):
        mine = days.assign(**dict(zip(dose_response.COLUMNS, parts)))
        (shown,) = [one for one in verdicts(NO_TRIAL, mine, GROWN, coverage=1) if one.subject == "etl"]
        assert expected in shown.action


def test_never_is_not_said_where_commits_are_partly_missing():
    """Of two hours in which `bi` was open, the oldest view is known for one."""
    start = pd.Timestamp(FORTNIGHT.start)
    times = pd.date_range(start, periods=60, freq="1min")
    held = pd.DataFrame({"state": "none", "run": pd.array([pd.NA] * 60, dtype="Int64"), "growth": 0.0}, times)
    runs = pd.DataFrame(
        {"workload": ["bi"], "digest": "extract", "start": [start], "end": [start + pd.Timedelta("2h")]}
    )
    partly = reader_impact.growth(held, runs, FORTNIGHT)
    assert partly["judged_share"].tolist() == [0.5]
    (shown,) = verdicts(NO_TRIAL, NO_ESTIMATE, partly, coverage=1)
    assert "is known for 50 % only of the 2 h in which its statements were open" in shown.evidence
    assert "in that part they were never the oldest" in shown.evidence
    wholly = reader_impact.growth(held, runs.assign(end=times[-1]), FORTNIGHT)
    (shown,) = verdicts(NO_TRIAL, NO_ESTIMATE, wholly, coverage=1)
    assert (
        "were never the oldest while the history list grew" in shown.evidence and "only" not in shown.evidence
    )


def test_a_trial_takes_precedence_over_ordinary_days():
    """A randomised result needs no adjustment for confounders."""
    days = pd.DataFrame([dict.fromkeys(reader_impact.COLUMNS, np.nan)]).assign(
        workload="etl", metric="commit_latency", level="slows", sentence="from days"
    )
    tried = verdicts(effect("etl", 1, -2, 4, 0.4), days, GROWN, coverage=1)
    untried = verdicts(NO_TRIAL, days, GROWN, coverage=1)
    assert {one.level for one in tried if one.subject == "etl"} == {"no material effect"}
    assert {one.level for one in untried if one.subject == "etl"} == {"slows"}


def test_among_equal_levels_the_first_metric_is_reported():
    """The queue's latency comes before the commit's, whichever effect is larger."""
    both = pd.concat(
        [
            effect("etl", 90, 40, 160, 0.001),
            effect("etl", 50, 40, 60, 0.001).assign(metric="queue_latency"),
        ]
    )
    shown = verdicts(both, NO_ESTIMATE, GROWN, coverage=1)[0]
    assert shown.numbers["metric"] == "queue_latency"


def test_half_a_window_is_no_window():
    """Coverage of 30 % is unknown, whatever the effect on ordinary days."""
    days = NO_ESTIMATE.reindex(range(1)).assign(workload="etl", metric="commit_latency", level="slows")
    (verdict,) = verdicts(NO_TRIAL, days, GROWN, coverage=0.3)
    assert (verdict.level, verdict.severity) == ("unknown", "unknown")
    assert "30 %" in verdict.sentence and "2 workloads" in verdict.sentence


def test_a_trial_counts_its_own_samples():
    """On a clone without CloudWatch the trial still decides; workloads without a trial stay unknown, and none is `ok`."""
    found = verdicts(effect("etl", 50, 40, 60, 0.001), NO_ESTIMATE, GROWN, coverage=0.0)
    assert [(one.subject, one.level) for one in found] == [
        ("etl", "slows"),
        ("all other workloads", "unknown"),
    ]
    assert "latency is known" not in found[0].sentence and "1 other workload:" in found[1].sentence
    for no_effect in (effect("etl", *[np.nan] * 4), effect("etl", 1, -2, 3, 0.5)):
        (nothing,) = verdicts(no_effect, NO_ESTIMATE, GROWN, coverage=0.0)
        assert (nothing.subject, nothing.level) == ("all workloads", "unknown")


def test_no_reader_statement_is_unknown():
    """A window without data is unknown, and every table is empty."""
    nothing = reader_impact.growth(held()[:0], RUNS[:0], HOUR)
    (verdict,) = verdicts(NO_TRIAL, NO_ESTIMATE, nothing, coverage=0.0)
    assert verdict.level == "unknown"
    empty = pd.Series([], index=MINUTES[:0], dtype=float)
    for runs in (RUNS[:0], RUNS):
        known = Exposure(runs, RUNS[:0], pd.DataFrame(columns=SOURCE_COLUMNS))
        design = reader_impact.ordinary_days(empty.to_frame("commit_latency"), known, RUNS[:0])
        assert reader_impact.effects(design, placebos=2).empty
        assert reader_impact.sensitivity(design).empty
        assert reader_impact.quantile_effects(design).empty
        assert reader_impact.event_aligned(design).empty
    assert "No placebo test was made" in str(reader_impact.placebo_remarks(NO_ESTIMATE, 200))
    assert str(reader_impact.refusal_remarks(NO_ESTIMATE)) == "Nothing was refused."


def estimated(workload: str, metric: str, level: str, **columns) -> dict[str, object]:
    """A row of `reader_impact.effects`."""
    return (
        dict.fromkeys(reader_impact.COLUMNS, np.nan)
        | {
            "workload": workload,
            "metric": metric,
            "level": level,
            "reason": "",
            "sentence": f"{workload} {level}",
            "hidden_cause": "",
            "action": "",
        }
        | columns
    )


def test_the_most_harmful_stands_first():
    """Within a level workloads are sorted by effect, not by growth."""
    days = pd.DataFrame(
        [
            estimated("etl", "commit_latency", "slows", effect_pct=8.0),
            estimated("bi", "commit_latency", "slows", effect_pct=20.0),
        ]
    )
    shown = verdicts(NO_TRIAL, days, GROWN, coverage=1)
    assert [one.subject for one in shown] == ["bi", "etl"]


@pytest.mark.parametrize(
    ("share", "message"),
    [(6.2, "cannot reveal a hidden cause"), (14.0, "no verdict on these data")],
)
def test_calibration_is_one_line(share, message):
    """The line has the share of false effects by metric, and that placebos test noise, not confounding."""
    rows = [estimated("etl", "commit_latency", "slows", placebo_reject_pct=share)]
    line = str(reader_impact.placebo_remarks(pd.DataFrame(rows), 200))
    assert (
        f"On 200 placebo runs the method reports a false effect in {share} % (commit latency); 5 % are expected"
        in line
    )
    assert message in line


def test_a_refusal_is_printed_once_for_all_its_metrics():
    """The same reason for two metrics is one line."""
    rows = [
        estimated("etl", metric, "cannot tell", reason="too few runs", sentence=f"Cannot tell {metric}.")
        for metric in ("commit_latency", "dml_latency")
    ]
    rows.append(estimated("bi", "commit_latency", "slows"))
    shown = reader_impact.refusal_remarks(pd.DataFrame(rows))
    assert shown.lines == ("etl (commit latency, dml latency): Cannot tell commit_latency.",)


def test_a_verdict_states_the_hours_of_unknown_exposure():
    """The evidence states the hours left out, and readers without any source."""
    blind = pd.DataFrame(
        {"workload": ["etl"], "start": MINUTES[[45]], "end": MINUTES[[54]] + pd.Timedelta("3min")}
    )
    sources = pd.DataFrame([("db-3", 1.0, 0.0, 0.0, 1.0)], columns=SOURCE_COLUMNS)
    shown = verdicts(NO_TRIAL, NO_ESTIMATE, GROWN, coverage=1, exposure=Exposure(RUNS, blind, sources))
    message = {one.subject: one.evidence for one in shown}
    assert "Its exposure is unknown for 0.2 hours" in message["etl"]
    assert "exposure is unknown" not in message["bi"]
    assert message["bi"].endswith("No source shows what ran on db-3.")


@pytest.mark.parametrize(("blind", "level"), [(1.0, "inconclusive"), (0.5, "no material effect")])
def test_a_reader_without_any_source_leaves_a_harmless_workload_undecided(blind, level):
    """It may have run there, too; a trial or a partly observed reader changes nothing."""
    days = pd.DataFrame([estimated("etl", "commit_latency", "no material effect", effect_pct=1.0)])
    days = days.assign(ci_low_pct=-1.0, ci_high_pct=3.0, p_adjusted=0.4)
    sources = pd.DataFrame([("db-3", 1.0, 0.0, 0.0, blind)], columns=SOURCE_COLUMNS)
    known = Exposure(RUNS, RUNS[:0], sources)
    etl = next(
        one for one in verdicts(NO_TRIAL, days, GROWN, coverage=1, exposure=known) if one.subject == "etl"
    )
    assert etl.level == level
    assert ("no source shows what ran on db-3" in etl.sentence) == (level == "inconclusive")
    trial = verdicts(effect("etl", 1, -2, 4, 0.4), days, GROWN, coverage=1, exposure=known)
    assert "no material effect" in {one.level for one in trial}
