"""A verdict: the conclusion about one subject, in one computed sentence with its numbers.

A verdict displays itself as text, as HTML and as JSON. The executed notebook stores the JSON, and the report
reads it from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from markupsafe import Markup

MIME_TYPE = "application/vnd.aurora-analysis.finding+json"
SPARKLINE = "application/vnd.aurora-analysis.sparkline+json"
"""MIME type of a sparkline's JSON, which the executed notebook stores in the same way."""

Severity = Literal["act", "watch", "ok", "unknown"]
SEVERITIES: tuple[Severity, ...] = ("act", "watch", "unknown", "ok")
"""Severities, most severe first. `unknown` ranks above `ok` because it may turn out to be either."""

SYMBOLS: dict[Severity, str] = {"act": "▲", "watch": "◆", "ok": "●", "unknown": "?"}


@dataclass(frozen=True)
class Verdict:
    """The conclusion about one subject, with the numbers behind it.

    All texts are plain: every display escapes them.

    Parameters
    ----------
    topic : str
        Name of the notebook.
    subject : str
        Workload, instance, statement or other thing that the verdict is about.
    level : str
        The topic's own word for the result, such as `slows` or `blocked`.
    severity : {"act", "watch", "unknown", "ok"}
        How urgent the result is.
    sentence : str
        The computed conclusion with its number, interval and coverage.
    numbers : mapping of str to float, int, str or None
        The figures that the sentence was computed from.
    evidence : str
        What supports the conclusion, and where to look.
    action : str
        The first thing to do.
    headline : str
        What a team lead reads: actor, verb and object, so that it cannot be read the wrong way round
        ("snowflake blocked purge"). If empty, it is composed from `subject` and `level`.

    Raises
    ------
    ValueError
        If the severity is not one of `SEVERITIES`.
    """

    topic: str
    subject: str
    level: str
    severity: Severity
    sentence: str
    numbers: Mapping[str, float | int | str | None] = field(default_factory=dict)
    evidence: str = ""
    action: str = ""
    headline: str = ""

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise ValueError(f"severity {self.severity!r} is not one of {', '.join(SEVERITIES)}")
        if not self.headline:
            object.__setattr__(self, "headline", f"Verdict for {self.subject}: {self.level}")

    def to_dict(self) -> dict[str, Any]:
        """Convert the verdict to plain data, ready for JSON.

        Returns
        -------
        dict
            One entry per field; `Verdict(**data)` restores the verdict.
        """
        return asdict(self) | {"numbers": dict(self.numbers)}

    def __str__(self) -> str:
        lines = [f"{SYMBOLS[self.severity]} {self.severity} · {self.headline}", self.sentence]
        lines += [f"Evidence: {self.evidence}"] * bool(self.evidence)
        lines += [f"What to do: {self.action}"] * bool(self.action)
        return "\n".join(lines)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {MIME_TYPE: self.to_dict(), "text/html": self._html(), "text/plain": str(self)}

    def _html(self) -> str:
        parts = [
            Markup('<div class="verdict verdict-{}"><p><strong>{} {} · {}</strong></p>').format(
                self.severity, SYMBOLS[self.severity], self.severity, self.headline
            ),
            Markup("<p>{}</p>").format(self.sentence),
        ]
        parts += [Markup("<p>Evidence: {}</p>").format(self.evidence)] * bool(self.evidence)
        parts += [Markup("<p>What to do: {}</p>").format(self.action)] * bool(self.action)
        return Markup("").join(parts) + Markup("</div>")


class Remarks:
    """Computed sentences that are not a verdict; each displays as one line of text or one HTML paragraph.

    Parameters
    ----------
    *lines : str
        The sentences, in reading order.
    """

    def __init__(self, *lines: str) -> None:
        self.lines = lines

    def __str__(self) -> str:
        return "\n".join(self.lines)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        paragraphs = Markup("").join(Markup("<p>{}</p>").format(line) for line in self.lines)
        return {"text/html": paragraphs, "text/plain": str(self)}


def by_severity(verdicts: list[Verdict]) -> list[Verdict]:
    """Sort verdicts, most severe first.

    Parameters
    ----------
    verdicts : list of Verdict
        The verdicts to sort.

    Returns
    -------
    list of Verdict
        The same verdicts; equally severe ones keep their order.
    """
    return sorted(verdicts, key=lambda verdict: SEVERITIES.index(verdict.severity))


def three_digits(value: float) -> str:
    """Format a number with three significant digits and thousands separators.

    Parameters
    ----------
    value : float
        Any finite number.

    Returns
    -------
    str
        The text.

    Examples
    --------
    >>> three_digits(12345.6)
    '12,300'
    """
    return f"{float(f'{value:.3g}'):,.10g}"
