"""A profile as one self-contained HTML page, whose table can be sorted.

Names and statements come from a log that anybody may have written: each is escaped, and the page's
Content-Security-Policy allows no request and only the one style sheet and the one script below, by their hashes.
Without scripts the page is complete, in the profile's order.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from html import escape
from typing import Any

from aurora_analysis.engines.log_events import Account
from aurora_analysis.printable import printable
from aurora_analysis.sources.profile_page import count, is_known, most, seconds, span
from aurora_analysis.statement_labels import COLOURS, colour_index, short_id

MOST_TEXT = 100
"""Longest beginning of a statement in the table [characters]."""

TIMES = ("response_time_s", "mean_s", "p50_s", "p95_s", "p99_s", "max_s", "lock_time_s")
COUNTS = ("calls", "rows_examined", "rows_sent")
HEADINGS = {
    "rank": "Rank",
    "digest": "Digest",
    "response_time_s": "Time",
    "share": "Share",
    "calls": "Calls",
    "mean_s": "Mean",
    "p50_s": "p50",
    "p95_s": "p95",
    "p99_s": "p99",
    "max_s": "Max",
    "lock_time_s": "Lock",
    "rows_examined": "Rows examined",
    "rows_sent": "Rows sent",
    "fingerprint": "Statement",
}

STYLE = """
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
body { margin: 1.5rem; }
h1 { font-size: 1.3rem; } h2 { font-size: 1rem; margin: 2rem 0 .3rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #8884; }
th { position: sticky; top: 0; background: Canvas; }
th button { font: inherit; background: none; border: 0; padding: 0; cursor: pointer; color: inherit; text-decoration: underline dotted; }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
.text { text-align: left; } .text code { display: inline-block; max-width: 40rem; overflow: hidden; text-overflow: ellipsis; vertical-align: bottom; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #8881; padding: .6rem; margin: .3rem 0; }
""" + "".join(f".c{n}{{border-left:.5rem solid {colour}}}" for n, colour in enumerate(COLOURS))

SCRIPT = """
const table = document.querySelector("table");
const value = (row, at) => row.cells[at].dataset.value;
table.querySelectorAll("thead th").forEach((head, at) => {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = head.textContent;
  head.replaceChildren(button);
  button.addEventListener("click", () => {
    const isNumber = head.dataset.kind === "number";
    const first = isNumber && at > 0 ? "descending" : "ascending";
    const other = first === "ascending" ? "descending" : "ascending";
    const order = head.getAttribute("aria-sort") === first ? other : first;
    table.querySelectorAll("th[aria-sort]").forEach(each => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const body = table.tBodies[0];
    const rows = [...body.rows].sort((a, b) => sign * (isNumber ? value(a, at) - value(b, at)
      : value(a, at) < value(b, at) ? -1 : value(a, at) > value(b, at) ? 1 : 0));
    body.append(...rows);
  });
});
"""


def page(summary: dict[str, Any]) -> str:
    """Render a summary as an HTML document.

    Parameters
    ----------
    summary : dict
        What `profile.summary` returns.
    """
    return "\n".join(_lines(summary))


def _lines(summary: dict[str, Any]) -> Iterator[str]:
    title = f"{summary['events']:,} executions of {summary['digests']:,} statements"
    yield "<!doctype html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_policy()}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{title}</title><style>{STYLE}</style></head><body><main>"
    yield f"<h1>{title}: {seconds(summary['sums']['query_time_s'])} in all</h1>"
    if summary["events"]:
        yield f"<p>{_text(span(summary))}</p>"
    yield f"<p>{_text(Account(**summary['coverage']))}</p>"
    if not summary["profile"]:
        yield "<p>The log holds no execution.</p></main></body></html>"
        return
    if summary["digests"] > len(summary["profile"]):
        yield f"<p>The first {len(summary['profile']):,} statements are listed; sums cover all of them.</p>"
    yield '<div class="scroll" tabindex="0" role="region" aria-label="Statements"><table><thead><tr>'
    names = [name for name in HEADINGS if is_known(summary, name)]
    yield "".join(_heading(name) for name in names)
    yield "</tr></thead><tbody>"
    for row in summary["profile"]:
        yield f"<tr>{''.join(_cell(name, row) for name in names)}</tr>"
    yield "</tbody></table></div>"
    for row in summary["profile"]:
        yield from _details(row)
    yield f"</main><script>{SCRIPT}</script></body></html>"


def _policy() -> str:
    allowed = {"style-src": STYLE, "script-src": SCRIPT}
    hashes = {
        name: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for name, text in allowed.items()
    }
    sources = "; ".join(f"{name} 'sha256-{digest}'" for name, digest in hashes.items())
    return f"default-src 'none'; {sources}; base-uri 'none'; form-action 'none'"


def _heading(name: str) -> str:
    is_text = name in {"digest", "fingerprint"}
    kind = ' class="text"' if is_text else ' data-kind="number"'
    return f'<th scope="col"{kind}>{HEADINGS[name]}</th>'


def _cell(name: str, row: dict[str, Any]) -> str:
    value = row[name]
    if name == "digest":
        colour = f"c{colour_index(value)}" if value != "other" else ""
        link = f'<a href="#s{row["rank"]}"><code>{_text(short_id(value))}</code></a>'
        return f'<td class="text {colour}" data-value="{_text(value)}">{link}</td>'
    if name == "fingerprint":
        shown = _text(value[:MOST_TEXT]) or "(no statement)"
        return f'<td class="text" data-value="{_text(value[:MOST_TEXT])}"><code>{shown}</code></td>'
    shown = (
        seconds(value)
        if name in TIMES
        else f"{value:.1%}"
        if name == "share"
        else count(value)
        if name in COUNTS
        else f"{value}"
    )
    exact = f' title="{value:,}"' if name in COUNTS else ""
    return f'<td data-value="{value}"{exact}>{shown}</td>'


def _details(row: dict[str, Any]) -> Iterator[str]:
    yield f'<section id="s{row["rank"]}"><h2>{row["rank"]}. <code>{_text(row["digest"])}</code></h2>'
    yield f"<p>Users: {_text(most(row['users'], 10))}<br>Hosts: {_text(most(row['hosts'], 10))}</p>"
    yield f"<pre><code>{_text(row['fingerprint']) or '(no statement)'}</code></pre></section>"


def _text(value: object) -> str:
    """Return a text of the log as HTML: escaped, without characters that are not printable."""
    return escape(printable(value))
