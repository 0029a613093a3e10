"""Copy Python files into the templates whose `ZipFile` names them: `python3 dev.py templates`."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

FOLDER = Path(__file__).parent
COPY = re.compile(
    r"(# A copy of (?P<name>\w+\.py):[^\n]*\n(?P<indent> *)ZipFile: \|\n)(?:(?P=indent)  [^\n]*\n|\n)*"
)


def inlined(template: str) -> str:
    """Return a template with today's text of the files that it copies."""

    def copy(found: re.Match[str]) -> str:
        code = (FOLDER / found["name"]).read_text()
        return found[1] + textwrap.indent(code, found["indent"] + "  ") + "\n"

    return COPY.sub(copy, template)


if __name__ == "__main__":
    for path in sorted(FOLDER.glob("*.yaml")):
        path.write_text(inlined(path.read_text()))
