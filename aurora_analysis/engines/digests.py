"""Translate the statement ids of a service or a server to digests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

from aurora_analysis import engines

WHOLE = 10**6
"""No length at which a text counts as cut [bytes]: performance_schema ends a text that it cut with `...`."""


@dataclass
class Digests:
    """The digest of each statement id, as far as its text is known.

    Attributes
    ----------
    by_key : dict
        Join key → digest, of the slow log's statements and of those added since.
    by_id : dict
        Id → (digest, fingerprint).
    prefix : str
        Begins the name of a statement without a text.

    Threads may share it.
    """

    by_key: dict[str, str] = field(default_factory=dict)
    by_id: dict[str, tuple[str, str]] = field(default_factory=dict)
    prefix: str = "pi"

    @classmethod
    def from_statements(
        cls, statements: pd.DataFrame, id_column: Literal["pi_id", "server_digest"] = "pi_id"
    ) -> Digests:
        """Return the digests in the store's table `statements`, whose column `id_column` has the ids."""
        keyed = statements.dropna(subset=["join_key"])
        known = statements.dropna(subset=[id_column])
        return cls(
            dict(zip(keyed["join_key"], keyed["digest"])),
            dict(zip(known[id_column], zip(known["digest"], known["fingerprint"]))),
            id_column.partition("_")[0],
        )

    def add(self, identity: str, text: str, engine: str) -> None:
        """Add a statement of an engine by its text; it gets the slow log's digest if the join keys match."""
        fingerprint = engines.module(engine, "fingerprint")
        found = fingerprint.statement(text)
        key = fingerprint.matching_key(text, self.by_key, cut_at=WHOLE) or fingerprint.join_key(
            found.fingerprint
        )
        self.by_id[identity] = (self.by_key.setdefault(key, found.digest), found.fingerprint)

    def digest(self, identity: str) -> str:
        """Return the digest of an id; `prefix:id` if the statement's text is unknown."""
        return self.by_id[identity][0] if identity in self.by_id else f"{self.prefix}:{identity}"
