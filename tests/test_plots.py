"""Every figure draws its frame, labels its units, and marks empty data."""

from __future__ import annotations

import io
import warnings

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from aurora_analysis import Window, plots

mpl.use("agg")

MINUTES = pd.date_range("2026-11-09", periods=120, freq="min", tz="UTC")
HISTORY = pd.Series(np.arange(120.0), index=MINUTES)
RUNS = pd.DataFrame({"workload": ["etl", "bi"], "start": MINUTES[[10, 20]], "end": MINUTES[[50, 60]]})
EPISODES = RUNS[["start", "end"]].assign(peak_length=[1.0, 2.0])
BLOCKS = pd.DataFrame(
    {
        "workload": ["etl"] * 4,
        "assigned": [True, False] * 2,
        "metric": "commit_latency",
        "value": [4.0, 1.0, 5.0, 1.1],
    }
)
DISTRIBUTION = pd.DataFrame(
    {
        "instance": ["db-1"] * 3,
        "latency_ms": [1.0, 10.0, 100.0],
        "share": [0.5, 0.3, 0.2],
        "ecdf": [0.5, 0.8, 1.0],
    }
)
CUTS = pd.DataFrame({"instance": ["db-1"], "long_query_time_ms": [5.0]})
HOUR = Window("2026-11-09T00:00", "2026-11-09T01:00")
GROWN = pd.DataFrame({"workload": ["etl"], "growth": [100.0]})
OLDEST_VIEW = pd.DataFrame(
    {"state": ["none", "held"], "run": pd.array([pd.NA, 0], dtype="Int64"), "since": MINUTES[[0, 0]]},
    index=MINUTES[:2],
)
EFFECTS = pd.DataFrame({"effect_pct": [50.0], "ci_low_pct": [40.0], "ci_high_pct": [61.0]})
DRAWS = pd.DataFrame({"effect_pct": [50.0], "happened": True, "workload": "etl", "metric": "commit_latency"})
CLASSES = pd.DataFrame(
    {
        "time": MINUTES.repeat(2),
        "instance": "db-1",
        "wait_class": ["CPU", "row locks"] * 120,
        "active_sessions": 1.0,
    }
)
PROFILES = pd.DataFrame({"instance": ["db-1"], "role": ["writer"], "vcpus": [4.0]})
HOURS = pd.DataFrame({"role": ["writer"], "weekday": [1], "hour": [13], "active_sessions": [2.5]})
HOLDS = pd.DataFrame(
    {
        "slowdown_pct": [10.0, 10.0, 5.0],
        "weekday": [1, 6, 1],
        "hour": [13, 4, 13],
        "minutes": [21.4, np.inf, 9.0],
    }
)
MOVED = pd.DataFrame(
    {"digest": ["a", "b", "c"], "share_pct": [60.0, 40.0, np.nan], "rank": [1.0, 2.0, np.nan]}
    | {"rank_before": [2.0, np.nan, 1.0], "move": ["", "new", "vanished"]}
)
CHANGES = pd.DataFrame(
    {"role": ["writer"] * 2, "digest": ["", "d1"], "measure": ["commit_latency", "latency"]}
    | {"change_pct": [3.0, 4.0], "low_pct": [1.0, np.nan], "high_pct": [5.0, np.nan]}
)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def intervals(estimates: pd.DataFrame, labels: list[str]):
    return plots.intervals(estimates, labels, columns=("effect_pct", "ci_low_pct", "ci_high_pct"))


LATENCY = (HISTORY / 10).rename("commit_latency")
ALIGNED = pd.DataFrame(
    {
        "workload": "etl",
        "edge": ["start", "start", "end", "end"],
        "minute": [-2.5, 2.5, -2.5, 2.5],
        "effect_pct": [0.0, 5.0, 8.0, 3.0],
        "low_pct": [-1.0, 4.0, 7.0, 2.0],
        "high_pct": [1.0, 6.0, 9.0, 4.0],
        "exposed_share": [0.0, 1.0, 1.0, 0.0],
        "runs": 7,
    }
)

ATTEMPTS = pd.DataFrame(
    {"time": MINUTES, "period_s": 60.0, "instance": "db-1", "value": 2.0, "ordinary_per_s": 1.0}
)
DRILLED = pd.DataFrame(
    {
        "fault": "failover",
        "client": ["plain", "pool", "topology"],
        "measured_s": [3.0, np.nan, 1.0],
        "objective_s": 30.0,
        "observed_s": 60.0,
    }
)
STORMS = pd.DataFrame({"instance": ["db-1"], "start": MINUTES[[10]], "end": MINUTES[[20]]})

