"""Pages: an executed notebook as one self-contained HTML file that runs nothing and asks nobody.

Text from the store (statements, user names, comments) may hold HTML. Three walls stand before it: Jinja escapes
what our templates show, nh3 cleans what a notebook shows, and the page's Content-Security-Policy forbids
scripts and requests altogether.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import nbformat
import nh3
from markupsafe import Markup
from nbconvert import TemplateExporter
from nbconvert.filters import Highlight2HTML
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from traitlets.config import Config

from aurora_analysis.analysis.verdict import MIME_TYPE, SYMBOLS
from aurora_analysis.window import Window, zone

TEMPLATES = Path(__file__).parent / "templates"

SHOWN = ("text/html", "image/png", "image/jpeg", "text/markdown", "text/latex", "text/plain")
"""What is shown of an output, the best first. Never script, SVG or widgets."""

TAGS = nh3.ALLOWED_TAGS - {"area", "article", "aside", "footer", "header", "hgroup", "map", "nav"}
ATTRIBUTES = {
    "a": {"href", "title"},
    "img": {"src", "alt", "title", "width", "height"},
    "ol": {"start"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
}
"""No style, and no class but pandas' own: what a notebook shows must not pass for a part of the page."""


def page(notebook: nbformat.NotebookNode, findings: Sequence[Mapping[str, Any]]) -> str:
    """A notebook's page: its verdicts, its cells with the code folded, and how it was made."""
    manifest = notebook.metadata["aurora_analysis"]
    body, contents = _body(notebook, findings)
    return render(
        "page.html.j2",
        title=title(notebook) or manifest["notebook"],
        manifest=manifest,
        window=window_text(manifest["parameters"]),
        findings=findings,
        contents=contents,
        body=Markup(body),  # cleaned, output by output, in cells/index.html.j2
    )


def render(template: str, **values: Any) -> str:
    """One of our templates; everything that is not Markup is escaped."""
    return _environment().get_template(template).render(**values)


def title(notebook: nbformat.NotebookNode) -> str:
    """The notebook's first heading: the question that it asks."""
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    found = re.search(r"^# +(.+?) *$", "\n".join(prose), re.MULTILINE)
    return re.sub(r"[`*_]", "", found[1]) if found else ""


def window_text(parameters: Mapping[str, Any]) -> str:
    """The window in the reader's time zone, and in UTC where that is another."""
    window, timezone = Window(parameters["start"], parameters["end"]), parameters["timezone"]
    if timezone == "UTC":
        return str(window)
    start, end = (moment.astimezone(zone(timezone)) for moment in (window.start, window.end))
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} {timezone} ({window})"


def clean(fragment: str) -> str:
    """HTML of a notebook without anything that runs, asks, or leaves its place."""
    return nh3.clean(
        fragment,
        tags=TAGS,
        attributes=ATTRIBUTES,
        allowed_classes={"table": {"dataframe"}},
        clean_content_tags={"script", "style"},
        attribute_filter=_attribute,
        url_schemes={"http", "https", "mailto", "data"},
        link_rel="noopener noreferrer",
    )


def aligned(fragment: str) -> str:
    """A table whose numbers stand right, and whose dates and names stay on one line, column by column."""
    if "<table" not in fragment or "rowspan" in fragment or "colspan" in fragment:
        return fragment
    columns: dict[int, list[str]] = {}
    for row in ROW.findall(fragment):
        for n, (kind, text) in enumerate(CELL.findall(row)):
            columns.setdefault(n, []).extend([text] * (kind == "td"))
    kinds = {n: _kind(texts) for n, texts in columns.items()}
    return ROW.sub(lambda row: f"<tr>{_with_kinds(row[1], kinds)}</tr>", fragment)


