"""A verdict: the conclusion about one subject, in one computed sentence with its numbers.

A verdict displays itself as text, as HTML and as JSON. The executed notebook stores the JSON, and the report
reads it from there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from markupsafe import Markup, escape

from aurora_analysis.window import Window, zone

if TYPE_CHECKING:
    import pandas as pd

MIME_TYPE = "application/vnd.aurora-analysis.finding+json"
SPARKLINE = "application/vnd.aurora-analysis.sparkline+json"
"""MIME type of a sparkline's JSON, which the executed notebook stores in the same way."""

Figure = float | int | str | None
Severity = Literal["act", "watch", "ok", "unknown"]
SEVERITIES: tuple[Severity, ...] = ("act", "watch", "unknown", "ok")
"""Severities, most severe first. `unknown` ranks above `ok` because it may turn out to be either."""

SYMBOLS: dict[Severity, str] = {"act": "▲", "watch": "◆", "ok": "●", "unknown": "?"}


EDGES: dict[Severity, str] = {
    "act": "border-left: 5px solid #c8322b",
    "watch": "border-left: 5px solid #c98a1b",
    "ok": "border-left: 5px solid #2f8f57",
    "unknown": "border-left: 5px dashed #8a949e",
}
"""Left edge of a verdict's card in a notebook, which has no style sheet of ours; the symbol says the same."""

CARD = {
    "card": "padding: 0.4em 1em; margin: 0.6em 0; max-width: 60em; overflow-wrap: anywhere",
    "title": "margin: 0.2em 0; font-size: 1.1em",
    "text": "margin: 0.3em 0",
    "basis": "margin: 0.3em 0; font-size: 0.9em; opacity: 0.85",
}
"""Styles of the card's parts. Colours of text and ground are the notebook's, so that it is legible in dark mode."""


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
    statement : mapping of str to float, int, str or None
        The statement that the verdict's subject spent most time on (`costliest`); empty if none is known.

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
    numbers: Mapping[str, Figure] = field(default_factory=dict)
    evidence: str = ""
    action: str = ""
    headline: str = ""
    statement: Mapping[str, Figure] = field(default_factory=dict)

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
        return asdict(self) | {"numbers": dict(self.numbers), "statement": dict(self.statement)}

    def __str__(self) -> str:
        lines = [f"{SYMBOLS[self.severity]} {self.severity} · {self.headline}", self.sentence]
        if self.statement:
            lines.append(f"Statement: {self.statement['text']} ({described(self.statement)})")
        lines += [f"Evidence: {self.evidence}"] * bool(self.evidence)
        lines += [f"What to do: {self.action}"] * bool(self.action)
        return "\n".join(lines)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {MIME_TYPE: self.to_dict(), "text/html": self._html(), "text/plain": str(self)}

    def _html(self) -> str:
        """Return the card: headline, statement, what to do, and in smaller type what that is based on."""
        title = Markup("<p style='{}'><strong>{} {} · {}</strong></p>").format(
            CARD["title"], SYMBOLS[self.severity], self.severity, coded(self.headline)
        )
        parts = [title]
        if self.statement:
            ran = Markup("<p style='{}'><code>{}</code> ({})</p>")
            parts.append(ran.format(CARD["basis"], self.statement["text"], described(self.statement)))
        action = Markup("<p style='{}'><strong>What to do:</strong> {}</p>")
        parts += [action.format(CARD["text"], coded(self.action))] * bool(self.action)
        parts.append(Markup("<p style='{}'>{}</p>").format(CARD["basis"], self.sentence))
        evidence = Markup("<p style='{}'><strong>Evidence:</strong> {}</p>")
        parts += [evidence.format(CARD["basis"], self.evidence)] * bool(self.evidence)
        card = Markup("<div class='verdict verdict-{}' style='{}; {}'>{}</div>")
        return card.format(self.severity, CARD["card"], EDGES[self.severity], Markup("").join(parts))


