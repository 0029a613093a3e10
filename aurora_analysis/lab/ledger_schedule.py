"""Plan a recording of PostgreSQL: which holder and which innocent sessions run in each block.

Each block belongs to one holder; every four consecutive blocks to all four, in an order that is drawn. The blocks of a
holder are a randomised trial: the holder, and each innocent independently of it, is on in exactly half of them. The
position of each run inside its block is drawn whether it is on or off. Everything is drawn before anything starts.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

from aurora_analysis.errors import Error
from aurora_analysis.lab.ledger import HOLDERS, INNOCENTS, USERS
from aurora_analysis.lab.schedule import Assignment, row, unstarted

BLOCK_S = 24
WARM_UP_S = 16

RUN_S = (12, 14)
"""Shortest and longest run [whole s], for a block of 24 s; other blocks have the same share."""

DRAIN_S = 7
"""Time at the end of a block of 24 s in which vacuum removes the dead rows that its runs held [s]."""

SHORTEST_BLOCK_S = 12


def draw(start: datetime, duration_s: float, *, seed: int, block_s: int = BLOCK_S) -> pd.DataFrame:
    """Draw the plan of a recording as rows of `trials`, before anything begins.

    Raises
    ------
    Error
        If a block is too short for runs that can be distinguished, or the duration for one on- and one off-block of
        each holder.
    """
    turns = int((duration_s - WARM_UP_S) // (len(HOLDERS) * block_s)) // 2 * 2
    _check(block_s, turns, duration_s)
    rng = np.random.default_rng([seed, 0])
    order = np.concatenate([rng.permutation(len(HOLDERS)) for _ in range(turns)])
    halves = np.repeat([True, False], turns // 2)
    on = {holder: {role: rng.permutation(halves) for role in (holder, *INNOCENTS)} for holder in HOLDERS}
    first, rows = start + timedelta(seconds=WARM_UP_S), []
    for number, mine in enumerate(order):
        holder, turn = HOLDERS[mine], number // len(HOLDERS)
        spans = _runs(rng, block_s)
        for role, (begin, end) in zip((holder, *INNOCENTS), spans):
            moments = [first + timedelta(seconds=number * block_s + int(at)) for at in (begin, end)]
            assigned = bool(on[holder][role][turn])
            one = Assignment(USERS[holder], turn, USERS[role], assigned, 0.5, role in HOLDERS)
            rows.append(row(one, (moments[0], moments[1])))
    return unstarted(rows)


def _check(block_s: int, turns: int, duration_s: float) -> None:
    if block_s < SHORTEST_BLOCK_S:
        raise Error(
            f"Blocks of {block_s:g} s are too short to distinguish runs: use at least {SHORTEST_BLOCK_S} s."
        )
    if turns < 2:
        needed = (2 * len(HOLDERS) * block_s + WARM_UP_S) / 60
        raise Error(
            f"{duration_s / 60:g} minutes are too short for a trial of {len(HOLDERS)} holders with blocks of "
            f"{block_s:g} s: record at least {np.ceil(needed * 10) / 10:g} minutes, or use shorter blocks."
        )


def _runs(rng: np.random.Generator, block_s: int) -> npt.NDArray[np.int64]:
    """Draw start and end of the runs of a block [whole s from its start]; no two begin in the same second."""
    share = block_s / BLOCK_S
    lengths = rng.integers(round(share * RUN_S[0]), round(share * RUN_S[1]) + 1, size=1 + len(INNOCENTS))
    latest = block_s - round(share * DRAIN_S) - int(lengths.max())
    starts = rng.choice(max(latest, len(INNOCENTS)) + 1, size=len(lengths), replace=False)
    return np.column_stack([starts, starts + lengths])
