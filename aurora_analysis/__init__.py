"""Does that query on the Aurora reader slow the writer, by how much, and how sure are we?

The rooms, and what flows between them:

- `sources`   one service or file format each: fetch pages, parse thinks; tidy frames come out
- `store`     Delta tables of those frames, one window of one cluster at a time (`delta_tables`: one table, without
              pandas); `tables` says what each column means
- `analysis`  one topic each, pure: frames in, frames and verdicts out
- `plots`     one function per figure: a computed frame in, Axes out
- `report`    runs the notebooks and makes the pages
- `lab`       a real InnoDB as a stand-in cluster, and a simulated one

They meet only in the notebooks, which import `Store` and `Window` from here.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from aurora_analysis.window import Window

if TYPE_CHECKING:
    from aurora_analysis.store import Store

__version__ = "0.1.0"
__all__ = ["Store", "Window"]


def __getattr__(name: str) -> Any:
    """`Store` is imported on first use: `digest` and `fingerprint` start without pandas and Delta."""
    if name == "Store":
        return import_module("aurora_analysis.store").Store
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
