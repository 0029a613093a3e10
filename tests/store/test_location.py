"""Where the store is: in code and in notebooks."""

from __future__ import annotations

import pytest

from aurora_analysis import Store
from aurora_analysis.errors import Error
from aurora_analysis.store import location


def test_a_notebook_reads_the_store_of_the_settings_file_above_it(tmp_path, monkeypatch):
    """`Store()` resolves as the commands do."""
    (tmp_path / "aurora-analysis.toml").write_text("store = 'mine'\n")
    folder = tmp_path / "notebooks"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert Store().location == str(tmp_path / "mine")
    monkeypatch.setenv(location.VARIABLE, "elsewhere")
    assert Store().location == "elsewhere"
    assert Store("here").location == "here"


def test_without_a_name_it_is_the_sample(tmp_path, monkeypatch):
    """The location says that nothing named it."""
    monkeypatch.chdir(tmp_path)
    found = location.resolve()
    assert (found.place, found.is_sample, found.is_default) == (str(location.sample()), True, True)
    named = location.resolve(location.sample())
    assert (named.is_sample, named.is_default) == (True, False)


@pytest.mark.parametrize("store", ["s3://bucket/aurora", "/srv/aurora"])
def test_addresses_and_absolute_folders_stay_as_they_are(store, tmp_path, monkeypatch):
    """Only a relative folder is taken from the settings file's folder."""
    (tmp_path / "aurora-analysis.toml").write_text(f"store = '{store}'\n")
    monkeypatch.chdir(tmp_path)
    assert location.writable().place == store


def test_a_named_settings_file_is_read(tmp_path, monkeypatch):
    """`settings` is what --config names; its folder is where a relative store begins."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.toml").write_text("store = '../data'\n")
    monkeypatch.chdir(tmp_path)
    found = location.resolve(settings="other/mine.toml")
    assert found == location.Location(str(tmp_path / "data"), "other/mine.toml")


def test_the_sample_is_never_written(monkeypatch):
    """Whatever names it."""
    monkeypatch.setenv(location.VARIABLE, str(location.sample()))
    with pytest.raises(Error, match="AURORA_ANALYSIS_STORE names the bundled sample, which is read-only"):
        location.writable()
