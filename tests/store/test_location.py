"""Where the store is: in code and in notebooks."""

from __future__ import annotations

import os
import subprocess
import sys

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
    """The location says that nothing named it, and opening it shows a warning at the line that opened it."""
    monkeypatch.chdir(tmp_path)
    found = location.resolve()
    assert (found.place, found.is_sample, found.is_default) == (str(location.sample()), True, True)
    with pytest.warns(UserWarning, match="No store is named .*: opening the bundled sample") as shown:
        assert Store().location == found.place
    assert shown[0].filename == __file__
    named = location.resolve(location.sample())
    assert (named.is_sample, named.is_default) == (True, False)


def test_a_script_that_names_no_store_shows_that_the_sample_is_opened(tmp_path):
    """On standard error, before anything is read: the sample's `shop` must not pass for one's own."""
    script = "from aurora_analysis import Store; Store()"
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("AURORA", "PYTHONW"))
    }
    shown = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert location.SAMPLE_OPENED in shown.stderr
    named = environment | {location.VARIABLE: str(location.sample())}
    silent = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=named, capture_output=True, check=True
    )
    assert silent.stderr == b""


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