DRAWN = {
    "connection_attempts": (lambda: plots.connection_attempts(ATTEMPTS, STORMS)[0], "[1/s]"),
    "history_list_length": (lambda: plots.history_list_length(HISTORY, RUNS), "transactions"),
    "purge": (lambda: plots.purge(HISTORY, HISTORY / 2, EPISODES), "transaction number"),
    "read_view_age": (lambda: plots.read_view_age(OLDEST_VIEW, RUNS), "[s]"),
    "blocks": (lambda: plots.blocks(BLOCKS)[0], "[ms]"),
    "log_histogram": (lambda: plots.log_histogram(DISTRIBUTION, CUTS), "[%]"),
    "ecdf": (lambda: plots.ecdf(DISTRIBUTION, CUTS), "[%]"),
    "active_sessions": (lambda: plots.active_sessions(CLASSES, PROFILES)[0], "active sessions"),
    "ranks": (lambda: plots.ranks(MOVED), "rank by load"),
    "timeline": (lambda: plots.timeline(LATENCY, RUNS), "commit latency\n[ms]"),
    "strip": (lambda: plots.strip(RUNS, HISTORY, HISTORY, LATENCY, HOUR)[3], "commit latency\n[ms]"),
}


@pytest.mark.parametrize(("draw", "unit"), DRAWN.values(), ids=DRAWN)
def test_the_y_axis_has_a_unit(draw, unit):
    """A number without a unit is useless."""
    assert unit in draw().get_ylabel()


EMPTY = {
    "connection_attempts": lambda: plots.connection_attempts(ATTEMPTS[:0], STORMS[:0])[0],
    "history_list_length": lambda: plots.history_list_length(HISTORY[:0], RUNS[:0]),
    "history_list_length without rows": lambda: plots.history_list_length(
        HISTORY[:0], pd.DataFrame(columns=["start", "end"])
    ),
    "purge": lambda: plots.purge(HISTORY[:0], HISTORY[:0], EPISODES[:0]),
    "exposures": lambda: plots.exposures(RUNS[:0], HOUR),
    "read_view_age": lambda: plots.read_view_age(OLDEST_VIEW[:0], RUNS),
    "growth": lambda: plots.growth(GROWN[:0]),
    "blocks": lambda: plots.blocks(BLOCKS[:0])[0],
    "recovery": lambda: plots.recovery(DRILLED[:0])[0],
    "log_histogram": lambda: plots.log_histogram(DISTRIBUTION[:0], CUTS[:0]),
    "ecdf": lambda: plots.ecdf(DISTRIBUTION[:0]),
    "intervals": lambda: intervals(EFFECTS[:0], []),
    "active_sessions": lambda: plots.active_sessions(CLASSES[:0], PROFILES[:0])[0],
    "hours_of_week": lambda: plots.hours_of_week(HOURS[:0])[0],
    "longest_holds": lambda: plots.longest_holds(HOLDS[:0])[0],
    "ranks": lambda: plots.ranks(MOVED[:0]),
    "event_aligned": lambda: plots.event_aligned(ALIGNED[:0])[0],
    "timeline": lambda: plots.timeline(LATENCY[:0], RUNS),
    "strip": lambda: plots.strip(RUNS[:0], HISTORY[:0], HISTORY[:0], LATENCY[:0], HOUR)[0],
    "changes": lambda: plots.changes(CHANGES[:0]),
    "effects": lambda: plots.effects(EFFECTS[:0]),
    "shifts": lambda: plots.shifts(EFFECTS[:0]),
    "by_chance": lambda: plots.by_chance(DRAWS[:0]),
}


@pytest.mark.parametrize("draw", EMPTY.values(), ids=EMPTY)
def test_no_data_gives_an_empty_figure(draw):
    """A window without data gives a figure with the text "no data", not an exception."""
    assert "no data" in [text.get_text() for text in draw().texts]


def test_every_figure_is_drawn_without_data():
    """A new figure needs an example: a frame with a row in `DRAWN`, and the same frame without rows in `EMPTY`."""
    missing = sorted(set(plots.__all__) - set(EMPTY))
    assert not missing, f"add an example without rows to EMPTY, and one with a unit to DRAWN: {missing}"


