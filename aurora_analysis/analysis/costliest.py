"""Name the statement that a workload spends most of its time on, with the figures that a reader checks first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import pandas as pd

from aurora_analysis import statement_labels
from aurora_analysis.analysis.effect_level import noun
from aurora_analysis.analysis.verdict import Figure, Verdict, moment
from aurora_analysis.analysis.workloads import IDLE, clipped, overlapping
from aurora_analysis.store.observations import Observations
from aurora_analysis.window import Window

LONGEST_TEXT = 100
"""Length of a statement's text on a card [characters]; the page of statements has all of it."""

MOSTLY, MOST_OF = 0.9, 2 / 3
"""A statement stands for its workload from the first share of the workload's time on, and for most of it from the second [0 to 1]."""


def costliest(
    runs: pd.DataFrame, fingerprints: pd.DataFrame, window: Window, timezone: str = "UTC"
) -> dict[str, Figure]:
    """Find the statement that was open longest in a window, as plain data for `Verdict.statement`.

    Parameters
    ----------
    runs : DataFrame
        Runs of one workload: `digest, instance, thread_id, start, end` (UTC).
    fingerprints : DataFrame
        Texts of the statements: `digest, fingerprint`.
    window : Window
        Runs count for the time that they were open in it.
    timezone : str, default "UTC"
        Time zone of `last`.

    Returns
    -------
    dict
        `digest`; `text`, its first `LONGEST_TEXT` characters; `instance`, `runs`, `total_s` and `longest_s` [s]; `share` of
        the workload's time [0 to 1]; `of`, the number of its statements; start (`last`, with the time zone) and `thread` of the last run. Empty if no run
        names a statement.
    """
    inside = overlapping(runs, window)
    inside = inside[inside["digest"].notna() & (inside["digest"] != "")]
    if inside.empty:
        return {}
    within = clipped(inside, window)
    open_s = (within["end"] - within["start"]).dt.total_seconds()
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
        "of": len(by_digest),
        "last": moment(last["start"], timezone),
        "thread": None if pd.isna(last["thread_id"]) else int(last["thread_id"]),
    }


LOGGED = ["started_at", "ended_at", "instance", "digest", "thread_id"]
"""The columns of `slow_queries` that `on_instances` reads."""

COUNTED = ["instance", "digest", "calls", "mean_latency_ms"]
"""The columns of `statement_metrics` that `on_instances` reads."""

Place = tuple[str, str]
"""An instance, and the digest of a statement that ran there."""


def on_instances(
    data: Observations, places: Iterable[Place], timezone: str = "UTC"
) -> dict[Place, dict[str, Figure]]:
    """Describe the runs of single statements on single instances, as plain data for `Verdict.statement`.

    Parameters
    ----------
    data : Observations
        The window of one cluster.
    places : iterable of Place
        Instances and digests.
    timezone : str, default "UTC"
        Time zone of `last`.

    Returns
    -------
    dict
        For each place the fields of `costliest`, from the slow log, and from the statement statistics `calls` and
        `called_s`, the time of all of them [s]; only `digest`, `text` and `instance` if neither has the statement.
    """
    wanted = list(dict.fromkeys(places))
    if not wanted:
        return {}
    only = {"digest": sorted({digest for _, digest in wanted})}
    runs = data.table("slow_queries", columns=LOGGED, where=only, overlapping=True)
    runs = runs.rename(columns={"started_at": "start", "ended_at": "end"})
    calls = data.table("statement_metrics", columns=COUNTED, where=only)
    return {
        place: _named(place, data.fingerprints)
        | costliest(_at(runs, place), data.fingerprints, data.window, timezone)
        | _called(_at(calls, place))
        for place in wanted
    }


def _at(rows: pd.DataFrame, place: Place) -> pd.DataFrame:
    instance, digest = place
    return rows[(rows["instance"] == instance) & (rows["digest"] == digest)]


def _named(place: Place, fingerprints: pd.DataFrame) -> dict[str, Figure]:
    instance, digest = place
    return {"digest": digest, "text": statement_text(digest, fingerprints), "instance": instance}


def _called(calls: pd.DataFrame) -> dict[str, Figure]:
    """All calls of a statement, by its statistics; the slow log has the long ones only."""
    count = float(calls["calls"].sum())
    if not count > 0:
        return {}
    total_s = float((calls["calls"] * calls["mean_latency_ms"]).sum() / 1000)
    return {"calls": round(count), "called_s": round(total_s, 1)}


def with_worst(
    verdict: Verdict, statements: Mapping[str, dict[str, Figure]], basis: str, lacking: str
) -> Verdict:
    """Add the worst statement of the instance that a verdict is about, or why none can be named.

    Parameters
    ----------
    verdict : Verdict
        A verdict whose subject is an instance.
    statements : mapping of str to dict
        The field `Verdict.statement` by instance.
    basis : str
        How the statement was chosen, as a clause after "The statement".
    lacking : str
        Why an instance without one has none, as a clause.

    Returns
    -------
    Verdict
        With the statement, and with its basis or its absence at the end of the evidence.
    """
    found = statements.get(verdict.subject, {})
    note = f"The statement {basis}." if found else f"No statement can be named: {lacking}."
    return replace(
        verdict, statement=found, evidence=f"{verdict.evidence.rstrip('.')}. {note}".removeprefix(". ")
    )


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
        return "an idle transaction"
    known = fingerprints.loc[fingerprints["digest"] == digest, "fingerprint"].dropna()
    return shortened(str(known.iloc[0]), LONGEST_TEXT) if len(known) else f"statement {digest}"


def slowed(metric: str, fingerprints: pd.DataFrame) -> str:
    """Name what becomes slower, for a headline: one of the writer's statements by the start of its text.

    Parameters
    ----------
    metric : str
        A metric of `OUTCOMES`, or one statement's latency.
    fingerprints : DataFrame
        Texts of the statements: `digest, fingerprint`.

    Returns
    -------
    str
        Such as "commits"; a statement without a text in the store by its digest.
    """
    digest, name = named_digest(metric, fingerprints), noun(metric)
    if digest is not None:
        return f"the writer's {_quoted(statement_text(digest, fingerprints))}"
    return f"the writer's {name}" if name.startswith(STATEMENT) else name


def named_digest(metric: str, fingerprints: pd.DataFrame) -> str | None:
    """Look up the whole digest of the statement whose latency a metric is.

    Parameters
    ----------
    metric : str
        A metric's name.
    fingerprints : DataFrame
        Texts of the statements: `digest, fingerprint`.

    Returns
    -------
    str or None
        None if the metric is not one statement's latency, or the store does not have the statement.
    """
    name = noun(metric)
    if not name.startswith(STATEMENT):
        return None
    digests = fingerprints["digest"].astype(str)
    mine = digests[digests.str.startswith(name.removeprefix(STATEMENT))]
    return str(mine.iloc[0]) if len(mine) else None


STATEMENT = "statement "
"""Beginning of the noun of one statement's latency."""


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
        The workload and the start of the text; ``mostly`` if other statements take more than a tenth of its time. The
        workload alone if no statement takes two thirds of its time.
    """
    if not statement or statement["digest"] == IDLE:
        return workload
    text, share = _quoted(str(statement["text"])), float(statement["share"] or 0)
    if share >= MOSTLY:
        return f"{workload}'s {text}"
    return f"{workload} (mostly {text})" if share >= MOST_OF else workload


def _quoted(text: str) -> str:
    """The start of a statement's text as code, for a headline."""
    return f"`{shortened(text.replace('`', ''), 40)}`"


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
