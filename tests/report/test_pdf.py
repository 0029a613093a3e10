"""A report prints as PDF where a browser is installed, and is refused in one line where none is."""

from __future__ import annotations

import os

import pytest

from aurora_analysis.errors import Error
from aurora_analysis.report import build, pdf


def test_without_a_browser_nothing_runs(tmp_path, monkeypatch):
    """The line names the option, what is missing and the way out, before any notebook runs."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Error, match="--format pdf needs Chromium or Chrome.*omit --format"):
        build.report(build.Request(pdf=True), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_each_page_gets_a_pdf(tmp_path):
    """The installed browser prints the pages of all clusters."""
    try:
        command = pdf.browser()
    except Error:
        pytest.skip("no Chromium is installed")
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "a.html").write_text("<!DOCTYPE html><title>a</title><p>So.</p>", encoding="utf-8")
    pdf.write(tmp_path, command)
    assert (tmp_path / "shop" / "a.pdf").read_bytes()[:5] == b"%PDF-"


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a shell script")
def test_a_browser_that_fails_is_one_line(tmp_path):
    """The line names the browser and the page, and says that the HTML is complete."""
    command = tmp_path / "chromium"
    command.write_text("#!/bin/sh\nexit 1\n")
    command.chmod(0o755)
    (tmp_path / "index.html").write_text("<p>So.</p>")
    with pytest.raises(Error, match="chromium failed on index.html; the HTML pages are complete"):
        pdf.write(tmp_path, str(command))
