"""What do clients see when the writer fails? A drill injects the fault and counts.

Three clients write and read side by side: a plain driver that caches the endpoint's address, a pool that recycles its
connections, and one that asks the instances which of them is the writer. Every write has a sequence number, and after
the fault the table shows which acknowledged writes are gone. The results are in the table `drills`; `analysis.drill`
judges them.
"""

from aurora_analysis.live.drill.options import (
    CLIENTS,
    FAULTS,
    LASTING,
    ON_READER,
    ClientOptions,
    DrillOptions,
)
from aurora_analysis.live.drill.place import Address, Injected, Place
from aurora_analysis.live.drill.run import run_drill

__all__ = [
    "CLIENTS",
    "FAULTS",
    "LASTING",
    "ON_READER",
    "Address",
    "ClientOptions",
    "DrillOptions",
    "Injected",
    "Place",
    "run_drill",
]
