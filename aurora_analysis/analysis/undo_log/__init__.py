from aurora_analysis.analysis.undo_log.episodes import (
    around_highest,
    at_a_glance,
    by_holder,
    episode_holders,
    growth_episodes,
    holds,
    purge_state,
    verdicts,
)
from aurora_analysis.analysis.undo_log.holders import committed, holders

__all__ = [
    "around_highest",
    "at_a_glance",
    "by_holder",
    "committed",
    "episode_holders",
    "growth_episodes",
    "holders",
    "holds",
    "purge_state",
    "verdicts",
]
