"""Small multiples: one tile per role and measure, lines that break at gaps, and text for screen readers."""

from __future__ import annotations

from aurora_analysis.report import tiles

LOAD = {
    "topic": "db_load",
    "role": "writer",
    "measure": "active sessions",
    "unit": "sessions",
    "course": "1 2 - 4 2",
    "low": "1 1 1 1 -",
    "high": "2 2 2 2 -",
    "limit": 8.0,
    "mean": 2.25,
    "change_pct": -3.6,
}


def test_a_line_breaks_where_nothing_was_observed():
    """The gap splits the line in two; the band ends where earlier weeks have no values; a near limit is drawn."""
    svg = str(tiles.rows([LOAD])[0][1][0]["svg"])
    line = svg.split('class="line" d="')[1].split('"')[0]
    assert line.count("M") == 2
    assert svg.count('class="band"') == 1
    assert 'class="limit"' in svg


def test_a_limit_far_above_is_left_out():
    """A distant limit would flatten the line."""
    assert 'class="limit"' not in tiles.rows([LOAD | {"limit": 96.0}])[0][1][0]["svg"]


def test_a_tile_has_its_numbers_as_text():
    """A screen reader reads what the drawing shows."""
    ((role, (tile,)),) = tiles.rows([LOAD])
    assert role == "writer"
    assert tile["spoken"] == (
        "writer, active sessions: 2.25 sessions on average, -4 % from the previous window. Open the page."
    )


def test_roles_are_rows_the_writer_first():
    """The order of the notebooks does not matter."""
    shuffled = [LOAD | {"role": role} for role in ("shop-3", "shop-1", "writer", "shop-3")]
    assert [(role, len(row)) for role, row in tiles.rows(shuffled)] == [
        ("writer", 1),
        ("shop-1", 1),
        ("shop-3", 2),
    ]