def test_runs_lie_on_top_of_each_other_by_start_and_by_end():
    """One row a workload, with how many runs; both edges share the axis of values, which says its unit."""
    left, right = plots.event_aligned(ALIGNED)
    assert left.get_title(loc="left") == "etl: 7 runs"
    assert (left.get_xlabel(), right.get_xlabel()) == tuple(
        f"minutes from the {edge} of a run" for edge in ("start", "end")
    )
    assert "[%]" in left.figure.get_supylabel()
    assert left.get_ylim() == right.get_ylim()


def test_a_strip_shows_what_there_is():
    """Without runs the other three still stand, over one axis of time."""
    panels = plots.strip(RUNS[:0], HISTORY, HISTORY[:0], LATENCY, HOUR)
    assert [len(ax.lines) for ax in panels[1:]] == [1, 1, 1]
    assert panels[0].figure.get_figheight() > 3
    assert len({ax.get_xlim() for ax in panels[1:]}) == 1


def test_a_timeline_has_one_lane_per_workload():
    """Lanes lie above the values and each has its workload's name; the shortest of many are counted, not drawn."""
    ax = plots.timeline(HISTORY, RUNS)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["bi", "etl"]
    assert ax.get_ylim()[1] * (1 - 2 * 0.06) > HISTORY.max()
    many = pd.concat([RUNS.assign(workload=f"w{n}") for n in range(10)])
    crowded = plots.timeline(HISTORY, many)
    assert len(crowded.collections) == 8
    assert crowded.get_title(loc="right") == "not drawn: 2 shorter workloads"
    assert crowded.get_xlim() == plots.timeline(HISTORY).get_xlim()


def test_a_gap_is_not_bridged():
    """The line is broken where minutes are missing."""
    line = plots.history_list_length(HISTORY.drop(MINUTES[30:60])).lines[0]
    assert np.isnan(line.get_ydata()).sum() == 1


def test_a_line_marks_long_query_time():
    """With its value."""
    ax = plots.ecdf(DISTRIBUTION, CUTS)
    assert "logged from 5 ms" in [text.get_text() for text in ax.texts]


def test_time_is_shown_in_the_readers_zone():
    """Data stay UTC; the axis says which zone it shows."""
    assert "Europe/Berlin" in plots.exposures(RUNS, HOUR, timezone="Europe/Berlin").get_xlabel()


def test_intervals_name_every_row():
    """One row a label, and the axis says what counts as material."""
    ax = intervals(EFFECTS, ["etl"])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["etl"]
    assert "±5 %" in ax.get_xlabel()


def test_a_stack_leaves_gaps_and_shows_vcpus():
    """Minutes that were not observed are empty, not interpolated; the dashed line stands at the vCPUs."""
    lacking = CLASSES[~CLASSES["time"].isin(MINUTES[30:60])]
    [ax] = plots.active_sessions(lacking, PROFILES)
    assert ax.lines[0].get_ydata()[0] == 4.0
    heights = ax.collections[1].get_paths()[0].vertices[:, 1]
    assert len(ax.collections[1].get_paths()) == 2
    assert heights.max() == 2.0


def test_a_heat_map_shows_its_numbers():
    """Tuesday 13:00, 2.5 sessions: in colour and in digits."""
    [ax] = plots.hours_of_week(HOURS, timezone="Europe/Berlin")
    assert [(text.get_position(), text.get_text()) for text in ax.texts] == [((13, 1), "2.5")]
    assert "Europe/Berlin" in ax.get_xlabel()
    inks = {mpl.colors.to_hex(text.get_color()) for text in ax.texts}
    assert inks & {"#000000", plots.style.INK} == set()  # a dark page turns these light, on a light cell


def test_longest_holds_have_a_panel_for_each_slowdown():
    """The smallest first; a limit beyond what was recorded is no number."""
    five, ten = plots.longest_holds(HOLDS, timezone="Europe/Berlin")
    assert "5 % higher [min]" in five.get_title()
    shown = {text.get_position(): text.get_text() for text in ten.texts}
    assert shown == {(13, 1): "21", (4, 6): "∞"}


