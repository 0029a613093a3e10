"""The compiled part of the package, if there is one.

It is built with the package where a compiler is found. Without it, or with AURORA_ANALYSIS_PURE=1, pure Python gives the
same results.
"""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from typing import Any

PURE = "AURORA_ANALYSIS_PURE"
"""The environment variable that selects pure Python, when the package is built and when it runs."""


def is_pure() -> bool:
    """Return whether the environment selects pure Python."""
    return os.environ.get(PURE, "0") not in {"", "0"}


@cache
def library() -> Any:
    """Return the compiled module; None if the package has none, or if the environment selects pure Python."""
    if is_pure():
        return None
    try:
        return import_module("aurora_analysis.engines.mysql.slow_log._scanner")
    except ImportError:
        return None
