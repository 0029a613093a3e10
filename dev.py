#!/usr/bin/env python3
"""Set up aurora-analysis and run its chores: `python3 dev.py demo`, `python3 dev.py test`.

The script uses the standard library only, so that a fresh machine needs nothing but Python 3.11 and a package index.
It creates the environment once in `.venv` from the hashed lock: with uv from the PATH, otherwise with uv installed by
pip into `.tools`, otherwise with plain pip.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
TOOLS = ROOT / ".tools"
STAMP = VENV / "made-from"
LOCK = ROOT / "requirements.lock"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
SCANNER = [ROOT / "hatch_build.py", *sorted((ROOT / "aurora_analysis").rglob("_scanner*.[ch]"))]
"""What the compiled scanner is made from: after an edit it is compiled again."""
PURE = os.environ.get("AURORA_ANALYSIS_PURE", "0")
"""Whether the scanner is not to be compiled: see `aurora_analysis.engines.mysql.slow_log.compiled`."""
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def main() -> int:
    """Run the named chore and return its exit code."""
    chores = {
        "demo": (demo, "build a report over all clusters of data/sample, and one of the week before"),
        "test": (test, "run lint, types, tests, and the notebooks against their committed outputs"),
        "lint": (lint, "check style, types, docstrings and spelling: ruff, mypy, numpydoc, codespell"),
        "notebooks": (notebooks, "run all or the named notebooks on the sample and save their outputs"),
        "snapshot": (snapshot, "regenerate tests/snapshots/findings.json from the sample"),
        "sample": (sample, "copy a cluster into data/sample: `sample ledger --store S`"),
        "docs": (docs, "build the documentation site strictly and offline"),
        "templates": (templates, "copy Python files of deploy/ into the CloudFormation templates"),
        "calibrate": (
            calibrate,
            "measure how often the verdict is wrong: gates B1 to B12 on simulated fortnights",
        ),
        "bench": (bench, "run the slow benchmarks: speed as ratios, memory, mutation"),
        "lock": (lock, "resolve requirements.lock again (needs uv)"),
        "clean": (clean, "remove everything that this script and the tools created"),
    }
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    commands = parser.add_subparsers(dest="chore", required=True)
    for name, (_, does) in chores.items():
        commands.add_parser(name, help=does)
    chosen, rest = parser.parse_known_args()
    return chores[chosen.chore][0](rest)


def demo(arguments: Sequence[str]) -> int:
    """Report on all clusters of the sample, after a report of the week before, so that there is a history.

    With --aws, run doctor, fetch and report against a simulated AWS on loopback instead.
    """
    set_up()
    if "--aws" in arguments:
        return demo_aws([argument for argument in arguments if argument != "--aws"])
    report = ["-m", "aurora_analysis", "report", "--archive", str(ROOT / "reports" / "demo")]
    before = [str(PYTHON), *report, "--cluster", "shop", "--week", "2026-W45"]
    code = subprocess.call(before, cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL)
    return code or run(*report, *arguments)


SIMULATED = {
    "shop": (["--store", "data/sample", "--extras"], ["--start", "2026-11-02", "--end", "2026-11-16"]),
    "ledger": (["--ledger", "--now", "2026-11-16T00:00"], ["--start", "2026-11-13", "--end", "2026-11-16"]),
}
"""Cluster of the simulated AWS → the endpoint's options, and the window to fetch. `ledger` is PostgreSQL's."""


def demo_aws(arguments: Sequence[str]) -> int:
    """Run doctor, fetch and report against clusters that a local endpoint serves as AWS: no account is needed."""
    with tempfile.TemporaryDirectory() as store:
        codes = [fetch_simulated(name, store) for name in SIMULATED]
        output = ["--output", str(ROOT / "reports" / "demo-aws"), "--store", store]
        return max(*codes, run("-m", "aurora_analysis", "report", *output, *arguments))


def fetch_simulated(cluster: str, store: str) -> int:
    """Run doctor and fetch against one simulated cluster, and return the exit code of the fetch."""
    options, window = SIMULATED[cluster]
    serve = [str(PYTHON), "tests/aws_endpoint", *options]
    with subprocess.Popen(serve, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True) as endpoint:
        try:
            now, variables = served(endpoint)
            about = ["--cluster", cluster, "--now", now]
            run("-m", "aurora_analysis", "doctor", *about, **variables)  # exits with 1 because it found a gap
            return run("-m", "aurora_analysis", "fetch", *about, *window, "--store", store, **variables)
        finally:
            endpoint.terminate()


def served(endpoint: subprocess.Popen[str]) -> tuple[str, dict[str, str]]:
    """Read from the endpoint, once it is ready, its current time and the variables that lead boto3 to it."""
    url, now, *exports = iter((endpoint.stdout or sys.stdin).readline, "\n")
    say(f"Simulated AWS at {url.strip()}; its clock says {now.strip()}.")
    return now.strip(), dict(shlex.split(line)[1].split("=", 1) for line in exports)


def test(arguments: Sequence[str]) -> int:
    """Run everything that a commit must pass; with arguments, run only pytest with these."""
    set_up()
    if arguments:
        return run("-m", "pytest", *arguments)
    verified = [
        "-p",
        "aurora_analysis.report",
        "-p",
        "nbval",
        "--nbval",
        "--nbval-current-env",
        "--nbval-cell-timeout=120",
    ]
    # A third of the tests' time is waiting, for servers and browsers: two workers more than there are cores.
    workers = str(min(4, (os.cpu_count() or 1) + 2))
    parallel = ["-n", workers, "--dist", "loadfile", "--no-loadscope-reorder"]
    # Each core already has a test worker; threads of linear algebra would only wait for it.
    variables = {"OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": SAMPLE_IS_MEANT}
    # The types keep one core busy while the first tests wait for their servers.
    with ThreadPoolExecutor() as beside:
        checked = beside.submit(checks)
        tested = run("-m", "pytest", *parallel, *verified, "tests", "notebooks", **variables)
    if checked.result():
        say("Style or types are wrong: see the first lines of the output, or python3 dev.py lint.")
    return max(checked.result(), tested)


SAMPLE_IS_MEANT = "ignore:No store is named:UserWarning"
"""Hides the warning of `Store()`: the committed outputs are those of the sample."""


def lint(_: Sequence[str]) -> int:
    """Check style, types, docstrings and spelling, notebooks included."""
    set_up()
    docstrings = run("-m", "pytest", "-q", "--no-header", "tests/test_style.py")  # numpydoc's PR01 and RT01
    return max(checks(), docstrings)


def checks() -> int:
    """Run the checks that are no tests."""
    return max(
        run("-m", "ruff", "format", "--check", "--quiet", "."),
        run("-m", "ruff", "check", "--quiet", "."),
        run("-m", "mypy", "--no-error-summary"),
        run("-m", "codespell_lib", *SPELLED),
    )


SPELLED = ["aurora_analysis", "benchmarks", "dev.py", "docs", "tests", "README.md", "CHANGELOG.md"]


def snapshot(_: Sequence[str]) -> int:
    """Regenerate the committed findings of the sample; a commit of it explains each difference."""
    set_up()
    with tempfile.TemporaryDirectory() as folder:
        report = str(Path(folder) / "report")
        code = run("-m", "aurora_analysis", "report", "--output", report)
        return code or run("tests/findings_snapshot.py", report)


def sample(arguments: Sequence[str]) -> int:
    """Copy a cluster of a recorded store into data/sample; `snapshot` and `notebooks` follow."""
    match arguments:
        case [cluster, "--store", store]:
            set_up()
            return run("tests/sample_cluster.py", cluster, store)
    return fail("Name a cluster and its store: python3 dev.py sample ledger --store S")


def docs(arguments: Sequence[str]) -> int:
    """Build the documentation site into `site`; every warning is an error, and nothing is requested from a host."""
    if not (ROOT / "mkdocs.yml").exists():
        return fail("There is no mkdocs.yml in this checkout, so there is no site to build.")
    set_up()
    return run("-m", "mkdocs", "build", "--strict", *arguments)


def templates(_: Sequence[str]) -> int:
    """Copy the Lambda handlers of deploy/ into the CloudFormation templates that name them."""
    return subprocess.call([sys.executable, "deploy/cloudformation/inline.py"], cwd=ROOT)


def notebooks(arguments: Sequence[str]) -> int:
    """Refresh the committed outputs of all or the named notebooks; a second run gives the same bytes."""
    found = {path.stem: str(path) for path in NOTEBOOKS}
    if unknown := [name for name in arguments if name not in found]:
        return fail(f"Unknown notebook {', '.join(unknown)}. Choose from {', '.join(found)}.")
    set_up()
    execute = ["-m", "jupyter", "nbconvert", "--to", "notebook", "--execute", "--inplace", "--log-level=WARN"]
    paths = [found[name] for name in arguments or found]
    options = ["--ExecutePreprocessor.record_timing=False"]
    return run(*execute, *options, *paths, PYTHONWARNINGS=SAMPLE_IS_MEANT)


def bench(arguments: Sequence[str]) -> int:
    """Run every benchmark, or the named ones."""
    found = {path.stem: path for path in sorted((ROOT / "benchmarks").glob("*.py")) if path.stem[0] != "_"}
    unknown = [name for name in arguments if name not in found]
    if unknown:
        return fail(f"Unknown benchmark {', '.join(unknown)}. Choose from {', '.join(found)}.")
    set_up()
    return max([run(str(found[name])) for name in (arguments or found)], default=0)


def calibrate(arguments: Sequence[str]) -> int:
    """Check the gates of the estimator, printed levels, dose-response, trials, weeks, trends, capacity and limits; write a page of results for each.

    The argument `levels`, `dose`, `trials`, `weekly`, `trend`, `capacity` or `limits` runs only that one; other arguments go to the estimator's gates.
    With `--dask ADDRESS`, the workers of a Dask cluster simulate: those of `trials`, `weekly` and `trend` stay on this machine.
    """
    set_up()
    if "--dask" in arguments[:-1]:
        place = arguments.index("--dask")
        os.environ["AURORA_ANALYSIS_DASK"] = arguments[place + 1]
        environment.cache_clear()
        arguments = [*arguments[:place], *arguments[place + 2 :]]
    others = {
        name: f"benchmarks/calibration/{name}.py"
        for name in ("levels", "dose", "trials", "weekly", "trend", "capacity", "limits")
    }
    if arguments and arguments[0] in others:
        return run(others[arguments[0]], *arguments[1:])
    return max(run("benchmarks/calibration", *arguments), *map(run, others.values()))


def lock(_: Sequence[str]) -> int:
    """Resolve the lock again, without any option that would write the index's host into the file."""
    uv = find_uv()
    if uv is None:
        return fail("Resolving needs uv. Install it from PyPI: pip install uv")
    options = [
        "--universal",
        "--generate-hashes",
        "--no-header",
        "--all-extras",
        "--group",
        "dev",
        "--upgrade",
    ]
    resolve = [*uv, "pip", "compile", "--quiet", *options, "pyproject.toml", "-o", LOCK.name]
    return subprocess.call(resolve, cwd=ROOT, env=environment())


