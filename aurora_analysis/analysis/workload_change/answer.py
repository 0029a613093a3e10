"""The answer to "did the workload change?" for one window, with the frames that support it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import pandas as pd

from aurora_analysis.analysis import db_load
from aurora_analysis.analysis.costliest import with_first_named
from aurora_analysis.analysis.sparkline import Sparkline
from aurora_analysis.analysis.verdict import Verdict, dates
from aurora_analysis.analysis.workload_change import comparison, hours, objectives
from aurora_analysis.analysis.workload_change.verdicts import verdicts
from aurora_analysis.store.observations import Observations
from aurora_analysis.window import Window


@dataclass(frozen=True)
class Answer:
    """Verdicts on change, and the frames that support them.

    Parameters
    ----------
    verdicts : tuple of Verdict
        One per objective, then one per role and one on the statements.
    windows : DataFrame
        The window, the window it is compared with, and the number of earlier weeks, as text.
    objectives : DataFrame
        Result of `objectives.minutes_over`.
    changes : DataFrame
        Result of `changes`: one row per role, statement and measure.
    moves : DataFrame
        Result of `db_load.moves`: each statement's rank by load in both windows.
    settings : DataFrame
        Result of `settings`: settings and events that differ over both windows.
    sparklines : tuple of Sparkline
        The key metrics of each role.
    """

    verdicts: tuple[Verdict, ...]
    windows: pd.DataFrame
    objectives: pd.DataFrame
    changes: pd.DataFrame
    moves: pd.DataFrame
    settings: pd.DataFrame
    sparklines: tuple[Sparkline, ...]

    @property
    def role_changes(self) -> pd.DataFrame:
        """The changes of each role's key metrics, without those of single statements."""
        return self.changes[self.changes["digest"] == ""]

    @property
    def statement_changes(self) -> pd.DataFrame:
        """The changes of the ten most notable statements; see `most_changed`."""
        return comparison.most_changed(self.changes, self.moves)


def answer(
    data: Observations,
    against: str = "",
    *,
    limits: Mapping[str, float] = MappingProxyType({}),
    budget_pct: float = 1.0,
    timezone: str = "UTC",
    materiality_pct: float = 5.0,
) -> Answer:
    """Compare the workload with another window and with earlier weeks.

    Parameters
    ----------
    data : Observations
        The window of one cluster.
    against : str, default ""
        A baseline's name, or a window as start/end (UTC). Empty: the window of the same length before.
    limits : mapping of str to float, optional
        Objectives: metric name → its limit, in the metric's unit.
    budget_pct : float, default 1
        Error budget: the share of the window's minutes that may be over a limit [%].
    timezone : str, default "UTC"
        Time zone of days and hours.
    materiality_pct : float, default 5
        Smallest change that matters [%].

    Returns
    -------
    Answer

    Raises
    ------
    Error
        If there is no such baseline or metric.
    """
    before, weeks = data.against(against).window, hours.earlier(data.window, data.span)
    compared = list(dict.fromkeys([data.window, before, *weeks]))
    by_role = _hours(data, compared)
    series = {name: data.metric(name) for name in limits}
    over = objectives.minutes_over(series, limits, data.window, budget_pct=budget_pct, timezone=timezone)
    changed = comparison.changes(
        by_role, data.window, before, weeks, timezone=timezone, materiality_pct=materiality_pct
    )
    now, then, *earlier = (_load(data.over(span)) for span in (data.window, before, *weeks))
    moved = db_load.moves(now, then, earlier)
    judged = verdicts(changed, moved, against=dates(before, timezone))
    found = [with_first_named(one, data.fingerprints) for one in judged]
    return Answer(
        verdicts=(*objectives.verdicts(over), *found),
        windows=_windows(data.window, before, weeks, timezone),
        objectives=over,
        changes=changed,
        moves=moved,
        settings=_settings(data, before),
        sparklines=tuple(hours.at_a_glance(by_role, data.window, compared[1:])),
    )


def _windows(window: Window, before: Window, weeks: Sequence[Window], timezone: str) -> pd.DataFrame:
    spans = {"window": window.text(timezone), "compared with": before.text(timezone)}
    rows = spans | {"earlier weeks": len(weeks)}
    return pd.Series(rows).astype(str).to_frame("value")


def _hours(data: Observations, windows: Sequence[Window]) -> pd.DataFrame:
    """Sum throughput and latency by role and hour over all windows; rows are read one window at a time."""
    metrics = [hours.metric_hours(_key_metrics(data.over(span))) for span in windows]
    calls = [hours.statement_hours(_calls(data.over(span))) for span in windows]
    totals = pd.concat([*metrics, *calls], ignore_index=True)
    return hours.by_role(totals, data.roles(totals))


def _key_metrics(data: Observations) -> pd.DataFrame:
    return data.table("metrics", where={"name": hours.KEY_METRICS, "statistic": "average"})


def _calls(data: Observations) -> pd.DataFrame:
    return data.table("statement_metrics", columns=hours.CALLS)


def _load(data: Observations) -> pd.Series:
    rows = data.table("db_load", columns=db_load.COLUMNS, where=db_load.STATEMENTS)
    return db_load.statement_load(rows)


def _settings(data: Observations, before: Window) -> pd.DataFrame:
    """List what differs between the earlier window's start and the later window's end."""
    both = data.over(Window(min(data.window.start, before.start), max(data.window.end, before.end)))
    return comparison.settings(both.instances, both.table("events"))
