"""Did undo history grow faster than purge, why, and which session held the read view?

- `episodes`  when the history list grew, whether purge was blocked or outrun, and by which span
- `implied_start`  when the oldest read view must have begun, by the history list alone
- `chain`, `holders`  which session held the oldest read view at each sample, and how sure that is
- `storage`   the shared volume and backtracking's change records, which are kept apart from undo
- `verdicts`  one verdict per blocker
- `horizon`, `vacuum`, `vacuum_verdicts`  the same on PostgreSQL: who held the xmin horizon, exactly or by kind
- `recovery`  queries that replay cancelled on PostgreSQL, and the readers' lag
- `answer`    all of this for one window of one cluster
"""

from aurora_analysis.analysis.undo_log.answer import (
    Answer,
    Mechanism,
    Options,
    answer,
    delay_and_boundary,
    mechanism,
)
from aurora_analysis.analysis.undo_log.episodes import (
    around_highest,
    at_a_glance,
    blocking_spans,
    episode_blockers,
    growth_by_blocker,
    growth_episodes,
    notable_growth,
    purge_state,
)
from aurora_analysis.analysis.undo_log.holders import Attribution, attribute_oldest_view, attribution
from aurora_analysis.analysis.undo_log.implied_start import committed, read_view_start
from aurora_analysis.analysis.undo_log.recovery import (
    conflict_verdicts,
    event_remarks,
    lag_with_and_without,
    recovery_conflicts,
)
from aurora_analysis.analysis.undo_log.storage import backtrack_verdicts, storage
from aurora_analysis.analysis.undo_log.vacuum import relations, vacuums
from aurora_analysis.analysis.undo_log.verdicts import Thresholds, verdicts

__all__ = [
    "Answer",
    "Attribution",
    "Mechanism",
    "Options",
    "Thresholds",
    "answer",
    "around_highest",
    "at_a_glance",
    "attribute_oldest_view",
    "attribution",
    "backtrack_verdicts",
    "blocking_spans",
    "committed",
    "conflict_verdicts",
    "event_remarks",
    "delay_and_boundary",
    "episode_blockers",
    "growth_by_blocker",
    "growth_episodes",
    "lag_with_and_without",
    "mechanism",
    "notable_growth",
    "purge_state",
    "read_view_start",
    "recovery_conflicts",
    "relations",
    "storage",
    "vacuums",
    "verdicts",
]
