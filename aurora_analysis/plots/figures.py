"""One function per figure: a computed frame in, Axes out. Numbers arrive computed; a plot only draws.

Colours are those of the colour-blind-safe cycle of Petroff (2021, arXiv 2107.02270), and never alone: a line
style, a marker, a label or a place says the same.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Literal

import matplotlib.dates as mdates
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator
from matplotlib.transforms import blended_transform_factory

from aurora_analysis import statement_labels
from aurora_analysis.window import Window

COLOURS = ("#5790fc", "#f89c20", "#e42536", "#964a8b", "#9c9ca1", "#7a21dd")
LINE_STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P")
INK, MUTED, SHADE = "#222222", "#767676", "#e6e6e6"

FURTHEST_PCT = 200.0
"""An interval figure ends here: what lies beyond is shown by an arrow, so that the rest stays readable."""


def history_list_length(
    history: pd.Series, episodes: pd.DataFrame | None = None, *, timezone: str = "UTC", ax: Axes | None = None
) -> Axes:
    """The history list over time [transactions], its growth episodes shaded and numbered."""
    ax = ax or _axes()
    ax.plot(_dates(history.index), _with_gaps(history), color=COLOURS[0], linewidth=1)
    if episodes is not None:
        _shade(ax, episodes)
    ax.set_ylim(bottom=0)
    ax.set_ylabel("history list length\n[transactions]")
    _counts(ax)
    _time_axis(ax, timezone)
    return _say_if_empty(ax, history)


def purge(
    boundary: pd.Series,
    finished: pd.Series,
    episodes: pd.DataFrame,
    *,
    timezone: str = "UTC",
    ax: Axes | None = None,
) -> Axes:
    """How far purge may go (boundary) and how far it is (finished), around the episode with the highest peak."""
    ax = ax or _axes()
    shown = _around_the_highest(boundary, episodes), _around_the_highest(finished, episodes)
    start = min((series.iloc[0] for series in shown if len(series)), default=0)
    for n, (series, label) in enumerate(zip(shown, ("purge boundary: may go", "purge finished: has gone"))):
        line: dict[str, Any] = {"color": COLOURS[n], "linestyle": LINE_STYLES[n], "label": label}
        ax.plot(_dates(series.index), _with_gaps(series) - start, linewidth=1.4, **line)
    ax.set_ylabel("transaction number\nsince the start")
    _legend(ax, loc="upper left")
    _counts(ax)
    _time_axis(ax, timezone)
    return _say_if_empty(ax, pd.concat(shown))


def _around_the_highest(series: pd.Series, episodes: pd.DataFrame) -> pd.Series:
    """The series around the episode with the highest peak, and half of its length on either side."""
    if episodes.empty:
        return series
    highest = episodes.nlargest(1, "peak_length").iloc[0]
    margin = (highest["end"] - highest["start"]) / 2
    return series[highest["start"] - margin : highest["end"] + margin]


def read_view_age(
    held: pd.DataFrame, runs: pd.DataFrame, *, timezone: str = "UTC", ax: Axes | None = None
) -> Axes:
    """The age of the oldest read view over time [s or min], by who held it (`undo_log.attribute_oldest_view` over `runs`)."""
    ax = ax or _axes(height=2.8)
    age = (held.index.to_series() - held["since"]).dt.total_seconds()
    unit, seconds = ("min", 60) if age.max() > 600 else ("s", 1)
    workload = runs["workload"].reindex(held["run"].astype("Float64").astype("float")).to_numpy(dtype=object)
    whose = np.where(held["state"] == "held", workload, held["state"].replace("none", "nobody for long"))
    for n, name in enumerate(sorted(set(whose))):
        mine = whose == name
        ax.plot(
            _dates(held.index[mine]),
            age[mine] / seconds,
            linestyle="",
            marker=MARKERS[n % len(MARKERS)],
            markersize=2.5,
            color=MUTED if name == "nobody for long" else _colour(n),
            label=name,
        )
    ax.set_ylim(bottom=0)
    ax.set_ylabel(f"age of the oldest\nread view [{unit}]")
    _legend(ax, loc="upper left", ncols=4, markerscale=2)
    _time_axis(ax, timezone)
    return _say_if_empty(ax, held)


def exposures(runs: pd.DataFrame, window: Window, *, timezone: str = "UTC", ax: Axes | None = None) -> Axes:
    """When each workload had a statement open: one row a workload, one bar a run (`workload, start, end`)."""
    workloads = list(runs["workload"].unique())
    ax = ax or _axes(height=0.7 + 0.32 * max(len(workloads), 1))
    for n, workload in enumerate(workloads):
        mine = runs[runs["workload"] == workload]
        starts = mdates.date2num(mine["start"])
        spans = list(zip(starts, mdates.date2num(mine["end"]) - starts))
        ax.broken_barh(spans, (n - 0.3, 0.6), color=_colour(n))
    ax.set_yticks(range(len(workloads)), workloads)
    ax.set_xlim(*mdates.date2num([window.start, window.end]))
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    _time_axis(ax, timezone)
    return _say_if_empty(ax, runs)


def growth(grown: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """How much the history list grew while each workload's read view was the oldest [transactions]."""
    ax = ax or _axes(height=0.8 + 0.32 * max(len(grown), 1))
    ax.barh(range(len(grown)), grown["growth"], height=0.6, color=[_colour(n) for n in range(len(grown))])
    ax.set_yticks(range(len(grown)), grown["workload"])
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5))
    ax.set_xlabel("history list growth while its view was the oldest [transactions]")
    return _say_if_empty(ax, grown)


