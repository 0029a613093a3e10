"""Play every scenario of holders on a real MariaDB, MySQL and PostgreSQL: `python3 dev.py bench holders`.

In each scenario the statements that `watch` shows are run. The exit code is 1 if an innocent session is named, if a
holder is not named, or if the backlog does not fall. It plays on the installed MariaDB, on a PostgreSQL primary and its
standby if they are installed, and on MySQL if `bash .ci/mysql` has fetched one.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from aurora_analysis.errors import NotEnabled
from aurora_analysis.lab import postgresql, server

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import holder_scenarios as holders
import postgresql_holder_scenarios
import postgresql_pair

POSTGRESQL = "postgresql"


def main() -> int:
    """Play the scenarios; return 1 if one went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("programs", nargs="*", help="server programs, or postgresql [default: all]")
    parser.add_argument("--only", default="", help="part of a scenario's name")
    arguments = parser.parse_args()
    wrong = 0
    for program in arguments.programs or installed():
        wrong += (played_on_postgresql if program == POSTGRESQL else played)(program, arguments.only)
    return int(wrong > 0)


def installed() -> list[str]:
    """Servers of this machine: the installed MariaDB, the MySQL of `.ci/mysql`, and PostgreSQL."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    mysql = [str(path) for path in [cache / "aurora-analysis/mysql/mysqld"] if path.exists()]
    return [server.find(), *mysql, POSTGRESQL]


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
            wrong += printed(scenario.name, found, found.problem(scenario, family), "history list")
    return wrong


def played_on_postgresql(_: str, only: str) -> int:
    """Play the scenarios on a primary and its standby and print a line for each; return how many went wrong."""
    wrong = 0
    try:
        postgresql.programs()
    except NotEnabled as missing:
        print(f"not played: {missing}", flush=True)
        return 0
    with postgresql.running() as pair:
        postgresql_pair.prepare(pair)
        with pair.primary.connect() as connection:
            print("PostgreSQL", *connection.execute("SHOW server_version").fetchone(), flush=True)
        for scenario in postgresql_holder_scenarios.SCENARIOS:
            if only in scenario.name:
                found = postgresql_holder_scenarios.play(pair, scenario)
                wrong += printed(scenario.name, found, scenario.problem(found), "dead rows")
    return wrong


def printed(name: str, found: holders.Outcome, problem: str, backlog: str) -> bool:
    """Print a line for a scenario, and what was shown if it went wrong; return whether it did."""
    names = ", then ".join(" and ".join(sorted(each)) for each in found.named) or "nobody"
    print(
        f"{problem or 'right':9}  {name:51} {'undecided' if found.undecided else names:24} "
        f"{backlog} {found.before:>4} -> {found.after}",
        flush=True,
    )
    if problem:
        print("\n".join(f"           {line}" for line in found.lines))
    return bool(problem)


if __name__ == "__main__":
    sys.exit(main())
