"""Run the DAG of deploy/airflow by `airflow dags test`, in a throw-away environment of Airflow.

The environment has no aurora-analysis: a stand-in records its arguments and ends with a code of the case. Each case
checks what the stand-in was called with and which tasks failed.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).parent.parent
DAG = ROOT / "deploy" / "airflow" / "aurora_weekly.py"
MONDAY = "2026-11-16T06:00:00+00:00"
WEEK = "--start 2026-11-09 --end 2026-11-16"

STAND_IN = """#!/bin/sh
echo "$@" >> "$CALLS"
case "$1" in fetch) exit "$FETCH";; report) echo reports/index.html; exit "$REPORT";; esac
"""

GREEN = {"fetch_shop": "success", "report": "success", "verdict": "success"}
CASES = (
    ("nothing was found", 0, 0, GREEN),
    ("a finding needs action", 0, 3, GREEN | {"verdict": "failed"}),
    ("the report did not finish", 0, 1, GREEN | {"report": "failed", "verdict": "upstream_failed"}),
    ("a fetch failed", 1, 0, GREEN | {"fetch_shop": "failed", "verdict": "upstream_failed"}),
)
"""(Title, exit code of fetch, exit code of report, state of each task)."""


def installed(folder: Path) -> Path:
    """Install Airflow into a virtual environment, and return its folder of programs."""
    venv, uv = folder / "venv", shutil.which("uv") or str(ROOT / ".tools" / "bin" / "uv")
    subprocess.run([uv, "venv", "-q", str(venv)], check=True)
    command = [uv, "pip", "install", "-q", "--python", str(venv / "bin" / "python"), "apache-airflow>=3.1"]
    subprocess.run(command, check=True, env=os.environ | {"UV_SYSTEM_CERTS": "1"})
    return venv / "bin"


def prepared(folder: Path, programs: Path) -> dict[str, str]:
    """Write the DAG without pauses between retries and the stand-in, and return the environment of Airflow."""
    dags, bin_ = folder / "dags", folder / "bin"
    dags.mkdir()
    bin_.mkdir()
    text = DAG.read_text().replace('FOLDER = "/etc/aurora-analysis"', f'FOLDER = "{folder}"')
    (dags / DAG.name).write_text(text.replace('"retries": 2', '"retries": 0'))
    (bin_ / "aurora-analysis").write_text(STAND_IN)
    (bin_ / "aurora-analysis").chmod(0o755)
    return os.environ | {
        "AIRFLOW_HOME": str(folder / "home"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PATH": f"{bin_}:{programs}:{os.environ['PATH']}",
    }


def states(folder: Path) -> dict[str, str]:
    """Return the state of each task in the newest run."""
    query = """
        select task_id, state from task_instance where run_id = (select run_id from dag_run order by id desc limit 1)
    """
    with closing(sqlite3.connect(folder / "home" / "airflow.db")) as database:
        return dict(database.execute(query).fetchall())


def problems(
    fetch: int, report: int, expected: dict[str, str], folder: Path, environment: dict[str, str]
) -> list[str]:
    """Run the DAG once with these exit codes, and return what differs from the case."""
    calls = folder / "calls"
    calls.unlink(missing_ok=True)
    own = environment | {"CALLS": str(calls), "FETCH": str(fetch), "REPORT": str(report)}
    command = ["airflow", "dags", "test", "aurora_weekly", MONDAY]
    ran = subprocess.run(command, env=own, check=False, capture_output=True, text=True)
    found = states(folder)
    listed = [
        f"{task} is {found.get(task)}, not {state}"
        for task, state in expected.items()
        if found.get(task) != state
    ]
    red = any(state != "success" for state in expected.values())
    if bool(ran.returncode) != red:
        listed.append(f"airflow ended with {ran.returncode}: {ran.stdout[-2000:]}{ran.stderr[-2000:]}")
    made = calls.read_text().splitlines() if calls.exists() else []
    listed += [f"a call lacks {WEEK}: {call}" for call in made if WEEK not in call]
    return listed + ([] if len(made) == 2 else [f"2 calls were expected: {made}"])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="aurora-airflow-") as name:
        folder, wrong = Path(name), 0
        environment = prepared(folder, installed(folder))
        subprocess.run(["airflow", "db", "migrate"], env=environment, check=True, capture_output=True)
        for title, fetch, report, expected in CASES:
            found = problems(fetch, report, expected, folder, environment)
            print(f"{title}: {'; '.join(found) or 'as expected'}", flush=True)
            wrong += bool(found)
        sys.exit(bool(wrong))
