"""The page of `review`: one document, and its Markdown and HTML."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from aurora_analysis.window import Window

if TYPE_CHECKING:
    from aurora_analysis.analysis.limits import Review
    from aurora_analysis.analysis.limits.replay import Interval
    from aurora_analysis.analysis.limits.review import Alternative

COLUMNS = ("", "start", "{measure}", "writer slower by [%]", "over the objective [min]", "drained after [min]", "verdict")  # fmt: skip
FIGURES = ("length", "slowdown_pct", "minutes_over", "drain_min")
SYMBOLS = {
    "within the objective": "●",
    "may exceed the objective": "◆",
    "over the objective": "▲",
    "cannot tell": "?",
}
CELLS = (
    "Each cell: prediction and 95 % prediction interval; – is not predicted, ∞ is beyond what was replayed. "
    "The first figure is at least that of recorded hours with a sample every 5 minutes in which no view was held and no earlier hold drained."
)

STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { margin: 1.5rem auto; max-width: 62rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; text-align: left; vertical-align: top; border-bottom: 1px solid #8884; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #8881; padding: .6rem; }
.small { font-size: .9rem; opacity: .85; }
"""


def document(
    found: Review, cluster: str, window: Window, statement: dict[str, Any] | None, timezone: str
) -> dict[str, Any]:
    """Plain data of a review; what is not known is null. Starts are in the time zone, the window that it learned from in UTC."""
    return {
        "cluster": cluster,
        "learned_from": {"start": f"{window.start:%Y-%m-%dT%H:%M:%SZ}", "end": f"{window.end:%Y-%m-%dT%H:%M:%SZ}"},
        "timezone": timezone,
        "hold_min": found.request.minutes,
        "objective_pct": found.request.objective_pct,
        "statement": statement,
        "level": found.level,
        "headline": found.headline,
        "measure": found.measure,
        "sentences": found.sentences,
        "as_planned": _row(found.as_planned) if found.as_planned else None,
        "alternatives": [_row(one) for one in found.alternatives],
        "safest_hours": [_row(one) for one in found.safest],
    }  # fmt: skip


def _row(one: Alternative) -> dict[str, Any]:
    figures = {name: _figures(getattr(one.outcome, name)) for name in (*FIGURES, "mean_slowdown_pct")}
    return {"name": one.name, "how": one.how, "start": one.start, "level": one.level, **figures}


def _figures(interval: Interval) -> dict[str, float | str | None]:
    ends = {"value": interval.value, "low": interval.low, "high": interval.high}
    return {name: _figure(value) for name, value in ends.items()}


def _figure(value: float) -> float | str | None:
    if isfinite(value):
        return float(f"{value:.4g}")
    return "beyond" if value > 0 else None


def markdown(page: dict[str, Any]) -> str:
    """The page as Markdown."""
    lines = [
        f"# {SYMBOLS[page['level']]} {page['headline']}",
        "",
        f"**{page['level']}** · {_about(page)}",
        "",
    ]
    lines += [f"- {sentence}" for sentence in page["sentences"]]
    if page["statement"]:
        lines += [
            "",
            f"Statement {page['statement']['digest']}: `{page['statement']['text'][:300].replace('`', ' ')}`",
        ]
    for title, rows in _tables(page):
        lines += ["", f"## {title}", "", f"| {' | '.join(_columns(page))} |", f"|{'---|' * len(COLUMNS)}"]
        lines += [f"| {' | '.join(cell.replace('|', '/') for cell in _cells(row))} |" for row in rows]
    if page["alternatives"]:
        lines += ["", *(f"- **{row['name']}**: {row['how']}" for row in page["alternatives"]), "", CELLS]
    return "\n".join(lines)


def html(page: dict[str, Any]) -> str:
    """The page as one HTML file without script, whose policy allows no request."""
    parts = [
        Markup("<h1>{} {}</h1><p><strong>{}</strong> · {}</p>").format(
            SYMBOLS[page["level"]], page["headline"], page["level"], _about(page)
        ),
        _list(page["sentences"]),
    ]
    if page["statement"]:
        parts.append(
            Markup("<p>Statement {}</p><pre>{}</pre>").format(
                page["statement"]["digest"], page["statement"]["text"]
            )
        )
    for title, rows in _tables(page):
        head = Markup("").join(Markup("<th scope=col>{}</th>").format(name) for name in _columns(page))
        body = Markup("").join(
            Markup("<tr>{}</tr>").format(
                Markup("").join(Markup("<td>{}</td>").format(cell) for cell in _cells(row))
            )
            for row in rows
        )
        table = Markup(
            "<div class=scroll tabindex=0><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>"
        )
        parts += [Markup("<h2>{}</h2>").format(title), table.format(head, body)]
    if page["alternatives"]:
        parts.append(_list([f"{row['name']}: {row['how']}" for row in page["alternatives"]]))
        parts.append(Markup("<p class=small>{}</p>").format(CELLS))
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"><title>{escape(page["headline"])}</title>'
        f"<style>{STYLE}</style></head><body><main>{Markup('').join(parts)}</main></body></html>"
    )


def _columns(page: dict[str, Any]) -> list[str]:
    return [name.format(measure=page["measure"]) for name in COLUMNS]


def _list(lines: Sequence[str]) -> Markup:
    return Markup("<ul>{}</ul>").format(Markup("").join(Markup("<li>{}</li>").format(line) for line in lines))


def _about(page: dict[str, Any]) -> str:
    learned = Window(**page["learned_from"]).text(page["timezone"])
    return f"cluster {page['cluster']}, objective +{page['objective_pct']:g} %, learned from {learned}"


def _tables(page: dict[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    if page["as_planned"]:
        yield "As planned, and alternatives", [page["as_planned"], *page["alternatives"]]
        yield "Safest hours of the week", page["safest_hours"]


def _cells(row: dict[str, Any]) -> list[str]:
    figures = [_cell(row[name], name) for name in FIGURES]
    return [row["name"], row["start"], *figures, f"{SYMBOLS[row['level']]} {row['level']}"]


def _cell(figures: dict[str, Any], name: str) -> str:
    if figures["value"] is None:
        return "–"
    value, low, high = (_number(figures[end], name) for end in ("value", "low", "high"))
    return value if value == low == high else f"{value} ({low} to {high})"


def _number(value: float | str, name: str) -> str:
    if isinstance(value, str):
        return "∞"
    return f"{float(f'{value:.3g}'):,.0f}" if name != "slowdown_pct" else f"{float(f'{value:.2g}'):g}"
