"""The store: a folder or `s3://` prefix of Delta Lake tables, one window of one cluster at a time."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aurora_analysis.store.store import Store

__all__ = ["Store"]


def __getattr__(name: str) -> Any:
    """Import `Store` on first use: `ingest` writes through `store.delta` and `store.merging` without pandas."""
    if name == "Store":
        return import_module("aurora_analysis.store.store").Store
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
