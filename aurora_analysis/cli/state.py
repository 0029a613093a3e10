"""Folders in which commands keep what must outlive them on this machine."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def folder(kind: str, *names: str) -> Path:
    """Return the folder of a kind of state of a cluster: in STATE_DIRECTORY (systemd), XDG_STATE_HOME or ~/.local/state.

    Its name is safe as a file's name whatever the cluster is called; further names, such as the store's, distinguish it.
    """
    of_unit, of_user = (
        os.environ.get("STATE_DIRECTORY", "").split(":")[0],
        os.environ.get("XDG_STATE_HOME", ""),
    )
    base = Path(of_unit or Path(of_user or Path.home() / ".local" / "state") / "aurora-analysis")
    plain = "".join(one if one.isascii() and one.isalnum() else "-" for one in names[0])[:40]
    mark = hashlib.sha256("\0".join(names).encode()).hexdigest()[:8]
    return base / kind / f"{plain}-{mark}"
