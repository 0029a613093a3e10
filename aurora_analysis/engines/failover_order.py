"""The order in which Aurora promotes readers when the writer fails.

https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Concepts.AuroraHighAvailability.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

LAST_TIER = 15
"""The promotion tier that comes last, and that of a reader without one."""


class Candidate(NamedTuple):
    """A reader, its promotion tier, and its vCPUs (None if unknown or changing, as of a serverless instance)."""

    name: str
    tier: float | None
    vcpus: float | None


def first_in_line(readers: Sequence[Candidate]) -> list[str]:
    """Return the readers that a failover may promote: the lowest tier, then the largest class.

    Parameters
    ----------
    readers : sequence of Candidate
        The cluster's present readers.

    Returns
    -------
    list of str
        One name, several if a tie leaves the choice to Aurora, or none if there is no reader.

    Examples
    --------
    >>> first_in_line([Candidate("a", 1, 8.0), Candidate("b", 0, 2.0), Candidate("c", 0, 4.0)])
    ['c']
    """
    tiers = [LAST_TIER if each.tier is None else each.tier for each in readers]
    first = [each for each, tier in zip(readers, tiers) if tier == min(tiers)]
    sizes = [each.vcpus for each in first if each.vcpus is not None]
    if len(sizes) < len(first):
        return [each.name for each in first]
    return [each.name for each in first if each.vcpus == max(sizes)]
