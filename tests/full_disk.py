"""Run by a test inside a mount namespace of its own: watch a server while the store's disk is full, then not."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import sqlalchemy
from click import echo

from aurora_analysis.engines.mysql.live import Probe
from aurora_analysis.live.watch import WRITE_EVERY_S, Watch
from aurora_analysis.store import Store

socket, folder = sys.argv[1], Path(sys.argv[2])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], check=True)
engine = sqlalchemy.create_engine(
    f"mysql+pymysql://root@/?unix_socket={socket}", poolclass=sqlalchemy.NullPool
)
now = [1_800_000_000]
found = Watch(
    [Probe(engine, "lab-writer", "writer")],
    Store(folder / "store"),
    cluster="lab",
    every_s=WRITE_EVERY_S,
    monotonic=lambda: float(now[0]),
)


def rounds(count: int) -> None:
    for _ in range(count):
        now[0] += WRITE_EVERY_S
        found.sample(now[0])
        for line in found.new_events():
            echo(line)


def stored() -> int:
    rows = Store(folder / "store").read("metrics", cluster="lab")
    return int((rows["name"] == "history_list_length").sum())


rounds(3)
echo(f"stored: {stored()}")
ballast = folder / "ballast"
with ballast.open("wb", buffering=0) as file, suppress(OSError):
    while file.write(bytes(4096)):
        pass
rounds(3)
echo(f"stored while full: {stored()}")
ballast.unlink()
rounds(1)
found.close()
echo(f"stored at last: {stored()}")
coverage = Store(folder / "store").read("coverage", cluster="lab").query("table == 'metrics'")
echo(f"coverage: {coverage[['expected', 'received']].to_numpy().tolist()}")
