"""Word the first action from a statement's own numbers: how short its runs must be, and what that gains."""

from __future__ import annotations

from dataclasses import dataclass

from aurora_analysis.analysis.verdict import duration, large, three_digits

ACCEPTABLE = 100_000.0
"""History list length that Amazon calls "generally acceptable" (Aurora user guide, major version upgrades)
[transactions]."""

SHORTEST_CHUNK_S = 30.0
"""Chunks that would have to be shorter than this are no practical advice [s]."""

BATCH_S = 300.0
"""Length of a suggested batch of an extract [s]: far below the views that let a history list grow for long."""

READ_VIEWS = {
    True: "Shorten its statements, commit between them, or read with READ COMMITTED (aurora_read_replica_read_committed); "
    "or move it to a clone or an export.",
    False: "Move it to a clone or an export, or to hours in which the writer has little to do: its read views did not let "
    "the history list grow, so shorter statements or READ COMMITTED would not help.",
    None: "First find out whether its read views let the history list grow, which needs the history list length and the "
    "writer's commits: only then shorter statements or READ COMMITTED help. A clone or an export helps in either case.",
}
"""First action about a workload that slows the writer, by whether its read views let the history list grow (None: unknown)."""

SNAPSHOTS = {
    True: "Split its long statements, end each transaction and cursor soon after its last row, or move it to a clone or an "
    "export.",
    False: "Move it to a clone or an export, or to hours in which the writer has little to do: its snapshots did not hold the "
    "xmin horizon, so shorter statements would not help.",
    None: "First find out whether its snapshots hold the xmin horizon, which needs the horizon's age: only then shorter "
    "statements and transactions help. A clone or an export helps in either case.",
}
"""The same on PostgreSQL, by whether its snapshots held the xmin horizon."""

ANOTHER_WAY = (
    "Start some of its runs at random times: if the slowdown moves with them, move the workload to a clone or an export. The "
    "slowdown does not grow with the {}, so {} would hardly help."
)
UNLIKE_CLEANUP = {
    "read view": ANOTHER_WAY.format("history list", "shorter statements or READ COMMITTED"),
    "snapshot": ANOTHER_WAY.format("age of the xmin horizon", "shorter statements and transactions"),
}
"""First action about a workload that blocked cleanup, if the slowdown does not grow with the backlog."""

IDLE_SESSIONS = {
    "read view": "Make the client commit before it goes idle (autocommit on), or end transactions that stay idle for long.",
    "snapshot": "Make the client commit before it goes idle, or set idle_in_transaction_session_timeout for its role.",
}
"""First action about sessions that block cleanup while they run no statement, by what blocks it."""

ALL_BUT = 0.1
"""A share of the blocking time below which one of the two actions, about statements or about idle sessions, is left out [0 to 1]."""

BLOCKS_CLEANUP = {"read view": READ_VIEWS, "snapshot": SNAPSHOTS}
"""The actions by what blocks cleanup on an engine: see `engines.words`."""

WRITES = ("insert", "update", "delete", "replace", "load")


@dataclass(frozen=True)
class Held:
    """The read views of one statement, as far as they blocked purge.

    Attributes
    ----------
    text : str
        The statement's text.
    longest_s : float
        Its longest run [s].
    per_hour : float
        Growth of the history list per hour that its views were the oldest [transactions/hour].
    base, peak : float
        Usual and longest history list [transactions]; NaN if unknown.
    on_writer : bool
        Whether it ran on the writer.
    """

    text: str
    longest_s: float
    per_hour: float
    base: float
    peak: float
    on_writer: bool


def shorter_views(held: Held, limit: float = ACCEPTABLE) -> str:
    """Word how to shorten a statement's read views, with the run length that keeps the history list acceptable.

    Parameters
    ----------
    held : Held
        The statement's views.
    limit : float
        History list length to stay below [transactions].

    Returns
    -------
    str
        One to three sentences; without a length if the list stayed below the limit, or if no practical length would do.
    """
    how = _how(held)
    seconds = 3600 * (limit - held.base) / held.per_hour if held.per_hour > 0 else float("inf")
    if not held.peak > limit or not SHORTEST_CHUNK_S <= seconds < held.longest_s:
        return f"{how[0]}{how[1]}."
    return (
        f"Its runs last up to {duration(held.longest_s)}, and each hour of its read view adds {large(held.per_hour)} "
        f"transactions. {how[0]} that take less than {duration(seconds)}{how[1]}. Expected gain: with no other view "
        f"open, the history list then stays below {large(limit)} transactions (it reached {large(held.peak)})."
    )


def by_idle_time(action: str, view: str, idle_share: float) -> str:
    """Choose between an action about long statements and one about idle sessions, or give both, by time.

    Parameters
    ----------
    action : str
        The action about the workload's statements.
    view : str
        What blocks cleanup on the engine: a key of `IDLE_SESSIONS`.
    idle_share : float
        Share of the time that it held views or snapshots in which it ran no statement [0 to 1]; NaN if unknown.

    Returns
    -------
    str
        Both actions if each concerns more than a tenth of that time, the one about the longer part first.
    """
    if not idle_share > ALL_BUT:
        return action
    idle = IDLE_SESSIONS[view]
    if idle_share >= 1 - ALL_BUT:
        return idle
    part = f"In {100 * idle_share:.0f} % of the time that it held {view}s"
    idle = f"{part} it ran no statement: {idle[0].lower()}{idle[1:]}"
    return f"{idle} {action}" if idle_share > 0.5 else f"{action} {idle}"


def _how(held: Held) -> tuple[str, str]:
    """First action, which goes on with the length of a chunk, and the alternatives."""
    if held.text.split(" ", 1)[0].lower() in WRITES:
        return "Change the rows in batches by key", ", and commit after each"
    if held.on_writer:
        return "Read in chunks by key", ", and commit after each; or run it on a clone"
    return (
        "Read in chunks by key",
        ", and commit after each. Or set aurora_read_replica_read_committed in its session, or extract from a clone or a "
        "snapshot export",
    )


def gain(noun: str, slower_ms: tuple[float, float, float], how_long: str) -> str:
    """Word the gain if a workload no longer held read views.

    Parameters
    ----------
    noun : str
        What becomes faster.
    slower_ms : tuple of float
        The slowdown and the ends of its interval [ms].
    how_long : str
        The exposed time, in words.

    Returns
    -------
    str
    """
    size, low, high = (three_digits(value, 2) for value in slower_ms)
    return (
        f"If it no longer ran on the cluster, {noun} would be {size} ms faster (95 % confidence interval {low} to "
        f"{high} ms) for {how_long}."
    )


def batches(rows: float, run_s: float) -> str:
    """Word how large the batches of an extract may be, from its rows and its duration.

    Parameters
    ----------
    rows : float
        Rows sent by a run, on average.
    run_s : float
        Duration of a run, on average [s].

    Returns
    -------
    str
        Empty if a run is not much longer than one batch.
    """
    if not run_s > 2 * BATCH_S or not rows > 0:
        return ""
    return (
        f"A run sends {large(rows)} rows in {duration(run_s)}; batches of {three_digits(rows * BATCH_S / run_s, 1)} rows "
        f"by key would take about {duration(BATCH_S)} each."
    )
