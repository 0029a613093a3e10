"""MariaDB or MySQL: the one place that decides.

The two differ in what their logs, InnoDB status, digests and time limits look like, and in what blocks purge. Aurora
MySQL and Percona Server behave as MySQL in all of these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import sqlalchemy

Flavour = Literal["mysql", "mariadb"]


def of_version(text: str) -> Flavour:
    """Return the flavour that a version string names.

    Parameters
    ----------
    text : str
        `@@version` ("10.11.19-MariaDB-log", "8.0.mysql_aurora.3.08.0"), the first line of `mysqld --version`, or an
        engine's name. MariaDB always writes its name in these; an empty text counts as MySQL.

    Examples
    --------
    >>> of_version("10.11.19-MariaDB-log"), of_version("8.0.mysql_aurora.3.08.0")
    ('mariadb', 'mysql')
    """
    return "mariadb" if "mariadb" in text.lower() else "mysql"


def of_connection(connection: sqlalchemy.Connection) -> Flavour:
    """Return the flavour of the server at the other end, as SQLAlchemy found it when it connected."""
    return "mariadb" if connection.dialect.is_mariadb else "mysql"  # type: ignore[attr-defined]
