"""Rank statements by load, and compare their ranks between windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

MOVES = ["new", "back", "vanished", "up", "down"]
"""Moves of a statement in the ranking by load."""


def moves(
    now: pd.Series,
    before: pd.Series,
    weeks: Sequence[pd.Series] = (),
    *,
    places: int = 3,  # the middle of a ranking swaps a place or two every week
) -> pd.DataFrame:
    """Compare each digest's rank by load: new, back, vanished, up or down.

    Parameters
    ----------
    now, before : Series
        Results of `statement_load` for the window and the other window.
    weeks : sequence of Series, optional
        The same for earlier weeks; a digest that one of them lists is `back`, not `new`.
    places : int, default 3
        Smallest change of rank that counts as `up` or `down`; the middle of a ranking swaps a place or two every week.

    Returns
    -------
    DataFrame
        `digest`, `active_sessions`, `share_pct` (of the load [%]), `rank`, `rank_before`, `move`, and in how many windows
        (`seen` of `weeks`, this one included) the digest is listed.
    """
    digests = now.index.union(before.index, sort=False)
    known = [week.index for week in weeks if len(week)] or [before.index] * bool(len(before))
    seen = [int(digest in now.index) + sum(digest in week for week in known) for digest in digests]
    frame = pd.DataFrame(
        {
            "active_sessions": now.reindex(digests),
            "share_pct": 100 * now.reindex(digests) / now.sum(),
            "rank": now.rank(ascending=False, method="first").reindex(digests),
            "rank_before": before.rank(ascending=False, method="first").reindex(digests),
            "seen": seen,
            "weeks": len(known) + 1,
        },
        index=digests,
    )
    frame.insert(4, "move", _move(frame, places) if len(before) else "")
    return frame.sort_values(["rank", "rank_before"]).rename_axis("digest").reset_index()


def _move(frame: pd.DataFrame, places: int) -> npt.NDArray[np.str_]:
    """First rule that holds; a digest that an earlier week lists comes back, it is not new."""
    climbed = frame["rank_before"] - frame["rank"]
    rules = {
        "new": frame["rank_before"].isna() & (frame["seen"] == 1),
        "back": frame["rank_before"].isna(),
        "vanished": frame["rank"].isna(),
        "up": climbed >= places,
        "down": climbed <= -places,
    }
    return np.select([rule.to_numpy() for rule in rules.values()], list(rules), "")
