"""Ranks by load, and how they move between windows."""

from __future__ import annotations

import pandas as pd
import pytest

from aurora_analysis.analysis import db_load


def load(**sessions: float) -> pd.Series:
    return pd.Series(sessions, dtype=float).sort_values(ascending=False).rename_axis("digest")


def test_moves_follow_rank_and_weeks():
    """New, back, vanished, up and down; listed in k of n weeks."""
    now = load(new=9, back=8, a=7, b=6, c=5, top=4)
    before = load(top=9, a=8, b=7, c=6, gone=5)
    moved = db_load.moves(now, before, [before, load(back=1)]).set_index("digest")
    assert moved["move"].to_dict() == {
        "new": "new",
        "back": "back",
        "a": "",
        "b": "",
        "c": "",
        "top": "down",
        "gone": "vanished",
    }
    assert moved.loc["back", ["seen", "weeks"]].to_list() == [2, 3]
    assert moved.loc["a", "share_pct"] == pytest.approx(100 * 7 / 39)
