"""Run every notebook in JupyterLab in a real browser.

`python3 dev.py bench jupyterlab` exits with 1 if a cell fails or the page sends a request to another host. The tests run
one of the notebooks so.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests" / "test_jupyterlab.py"


def main() -> int:
    """Run the tests of JupyterLab with every notebook."""
    command = [sys.executable, "-m", "pytest", "-v", "--no-header", str(TESTS)]
    return subprocess.call(command, env=os.environ | {"AURORA_ANALYSIS_EVERY_NOTEBOOK": "1"})


if __name__ == "__main__":
    sys.exit(main())
