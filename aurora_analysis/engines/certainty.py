"""Decide from which confidence a holder is named: one rule for live samples and for the log.

`watch` and the notebook name a session alone only from `DECIDED` on. With less confidence they name the two likeliest
explanations and say that they cannot decide, because a wrong name ends an innocent session.
"""

from __future__ import annotations

from enum import StrEnum

DECIDED, CERTAIN = 0.9, 0.95
"""Confidences from which a holder is named alone, and from which without "probably" [0 to 1]."""


class Certainty(StrEnum):
    """The ways to state a name."""

    CERTAIN = "certain"
    PROBABLE = "probable"
    UNDECIDED = "undecided"


def certainty(confidence: float) -> Certainty:
    """Return how a name with this confidence may be stated.

    >>> [certainty(one).value for one in (0.97, 0.92, 0.6)]
    ['certain', 'probable', 'undecided']
    """
    if confidence >= CERTAIN:
        return Certainty.CERTAIN
    return Certainty.PROBABLE if confidence >= DECIDED else Certainty.UNDECIDED


def share(confidence: float) -> str:
    """Format a probability; never rounded up to certainty.

    >>> share(0.917), share(0.9999), share(0.001)
    ('0.92', '> 0.99', '< 0.01')
    """
    if confidence > 0.994:
        return "> 0.99"
    return f"{confidence:.2f}" if confidence >= 0.01 else "< 0.01"