ROW = re.compile(r"<tr>(.*?)</tr>", re.DOTALL)
CELL = re.compile(r"<(t[dh])[^>]*>(.*?)</t[dh]>", re.DOTALL)
NUMBER = re.compile(
    r"\s*((([-+−±≤≥~]|&lt;|&gt;)\s*)?\d[\d.,]*(e[-+]?\d+)?\s*%?|inf|-inf|nan|NaN|NaT|None|–|-)?\s*"
)
SHORT = 28
"""A text of so many characters at most is not broken into lines: a time with its zone has 25."""


def _kind(texts: Sequence[str]) -> str:
    if texts and all(map(NUMBER.fullmatch, texts)):
        return "number"
    return "short" if all(len(text) <= SHORT for text in texts) else ""


def _with_kinds(row: str, kinds: Mapping[int, str]) -> str:
    cells = enumerate(re.split(r"(?=<t[dh][ >])", row)[1:])
    return "".join(
        re.sub(r"^<(t[dh])", rf'<\1 class="{kinds[n]}"', cell) if kinds.get(n) else cell for n, cell in cells
    )


def _attribute(tag: str, name: str, value: str) -> str | None:
    """Images only from the page itself; a link never to data."""
    is_data = value.strip().lower().startswith("data:")
    if (tag, name) == ("img", "src"):
        return value if value.strip().lower().startswith("data:image/") else None
    return None if is_data else value


def _body(
    notebook: nbformat.NotebookNode, findings: Sequence[Mapping[str, Any]]
) -> tuple[str, list[tuple[int, str, str]]]:
    """The cells as HTML, and the contents: level, anchor and text of each heading below the title."""
    headings = _Headings()
    exporter = TemplateExporter(
        template_name="cells",
        template_file="index.html.j2",
        extra_template_basedirs=[str(TEMPLATES)],
        config=Config({"NbConvertBase": {"display_data_priority": [MIME_TYPE, *SHOWN]}}),
        filters={
            "markdown": _markdown,
            "highlight": Highlight2HTML(pygments_lexer="ipython3"),
            "clean": clean,
            "aligned": aligned,
            "anchored": headings.anchored,
            "finding": _Findings(findings),
        },
    )
    body, _ = exporter.from_notebook_node(_captioned(notebook))
    return body, headings.found


def _markdown(source: str) -> str:
    renderer = IPythonRenderer(escape=False, exclude_anchor_links=True)
    return MarkdownWithMath(renderer=renderer).render(source)


class _Headings:
    """Gives each heading an anchor of its own, and remembers them in order."""

    def __init__(self) -> None:
        self.found: list[tuple[int, str, str]] = []

    def anchored(self, fragment: str) -> str:
        return re.sub(r"<h([1-4])>(.*?)</h\1>", self._anchor, fragment, flags=re.DOTALL)

    def _anchor(self, heading: re.Match[str]) -> str:
        level, text = int(heading[1]), Markup(heading[2]).striptags()
        if level == 1:
            return ""  # the page's head has it
        anchor = f"section-{len(self.found) + 1}"
        self.found.append((level, anchor, text))
        return f'<h{level} id="{anchor}">{heading[2]}</h{level}>'


class _Findings:
    """Renders the page's findings in order, with the numbers that the index links to."""

    def __init__(self, findings: Sequence[Mapping[str, Any]]) -> None:
        self.rest = iter(enumerate(findings, 1))

    def __call__(self, data: Mapping[str, Any]) -> str:
        number, finding = next(self.rest, (0, None))
        if finding is None:  # the notebook failed because of it
            return Markup('<pre class="output">{}</pre>').format(data.get("text/plain", ""))
        return render("finding.html.j2", finding=finding, number=number)


def _captioned(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Each code cell knows the heading above it: the words for those who do not see its figure."""
    heading = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            heading = (re.findall(r"^#+ +(.+)$", cell.source, re.MULTILINE) or [heading])[-1]
        else:
            cell.metadata["heading"] = heading
    return notebook


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.globals["symbols"] = SYMBOLS
    environment.globals["style"] = Markup((TEMPLATES / "style.css").read_text("utf-8"))
    return environment
