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
    """

    name: str
    is_good: Callable[[str], bool]
    consequence: str
    recommended: str
