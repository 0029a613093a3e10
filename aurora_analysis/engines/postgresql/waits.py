"""Wait events of PostgreSQL by class: what a session waits for.

https://www.postgresql.org/docs/current/monitoring-stats.html#WAIT-EVENT-TABLE
https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/AuroraPostgreSQL.Reference.Waitevents.html
"""

from __future__ import annotations

WAIT_CLASSES: dict[str, tuple[str, ...]] = {
    "CPU": ("CPU",),
    "recovery conflicts": ("RecoveryConflict", "BufferPin"),
    "row locks": ("Lock:transactionid", "Lock:tuple", "Lock:virtualxid", "Lock:spectoken"),
    "relation locks": ("Lock:relation", "Lock:object", "Lock:advisory", "Lock:page", "Lock:userlock"),
    "commit path": (
        "IO:XactSync",
        "IO:WAL",
        "WALWrite",
        "WALSync",
        "WALInsert",
        "SyncRep",
        "AuroraStorageLogAllocate",
    ),
    "buffer misses": ("DataFileRead", "DataFilePrefetch", "AuroraOptimizedReads"),
    "bloat and buffers": (
        "buffer_content",
        "buffer_mapping",
        "BufferContent",
        "BufferMapping",
        "Lock:extend",
        "BufFile",
    ),
    "vacuum": ("VacuumDelay", "VacuumTruncate"),
    "snapshots and transactions": (
        "ProcArray",
        "Subtrans",
        "XactSLRU",
        "MultiXact",
        "ClogSLRU",
        "XidGen",
    ),
    "client not reading": ("ClientWrite",),
    "client idle": ("ClientRead",),
    "parallel query": ("BgWorker", "Parallel", "ExecuteGather", "MessageQueue", "HashBuild", "Hash/"),
}
"""Class → parts of its events' names (`Type:Name`), as Performance Insights gives them. The first class that matches wins."""
