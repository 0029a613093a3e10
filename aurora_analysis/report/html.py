"""Render an executed notebook as one self-contained HTML file that sends no request.

Text from the store (statements, user names, comments) may contain HTML. Three layers keep it from running: Jinja escapes
what the templates show; nh3 and `figures` clean what a notebook shows; and the page's Content-Security-Policy forbids
requests and every script but our own, which it names by hash.
"""

from __future__ import annotations

import ast
import base64
import functools
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import nbformat
import nh3
from markupsafe import Markup, escape
from nbconvert.filters import Highlight2HTML, ansi2html
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from aurora_analysis import statement_labels
from aurora_analysis.analysis.verdict import (
    MIME_TYPE,
    SEVERITIES,
    SPARKLINE,
    SYMBOLS,
    coded,
    described,
    duration,
    large,
)
from aurora_analysis.report import figures, sections, tables, tiles
from aurora_analysis.report.sections import Heading
from aurora_analysis.window import Window, zone

TEMPLATES = Path(__file__).parent / "templates"

SHOWN = ("text/html", "image/svg+xml", "image/png", "image/jpeg", "text/markdown", "text/latex", "text/plain")
"""MIME types that a page may show, the preferred first. Scripts and widgets are never shown."""

TAGS = nh3.ALLOWED_TAGS - {"area", "article", "aside", "footer", "header", "hgroup", "map", "nav"}
ATTRIBUTES = {
    "a": {"href", "title"},
    "img": {"src", "alt", "title", "width", "height"},
    "ol": {"start"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
}
"""Allowed attributes. No style and no class except pandas' own: notebook output must not pass for the report's own text."""


def page(notebook: nbformat.NotebookNode, findings: Sequence[Mapping[str, Any]]) -> str:
    """Render a notebook's page: its verdicts, its cells with folded code, and how it was made."""
    manifest = notebook.metadata["aurora_analysis"]
    contents: list[Heading] = []
    parameters = _defaults(notebook) | manifest["parameters"]
    place = Place(parameters["timezone"], captions(parameters))
    cells = [
        _cell(cell, contents, place._replace(number=n))
        for n, cell in enumerate(notebook.cells, 1)
        if ONLY_NOTEBOOK not in cell.metadata.get("tags", [])
    ]
    return render(
        "page.html.j2",
        title=title(notebook) or manifest["notebook"],
        manifest=manifest,
        window=window_text(manifest["parameters"]),
        findings=findings,
        gist=sorted(enumerate(findings, 1), key=lambda one: SEVERITIES.index(one[1]["severity"])),
        shown=sections.with_content(cells, contents),
    )


def render(template: str, **values: Any) -> str:
    """Render one of the templates; everything except Markup is escaped."""
    return _environment().get_template(template).render(**values)


def title(notebook: nbformat.NotebookNode) -> str:
    """Return the notebook's first heading, which is its question."""
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    found = re.search(r"^# +(.+?) *$", "\n".join(prose), re.MULTILINE)
    return re.sub(r"[`*_]", "", found[1]) if found else ""


def window_text(parameters: Mapping[str, Any]) -> str:
    """Format the window in the reader's time zone; the page's foot has it in UTC."""
    return Window(parameters["start"], parameters["end"]).text(parameters["timezone"])


def clean(fragment: str) -> str:
    """Remove everything from a notebook's HTML that runs, sends requests or moves out of its place."""
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


def figure_text(heading: str, source: str, *, named: bool = True) -> str:
    """Return a figure's alternative text: its section if `named`, and what its plot function draws."""
    place = heading or "on this page"
    drawn = [_drawn()[name] for name in dict.fromkeys(PLOTS.findall(source)) if name in _drawn()]
    return " ".join(
        [f"Figure: {place if place.endswith('?') else f'{place}.'}"] * (named or not drawn) + drawn
    )


PLOTS = re.compile(r"\bplots\.(\w+)\(")


@functools.cache
def _drawn() -> dict[str, str]:
    """First line of each plot function's docstring; read from the source, because a worker does not import matplotlib."""
    trees = [ast.parse(path.read_text("utf-8")) for path in sorted(PLOT_FILES.glob("*.py"))]
    functions = [one for tree in trees for one in tree.body if isinstance(one, ast.FunctionDef)]
    lines = {one.name: (ast.get_docstring(one) or "").split("\n")[0] for one in functions}
    return {
        name: line.removeprefix("Draw ").capitalize()
        for name, line in lines.items()
        if line.startswith("Draw ")
    }


PLOT_FILES = Path(__file__).parent.parent / "plots"


def _attribute(tag: str, name: str, value: str) -> str | None:
    """Allow images only if embedded, and never a link to a data: address."""
    is_data = value.strip().lower().startswith("data:")
    if (tag, name) == ("img", "src"):
        return value if value.strip().lower().startswith("data:image/") else None
    return None if is_data else value


class Place(NamedTuple):
    """Inputs of a cell's outputs: the page's time zone, the captions of tables by tag, and the cell's number."""

    timezone: str
    captions: Mapping[str, str]
    number: int = 0
    tags: Sequence[str] = ()

    @property
    def caption(self) -> str:
        """The window of the cell's tables."""
        return next((self.captions[tag] for tag in self.tags if tag in self.captions), self.captions[""])


def _defaults(notebook: nbformat.NotebookNode) -> dict[str, Any]:
    """Return the parameters that a notebook declares, with their defaults."""
    tagged = [cell.source for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    try:
        declared = [
            one for source in tagged for one in ast.parse(source).body if isinstance(one, ast.AnnAssign)
        ]
        return {ast.unparse(one.target): ast.literal_eval(one.value) for one in declared if one.value}
    except (SyntaxError, ValueError):
        return {}


LOOKBACK_DAYS = 14
"""Days that are compared where a notebook declares no `lookback_days`; the analyses' own default."""


def captions(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return the windows that a page's tables cover, by the tag of their cell.

    Without a tag, a table covers the report's window; with `compared`, the days over which ordinary days are compared; with
    `against`, the window and the previous one or a baseline; with `weeks`, the window and earlier weeks.
    """
    window = Window(parameters["start"], parameters["end"])
    compared = window.at_least(int(parameters.get("lookback_days", LOOKBACK_DAYS)))
    named = parameters.get("against")
    own, against = (_span(one, parameters["timezone"]) for one in (window, window.previous()))
    return {
        "": own,
        "compared": _span(compared, parameters["timezone"]),
        "against": f"{own}, against {named or against}",
        "weeks": f"{own}, against earlier weeks",
    }


def _span(window: Window, timezone: str) -> str:
    start, end = (moment.astimezone(zone(timezone)) for moment in (window.start, window.end))
    form = "%Y-%m-%d" if all(f"{one:%H:%M:%S}" == "00:00:00" for one in (start, end)) else "%Y-%m-%d %H:%M"
    return f"{start:{form}} to {end:{form}} {timezone}"


def _cell(cell: nbformat.NotebookNode, contents: list[Heading], place: Place) -> dict[str, Any]:
    """Prepare a cell for the template, and add its headings to the contents."""
    if cell.cell_type == "markdown":
        before = len(contents)
        prose = _anchored(_prose(cell.source), contents)
        return {"prose": prose, "code": "", "outputs": [], "sparklines": [], "headings": contents[before:]}
    tags = cell.metadata.get("tags", [])
    is_code = cell.cell_type == "code" and not PARAMETER_TAGS & set(tags)
    return {
        "prose": "",
        "headings": [],
        "anchor": next((tag for tag in ANCHORS if tag in tags), ""),
        "code": _highlighted(cell.source) if is_code and cell.source.strip() else "",
        "outputs": [
            _output(output, place._replace(tags=tags), n) for n, output in enumerate(cell.get("outputs", []))
        ],
        "sparklines": tiles.rows(
            [one.data[SPARKLINE] for one in cell.outputs if SPARKLINE in one.get("data", {})]
        )
        if cell.cell_type == "code"
        else [],
        "heading": contents[-1].text if contents else "",
        "source": cell.source,
    }


ANCHORS = ("longest-hold", "review")
"""Tags of cells that the index links; each is the id of its place on the page."""

ONLY_NOTEBOOK = "notebook-only"
"""Tag of cells that are about the notebook as it is delivered, and would mislead on a page about another cluster."""

PARAMETER_TAGS = {"parameters", "injected-parameters"}
"""Tags of cells whose code is hidden, because the page lists the parameters at its end."""


def _output(output: nbformat.NotebookNode, place: Place, number: int) -> dict[str, Any]:
    """Return the preferred form of an output: its MIME type, and its content as text or clean HTML."""
    if output.output_type == "stream":
        return {"kind": output.name, "content": _terminal(output.text)}
    if output.output_type == "error":
        return {"kind": "error", "content": _terminal("\n".join(output.traceback))}
    kind = next((kind for kind in (MIME_TYPE, SPARKLINE, *SHOWN) if kind in output.data), "")
    if kind == "image/svg+xml":
        return _drawing(output.data[kind], f"figure-{place.number}-{number}")
    if kind == "text/html":
        table = tables.readable(clean(output.data[kind]), place.timezone, escape(place.caption))
        return {
            "kind": kind,
            "content": linked(Markup(table)),
            "empty": not table or table.startswith(tables.NO_ROWS),
        }
    content = SHOW.get(kind, str)(output.data.get(kind, ""))
    return {"kind": kind, "content": content, "empty": not content}


def _drawing(svg: str, prefix: str) -> dict[str, Any]:
    try:
        return {"kind": "image/svg+xml", "content": figures.inline(svg, prefix)}
    except figures.Unusable as problem:
        note = Markup('<p class="none">This figure is not on the page: {}.</p>').format(problem)
        return {"kind": "text/markdown", "content": note}


def _prose(source: str) -> Markup:
    renderer = IPythonRenderer(escape=False, exclude_anchor_links=True)
    return Markup(clean(MarkdownWithMath(renderer=renderer).render(source)))


SMALLEST_FIGURE = 100
"""A lower figure has no data: `plots.mark_if_empty` leaves one line of text [px]."""


def _figure(content: str) -> str:
    """Return a PNG's data unless the figure has no data."""
    try:
        head = base64.b64decode(content[:64], validate=False)
    except ValueError:
        return content
    is_png = head[:8] == b"\x89PNG\r\n\x1a\n" and len(head) >= 24
    return "" if is_png and int.from_bytes(head[20:24], "big") < SMALLEST_FIGURE else content


def linked(shown: Markup, folder: str = "") -> Markup:
    """Replace each digest by its short id, in its colour, linked to the cluster's page of statements."""
    return Markup(
        TEXT.sub(lambda text: statement_labels.DIGEST.sub(partial(_link, folder=folder), text[0]), shown)
    )


TEXT = re.compile(r"(?:^|(?<=>))[^<>]+")
"""Text between tags; digests in attributes stay."""


def _link(digest: re.Match[str], folder: str) -> str:
    name = digest[0]
    return (
        f'<a class="digest c{statement_labels.colour_index(name)}" href="{folder}statements.html#{name}" title="{name}">'
        f"{statement_labels.short_id(name)}</a>"
    )


def _with_links(text: str, folder: str = "", statement: Mapping[str, Any] | None = None) -> Markup:
    """Escape a text and link its digests, and the short id of the finding's own statement."""
    digest = str((statement or {}).get("digest", ""))
    if statement_labels.DIGEST.fullmatch(digest):
        text = re.sub(rf"\b{statement_labels.short_id(digest)}\b", digest, text)
    return linked(escape(text), folder)


def _terminal(text: str) -> Markup:
    return Markup(ansi2html(text))


def _highlighted(source: str) -> Markup:
    return Markup(Highlight2HTML(pygments_lexer="ipython3")(source))


SHOW: dict[str, Callable[[str], str]] = {
    "image/png": _figure,
    "text/markdown": _prose,
    "text/plain": _terminal,
}
"""Renderers by MIME type; all other types are shown as escaped text."""


def _anchored(prose: Markup, contents: list[Heading]) -> Markup:
    """Give each heading an anchor, and drop the title, which the page's head shows."""

    def anchored(heading: re.Match[str]) -> str:
        level, inner = int(heading[1]), heading[2]
        if level == 1:
            return ""
        contents.append(Heading(level, f"section-{len(contents) + 1}", Markup(inner).striptags()))
        return f'<h{level} id="{contents[-1].anchor}">{inner}{_anchor(contents[-1])}</h{level}>'

    return Markup(re.sub(r"<h([1-4])>(.*?)</h\1>", anchored, prose, flags=re.DOTALL))


def _anchor(heading: Heading) -> Markup:
    """Return a link to the heading itself, to copy its address."""
    link = '<a class="anchor" href="#{}" aria-label="Link to {}">#</a>'
    return Markup(link).format(heading.anchor, heading.text)


ON_DARK = {"#bd1f01": "#f2584c", "#832db6": "#b98ae0", "#7a21dd": "#a97bff"}
"""Colours of series that are hard to see on a dark page → the colours that the page shows instead."""


def _swatches(shown: Mapping[str, str]) -> str:
    """Colour the mark beside each digest's short id."""
    numbered = enumerate(statement_labels.COLOURS)
    return "".join(f".digest.c{n}::before {{ background: {shown.get(one, one)}; }}\n" for n, one in numbered)


COLOURED = "".join(
    [
        _swatches({}),
        "@media screen and (prefers-color-scheme: dark) {\n",
        _swatches(ON_DARK),
        *(
            f'.chart [{name}="{colour}"] {{ {name}: {shown}; }}\n'
            for colour, shown in ON_DARK.items()
            for name in ("fill", "stroke")
        ),
        "}\n",
    ]
)
"""The style of statements and series, which follows from their colours."""


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["linked"] = _with_links
    environment.filters["coded"] = coded
    environment.globals["described"], environment.globals["lasting"] = described, duration
    environment.globals["counted"] = large
    environment.globals["short"], environment.globals["colour_of"] = (
        statement_labels.short_id,
        statement_labels.colour_index,
    )
    environment.globals["symbols"] = SYMBOLS
    environment.globals["sparkline_type"] = SPARKLINE
    environment.globals["finding_type"] = MIME_TYPE
    environment.globals["figure_text"] = figure_text
    environment.globals["style"] = Markup((TEMPLATES / "style.css").read_text("utf-8") + COLOURED)
    script = "".join((TEMPLATES / name).read_text("utf-8") for name in ("zoom.js", "page.js"))
    environment.globals["script"] = Markup(script)
    environment.globals["script_hash"] = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment
