"""Check that the text of a trial's query is one SELECT that only reads."""

from __future__ import annotations

import sqlalchemy
from sqlalchemy import exc

from aurora_analysis import engines
from aurora_analysis.errors import Error


def read_only_query(text: str, engine: str, session_modes: str | None = None) -> str:
    """Return the query, in the SQL of an engine, without its final semicolon.

    Parameters
    ----------
    text : str
        The query.
    engine : str
        Name of the engine whose SQL it is.
    session_modes : str, optional
        Modes of the session that will run it, as `session_modes` returns them; they decide where a literal ends. Without
        them, only what every mode refuses is refused.

    Raises
    ------
    Error
        If the text is not exactly one statement that reads, or if it locks, writes a file, waits, or lifts its limit.
    """
    query = text.strip().rstrip(";").strip()
    guard = engines.module(engine, "trial_sessions")
    modes = guard.ALL_MODES if session_modes is None else [session_modes]
    refusals = [guard.refusal(query, each) for each in modes]
    if all(refusals):
        of_server = f" (with the server's sql_mode {session_modes!r})" if session_modes else ""
        raise Error(f"The query contains {refusals[0]}{of_server}: a trial runs one SELECT that only reads.")
    return query


def session_modes(engine: sqlalchemy.Engine) -> str:
    """Return the modes of a new session on a server, which decide where a literal ends.

    Raises
    ------
    Error
        If the server does not answer, or rejects the login.
    """
    guard, live = (engines.module(engine.dialect.name, name) for name in ("trial_sessions", "live"))
    try:
        with engine.connect() as connection:
            return str(connection.exec_driver_sql(f"{live.TAG} {guard.MODES}").scalar_one())
    except exc.DBAPIError as problem:
        raise Error(f"The server that would run the query does not answer: {live.reason(problem)}.") from None
