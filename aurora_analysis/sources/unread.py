"""Errors about logs that could not be read, as a whole or in part: a figure must not lack them silently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aurora_analysis import engines
from aurora_analysis.engines.log_events import Account
from aurora_analysis.errors import Error, Unfinished
from aurora_analysis.sources.inputs import Source


def check(engine: str, account: Account, *names: Source) -> None:
    """Raise an error if the files, which this engine wrote, have nothing that can be used."""
    if reason := engines.module(engine, "slow_log").refusal(account, _listed(names)):
        raise Error(reason)


def check_each(engine: str, accounts: Mapping[Source, Account]) -> None:
    """Raise an error, after all else was done, if a file has nothing usable, or some entries an unknown form.

    Parameters
    ----------
    engine : str
        The engine that wrote the logs.
    accounts : mapping of str or S3Object to Account
        The files' accounts; some file can be used.

    Raises
    ------
    Unfinished
    """
    refusal = engines.module(engine, "slow_log").refusal
    without = {name: account for name, account in accounts.items() if not account.events}
    reasons = {name: reason for name, account in without.items() if (reason := refusal(account, str(name)))}
    first, others = list(reasons.values())[:1], list(reasons)[1:]
    also = [f"Nor can {_listed(others)} be used."] if others else []
    _raise([*first, *also, *_entries({name: accounts[name] for name in accounts if name not in reasons})])


def check_entries(accounts: Mapping[Source, Account]) -> None:
    """Raise an error, after all else was done, if some entries have an unknown form.

    An entry that rotation or a limit cut is no error: most logs have some.

    Parameters
    ----------
    accounts : mapping of str or S3Object to Account
        The files' accounts.

    Raises
    ------
    Unfinished
    """
    _raise(_entries(accounts))


def _entries(accounts: Mapping[Source, Account]) -> list[str]:
    unknown = {name: account.unknown for name, account in accounts.items() if account.unknown}
    if not unknown:
        return []
    return [
        f"Entries of {_listed(list(unknown))} that could not be read: {sum(unknown.values()):,}. Their header lines have a form "
        "that no supported server writes, their Query_time is impossible, or their messages are not in English (PostgreSQL)."
    ]


def _raise(problems: Sequence[str]) -> None:
    if problems:
        raise Unfinished(" ".join([*problems, "No figure includes what could not be read."]))


def _listed(names: Sequence[Source]) -> str:
    return ", ".join(map(str, names[:3])) + f" and {len(names) - 3} more" * (len(names) > 3)
