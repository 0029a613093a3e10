"""Inline SVG: only listed elements, attributes and values stay; ids are new; what cannot be read is not shown."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree

import matplotlib as mpl
import pandas as pd
import pytest

from aurora_analysis import hover, plots
from aurora_analysis.report import figures

OPEN = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 200 100">'


def shown(inside: str) -> str:
    """Return what a page shows of an SVG with this content."""
    return str(figures.inline(f"{OPEN}{inside}</svg>", "f")).partition(">")[2].removesuffix("</svg>")


DOT = '<path id="p" d="M 0 0 L 1 1"/>'

GONE = [
    "<script>x()</script>",
    '<script href="http://x.test/a.js"/>',
    "<style>* { background: url(http://x.test) }</style>",
    "<foreignObject><div xmlns='http://www.w3.org/1999/xhtml'><script>x()</script></div></foreignObject>",
    '<a href="javascript:x()"><path d="M0 0"/></a>',
    '<animate attributeName="href" values="javascript:x()"/>',
    '<set attributeName="onmouseover" to="x()"/>',
    '<svg onload="x()"><path d="M0 0"/></svg>',
    "<title>&lt;img src=x onerror=x()&gt;</title>",
    "<desc><b xmlns='http://www.w3.org/1999/xhtml'>x</b></desc>",
    "<metadata>x</metadata>",
    "<filter id='f'><feImage href='http://x.test/a.png'/></filter>",
    "<mask id='m'/>",
    "<marker id='m'/>",
    "<symbol id='s'/>",
    "<switch/>",
    "<iframe xmlns='http://www.w3.org/1999/xhtml' src='http://x.test'/>",
    "<math xmlns='http://www.w3.org/1998/Math/MathML'/>",
    "<x:path xmlns:x='urn:x' d='M0 0'/>",
    "<PATH d='M0 0'/>",
    "<!-- x --><?x y?>",
]


@pytest.mark.parametrize("given", GONE)
def test_other_elements_are_dropped_with_all_inside(given):
    """Scripts, styles, links, animations, other languages, and elements of other namespaces or spelling."""
    assert shown(given) == ""


BARE = [
    'onload="x()"',
    'onclick="x()"',
    'class="verdict"',
    'id="finding-1"',
    'style="fill: url(http://x.test/#a)"',
    'style="background: red; position: fixed; width: expression(x())"',
    'style="fill: url(javascript:x())"',
    'fill="url(http://x.test/#a)"',
    'fill="url(&quot;#a&quot;)"',
    'fill="red;x"',
    'clip-path="url(http://x.test/#a)"',
    'filter="url(#f)"',
    'mask="url(#f)"',
    'transform="translate(1) url(x)"',
    'stroke-width="expression(x())"',
    'href="http://x.test/"',
    'xlink:href="javascript:x()"',
    'xml:base="http://x.test/"',
    'tabindex="0"',
    'data-note="x"',
]


@pytest.mark.parametrize("given", BARE)
def test_other_attributes_and_values_are_dropped(given):
    """A value counts only if all of it has the form of its attribute; a rectangle takes no address and no id."""
    assert shown(f"<rect {given}/>") == "<rect></rect>"


@pytest.mark.parametrize(
    "address", ["http://x.test/#p", "#none", "#g", "javascript:x()", "data:image/svg+xml,x", "x.svg#p", "# p"]
)
def test_a_use_refers_to_a_path_before_it(address):
    """Not to another file, and not to a group, which could hold uses of uses."""
    assert "href" not in shown(f'<g id="g">{DOT}</g><use xlink:href="{address}"/>')
    assert shown(f'{DOT}<use xlink:href="#p"/>').endswith('<use href="#f-0"></use>')


@pytest.mark.parametrize(
    "address",
    ["http://x.test/a.png", "data:image/svg+xml;base64,AA", "data:text/html,x", 'data:image/png;base64,AA"x'],
)
def test_a_picture_is_an_embedded_png(address):
    """Nothing is requested, and no SVG comes in through a picture."""
    quoted = address.replace('"', "&quot;")
    assert shown(f'<image xlink:href="{quoted}"/>') == "<image></image>"
    assert shown('<image xlink:href="data:image/png;base64,AA&#10;BB=="/>').count("base64,AABB==") == 1


def test_text_stays_text():
    """Markup in labels is shown, never parsed; in the note of a mark as well."""
    hostile = "&lt;/text&gt;&lt;script&gt;x()&lt;/script&gt;&lt;img src=x onerror=x()&gt;"
    assert shown(f"<text>{hostile}</text>") == f"<text>{hostile}</text>"
    note = (
        hover.note("label", text="</title><script>x()</script>").replace("<", "&lt;").replace('"', "&quot;")
    )
    assert shown(f'<g id="{note}"/>') == (
        '<g class="mark"><title>&lt;/title&gt;&lt;script&gt;x()&lt;/script&gt;</title></g>'
    )


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("<svg", "not valid SVG"),
        (f"{OPEN}<g></svg>", "not valid SVG"),
        ("plain text", "not valid SVG"),
        ('<svg xmlns="http://www.w3.org/2000/svg"/>', "no viewBox"),
        (f'<!DOCTYPE svg [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>{OPEN}<text>&b;</text></svg>', "entities"),
        (f'<!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]>{OPEN}<text>&a;</text></svg>', "entities"),
        (f"{OPEN}{'<g>' * 100}{'</g>' * 100}</svg>", "too deeply"),
        (f"{OPEN}{'<mask>' * 100}{'</mask>' * 100}</svg>", "too deeply"),
        (f'{OPEN}<path d="{"M0 0" * 300_000}"/></svg>', "1.2 MB"),
        (" " * 9_000_000, "9.0 MB"),
    ],
)
def test_what_cannot_be_shown_says_why(given, says):
    """Damaged, endless and huge figures are not shown, and one line says why."""
    with pytest.raises(figures.Unusable, match=says):
        figures.inline(given, "f")


def test_an_svg_of_another_root_shows_nothing():
    """HTML that calls itself SVG has no element of an SVG."""
    assert figures.inline("<html><script>x()</script></html>", "f") == ""


LATENCY = pd.Series(
    range(120), index=pd.date_range("2026-11-09", periods=120, freq="min", tz="UTC"), dtype=float
)
RUNS = pd.DataFrame({"workload": ["etl <b>"], "start": LATENCY.index[[10]], "end": LATENCY.index[[50]]})


@pytest.fixture(scope="module")
def drawing() -> str:
    """The SVG of a time series over shaded runs, as a report's kernel writes it."""
    written = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "a"}):
        figure = plots.history_list_length(LATENCY, RUNS, timezone="Europe/Berlin").figure
        figure.savefig(written, format="svg", metadata={"Date": None}, bbox_inches="tight")
    return written.getvalue()


