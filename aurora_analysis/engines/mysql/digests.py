"""Which digest a statement is that a service or a server knows by an id of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

from aurora_analysis.engines.mysql import fingerprint

WHOLE = 10**6
"""A text that does not end in `...` is whole [bytes]: performance_schema marks what it has cut."""


@dataclass
class Digests:
    """The digest of each id that is known, as far as the store, the service or the server tells.

    `by_key` joins to what the slow log told, `by_id` remembers. Threads may share it.
    """

    by_key: dict[str, str] = field(default_factory=dict)
    by_id: dict[str, tuple[str, str]] = field(default_factory=dict)
    prefix: str = "pi"

    @classmethod
    def of(cls, statements: pd.DataFrame, id_column: Literal["pi_id", "server_digest"] = "pi_id") -> Digests:
        """What the store's `statements` tell."""
        keyed = statements.dropna(subset=["join_key"])
        known = statements.dropna(subset=[id_column])
        return cls(
            dict(zip(keyed["join_key"], keyed["digest"])),
            dict(zip(known[id_column], zip(known["digest"], known["fingerprint"]))),
            id_column.partition("_")[0],
        )

    def add(self, identity: str, text: str) -> None:
        """Learn the digest of a statement's text: the slow log's, where the join key says that it is the same."""
        found = fingerprint.statement(text)
        key = fingerprint.matching_key(text, self.by_key, cut_at=WHOLE) or fingerprint.join_key(
            found.fingerprint
        )
        self.by_id[identity] = (self.by_key.setdefault(key, found.digest), found.fingerprint)

    def digest(self, identity: str) -> str:
        """The digest; of a statement whose text may not be seen, the id itself."""
        return self.by_id[identity][0] if identity in self.by_id else f"{self.prefix}:{identity}"
