"""State what follows where the effect on latency and the evidence of who blocked purge point different ways.

A read view is how a long query on a reader reaches the writer. An effect without one, or one without an effect, is no
contradiction, but the reader of both sentences must not have to find out why.
"""

from __future__ import annotations

from typing import Literal

from aurora_analysis.analysis.effect_level import SLOWER


def sentence(
    level: str, source: Literal["trial", "days"], blocked: bool | None, cleanup: str = "purge"
) -> str:
    """Reconcile an effect with the evidence whether the workload's views or snapshots blocked cleanup.

    Parameters
    ----------
    level : str
        A key of `effect_level.LEVELS`.
    source : {"trial", "days"}
        A randomised trial, or ordinary days.
    blocked : bool or None
        Whether one of its views or snapshots was the oldest while cleanup fell behind; None if that is unknown.
    cleanup : str, default "purge"
        The engine's word: "purge" or "vacuum".

    Returns
    -------
    str
        One sentence; empty where the two agree, or where nothing is known of one of them.

    Examples
    --------
    >>> sentence("no material effect", "days", blocked=True)
    'Purge was blocked without a material slowdown: longer runs may still slow the writer.'
    """
    if level in SLOWER and blocked is False:
        ways = "through what it shares with the writer, such as storage or locks"
        if source == "trial":
            return f"So it slows the writer in another way than by blocking {cleanup}: {ways}."
        return f"So the slowdown does not come from blocked {cleanup}: it comes {ways}, or from a cause that accompanies it."
    if not blocked:
        return ""
    return {
        "no material effect": f"{cleanup.capitalize()} was blocked without a material slowdown: longer runs may still slow the writer.",
        "speeds up": f"A blocked {cleanup} makes no writer faster, which is one more sign of another cause.",
        "inconclusive": f"Blocking {cleanup} does not show that it slowed the writer.",
        "cannot tell": f"Blocking {cleanup} does not show that it slowed the writer.",
        "unknown": f"Blocking {cleanup} does not show that it slowed the writer.",
    }.get(level, "")
