"""Convert rows of the probes' queries: open transactions, the read views of an Aurora cluster, XIDs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from aurora_analysis.engines.live_evidence import Transaction
from aurora_analysis.printable import printable

NO_VIEW = 2**63
"""Transaction numbers from here on mean that no view is open: Aurora reports 2^64 − 1."""


class Replica(NamedTuple):
    """Oldest transaction that an instance's read views may need, as the writer of an Aurora cluster reports it."""

    instance: str
    role: str
    oldest_read_view_trx_id: int | None
    """None if it has no view open."""
    replica_lag_ms: float | None


def replicas(rows: Iterable[Mapping[str, Any]]) -> list[Replica]:
    """Convert rows of mysql.ro_replica_status or information_schema.aurora_global_db_instance_status.

    Column names differ by version and in case. Rows without the number of a read view are dropped.
    """
    named = [{str(key).lower(): value for key, value in row.items()} for row in rows]
    return [
        Replica(
            instance=printable(row["server_id"]),
            role="writer" if str(row.get("session_id", "")).upper() == "MASTER_SESSION_ID" else "reader",
            oldest_read_view_trx_id=_view(row["oldest_read_view_trx_id"]),
            replica_lag_ms=_lag_ms(row),
        )
        for row in named
        if row.get("server_id") and row.get("oldest_read_view_trx_id")
    ]


def _view(number: Any) -> int | None:
    return int(number) if int(number) < NO_VIEW else None


def _lag_ms(row: Mapping[str, Any]) -> float | None:
    lag = row.get("replica_lag_in_msec", row.get("visibility_lag_in_msec"))
    return None if lag is None else float(lag)


def transaction(row: Sequence[Any], clients: Mapping[int, str]) -> Transaction:
    """An open transaction; names come from clients, so nothing in them may act on a terminal."""
    thread, user, host, command, started_at, isolation, modified, query, since, locks, number = row
    return Transaction(
        int(thread),
        printable(user or ""),
        printable(host or ""),
        printable(command or ""),
        float(started_at),
        isolation,
        int(modified),
        query,
        None if since is None else float(since),
        printable(clients[thread]) if clients.get(thread) else None,
        bool(locks),
        int(number) if int(number) < LARGEST_NUMBER else 0,
    )


LARGEST_NUMBER = 2**48
"""innodb_trx shows transactions that only read with a number above the largest possible one (MySQL manual)."""


def xid(row: Sequence[Any]) -> str:
    """An XID as XA ROLLBACK takes it: in quotes if every character is plain, else in hex."""
    form, of_global, of_branch, data = row
    text = bytes.fromhex(data[2:]) if isinstance(data, str) and data.startswith("0x") else _bytes(data)
    parts = (text[:of_global], text[of_global : of_global + of_branch])
    found = [_quoted(part) for part in parts]
    return ",".join([*found, str(form)] if form != 1 else found[: 2 if of_branch else 1])


def _bytes(data: str | bytes) -> bytes:
    return data if isinstance(data, bytes) else data.encode()


def _quoted(part: bytes) -> str:
    is_plain = all(0x20 <= one < 0x7F and one not in b"'\\" for one in part)
    return f"'{part.decode()}'" if is_plain else f"X'{part.hex()}'"
