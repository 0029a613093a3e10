"""Does that query on the Aurora reader slow the writer, by how much, and how sure are we?

The packages, and what flows between them:

- `sources`, `live`  fetch from AWS APIs, log files and the servers themselves; tidy frames come out
- `engines`          everything that differs between database engines, with the same module names for each
- `fetch`            plans what is missing from the store and fetches it
- `store`            Delta tables of those frames; `observe` reads one window of one cluster; `tables` documents columns
- `analysis`         one topic each, pure: observations in, frames and verdicts out
- `plots`            one function per figure: a computed frame in, Axes out
- `parameters`       refuses a notebook's parameter of the wrong type
- `report`           runs the notebooks and makes the pages
- `lab`              a real InnoDB as a stand-in cluster, and a simulated one
- `cli`              the commands

Analysis and plots meet only in the notebooks.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aurora_analysis.store import Store
    from aurora_analysis.store.observations import Observations, observe
    from aurora_analysis.window import Window

__version__ = "0.1.0"
__all__ = ["Observations", "Store", "Window", "observe"]

LAZY = {
    "Observations": "store.observations",
    "Store": "store.store",
    "Window": "window",
    "observe": "store.observations",
}
"""Names imported on first use, so that `digest` and `fingerprint` start without pandas, Delta and time zones."""


def __getattr__(name: str) -> Any:
    if name in LAZY:
        return getattr(import_module(f"aurora_analysis.{LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "analysis", "config", "parameters", "plots", "store"]
