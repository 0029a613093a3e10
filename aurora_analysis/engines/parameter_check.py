"""The shape of an engine's checks of server parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class ParameterCheck:
    """A parameter that `doctor` checks.

    Attributes
    ----------
    name : str
        The parameter.
    is_good : callable
        Takes the parameter's value, returns whether it suits an analysis.
    consequence : str
        What an analysis lacks otherwise.
    recommended : str
        The value to set.
    is_list : bool
        Whether the value is a list, to which the recommended value is added.
    is_static : bool
        Whether a change needs a reboot.
    """

    name: str
    is_good: Callable[[str], bool]
    consequence: str
    recommended: str
    is_list: bool = False
    is_static: bool = False

    def value_to_set(self, current: str | None) -> str:
        """Return the value that passes the check and keeps what a list has."""
        return f"{current},{self.recommended}" if self.is_list and current else self.recommended
