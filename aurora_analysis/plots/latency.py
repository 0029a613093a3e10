"""Figures of latency: distributions and shifts."""

from __future__ import annotations

from typing import Literal

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter
from matplotlib.transforms import blended_transform_factory

from aurora_analysis import statement_labels
from aurora_analysis.plots.estimates import intervals
from aurora_analysis.plots.style import INK, legend, looks_of, mark_if_empty, new_axes, plain_number


def log_histogram(
    distribution: pd.DataFrame,
    cuts: pd.DataFrame | None = None,
    *,
    by: str = "instance",
    ax: Axes | None = None,
) -> Axes:
    """Draw the share of executions by latency [ms] on a log axis; dashed lines mark the log's limit.

    Parameters
    ----------
    distribution : DataFrame
        `latency_ms` (upper bound of a bucket), `share` (of the executions in it [0 to 1]) and the column `by`.
    cuts : DataFrame, optional
        With `long_query_time_ms`: shorter executions are not in the slow log.
    by : str, default "instance"
        Column of the lines, such as "digest".
    ax : Axes, optional

    Returns
    -------
    Axes
        The axes drawn on.
    """
    ax = _latency_steps(ax, distribution, cuts, by, "share", where="pre")
    ax.set_ylabel("share of executions [%]")
    ax.set_ylim(bottom=0)
    return mark_if_empty(ax, distribution)


def ecdf(
    distribution: pd.DataFrame,
    cuts: pd.DataFrame | None = None,
    *,
    by: str = "instance",
    ax: Axes | None = None,
) -> Axes:
    """Draw the cumulative share of executions by latency [ms]; dashed lines mark the log's limit.

    Parameters
    ----------
    distribution : DataFrame
        `latency_ms`, `ecdf` (share of executions up to it [0 to 1]) and the column `by`.
    cuts : DataFrame, optional
        With `long_query_time_ms`: shorter executions are not in the slow log.
    by : str, default "instance"
        Column of the lines, such as "digest".
    ax : Axes, optional

    Returns
    -------
    Axes
        The axes drawn on.
    """
    ax = _latency_steps(ax, distribution, cuts, by, "ecdf", where="post")
    ax.set_ylabel("cumulative share of executions [%]")
    ax.set_ylim(0, 101)
    return mark_if_empty(ax, distribution)


def _latency_steps(
    ax: Axes | None,
    distribution: pd.DataFrame,
    cuts: pd.DataFrame | None,
    by: str,
    share: str,
    where: Literal["pre", "post"],
) -> Axes:
    """Draw a share of executions [%] over latency, one line per group."""
    ax = ax or new_axes(height=2.8)
    looks = looks_of(distribution[by])
    for group, rows in distribution.groupby(by):
        label = statement_labels.short_id(str(group)) if by == "digest" else group
        ax.step(
            rows["latency_ms"], 100 * rows[share], where=where, label=label, linewidth=1.2, **looks[group]
        )
    return _latency_axis(ax, cuts)


def _latency_axis(ax: Axes, cuts: pd.DataFrame | None) -> Axes:
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(FuncFormatter(plain_number))
    ax.set_xlabel("latency [ms]")
    for limit in sorted(set(() if cuts is None else cuts["long_query_time_ms"].dropna())):
        ax.axvline(limit, color=INK, linestyle="--", linewidth=1)
        place = blended_transform_factory(ax.transData, ax.transAxes)
        ax.text(
            limit,
            1.01,
            f"logged from {limit:g} ms",
            transform=place,
            ha="center",
            va="bottom",
            fontsize=8,
        )
    legend(ax, loc="best")
    return ax


def shifts(frame: pd.DataFrame, *, materiality_pct: float = 5.0, ax: Axes | None = None) -> Axes:
    """Draw the shift of each instance's latency quantiles against the previous window [%], with intervals.

    Parameters
    ----------
    frame : DataFrame
        Result of `latency.shift`: `instance, quantile` [0 to 1], `shift_pct, low_pct, high_pct` [%].
    materiality_pct : float, default 5
        Half the width of the shaded band [%].
    ax : Axes, optional

    Returns
    -------
    Axes
        The axes drawn on.
    """
    labels = [f"{row['instance']} p{100 * row['quantile']:g}" for row in frame.to_dict("records")]
    columns = ("shift_pct", "low_pct", "high_pct")
    xlabel = "shift against the previous window [%]"
    return intervals(frame, labels, columns=columns, materiality_pct=materiality_pct, xlabel=xlabel, ax=ax)