def clean(_: Sequence[str]) -> int:
    """Remove the environment, the tools, the caches, the reports and the site."""
    for made in (
        VENV,
        TOOLS,
        *ROOT.glob(".*_cache"),
        ROOT / ".hypothesis",
        ROOT / "reports",
        ROOT / "dist",
        ROOT / "site",
    ):
        shutil.rmtree(made, ignore_errors=True)
    return 0


def set_up() -> None:
    """Create the environment, unless it exists for exactly these files and this Python; compile what changed."""
    inputs = LOCK.read_bytes() + (ROOT / "pyproject.toml").read_bytes() + sys.version.encode()
    wanted = hashlib.sha256(inputs + str(ROOT).encode()).hexdigest()
    scanner = hashlib.sha256(b"".join(map(Path.read_bytes, SCANNER)) + PURE.encode()).hexdigest()
    with one_at_a_time():
        made = STAMP.read_text().split() if STAMP.exists() else []
        if made[:1] != [wanted]:
            say("Setting up .venv from requirements.lock. This happens once and takes about a minute.")
            if not any(make() for make in (with_uv, with_pip)):
                raise SystemExit(
                    fail(
                        "Could not set up .venv, see above. It needs a package index, and either pip with venv or uv."
                    )
                )
            run("-m", "compileall", "-q", str(ROOT / "aurora_analysis"))
        if made != [wanted, scanner]:
            run("hatch_build.py")
            STAMP.write_text(f"{wanted} {scanner}")


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Wait while another of these scripts sets up this checkout: two at once would remove each other's files."""
    if fcntl is None:
        yield
        return
    with Path(__file__).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def with_uv() -> bool:
    """Create the environment with uv, in seconds; return False if uv is not available or fails."""
    uv = find_uv()
    if uv is None:
        return False
    pip = [*uv, "pip"]
    into = ["--python", str(PYTHON), "--quiet"]
    return succeed(
        [*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(VENV)],
        [*pip, "sync", *into, "--require-hashes", str(LOCK)],
        [*pip, "install", *into, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)],
    )