def coded(text: str) -> Markup:
    """Escape a text as HTML, and show as code what stands between backticks.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    Markup

    Examples
    --------
    >>> str(coded("`a < b` slows"))
    '<code>a &lt; b</code> slows'
    """
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))


_CODE = re.compile(r"`([^`]+)`")


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


def harm(numbers: Mapping[str, Figure]) -> tuple[float, float]:
    """Return a key that sorts findings of one severity by harm, most first.

    Parameters
    ----------
    numbers : mapping of str to float, int, str or None
        The figures of a verdict.

    Returns
    -------
    tuple of float
        The time lost to a slowdown (`effect_level.lost_s`) [s], then the history that was held up (`growth`)
        [transactions], both negative; 0 where a verdict has no such figure.
    """
    return -float(numbers.get("lost_s") or 0), -float(numbers.get("growth") or 0)


def by_severity(verdicts: list[Verdict]) -> list[Verdict]:
    """Sort verdicts, most severe first, and by `harm` within a severity.

    Parameters
    ----------
    verdicts : list of Verdict
        The verdicts to sort.

    Returns
    -------
    list of Verdict
        The same verdicts; equally severe ones without figures of harm keep their order.
    """
    return sorted(verdicts, key=lambda one: (SEVERITIES.index(one.severity), *harm(one.numbers)))


def three_digits(value: float, digits: int = 3) -> str:
    """Format a number with three significant digits and thousands separators.

    Parameters
    ----------
    value : float
        Any finite number.
    digits : int, default 3
        Number of significant digits.

    Returns
    -------
    str
        The text.

    Examples
    --------
    >>> three_digits(12345.6)
    '12,300'
    """
    return f"{float(f'{value:.{digits}g}'):,.10g}"


def percent(value: float) -> str:
    """Format the size of a percentage with one decimal below 100, none above, and without its sign.

    Parameters
    ----------
    value : float
        Any finite number [%].

    Returns
    -------
    str
        The text, without the unit.

    Examples
    --------
    >>> percent(9.991), percent(-25.46), percent(145.5)
    ('10', '25.5', '146')
    """
    size = abs(value)
    if 0 < size < 0.05:
        return f"{size:.1g}"
    return f"{float(f'{size:.1f}' if size < 99.95 else f'{size:.0f}'):,.10g}"


def signed(value: float) -> str:
    """Format a percentage with its sign: one decimal below 10, none above; never zero unless it is.

    Parameters
    ----------
    value : float
        Any finite number [%].

    Returns
    -------
    str
        The text, without the unit.

    Examples
    --------
    >>> signed(31.6), signed(-4.82), signed(0.04)
    ('+32', '-4.8', '+0.04')
    """
    return f"{value:+.0f}" if abs(value) >= 9.95 else f"{'-' if value < 0 else '+'}{percent(value)}"


def large(value: float) -> str:
    """Format a count with three significant digits, in millions where it has any.

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
    >>> large(1_738_211), large(98_743)
    ('1.74 million', '98,700')
    """
    return f"{three_digits(value / 1e6)} million" if abs(value) >= 1e6 else three_digits(value)


def duration(seconds: float) -> str:
    """Format a length of time in human units.

    Parameters
    ----------
    seconds : float
        The length [s].

    Returns
    -------
    str
        The text.

    Examples
    --------
    >>> duration(4.25), duration(45), duration(2880), duration(11_400), duration(400_000)
    ('4.2 s', '45 s', '48 min', '3 h 10 min', '4 d 15 h')
    """
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    if minutes < 120:
        return f"{minutes} min"
    if hours < 48:
        return f"{minutes // 60} h" + f" {minutes % 60} min" * bool(minutes % 60)
    return f"{hours // 24} d" + f" {hours % 24} h" * bool(hours % 24)


