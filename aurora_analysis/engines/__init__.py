"""Everything that differs between database engines: one folder per engine, with the same module names in each.

An engine is a package of plain modules: `settings`, `metrics`, `waits`, `fingerprint`, the log reader, `live`,
`cleanup` and so on. `of` maps an engine's name to its package. There is no base class and no registry; the tests in
`tests/engines/contract/` state what every engine must offer.

Callers outside of this folder name no engine's package: they take its modules from `module`, by the engine that RDS, a
server's address, the store or the text of a log names. What engines share is here: `statement` and `digests` (a
fingerprint and its digest), `sql_mode`, `log_events` (one logged execution, and the account of a log's bytes),
`log_tables` (executions as rows of the store's tables), `live_evidence` (an instance's sample) and the shapes of settings and metrics.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

from aurora_analysis.errors import Error

if TYPE_CHECKING:
    import sqlalchemy

    from aurora_analysis.engines.vocabulary import Words

PACKAGES = {
    "aurora-mysql": "mysql",
    "aurora-postgresql": "postgresql",
    "aurora": "mysql",
    "mysql": "mysql",
    "mariadb": "mysql",
    "postgresql": "postgresql",
    "postgres": "postgresql",
}
"""Engine → package. RDS calls Aurora MySQL 1 (MySQL 5.6) `aurora`, and RDS for PostgreSQL `postgres`; the lab writes
`mysql`, `mariadb` and `postgresql`."""

DEFAULT = "mysql"
"""The engine of input that names none, such as an empty log."""

SUPPORTED = "Aurora MySQL, Aurora PostgreSQL, MySQL, MariaDB and PostgreSQL"


def of(name: str) -> ModuleType:
    """Return the package for an engine.

    Parameters
    ----------
    name : str
        The engine as RDS (`Engine`), SQLAlchemy (the backend of a URL) or the store (`instances.engine`) names it.

    Raises
    ------
    Error
        If the engine is not supported.

    Examples
    --------
    >>> of("aurora-mysql").__name__
    'aurora_analysis.engines.mysql'
    """
    if name not in PACKAGES:
        raise Error(f"{name or 'An unnamed engine'} is not supported: aurora-analysis reads {SUPPORTED}.")
    return importlib.import_module(f"{__name__}.{PACKAGES[name]}")


def module(engine: str, name: str) -> ModuleType:
    """Import one module of an engine's package.

    Parameters
    ----------
    engine : str
        The engine's name, as `of` takes it.
    name : str
        A module that every engine has, such as `metrics` or `settings`.

    Raises
    ------
    Error
        If the engine is not supported.

    Examples
    --------
    >>> module("aurora-mysql", "metrics").__name__
    'aurora_analysis.engines.mysql.metrics'
    """
    return importlib.import_module(f"{of(engine).__name__}.{name}")


def words(engine: str) -> Words:
    """Return an engine's words for cleanup.

    >>> words("postgresql").cleanup
    'vacuum'
    """
    found: Words = module(engine, "cleanup").WORDS
    return found


def of_log(head: bytes) -> str | None:
    r"""Return the engine that wrote a log, by its first bytes; None if no engine knows them.

    If several engines do, because a statement quotes another log, the first line decides.

    >>> of_log(b"# Time: 2026-11-23T10:00:00.000000Z\n")
    'mysql'
    >>> of_log(b"2026-11-23 10:00:00 UTC::@:[7]:LOG:  database system is ready to accept connections\n")
    'postgresql'
    """
    names = dict.fromkeys(PACKAGES.values())
    first = head.lstrip().partition(b"\n")[0] + b"\n"
    for text in (first, head):
        for name in names:
            if module(name, "slow_log").is_slow_log(text):
                return name
    return None


def parsed_url(text: str) -> sqlalchemy.URL:
    """Parse a server's address, whose backend names the engine.

    Raises
    ------
    Error
        If the text is not a URL, or its engine is not supported. The message omits the text: it may contain a password.
    """
    import sqlalchemy
    from sqlalchemy import exc

    try:
        parsed = sqlalchemy.make_url(text)
    except (exc.ArgumentError, ValueError):  # ValueError: a port that is no number
        raise Error("A server address is not a URL: write it as mysql://user@host:3306/.") from None
    of(parsed.get_backend_name())
    return parsed


def wait_classes() -> dict[str, tuple[str, ...]]:
    """Map each class of wait events to parts of its events' names, of all engines: no two share a name."""
    merged: dict[str, tuple[str, ...]] = {}
    for package in dict.fromkeys(PACKAGES.values()):
        for name, parts in module(package, "waits").WAIT_CLASSES.items():
            merged[name] = merged.get(name, ()) + parts
    return merged
