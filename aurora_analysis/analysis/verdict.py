"""A verdict: what the evidence says of one subject, in one computed sentence with its numbers.

A verdict shows itself as text, as HTML and as JSON. The JSON travels inside the executed notebook, from where
the report reads it back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from markupsafe import Markup

MIME_TYPE = "application/vnd.aurora-analysis.finding+json"
SPARKLINE = "application/vnd.aurora-analysis.sparkline+json"
"""The kind of a sparkline, which travels likewise."""

Severity = Literal["act", "watch", "ok", "unknown"]
SEVERITIES: tuple[Severity, ...] = ("act", "watch", "unknown", "ok")
"""Most severe first. What is unknown stands above what is fine: it may be either."""

SYMBOLS: dict[Severity, str] = {"act": "▲", "watch": "◆", "ok": "●", "unknown": "?"}


@dataclass(frozen=True)
class Verdict:
    """What the evidence says of a subject.

    `topic` is the notebook's name, `subject` whom or what it speaks of, `level` the topic's own word,
    `sentence` the computed conclusion with its number, interval and coverage. `numbers` holds what the sentence
    was computed from, `evidence` where to look, `action` what to do first. Texts are plain: they are escaped
    wherever they are shown.
    """

    topic: str
    subject: str
    level: str
    severity: Severity
    sentence: str
    numbers: Mapping[str, float | int | str | None] = field(default_factory=dict)
    evidence: str = ""
    action: str = ""

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise ValueError(f"severity {self.severity!r} is none of {', '.join(SEVERITIES)}")

    def to_dict(self) -> dict[str, Any]:
        """The verdict as plain data, ready for JSON."""
        return asdict(self) | {"numbers": dict(self.numbers)}

    def __str__(self) -> str:
        lines = [f"{SYMBOLS[self.severity]} {self.severity} · {self.subject}: {self.level}", self.sentence]
        lines += [f"Evidence: {self.evidence}"] * bool(self.evidence)
        lines += [f"What to do: {self.action}"] * bool(self.action)
        return "\n".join(lines)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {MIME_TYPE: self.to_dict(), "text/html": self._html(), "text/plain": str(self)}

    def _html(self) -> str:
        parts = [
            Markup('<div class="verdict verdict-{}"><p><strong>{} {} · {}: {}</strong></p>').format(
                self.severity, SYMBOLS[self.severity], self.severity, self.subject, self.level
            ),
            Markup("<p>{}</p>").format(self.sentence),
        ]
        parts += [Markup("<p>Evidence: {}</p>").format(self.evidence)] * bool(self.evidence)
        parts += [Markup("<p>What to do: {}</p>").format(self.action)] * bool(self.action)
        return Markup("").join(parts) + Markup("</div>")


class Remarks:
    """Computed sentences that are no verdict: each a line of text, a paragraph of HTML."""

    def __init__(self, *lines: str) -> None:
        self.lines = lines

    def __str__(self) -> str:
        return "\n".join(self.lines)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        paragraphs = Markup("").join(Markup("<p>{}</p>").format(line) for line in self.lines)
        return {"text/html": paragraphs, "text/plain": str(self)}


def by_severity(verdicts: list[Verdict]) -> list[Verdict]:
    """The verdicts, most severe first; among equals their order is kept."""
    return sorted(verdicts, key=lambda verdict: SEVERITIES.index(verdict.severity))