def blocks(outcomes: pd.DataFrame, *, unit: str = "ms") -> list[Axes]:
    """Each block of a trial as a dot: on-blocks beside off-blocks, one panel a metric.

    `outcomes` has `workload, assigned, metric, value`; the bar is the median.
    """
    metrics = list(dict.fromkeys(outcomes["metric"])) or [""]
    figure, panels = plt.subplots(1, len(metrics), figsize=(8.6, 2.8), layout="constrained", squeeze=False)
    for ax, metric in zip(panels[0], metrics):
        _calm(ax)
        _block_panel(ax, outcomes[outcomes["metric"] == metric])
        ax.set_title(metric.replace("_", " "), fontsize="medium")
        _say_if_empty(ax, outcomes)
    panels[0][0].set_ylabel(f"mean of a block's run [{unit}]")
    figure.align_ylabels()
    return list(panels[0])


def _block_panel(ax: Axes, outcomes: pd.DataFrame) -> None:
    workloads = sorted(outcomes["workload"].unique())
    for n, workload in enumerate(workloads):
        for state, shift in ((False, -0.18), (True, 0.18)):
            mine = outcomes[(outcomes["workload"] == workload) & (outcomes["assigned"] == state)]["value"]
            spread = np.linspace(-0.12, 0.12, len(mine)) if len(mine) > 1 else np.zeros(len(mine))
            look: dict[str, Any] = {
                "marker": MARKERS[state],
                "color": COLOURS[state],
                "label": "on" if state else "off",
            }
            ax.scatter(n + shift + spread, mine, s=14, alpha=0.8, **look)
            ax.hlines(mine.median(), n + shift - 0.15, n + shift + 0.15, color=INK, linewidth=1.4)
    ax.set_xticks(range(len(workloads)), workloads)
    ax.grid(axis="x", visible=False)
    ax.set_ylim(bottom=0)
    handles, labels = ax.get_legend_handles_labels()
    if labels:
        ax.legend(handles[:2], labels[:2], frameon=False, loc="best")


