"""Figures of workload change: ranks by load, and changes with their intervals."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from aurora_analysis import statement_labels
from aurora_analysis.plots.estimates import intervals
from aurora_analysis.plots.notes import labelled
from aurora_analysis.plots.style import MARKERS, looks_of, mark_if_empty, new_axes


def ranks(moved: pd.DataFrame, *, most: int = 12, ax: Axes | None = None) -> Axes:
    """Draw each digest's rank by load in the other window (left) and in this one (right).

    New and vanished digests have one end, with a label.

    Parameters
    ----------
    moved : DataFrame
        Result of `db_load.moves`: `digest, share_pct` (of the load [%]), `rank, rank_before` (NaN if not listed) and
        `move`.
    most : int, default 12
        Ranks up to this one are shown.
    ax : Axes, optional

    Returns
    -------
    Axes
        The axes drawn on.
    """
    shown = moved[(moved["rank"] <= most) | (moved["rank_before"] <= most)]
    ax = ax or new_axes(height=1.0 + 0.26 * max(len(shown), 1))
    looks = looks_of(shown["digest"])
    for n, row in enumerate(shown.to_dict("records")):
        digest, ends = row["digest"], [row["rank_before"], row["rank"]]
        [line] = ax.plot([0, 1], ends, marker=MARKERS[n % len(MARKERS)], **looks[digest])
        labelled(
            line, f"{statement_labels.short_id(digest)}: {_ranked(ends[0])} before, {_ranked(ends[1])} now"
        )
        digest = statement_labels.short_id(digest)
        move = f", {row['move']}" if row["move"] else ""
        gone = np.isnan(row["rank"])
        _label(ax, -0.03, ends[0], digest + (move if gone else ""), "right")
        _label(ax, 1.03, ends[1], f"{digest}  {row['share_pct']:.1f} %{move}", "left")
    ax.set_xlim(-0.5, 1.7)
    ax.set_xticks([0, 1], ["before", "now: share of the load"])
    ax.set_ylabel("rank by load")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.invert_yaxis()
    ax.grid(visible=False)
    return mark_if_empty(ax, shown)


def _ranked(rank: float) -> str:
    return "not listed" if np.isnan(rank) else f"rank {rank:g}"


def _label(ax: Axes, x: float, y: float, label: str, side: Literal["left", "right"]) -> None:
    if not np.isnan(y):
        ax.text(x, y, label, ha=side, va="center", fontsize=8)


def changes(frame: pd.DataFrame, *, materiality_pct: float = 5.0, ax: Axes | None = None) -> Axes:
    """Draw the change of each subject's throughput and latency against the other window [%], with intervals.

    Parameters
    ----------
    frame : DataFrame
        Result of `workload_change.changes`: `role, digest` (empty for a role's own metrics), `measure, change_pct,
        low_pct, high_pct` (ends of the interval over days [%]); rows without an interval are omitted.
    materiality_pct : float, default 5
        Half the width of the shaded band [%].
    ax : Axes, optional

    Returns
    -------
    Axes
        The axes drawn on.
    """
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
        columns=("change_pct", "low_pct", "high_pct"),
        materiality_pct=materiality_pct,
        xlabel="change against the other window [%]",
        ax=ax,
    )
    ax.set_ylim(max(len(known), 1) - 0.5, -0.5)
    return ax
