"""Check names: no empty cluster or instance, and errors for unknown names that list the known ones."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from aurora_analysis.errors import Error
from aurora_analysis.tables import Table

LISTED = 80
"""Most names that an error lists: all metrics fit."""


def check_not_empty(cluster: str, instance: str | None = None) -> None:
    """Refuse an empty cluster or instance name; None is allowed for rows of the whole cluster.

    Delta stores an empty partition value as null, so such rows could never be read by name again.

    Parameters
    ----------
    cluster : str
    instance : str, optional

    Raises
    ------
    Error
        If a name is empty or blank.
    """
    for kind, name in (("cluster", cluster), ("instance", instance)):
        if name is not None and not name.strip():
            raise Error(
                f"The {kind} name is empty: name the {kind} (is the shell variable that holds it set?)."
            )


def check_columns(spec: Table, named: Iterable[str], more: Iterable[str] = ()) -> None:
    """Raise if a table has no column of a name.

    Parameters
    ----------
    spec : Table
    named : iterable of str
        The columns that a caller names.
    more : iterable of str, optional
        Further columns to offer, which the caller adds to the table.

    Raises
    ------
    Error
        With the names of the table's columns, and the one that was probably meant.
    """
    for name in named:
        if name not in spec.column_names():
            known = [*spec.column_names(), *more]
            raise Error(f"{spec.name} has {unknown('column', name, known, 'name one of these.')}")


def unknown(kind: str, name: str, known: Iterable[str], otherwise: str) -> str:
    """Return the end of an error message for an unknown name, with the known ones and the next step.

    Parameters
    ----------
    kind, name : str
        What was named, and the unknown name.
    known : iterable of str
        The names that exist.
    otherwise : str
        The next step if no known name is similar.

    Returns
    -------
    str

    >>> unknown("cluster", "shopp", ["lab", "shop"], "fetch it first.")
    "no cluster 'shopp' (it has: lab, shop): did you mean 'shop'?"
    >>> unknown("cluster", "crm", ["lab", "shop"], "fetch it first.")
    "no cluster 'crm' (it has: lab, shop): fetch it first."
    """
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    more = f", and {len(names) - LISTED} more" if len(names) > LISTED else ""
    listed = f"{', '.join(names[:LISTED]) or 'none'}{more}"
    next_step = f"did you mean {close[0]!r}?" if close else otherwise
    return f"no {kind} {name!r} (it has: {listed}): {next_step}"