def intervals(
    estimates: pd.DataFrame,
    labels: Sequence[str],
    *,
    estimate: str,
    low: str,
    high: str,
    materiality_pct: float = 5.0,
    xlabel: str = "effect [%]",
    ax: Axes | None = None,
) -> Axes:
    """Estimates with their intervals, one a row; the band within ± materiality is shaded."""
    ax = ax or _axes(height=0.9 + 0.3 * max(len(estimates), 1))
    ax.axvspan(-materiality_pct, materiality_pct, color=SHADE, zorder=0)
    ax.axvline(0, color=MUTED, linewidth=0.8)
    for n, row in enumerate(estimates.to_dict("records")):
        _interval(ax, n, row[estimate], row[low], row[high])
    ax.set_yticks(range(len(labels)), labels)
    ax.invert_yaxis()
    ax.margins(y=0.2)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(f"{xlabel}; grey: within ±{materiality_pct:g} %")
    return _say_if_empty(ax, estimates)


def _interval(ax: Axes, n: int, estimate: float, low: float, high: float) -> None:
    """One estimate with its interval; an arrow where either leaves the figure."""
    colour = _colour(0)
    ends = np.clip([low, high], -100, FURTHEST_PCT)
    ax.plot(ends, [n, n], color=colour, linewidth=2)
    if estimate > FURTHEST_PCT or high > FURTHEST_PCT:
        ax.plot(FURTHEST_PCT, n, marker=">", color=colour, markersize=7)
    if estimate <= FURTHEST_PCT:
        ax.plot(estimate, n, marker="o", color=colour, markersize=6)
        return
    label = f"{estimate:+,.0f} %"
    ax.text(FURTHEST_PCT, n, label + "  ", ha="right", va="bottom", fontsize=8, color=INK)


def shifts(frame: pd.DataFrame, *, materiality_pct: float = 5.0, ax: Axes | None = None) -> Axes:
    """How far each instance's latency quantiles moved [%], with intervals."""
    labels = [f"{row['instance']} p{100 * row['quantile']:g}" for row in frame.to_dict("records")]
    bounds = {"estimate": "shift_pct", "low": "low_pct", "high": "high_pct"}
    xlabel = "shift against the window before [%]"
    return intervals(frame, labels, **bounds, materiality_pct=materiality_pct, xlabel=xlabel, ax=ax)


def effects(
    frame: pd.DataFrame,
    *,
    of: Sequence[str] = ("workload", "metric"),
    materiality_pct: float = 5.0,
    ax: Axes | None = None,
) -> Axes:
    """The effect of each workload on each of the writer's metrics [%], with intervals; `of` names each row."""
    labels = [" → ".join(row[name] for name in of) for row in frame.to_dict("records")]
    bounds = {"estimate": "effect_pct", "low": "ci_low_pct", "high": "ci_high_pct"}
    xlabel = "effect on the writer [%]"
    return intervals(frame, labels, **bounds, materiality_pct=materiality_pct, xlabel=xlabel, ax=ax)


def event_aligned(aligned: pd.DataFrame, *, most: int = 4) -> list[Axes]:
    """The writer's latency around starts (left) and ends (right), one row a workload, with its interval [%].

    `aligned` is one metric of `reader_impact.event_aligned`. The grey area is the share of runs that are open.
    """
    if aligned.empty:
        return [_say_if_empty(_axes(), aligned)]
    workloads = list(dict.fromkeys(aligned["workload"]))[:most]
    rows = len(workloads)
    figure, panels = plt.subplots(
        rows,
        2,
        figsize=(8.6, 0.6 + 1.9 * rows),
        layout="constrained",
        squeeze=False,
        sharex="col",
        sharey=True,
    )
    for row, workload in zip(panels, workloads):
        mine = aligned[aligned["workload"] == workload]
        for ax, edge in zip(row, ("start", "end")):
            _around_edge(_calm(ax), mine[mine["edge"] == edge])
        row[0].set_title(f"{workload}: {mine['runs'].iloc[0]} runs", fontsize="medium", loc="left")
    for ax, edge in zip(panels[-1], ("start", "end")):
        ax.set_xlabel(f"minutes from the {edge} of a run")
    figure.supylabel("change of latency [%]; grey: share of runs open", fontsize="medium")
    return list(panels.ravel())


