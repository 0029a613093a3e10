"""Remove the hidden folder of a report that was killed: the script `watcher.py FOLDER NAME PID`, which each report starts.

Every report pays for the start of this script, so that it imports the rest only after a kill.
"""

from __future__ import annotations

import os
import signal
import sys
import time

DONE = b"done"
"""Message by which a report ends its watcher after it has cleaned up by itself."""


def main(folder: str, name: str, report: int) -> None:
    """Wait for the end of a report; if it was killed, remove its hidden folder.

    Standard input ends however the report ends. A killed process may keep its locks for a moment longer, until this process has another
    parent.
    """
    # systemd sends SIGTERM to the processes that a killed one leaves.
    for ending in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.SIG_IGN)
    if sys.stdin.buffer.read() == DONE:
        return
    while os.getppid() == report:
        time.sleep(0.01)
    from pathlib import Path
    from runpy import run_path

    run_path(str(Path(__file__).with_name("abandoned.py")))["remove"](Path(folder), name)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