def dates(window: Window, timezone: str = "UTC") -> str:
    """First and last day of a window, for sentences beside the number that they belong to; times of a window below a day.

    Parameters
    ----------
    window : Window
        The window.
    timezone : str, default "UTC"
        Time zone of the days.

    Returns
    -------
    str
        Such as ``2026-11-09 to 2026-11-15`` or ``2026-11-23 11:08 to 11:50 UTC``.
    """
    if window.duration < timedelta(days=1):
        start, end = (one.astimezone(zone(timezone)) for one in (window.start, window.end))
        until = f"{end:%H:%M}" if start.date() == end.date() else f"{end:%Y-%m-%d %H:%M}"
        return f"{start:%Y-%m-%d %H:%M} to {until} {timezone}"
    ends = (window.start, window.end - timedelta(microseconds=1))
    first, last = (f"{one.astimezone(zone(timezone)):%Y-%m-%d}" for one in ends)
    return first if first == last else f"{first} to {last}"


def local(rows: pd.DataFrame, timezone: str) -> pd.DataFrame:
    """Convert the times of rows to the reader's clock, for sentences.

    Parameters
    ----------
    rows : DataFrame
        Any rows.
    timezone : str
        The reader's time zone.

    Returns
    -------
    DataFrame
        The rows, with all columns of times in that zone.
    """
    times = rows.select_dtypes("datetimetz").columns
    return rows.assign(**{str(name): rows[name].dt.tz_convert(zone(timezone)) for name in times})


def moment(time: pd.Timestamp, timezone: str = "", *, seconds: bool = False) -> str:
    """Word a moment on the reader's clock, with the zone's name.

    Parameters
    ----------
    time : pandas.Timestamp
        The moment, with a time zone.
    timezone : str, optional
        The reader's time zone. Default: the moment's own.
    seconds : bool, default False
        Whether to add the seconds.

    Returns
    -------
    str

    Examples
    --------
    >>> import pandas as pd
    >>> moment(pd.Timestamp("2026-11-15T22:00Z"), "Europe/Berlin")
    '2026-11-15 23:00 Europe/Berlin'
    """
    known = time.tz_convert(zone(timezone)) if timezone else time
    return f"{known:%Y-%m-%d %H:%M:%S} {known.tz}" if seconds else f"{known:%Y-%m-%d %H:%M} {known.tz}"


def described(statement: Mapping[str, Figure]) -> str:
    """Word where and how often a verdict's statement ran, for how long, and its last run.

    Parameters
    ----------
    statement : mapping of str to float, int, str or None
        The field `Verdict.statement`; only `digest` and `text` are always there.

    Returns
    -------
    str
        Such as ``21 runs on shop-2, 27 h in all, longest 2 h; last run 2026-11-15 22:00 UTC, thread 71``. If statistics
        count more calls than the log has runs, they come first, and the runs are called logged.
    """
    runs, calls = (float(statement.get(name) or 0) for name in ("runs", "calls"))
    if not runs and not calls:
        return f"digest {statement['digest']}"
    if not runs:
        return f"{_called(statement)}; no run was logged, so its last run and thread are unknown"
    total, longest = (float(statement[name] or 0) for name in ("total_s", "longest_s"))
    lasted = (
        f"for {duration(total)}" if runs == 1 else f"{duration(total)} in all, longest {duration(longest)}"
    )
    plural, several = "s" * (runs != 1), float(statement.get("of") or 1)
    prefix = f"the costliest of {several:,.0f} statements: " if several > 1 else ""
    last = f"last {'logged ' * (calls > runs)}run {statement['last']}" if statement.get("last") else ""
    thread = "" if statement.get("thread") is None else f", thread {statement['thread']}"
    if calls > runs:
        logged = f"the log has {runs:,.0f} run{plural} of it, {lasted}"
        return "; ".join(filter(None, (_called(statement), logged, f"{last}{thread}")))
    ran = f"{prefix}{runs:,.0f} run{plural} on {statement['instance']}, {lasted}"
    return "; ".join(filter(None, (ran, f"{last}{thread}")))


def _called(statement: Mapping[str, Figure]) -> str:
    calls, total = (float(statement[name] or 0) for name in ("calls", "called_s"))
    return f"called {large(calls)} times on {statement['instance']}, {duration(total)} in all"
