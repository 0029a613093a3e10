"""One function per figure: a computed frame in, Axes out. A plot only draws; the numbers arrive computed.

One module per topic; `style` has the colours, axes and legends that all figures share. Without rows, every figure shows
"no data". Without `ax`, a function draws in a new figure. Importing the package adds fallback fonts to matplotlib's own.
"""

from collections.abc import Iterable

from aurora_analysis.plots.connections import connection_attempts
from aurora_analysis.plots.db_load import active_sessions, hours_of_week
from aurora_analysis.plots.drill import recovery
from aurora_analysis.plots.estimates import intervals
from aurora_analysis.plots.experiment import blocks, by_chance
from aurora_analysis.plots.explore import timeline
from aurora_analysis.plots.fonts import use_fallbacks
from aurora_analysis.plots.latency import ecdf, log_histogram, shifts
from aurora_analysis.plots.limits import longest_holds
from aurora_analysis.plots.reader_impact import effects, event_aligned, exposures, growth, strip
from aurora_analysis.plots.undo_log import history_list_length, purge, read_view_age
from aurora_analysis.plots.workload_change import changes, ranks

use_fallbacks()

__all__ = [
    "active_sessions",
    "blocks",
    "by_chance",
    "changes",
    "connection_attempts",
    "ecdf",
    "effects",
    "event_aligned",
    "exposures",
    "growth",
    "history_list_length",
    "hours_of_week",
    "intervals",
    "log_histogram",
    "longest_holds",
    "purge",
    "ranks",
    "read_view_age",
    "recovery",
    "shifts",
    "strip",
    "timeline",
]


def __dir__() -> Iterable[str]:
    """Offer the figure functions alone to tab completion."""
    return __all__
