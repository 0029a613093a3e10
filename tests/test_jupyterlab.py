"""The suite in JupyterLab, in a real browser: an analyst opens a notebook and runs all cells; none fails."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aurora_analysis.report import suite

if TYPE_CHECKING:
    from playwright.sync_api import Page

NAMES = (
    [path.stem for path in suite.notebooks()]
    if os.environ.get("AURORA_ANALYSIS_EVERY_NOTEBOOK")
    else ["explore"]
)
"""The analyst's recipes, or all of them in `dev.py bench jupyterlab`; nbval runs every notebook without JupyterLab."""
TOKEN = "only-for-this-test"

QUIET = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}
"""Without this setting JupyterLab requests news from a host."""

CELLS = """
  const panel = window.jupyterapp.shell.currentWidget;
  const cells = [...panel.content.model.cells].filter(cell => cell.type === 'code');
"""

RAN = f"""() => {{
  {CELLS}
  const idle = panel.sessionContext.session?.kernel?.status === 'idle';
  const failed = ({{outputs}}) => Array.from(outputs, (_, n) => outputs.get(n).type).includes('error');
  return idle && (cells.every(cell => cell.executionCount !== null) || cells.some(failed));
}}"""

ERRORS = f"""() => {{
  {CELLS}
  const outputs = cells.flatMap(cell => cell.outputs.toJSON());
  return outputs.filter(output => output.output_type === 'error').map(output => output.evalue);
}}"""
COUNTS = f"() => {{ {CELLS} return cells.map(cell => cell.executionCount); }}"
CLEAR = """() => window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')"""
RUN = """() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }"""
OPEN = """path => { window.jupyterapp.commands.execute('docmanager:open', {path, factory: 'Notebook'}); }"""
READY = """path => {
  const session = window.jupyterapp.shell.currentWidget?.sessionContext?.session;
  return session?.path === path && session.kernel?.status === 'idle';
}"""


@pytest.fixture(scope="module")
def jupyterlab(tmp_path_factory) -> Iterator[str]:
    """Address of a JupyterLab server that serves a copy of the suite."""
    folder = tmp_path_factory.mktemp("jupyterlab")
    suite.copy(folder / "notebooks")
    settings = folder / "config" / "labconfig" / "default_setting_overrides.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(QUIET))
    own = {f"JUPYTER_{kind.upper()}_DIR": str(folder / kind) for kind in ("config", "data", "runtime")}
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        "--port=0",
    ]
    command += [f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={folder / 'notebooks'}"]
    command += ["--LabApp.expose_app_in_browser=True"]
    log = folder / "log"
    with log.open("w") as stream:
        server = subprocess.Popen(command, env=os.environ | own, stdout=stream, stderr=stream)
    try:
        yield f"http://127.0.0.1:{_port(log, server)}"
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope="module")
def foreign_requests() -> list[str]:
    """Addresses that the page requested, other than JupyterLab's."""
    return []


@pytest.fixture(scope="module")
def lab(jupyterlab, chromium_browser, foreign_requests) -> Iterator[Page]:
    """JupyterLab in the browser, which records requests to other hosts."""
    page = chromium_browser.new_page(viewport={"width": 800, "height": 400})  # few pixels to draw
    ours = (jupyterlab, jupyterlab.replace("http", "ws"), "data:", "blob:")
    page.on(
        "request",
        lambda request: None if request.url.startswith(ours) else foreign_requests.append(request.url),
    )
    page.goto(f"{jupyterlab}/lab?reset&token={TOKEN}")
    page.wait_for_function("() => window.jupyterapp", timeout=60_000)
    page.evaluate("() => window.jupyterapp.restored.then(() => true)")
    yield page
    page.close()


@pytest.mark.real
@pytest.mark.parametrize("name", NAMES)
def test_all_cells_run(name, lab, foreign_requests):
    """Every code cell gets its number, none fails, and no other host gets a request."""
    lab.evaluate(OPEN, f"{name}.ipynb")
    lab.wait_for_function(READY, arg=f"{name}.ipynb", timeout=60_000, polling=200)
    lab.evaluate(CLEAR)
    lab.evaluate(RUN)
    lab.wait_for_function(
        RAN, timeout=120_000, polling=200
    )  # at each frame, the check would cost more than the run
    assert lab.evaluate(ERRORS) == []
    assert lab.evaluate(COUNTS) == list(range(1, 1 + len(lab.evaluate(COUNTS))))
    assert foreign_requests == []


def _port(log: Path, server: subprocess.Popen) -> str:
    """Return the port that the server chose, from its log."""
    until = time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        if found := re.search(r"http://127\.0\.0\.1:(\d+)/lab", log.read_text()):
            return found[1]
        time.sleep(0.1)
    pytest.fail(f"JupyterLab did not start: {log.read_text()[-500:]}")