def test_a_client_that_did_not_recover_has_a_hollow_mark():
    """It stands at the end of the observation, and the legend says what it means."""
    (ax,) = plots.recovery(DRILLED)
    marks = [one for one in ax.collections if len(one.get_offsets())]
    hollow = [one.get_offsets()[0][0] for one in marks if not len(one.get_facecolors())]
    assert hollow == [60.0] and len(marks) == 3
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert words == ["not recovered when the observation ended", "objective 30 s"]
    assert "[s]" in ax.get_xlabel()


def test_ranks_name_what_is_new_and_what_vanished():
    """Both ends of what stayed, one end of what came or went."""
    labels = {text.get_text() for text in plots.ranks(MOVED).texts}
    assert labels == {"a", "a  60.0 %", "b  40.0 %, new", "c, vanished"}


def test_changes_without_an_interval_are_left_out():
    """One matched day gives no interval, so it is not drawn."""
    ax = plots.changes(CHANGES)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["writer commit latency"]


def test_a_plot_changes_nothing():
    """The input frames stay as they were."""
    before = HISTORY.copy(), RUNS.copy()
    plots.history_list_length(HISTORY, RUNS)
    pd.testing.assert_series_equal(HISTORY, before[0])
    pd.testing.assert_frame_equal(RUNS, before[1])


def test_tab_completion_offers_the_figure_functions_alone():
    """Not their modules and imports."""
    assert dir(plots) == sorted(plots.__all__)
    assert all(callable(getattr(plots, name)) for name in plots.__all__)


def test_a_workload_keeps_its_colour():
    """In any order and with repetitions, in all figures of the same workloads; the writer's job has its name's colour."""
    names = ["snowflake", "tableau", "finance", "(writer) batch", "(unknown)"]
    colours = plots.style.colours_of(names)
    assert colours == plots.style.colours_of([*reversed(names), "tableau"])
    assert len(set(colours.values())) == len(names)
    assert colours["(writer) batch"] == plots.style.colours_of([*names, "batch"])["batch"]
    bars = plots.growth(GROWN).patches
    expected = plots.style.colours_of(GROWN["workload"])
    assert [mpl.colors.to_hex(bar.get_facecolor()) for bar in bars] == [
        expected[name] for name in GROWN["workload"]
    ]


def test_more_workloads_than_colours_still_have_one_each():
    """Past the palette colours repeat; nothing fails."""
    names = [f"w{n}" for n in range(25)]
    assert set(plots.style.colours_of(names)) == set(names)
    assert len(set(plots.style.colours_of(names).values())) == 10


@pytest.fixture
def fonts(monkeypatch):
    """matplotlib with its own font alone, as on a machine without fonts for other scripts."""
    from aurora_analysis.plots import fonts

    monkeypatch.setitem(mpl.rcParams, "font.family", ["DejaVu Sans"])
    return fonts


def test_a_name_without_a_font_gives_one_line(fonts):
    """It names the characters and the package to install, once a figure; matplotlib's line per character is silent."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fonts.use_fallbacks()
        figure = plots.growth(GROWN.assign(workload="日本の倉庫")).figure
        figure.savefig(io.BytesIO(), format="png")
    messages = [str(one.message) for one in caught]
    assert len(messages) == 1
    assert messages[0].startswith("No installed font has の") and "fonts-noto-cjk" in messages[0]


def test_a_figure_of_a_report_leaves_fonts_to_the_browser(fonts):
    """Its SVG has the name as text, and no warning."""
    written = io.BytesIO()
    with warnings.catch_warnings(), mpl.rc_context({"svg.fonttype": "none"}):
        warnings.simplefilter("error")
        fonts.use_fallbacks()
        plots.growth(GROWN.assign(workload="日本の倉庫")).figure.savefig(written, format="svg")
    assert "日本の倉庫" in written.getvalue().decode()


def test_installed_fallbacks_are_used(fonts, monkeypatch):
    """Only those that are installed, after matplotlib's own font; a family that the user chose stays."""
    monkeypatch.setattr(fonts.fontManager, "get_font_names", lambda: ["DejaVu Sans", "Yu Gothic"])
    fonts.use_fallbacks()
    assert mpl.rcParams["font.family"] == ["DejaVu Sans"]
    mpl.rcParams["font.family"] = ["sans-serif"]
    fonts.use_fallbacks()
    assert mpl.rcParams["font.family"] == ["sans-serif", "Yu Gothic"]