def _around_edge(ax: Axes, mine: pd.DataFrame) -> None:
    place = blended_transform_factory(ax.transData, ax.transAxes)
    ax.fill_between(
        mine["minute"], 0, mine["exposed_share"], step="mid", color=SHADE, transform=place, zorder=0
    )
    ax.fill_between(
        mine["minute"], mine["low_pct"], mine["high_pct"], color=COLOURS[0], alpha=0.3, linewidth=0
    )
    ax.plot(mine["minute"], mine["effect_pct"], color=COLOURS[0], marker="o", markersize=2.5, linewidth=1.2)
    ax.axhline(0, color=MUTED, linewidth=0.8)
    ax.axvline(0, color=INK, linestyle="--", linewidth=0.8)
    ax.margins(x=0)


def strip(
    runs: pd.DataFrame,
    history: pd.Series,
    boundary: pd.Series,
    latency: pd.Series,
    window: Window,
    *,
    timezone: str = "UTC",
) -> list[Axes]:
    """One below the other over one time axis: who was open, the history list, the purge boundary, the latency."""
    if runs.empty and history.empty and latency.empty:
        return [_say_if_empty(_axes(), runs)]
    heights = [0.25 + 0.28 * max(runs["workload"].nunique(), 1), 1.3, 1.3, 1.3]
    size = (8.6, 0.8 + sum(heights))
    figure, panels = plt.subplots(
        4, 1, figsize=size, layout="constrained", sharex=True, height_ratios=heights
    )
    who, grown, purged, slowed = (_calm(ax) for ax in panels)
    exposures(runs, window, timezone=timezone, ax=who)
    figure.set_size_inches(*size)
    first = boundary.iloc[0] if len(boundary) else 0
    lines = [
        (grown, history, COLOURS[0]),
        (purged, boundary - first, COLOURS[3]),
        (slowed, latency, COLOURS[2]),
    ]
    labels = [
        "history list\n[transactions]",
        "purge boundary\n[since start]",
        f"{latency.name}\n[ms]".replace("_", " "),
    ]
    for (ax, series, colour), label in zip(lines, labels):
        ax.plot(series.index, _with_gaps(series), color=colour, linewidth=1)
        ax.set_ylabel(label)
        ax.set_ylim(bottom=0)
        _counts(ax)
    slowed.yaxis.set_major_formatter(FuncFormatter(_plain))
    who.set_xlabel("")
    slowed.set_xlim(*mdates.date2num([window.start, window.end]))
    _time_axis(slowed, timezone)
    return [who, grown, purged, slowed]


