"""Write findings.md: the findings as text to paste into a chat, an e-mail or a pull request."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from aurora_analysis.analysis.verdict import SEVERITIES, SYMBOLS, described
from aurora_analysis.report import html, ranking

NAME = "findings.md"

UNSEEN = "\u200b"
"""A zero-width space, which keeps a mention or an address from becoming one."""


def text(
    document: Mapping[str, Any],
    leading: Sequence[Mapping[str, Any]],
    unknown: Mapping[str, Sequence[Mapping[str, Any]]],
    failures: Sequence[str],
) -> str:
    """Return the findings as Markdown.

    Parameters
    ----------
    document
        The content of findings.json.
    leading
        The findings to show in full.
    unknown
        The unknown findings by the action that would settle them.
    failures
        Lines on clusters without data and notebooks that failed.

    Returns
    -------
    str
        Text from the store is escaped: it makes no link, no HTML, no mention and no line of its own.
    """
    findings = ranking.counted(document["findings"])
    counts = Counter(finding["severity"] for finding in findings)
    lines = [f"# Aurora report: {', '.join(_cluster(one, document) for one in document['clusters'])}", ""]
    if document["run"].get("sample"):
        lines += ["This report is about the bundled sample, not about your clusters.", ""]
    marked = [plain(one["cluster"]) for one in document["clusters"] if one.get("simulated")]
    lines += [f"Simulated data: {', '.join(marked)}.", ""] * bool(marked)
    lines += [f"- **✕ {plain(line)}**" for line in failures] + [""] * bool(failures)
    summary = ", ".join(f"{counts[severity]} {severity}" for severity in SEVERITIES if counts[severity])
    lines += [f"**{summary or 'No notebook produced a finding.'}**", ""]
    lines += [line for finding in leading for line in _full(finding)]
    rest = [one for one in findings if one["severity"] in ("act", "watch") and not _in(one, leading)]
    lines += [_head(one) for one in rest]
    for action, missing in unknown.items():
        what = "; ".join(f"{plain(one['cluster'])}: {coded(one['headline'])}" for one in missing)
        lines.append(f"- {SYMBOLS['unknown']} unknown · {what}. To settle: {coded(action)}")
    return "\n".join(lines).rstrip() + "\n"


def _cluster(cluster: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    window = {"start": cluster["start"], "end": cluster["end"], "timezone": document["run"]["timezone"]}
    return (
        f"{plain(cluster['cluster'])}, {html.window_text(window) if cluster['start'] else 'window unknown'}"
    )


def _in(finding: Mapping[str, Any], leading: Sequence[Mapping[str, Any]]) -> bool:
    return any(one["page"] == finding["page"] for one in leading)


def _head(finding: Mapping[str, Any]) -> str:
    mark = f"{SYMBOLS[finding['severity']]} **{finding['severity']}**"
    return f"- {mark} · {plain(finding['cluster'])}: {coded(finding['headline'])}"


def _full(finding: Mapping[str, Any]) -> list[str]:
    """A finding with its statement, its action and its number, one line each."""
    lines, statement = [_head(finding)], finding.get("statement")
    if statement:
        code = " ".join(str(statement["text"]).replace("`", "").split())
        lines.append(f"  - Statement: `{code}` ({plain(described(statement))})")
    lines += [f"  - What to do: {coded(finding['action'])}"] * bool(finding["action"])
    return [*lines, f"  - How sure: {plain(finding['sentence'])}"]


def coded(line: str) -> str:
    """Escape a line except for what stands between backticks, which stays code."""
    parts = " ".join(line.split()).split("`")
    if len(parts) % 2 == 0:
        return plain(line)
    return "".join(f"`{part}`" if n % 2 else plain(part, strip=False) for n, part in enumerate(parts))


def plain(line: str, *, strip: bool = True) -> str:
    """Escape a text so that Markdown, HTML and chats show it as it is, on one line."""
    flat = " ".join(line.split()) if strip else re.sub(r"\s+", " ", line)
    flat = flat.replace("&", "&amp;").replace("<", "&lt;")
    flat = re.sub(r"([\\`*\[\]~|])", r"\\\1", flat)
    flat = re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", flat)
    return flat.replace("@", f"@{UNSEEN}").replace("://", f":{UNSEEN}//")
