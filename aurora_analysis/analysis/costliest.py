"""Name the statement that a workload spends most of its time on, with the figures that a reader checks first."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from aurora_analysis import statement_labels
from aurora_analysis.analysis.verdict import Figure, Verdict
from aurora_analysis.analysis.workloads import IDLE, overlapping
from aurora_analysis.window import Window

LONGEST_TEXT = 100
"""Length of a statement's text on a card [characters]; the page of statements has all of it."""

MOSTLY = 0.9
"""A statement stands for its workload if it has at least this share of the workload's time [0 to 1]."""


def costliest(runs: pd.DataFrame, fingerprints: pd.DataFrame, window: Window) -> dict[str, Figure]:
    """Find the statement that was open longest in a window, as plain data for `Verdict.statement`.

    Parameters
    ----------
    runs : DataFrame
        Runs of one workload: `digest, instance, thread_id, start, end` (UTC).
    fingerprints : DataFrame
        Texts of the statements: `digest, fingerprint`.
    window : Window
        Runs count for the time that they were open in it.

    Returns
    -------
    dict
        `digest`; `text`, its first `LONGEST_TEXT` characters; `instance`, `runs`, `total_s` and `longest_s` [s]; `share` of
        the workload's time [0 to 1]; start (`last`, UTC) and `thread` of the last run. Empty if no run names a
        statement.
    """
    inside = overlapping(runs, window)
    inside = inside[inside["digest"].notna() & (inside["digest"] != "")]
    if inside.empty:
        return {}
    first, last_moment = pd.Timestamp(window.start), pd.Timestamp(window.end)
    start = inside["start"].where(inside["start"] > first, first)
    end = inside["end"].where(inside["end"] < last_moment, last_moment)
    open_s = (end - start).dt.total_seconds()
    by_digest = open_s.groupby(inside["digest"].astype(str)).sum().sort_values(kind="stable")
    digest = str(by_digest.index[-1])
    own = inside[inside["digest"] == digest]
    last = own.sort_values("start", kind="stable").iloc[-1]
    return {
        "digest": digest,
        "text": statement_text(digest, fingerprints),
        "instance": ", ".join(sorted(own["instance"].dropna().astype(str).unique())),
        "runs": len(own),
        "total_s": round(float(by_digest.iloc[-1]), 1),
        "longest_s": round(float((own["end"] - own["start"]).dt.total_seconds().max()), 1),
        "share": round(float(by_digest.iloc[-1] / by_digest.sum()), 4) if by_digest.sum() else 1.0,
        "last": f"{last['start']:%Y-%m-%d %H:%M} UTC",
        "thread": None if pd.isna(last["thread_id"]) else int(last["thread_id"]),
    }


def statement_text(digest: str, fingerprints: pd.DataFrame) -> str:
    """Look up the start of a statement's text.

    Parameters
    ----------
    digest : str
        The statement.
    fingerprints : DataFrame
        Texts of the statements: `digest, fingerprint`.

    Returns
    -------
    str
        At most `LONGEST_TEXT` characters; the digest if the store has no text.
    """
    if digest == IDLE:
        return "an idle transaction (no statement)"
    known = fingerprints.loc[fingerprints["digest"] == digest, "fingerprint"].dropna()
    return shortened(str(known.iloc[0]), LONGEST_TEXT) if len(known) else f"statement {digest}"


def shortened(text: str, length: int) -> str:
    """Cut a text at a length, on one line.

    Parameters
    ----------
    text : str
        Any text.
    length : int
        Longest result [characters], with the ellipsis of a cut.

    Returns
    -------
    str

    Examples
    --------
    >>> shortened("select *  from orders", 12)
    'select * fr…'
    """
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1]}…"


def owner(workload: str, statement: dict[str, Figure]) -> str:
    """Name a workload by its costliest statement, for a headline.

    Parameters
    ----------
    workload : str
        The workload.
    statement : dict
        Result of `costliest`.

    Returns
    -------
    str
        The workload and the start of the text; ``mostly`` if other statements take a tenth of its time. The workload
        alone if no statement takes half of its time.
    """
    if not statement or statement["digest"] == IDLE:
        return workload
    text = shortened(str(statement["text"]).replace("`", ""), 40)
    share = float(statement["share"] or 0)
    if share >= MOSTLY:
        return f"{workload}'s `{text}`"
    return f"{workload} (mostly `{text}`)" if share > 0.5 else workload


def with_first_named(verdict: Verdict, fingerprints: pd.DataFrame) -> Verdict:
    """Add the text of the first statement that a verdict's sentence names.

    Parameters
    ----------
    verdict : Verdict
        Any verdict.
    fingerprints : DataFrame
        Texts of the statements: `digest, fingerprint`.

    Returns
    -------
    Verdict
        Unchanged if its sentence names no statement, or if it has one already.
    """
    named = statement_labels.DIGEST.search(verdict.sentence)
    if named is None or verdict.statement:
        return verdict
    return replace(verdict, statement={"digest": named[0], "text": statement_text(named[0], fingerprints)})