def test_two_figures_of_a_page_share_no_id(drawing):
    """Every reference finds its element."""
    pages = [str(figures.inline(drawing, prefix)) for prefix in ("figure-1-0", "figure-2-0")]
    ids = [set(re.findall(r' id="([^"]+)"', page)) for page in pages]
    assert ids[0] and not ids[0] & ids[1]
    for page, own in zip(pages, ids):
        assert set(re.findall(r'(?:href="|url\()#([^")]+)', page)) <= own
    assert ElementTree.fromstring(pages[0]).tag == "svg"


def test_a_drawing_says_what_it_measures(drawing):
    """The axes' scales, zone and names, and the names of series, are notes that the page's script reads."""
    page = ElementTree.fromstring(str(figures.inline(drawing, "f")))
    notes = [hover.read(hover.MARK + one.get("data-note")) for one in page.iter() if one.get("data-note")]
    axes, line = notes
    assert line == {"kind": "line", "name": ""}
    assert axes["x"]["scale"] == "time" and axes["x"]["zone"] == "Europe/Berlin"
    assert axes["y"]["name"] == "history list length [transactions]"
    low, high = axes["x"]["is"]
    assert low < LATENCY.index[0].timestamp() * 1000 < LATENCY.index[-1].timestamp() * 1000 < high


def test_notes_lead_back_to_the_values(drawing):
    """Each point of the line, read from the drawing by its notes, is the value that was drawn."""
    page = ElementTree.fromstring(str(figures.inline(drawing, "f")))
    parents = [one for one in page.iter() if one.get("data-note")]
    axes = hover.read(hover.MARK + parents[0].get("data-note"))
    path = parents[1].find("path").get("d")
    points = [tuple(map(float, pair)) for pair in re.findall(r"([\d.]+) ([\d.]+)", path)]
    for x, y in points:
        at, value = (read(axes[name], place) for name, place in (("x", x), ("y", y)))
        minute = (at / 1000 - LATENCY.index[0].timestamp()) / 60
        assert abs(value - minute) < 0.1
    assert len(points) >= 2


def read(axis: dict, place: float) -> float:
    """Return an axis' value at a place, as the page's script does on a linear scale."""
    (here, there), (low, high) = axis["at"], axis["is"]
    return low + (high - low) * (place - here) / (there - here)


@pytest.mark.parametrize(
    "given",
    [
        "figure_1",
        "hover:",
        "hover:[]",
        'hover:{"kind": []}',
        'hover:{"kind": "line"}',
        'hover:{"kind": "line", "name": 1}',
        'hover:{"kind": "line", "name": "a", "more": 1}',
        'hover:{"kind": "axes", "title": "", "x": {}, "y": {}}',
        "hover:" + "[" * 100_000,
    ],
)
def test_a_damaged_note_is_no_note(given):
    """Ids of other programs and damaged notes have no effect."""
    assert hover.read(given) is None


def test_a_week_of_minutes_stays_small():
    """Ages of a read view that rise and fall, held by several workloads in turn, and a stack of wait classes."""
    minutes = pd.date_range("2026-11-09", periods=10_080, freq="min", tz="UTC")
    number = pd.Series(range(10_080), index=minutes)
    states = {"state": "held", "run": pd.array(number // 90 % 3, dtype="Int64")}
    views = pd.DataFrame(
        states | {"since": minutes - pd.to_timedelta(number % 90, unit="min")}, index=minutes
    )
    load = {"time": minutes.repeat(5), "instance": "a", "wait_class": list("vwxyz") * 10_080}
    classes = pd.DataFrame(load | {"active_sessions": [one % 7 / 7 for one in range(50_400)]})
    profiles = pd.DataFrame({"instance": ["a"], "role": ["writer"], "vcpus": [4.0]})
    drawn = [
        plots.read_view_age(views, pd.DataFrame({"workload": ["a", "b", "c"]})),
        plots.active_sessions(classes, profiles)[0],
    ]
    for ax in drawn:
        written = io.StringIO()
        ax.figure.savefig(written, format="svg", bbox_inches="tight")
        assert len(figures.inline(written.getvalue(), "f")) < 200_000
