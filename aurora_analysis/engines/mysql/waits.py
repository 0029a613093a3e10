"""Wait events of the MySQL family by class: what a session waits for.

https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/AuroraMySQL.Reference.Waitevents.html
"""

from __future__ import annotations

WAIT_CLASSES: dict[str, tuple[str, ...]] = {
    "CPU": ("cpu",),
    "row locks": ("row_lock_wait", "aurora_lock_thread_slot_futex", "lock/table"),
    "metadata locks": ("MDL_context", "lock/metadata"),
    "commit path": ("redo_log_flush", "MYSQL_BIN_LOG", "binlog"),
    "buffer misses": (
        "hash_table_locks",
        "buf_pool_mutex",
        "buf_block",
        "aurora_storage_io",
        "io/file/innodb",
    ),
    "client not reading": ("aurora_respond_to_client",),
    "connections": ("client_connection", "LOCK_connection", "connection_handler"),
    "undo and transactions": ("trx_sys_mutex", "undo", "purge"),
    "table access": ("io/table/sql/handler",),
}
"""Class → parts of its events' names, as Performance Insights gives them. The first class that matches wins."""