def by_chance(draws: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """The effects that other draws of a trial would have shown by chance [%], and the one that happened."""
    ax = ax or _axes()
    ax.hist(
        draws.loc[~draws["happened"].astype(bool), "effect_pct"],
        bins=40,
        color=COLOURS[4],
        label="other draws",
    )
    for row in draws[draws["happened"].astype(bool)].to_dict("records"):
        ax.axvline(row["effect_pct"], color=COLOURS[2], linewidth=1.6, label="as it happened")
        ax.set_xlabel(f"on-blocks against off-blocks, {row['workload']} → {row['metric']} [%]")
    ax.set_ylabel("draws")
    _counts(ax)
    _legend(ax, loc="best")
    return _say_if_empty(ax, draws)


def active_sessions(
    classes: pd.DataFrame, profiles: pd.DataFrame, *, most: int = 5, timezone: str = "UTC"
) -> list[Axes]:
    """Average active sessions over time, stacked by wait class, one panel an instance; the line is its vCPUs.

    `classes` has `time, instance, wait_class, active_sessions`, `profiles` an instance's `role` and `vcpus`. Of the
    classes the `most` loaded ones are told apart.
    """
    load = classes.groupby("wait_class")["active_sessions"].sum().sort_values(ascending=False)
    names = classes["wait_class"].where(classes["wait_class"].isin(load.index[:most]), "all others")
    order = [*load.index[:most], *["all others"] * (len(load) > most)]
    panels = _panels(max(len(profiles), 1), height=1.7)
    for ax, row in zip(panels, profiles.to_dict("records")):
        mine = classes.assign(wait_class=names)[classes["instance"] == row["instance"]]
        stack = mine.groupby(["time", "wait_class"])["active_sessions"].sum().unstack()
        _stack(ax, stack.reindex(columns=order))
        ax.axhline(row["vcpus"], color=INK, linestyle="--", linewidth=1)
        ax.set_title(f"{row['instance']} ({row['role']}), {row['vcpus']:g} vCPUs: dashed", fontsize="medium")
        ax.set_ylabel("active sessions")
        ax.margins(x=0.01)
    _time_axis(panels[-1], timezone)
    handles, labels = panels[0].get_legend_handles_labels()
    plt.gcf().legend(handles, labels, loc="outside upper left", ncols=len(order) or 1, frameon=False)
    return [_say_if_empty(ax, classes) for ax in panels]


HATCHES = ("", "//", "..", "xx", "\\\\", "--")


def _stack(ax: Axes, stack: pd.DataFrame) -> None:
    """Areas on top of each other, each with its colour and hatch; where nothing was observed there is none."""
    period = pd.Timedelta(stack.index.to_series().diff().median())
    grid = pd.date_range(stack.index[0], stack.index[-1], freq=period) if len(stack) > 1 else stack.index
    areas = ax.stackplot(
        _dates(grid), stack.fillna(0).reindex(grid).T.to_numpy(), labels=stack.columns, linewidth=0
    )
    for n, area in enumerate(areas):
        area.set(facecolor=_colour(n), hatch=HATCHES[n % len(HATCHES)], edgecolor="white")
    ax.set_ylim(bottom=0)


def hours_of_week(load: pd.DataFrame, *, timezone: str = "UTC") -> list[Axes]:
    """The mean load by weekday and hour, one panel a role (`role, weekday, hour, active_sessions`); numbers are sessions."""
    roles = sorted(load["role"].unique(), key=lambda role: (role != "writer", role))
    panels = _panels(max(len(roles), 1), height=1.9)
    highest = load["active_sessions"].max()
    for ax, role in zip(panels, roles):
        table = load[load["role"] == role].pivot(index="weekday", columns="hour", values="active_sessions")
        _heat(ax, table.reindex(index=range(7), columns=range(24)), highest)
        ax.set_title(f"{role}: active sessions", fontsize="medium")
    panels[-1].set_xlabel(f"hour [{timezone}]")
    return [_say_if_empty(ax, load) for ax in panels]


WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def _heat(ax: Axes, table: pd.DataFrame, highest: float) -> None:
    """Weekdays by hours: colour and number say the same; what was not observed is empty."""
    ax.imshow(table, aspect="auto", cmap="cividis", vmin=0, vmax=highest)
    for (row, column), value in np.ndenumerate(table.to_numpy()):
        if np.isfinite(value):
            ink = "white" if value < 0.6 * highest else "black"
            ax.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=6, color=ink)
    ax.set_yticks(range(7), WEEKDAYS)
    ax.set_xticks(range(0, 24, 2))
    ax.grid(visible=False)


