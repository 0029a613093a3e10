"""Play every scenario of holders on a real MariaDB and MySQL: `python3 dev.py bench holders`.

In each scenario the statements that `watch` shows are run. The exit code is 1 if an innocent session is named, if a
holder is not named, or if the backlog does not fall. It plays on the installed server and, if
`bash .ci/mysql` has fetched one, on MySQL.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from aurora_analysis.lab import server

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import holder_scenarios as holders


def main() -> int:
    """Play the scenarios; return 1 if one went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("programs", nargs="*", help="server programs [default: all]")
    parser.add_argument("--only", default="", help="part of a scenario's name")
    arguments = parser.parse_args()
    wrong = 0
    for program in arguments.programs or installed():
        wrong += played(program, arguments.only)
    return int(wrong > 0)


def installed() -> list[str]:
    """Server programs of this machine: the installed one, and the MySQL of `.ci/mysql`."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return [server.find(), *(str(path) for path in [cache / "aurora-analysis/mysql/mysqld"] if path.exists())]


def played(program: str, only: str) -> int:
    """Play the scenarios on one server and print a line for each; return how many went wrong."""
    wrong = 0
    family = server.family(program)
    with server.running(holders.OPTIONS[family], program=program) as ours:
        print(f"{ours.version}", flush=True)
        holders.prepare(ours)
        for scenario in holders.SCENARIOS:
            if only not in scenario.name:
                continue
            found = holders.play(ours, scenario)
            problem = found.problem(scenario, family)
            wrong += bool(problem)
            names = ", then ".join(" and ".join(sorted(each)) for each in found.named) or "nobody"
            print(
                f"{problem or 'right':9}  {scenario.name:48} {'undecided' if found.undecided else names:24} "
                f"history list {found.before:>4} -> {found.after}",
                flush=True,
            )
            if problem:
                print("\n".join(f"           {line}" for line in found.lines))
    return wrong


if __name__ == "__main__":
    sys.exit(main())
