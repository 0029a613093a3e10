"""A report's folder is replaced at once; what a killed report left is removed, and nothing else."""

from __future__ import annotations

import pytest

from aurora_analysis.report import replacement


def left_behind(parent, name: str, *content: str):
    """A hidden folder as a killed report leaves it."""
    folder = parent / name
    for one in ("new", *content):
        (folder / one).mkdir(parents=True)
    (folder / "lock").touch()
    return folder


def test_the_next_report_removes_what_a_killed_one_left(tmp_path):
    """Only for the same report: others may be somebody else's."""
    left_behind(tmp_path, ".out.abcdefgh")
    other = left_behind(tmp_path, ".other.abcdefgh")
    with replacement.built(tmp_path / "out") as folder:
        (folder / "index.html").touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == [other.name, "out"]


def test_the_next_report_of_an_archive_removes_all(tmp_path):
    """Next week's report has another name."""
    left_behind(tmp_path, ".2026-W45.abcdefgh")
    with replacement.built(tmp_path / "2026-W46", archived=True):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["2026-W46"]


def test_a_report_that_runs_keeps_its_folder(tmp_path):
    """A second report to the same place does not remove the folder of the first."""
    with replacement.built(tmp_path / "out") as first:
        (first / "a").touch()
        with replacement.built(tmp_path / "out"):
            pass
        assert (first / "a").exists()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_earlier_report_that_was_moved_away_comes_back(tmp_path):
    """The process was killed between moving the earlier report out and the new one in."""
    hidden = left_behind(tmp_path, ".out.abcdefgh", "old-0")
    (hidden / "old-0" / "earlier").touch()
    with pytest.raises(RuntimeError), replacement.built(tmp_path / "out"):
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["earlier"]


@pytest.mark.parametrize("name", [".out.abcdefgh", ".out.d", ".out"])
def test_other_hidden_folders_stay(tmp_path, name):
    """A folder with other content or another kind of name is not a report's."""
    mine = tmp_path / name
    mine.mkdir()
    (mine / "mine").touch()
    with replacement.built(tmp_path / "out"):
        pass
    assert (mine / "mine").exists()