def ranks(moved: pd.DataFrame, *, most: int = 12, ax: Axes | None = None) -> Axes:
    """The rank of each digest by load in the window before (left) and now (right): `digest, share_pct, rank, rank_before, move`.

    New and vanished digests have one end only, and say so.
    """
    shown = moved[(moved["rank"] <= most) | (moved["rank_before"] <= most)]
    ax = ax or _axes(height=1.0 + 0.26 * max(len(shown), 1))
    looks = _looks(shown["digest"])
    for n, row in enumerate(shown.to_dict("records")):
        digest, ends = row["digest"], [row["rank_before"], row["rank"]]
        ax.plot([0, 1], ends, marker=MARKERS[n % len(MARKERS)], **looks[digest])
        digest = statement_labels.short_id(digest)
        move = f", {row['move']}" if row["move"] else ""
        gone = np.isnan(row["rank"])
        _beside(ax, -0.03, ends[0], digest + (move if gone else ""), "right")
        _beside(ax, 1.03, ends[1], f"{digest}  {row['share_pct']:.1f} %{move}", "left")
    ax.set_xlim(-0.5, 1.7)
    ax.set_xticks([0, 1], ["before", "now: share of the load"])
    ax.set_ylabel("rank by load")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.invert_yaxis()
    ax.grid(visible=False)
    return _say_if_empty(ax, shown)


def _beside(ax: Axes, x: float, y: float, label: str, side: Literal["left", "right"]) -> None:
    if not np.isnan(y):
        ax.text(x, y, label, ha=side, va="center", fontsize=8)


def changes(frame: pd.DataFrame, *, materiality_pct: float = 5.0, ax: Axes | None = None) -> Axes:
    """How far throughput and latency of each subject moved against the other window [%], with day-block intervals."""
    known = frame[frame["low_pct"].notna()]
    labels = [
        f"{row['role']} {statement_labels.short_id(row['digest'])} {row['measure']}".replace(
            "  ", " "
        ).replace("_", " ")
        for row in known.to_dict("records")
    ]
    ax = intervals(
        known,
        labels,
        estimate="change_pct",
        low="low_pct",
        high="high_pct",
        materiality_pct=materiality_pct,
        xlabel="change against the other window [%]",
        ax=ax,
    )
    ax.set_ylim(max(len(known), 1) - 0.5, -0.5)
    return ax


def log_histogram(
    distribution: pd.DataFrame,
    cuts: pd.DataFrame | None = None,
    *,
    by: str = "instance",
    ax: Axes | None = None,
) -> Axes:
    """The share of executions by latency [ms], on a log axis; dashed lines show where each slow log cuts."""
    ax = _latency_steps(ax, distribution, cuts, by, "share", where="pre")
    ax.set_ylabel("share of executions [%]")
    ax.set_ylim(bottom=0)
    return _say_if_empty(ax, distribution)


def ecdf(
    distribution: pd.DataFrame,
    cuts: pd.DataFrame | None = None,
    *,
    by: str = "instance",
    ax: Axes | None = None,
) -> Axes:
    """The share of executions that took at most so long; dashed lines show where each slow log cuts."""
    ax = _latency_steps(ax, distribution, cuts, by, "ecdf", where="post")
    ax.set_ylabel("executions at most so long [%]")
    ax.set_ylim(0, 101)
    return _say_if_empty(ax, distribution)


def _latency_steps(
    ax: Axes | None,
    distribution: pd.DataFrame,
    cuts: pd.DataFrame | None,
    by: str,
    share: str,
    where: Literal["pre", "post"],
) -> Axes:
    """A share of executions [%] over latency, one line a group."""
    ax = ax or _axes(height=2.8)
    looks = _looks(distribution[by])
    for group, rows in distribution.groupby(by):
        label = statement_labels.short_id(str(group)) if by == "digest" else group
        ax.step(
            rows["latency_ms"], 100 * rows[share], where=where, label=label, linewidth=1.2, **looks[group]
        )
    return _latency_axis(ax, cuts)


def _latency_axis(ax: Axes, cuts: pd.DataFrame | None) -> Axes:
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(FuncFormatter(_plain))
    ax.set_xlabel("latency [ms]")
    for limit in sorted(set(() if cuts is None else cuts["long_query_time_ms"].dropna())):
        ax.axvline(limit, color=INK, linestyle="--", linewidth=1)
        place = blended_transform_factory(ax.transData, ax.transAxes)
        ax.text(limit, 1.01, f"log cuts: {limit:g} ms", transform=place, ha="center", va="bottom", fontsize=8)
    _legend(ax, loc="best")
    return ax


