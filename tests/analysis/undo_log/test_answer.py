"""The answer about undo history: the headlines that the page shows, and nothing from an empty window."""

from __future__ import annotations

from aurora_analysis import Store, Window, config, observe
from aurora_analysis.analysis import undo_log
from aurora_analysis.analysis.verdict import large
from aurora_analysis.store import location

LAB = Window("2026-11-23T11:08:53", "2026-11-23T11:50:53")


def answer(window: Window, **thresholds: float) -> undo_log.Answer:
    data = observe(Store(location.sample()), window, "lab")
    return undo_log.answer(
        data, config.Groups(), undo_log.Options(thresholds=undo_log.Thresholds(**thresholds))
    )


def test_each_blocker_has_a_headline():
    """The logged extracts and the sampled idle session blocked purge, most growth first."""
    found = answer(LAB)
    reached = [f"reached {large(one.numbers['peak_length'])} transactions" for one in found.verdicts]
    assert [(one.level, one.severity, one.headline) for one in found.verdicts] == [
        (
            "blocked",
            "watch",
            f"snowflake on lab-reader blocked purge for 12 min; the history list {reached[0]}",
        ),
        (
            "blocked",
            "watch",
            f"airflow on lab-reader blocked purge for 42 s; the history list {reached[1]}",
        ),
    ]


def test_the_frames_are_those_of_the_verdicts():
    """Growth by blocker and by episode agree with the numbers of the verdicts."""
    found = answer(LAB)
    by_blocker = found.by_blocker().set_index("workload")
    assert round(by_blocker["growth"]["snowflake"]) == found.verdicts[0].numbers["growth"]
    assert len(found.by_episode()) == len(found.episodes) == len(found.purge)
    assert found.oldest_view["run"].dropna().isin(found.runs.index).all()


def test_the_thresholds_decide_the_severity():
    """A history list above `act` needs action."""
    assert [one.severity for one in answer(LAB, act=9_000.0).verdicts] == ["act", "watch"]


def test_an_empty_window_is_unknown():
    """Without samples the only verdict is that the window was not observed."""
    found = answer(Window("2025-01-01", "2025-01-08"))
    assert [(one.level, one.headline) for one in found.verdicts] == [
        ("unknown", "Only 0 % of the window has a history list length")
    ]
    assert found.episodes.empty and found.spans.empty and found.by_blocker().empty
