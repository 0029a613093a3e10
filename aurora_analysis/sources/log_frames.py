"""Executions of log files as frames, without a store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aurora_analysis.engines.log_events import Account
from aurora_analysis.engines.sql_mode import DEFAULT_MODE, SqlMode
from aurora_analysis.sources import log_files
from aurora_analysis.sources.inputs import Source
from aurora_analysis.window import Window

if TYPE_CHECKING:
    import pandas as pd

    from aurora_analysis.engines.log_tables import Batch


def executions(
    names: Sequence[Source],
    columns: Sequence[str],
    *,
    window: Window | None = None,
    mode: SqlMode = DEFAULT_MODE,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[Source, Account]]:
    """Read log files as rows of `slow_queries` and `statements`, with each file's account.

    Parameters
    ----------
    names : sequence of str or S3Object
        Files or objects, as `inputs.found` returns them.
    columns : sequence of str
        Columns of `slow_queries` to keep.
    window : Window, optional
        Keep executions that ended in it.
    mode : SqlMode
        The server's sql_mode.

    Raises
    ------
    Error
        If a file cannot be read, or is no slow log.
    """
    import pandas as pd

    rows: list[pd.DataFrame] = [pd.DataFrame(columns=list(columns))]
    fingerprints: dict[str, str] = {}

    def keep(batch: Batch) -> None:
        if not batch.slow_queries:
            return
        frame = pd.DataFrame({name: list(batch.slow_queries[name]) for name in columns})
        if window is not None:
            ended = pd.to_datetime(list(batch.slow_queries["ended_at"]), unit="us", utc=True)
            frame = frame[(ended >= pd.Timestamp(window.start)) & (ended < pd.Timestamp(window.end))]
        if len(frame):
            rows.append(frame)
            fingerprints.update(zip(batch.statements["digest"], batch.statements["fingerprint"]))

    accounts = {name: Account() for name in names}
    for name, account in accounts.items():
        log_files.read_batches(name, account, keep, mode=mode)
    found = pd.concat(rows[1:] or rows, ignore_index=True)
    statements = pd.DataFrame({"digest": list(fingerprints), "fingerprint": list(fingerprints.values())})
    return found, statements, accounts