def _say_if_empty(ax: Axes, data: pd.DataFrame | pd.Series) -> Axes:
    """An empty figure says that it is empty, and takes little room; whoever sees it need not wonder."""
    if data.empty:
        ax.clear()
        ax.set_axis_off()
        ax.text(0.5, 0.5, "no data", transform=ax.transAxes, ha="center", va="center", color=MUTED)
        ax.figure.set_figheight(0.6)  # type: ignore[union-attr]  # its axes are in a figure, not in a part of one
    return ax


def _legend(ax: Axes, **where: Any) -> None:
    if ax.get_legend_handles_labels()[1]:
        ax.legend(frameon=False, **where)


def _axes(width: float = 8.6, height: float = 2.6) -> Axes:
    """Axes of a figure of their own."""
    _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    return _calm(ax)


def _panels(count: int, *, height: float) -> list[Axes]:
    """Calm axes one below the other, which share their axes of time and value."""
    size = (8.6, 0.5 + height * count)
    _, panels = plt.subplots(
        count, figsize=size, layout="constrained", squeeze=False, sharex=True, sharey=True
    )
    return [_calm(ax) for ax in panels[:, 0]]


def _calm(ax: Axes) -> Axes:
    """Two spines, and a light grid behind the data."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(MUTED)
    ax.grid(color=SHADE, linewidth=0.6)
    ax.set_axisbelow(True)
    return ax


def _looks(names: pd.Series) -> dict[Hashable, dict[str, Any]]:
    """Colour and line style of each name. A digest has its colour everywhere; the style tells apart those that share one."""
    looks: dict[Hashable, dict[str, Any]] = {}
    for n, name in enumerate(sorted(set(names))):
        is_digest = statement_labels.DIGEST.fullmatch(str(name))
        colour = (
            statement_labels.COLOURS[statement_labels.colour_index(str(name))] if is_digest else _colour(n)
        )
        like = sum(look["color"] == colour for look in looks.values())
        looks[name] = {"color": colour, "linestyle": _style(like if is_digest else n)}
    return looks


def _colour(n: int) -> str:
    return COLOURS[n % len(COLOURS)]


def _style(n: int) -> str | tuple[int, tuple[int, int]]:
    return LINE_STYLES[n % len(LINE_STYLES)]


def _dates(times: pd.Index) -> np.ndarray:
    """Times as matplotlib counts them: a hundred times as fast as to let it convert each."""
    return mdates.date2num(pd.DatetimeIndex(times).tz_convert(None).to_numpy())


def _with_gaps(series: pd.Series) -> pd.Series:
    """A line must not bridge what is missing: after a gap of three periods the line is broken."""
    steps = series.index.to_series().diff()
    return series.mask(steps > 3 * steps.median())


def _shade(ax: Axes, episodes: pd.DataFrame) -> None:
    place = blended_transform_factory(ax.transData, ax.transAxes)
    spans = zip(mdates.date2num(episodes["start"]), mdates.date2num(episodes["end"]))
    for n, (start, end) in enumerate(spans, start=1):
        ax.axvspan(start, end, color=SHADE, zorder=0)
        if len(episodes) <= 40:
            ax.text(start, 1.0, f"{n}", transform=place, fontsize=8, color=MUTED, va="bottom")


def _counts(ax: Axes) -> None:
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    ax.yaxis.set_major_locator(MaxNLocator(nbins=5))


def _plain(value: float, _: object) -> str:
    return f"{value:,.10g}"


def _time_axis(ax: Axes, timezone: str) -> None:
    locator = mdates.AutoDateLocator(tz=timezone, minticks=4, maxticks=9)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(mdates.ConciseDateFormatter(locator, tz=timezone))
    ax.set_xlabel(f"time [{timezone}]")