def with_pip() -> bool:
    """Create the environment with plain pip, which is slower."""
    say("uv is not used, so plain pip installs the packages, which takes minutes.")
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return succeed(
        [sys.executable, "-m", "venv", "--clear", str(VENV)],
        [*pip, "--require-hashes", "--requirement", str(LOCK)],
        [*pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)],
    )


def find_uv() -> list[str] | None:
    """Return the command for uv: from the PATH, otherwise installed by pip into `.tools`."""
    if os.environ.get("AURORA_ANALYSIS_NO_UV"):
        return None
    if on_path := shutil.which("uv"):
        return [on_path]
    ours = TOOLS / "bin" / ("uv.exe" if os.name == "nt" else "uv")
    if not ours.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        if not succeed([*pip, "--no-warn-script-location", "--target", str(TOOLS), "--upgrade", "uv"]):
            return None
    return [str(ours)]


@functools.cache
def environment() -> dict[str, str]:
    """Return the environment of all commands: bytecode is kept, and uv uses pip's index and certificates."""
    seen = {name: value for name, value in os.environ.items() if name not in IGNORED}
    seen.setdefault("UV_SYSTEM_CERTS", "1")
    if index := pip_setting("global.index-url"):
        seen.setdefault("UV_DEFAULT_INDEX", index)
    return seen | {"VIRTUAL_ENV": str(VENV), "PATH": f"{BIN}{os.pathsep}{seen.get('PATH', '')}"}


IGNORED = {"PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "PYTHONPATH", "JUPYTER_PATH", "JUPYTER_PREFER_ENV_PATH"}


def pip_setting(name: str) -> str:
    """Return a setting of the user's pip, or an empty text."""
    command = [sys.executable, "-m", "pip", "config", "get", name]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def succeed(*commands: Sequence[str]) -> bool:
    """Run the commands one after the other; return False at the first that fails."""
    return all(succeeds(command) for command in commands)


def succeeds(command: Sequence[str]) -> bool:
    """Run one command; a missing program is a failure like any other."""
    try:
        return subprocess.call(command, cwd=ROOT, env=environment()) == 0
    except OSError as problem:
        say(f"{command[0]}: {problem.strerror}")
        return False


def run(*arguments: str, **variables: str) -> int:
    """Run the environment's Python, with more environment variables."""
    return subprocess.call([str(PYTHON), *arguments], cwd=ROOT, env=environment() | variables)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def fail(line: str) -> int:
    """Print one line and return the exit code for wrong input."""
    say(line)
    return 2


if __name__ == "__main__":
    sys.exit(main())
