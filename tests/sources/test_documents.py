"""A slow log that was pasted into a document, and one that has lost its line ends."""

from __future__ import annotations

import json
from io import BytesIO

import pytest

from aurora_analysis.engines.log_events import Account
from aurora_analysis.errors import Error
from aurora_analysis.sources import profile

ENTRY = (
    "# Time: 2026-11-23T10:00:00.000000Z\n# User@Host: web[web] @  [10.0.0.1]  Id: 1\n"
    "# Query_time: 0.500000  Lock_time: 0.100000 Rows_sent: 1  Rows_examined: 2\n"
    "SET timestamp=1795429471;\nSELECT a FROM t WHERE b = 'secret\n``` (x)';\n"
)
ONE = "select a from t where b = ?"


def read(tmp_path, text: str) -> tuple[list[str], Account]:
    """Return the fingerprints of a file, and what was lost."""
    file, lines, account = tmp_path / "file", list[str](), Account()
    file.write_text(text)
    profile.write_lines([str(file)], account, lines.extend)
    assert profile.profile_files([str(file)], BytesIO).account == account
    return [json.loads(line)["fingerprint"] for line in lines], account


@pytest.mark.parametrize(
    "text",
    [
        f"# Incident\n\nSee:\n\n```\n{ENTRY}```\n\nIt was slow.\n",
        f"~~~sql\n{ENTRY}~~~",
        "> They said:\n>\n> ````\n" + "".join(f"> {line}\n" for line in ENTRY.splitlines()) + "> ````\n",
        f"- a list\n\n  ```text\n  {ENTRY.replace(chr(10), chr(10) + '  ')}\n  ```\n",
        f"```sql\nEXPLAIN SELECT 1\n```\n\n```\n{ENTRY}```\n\n```\nid 1, type ALL\n```\n",
    ],
)
def test_a_log_in_a_documents_code_blocks_is_read(tmp_path, text):
    """Fences of any kind and length, in quotations and lists; what other blocks and the text around them hold is left out."""
    found, account = read(tmp_path, text)
    assert (found, account.is_whole) == ([ONE], True)


def test_a_block_that_ends_within_its_statement_was_cut(tmp_path):
    """It keeps its entry, and what stands behind the block is not part of it."""
    found, account = read(tmp_path, f"```\n{ENTRY}{ENTRY.split('WHERE')[0]}\n```\nText; more text\n")
    assert (found, account.cut) == ([ONE, "select a from t"], 1)


def test_a_log_whose_statement_holds_a_code_block_is_no_document(tmp_path):
    """Its first header stands before the block."""
    assert (
        read(tmp_path, ENTRY.replace("secret", f"\n```\n{ENTRY}```\n".replace("'", "''")) + ENTRY)[0][-1]
        == ONE
    )


@pytest.mark.parametrize("end", [" ", "\\n", "\r", ""])
def test_a_log_without_line_ends_is_refused_with_the_byte(tmp_path, end):
    """Where a statement ends in such a line cannot be seen: it may hold comments."""
    text = ENTRY.replace("\n", end) * 3
    with pytest.raises(Error, match=f"lost its line ends: at byte {text.index('# Query_time: ')}, "):
        read(tmp_path, text)


def test_an_entry_outside_the_blocks_of_a_document_is_refused_with_the_byte(tmp_path):
    """It would be lost, or become part of the entry before it."""
    blocks = f"```\n{ENTRY}```\n"
    with pytest.raises(Error, match=f"outside its code blocks, at byte {len(blocks)}: "):
        read(tmp_path, blocks + ENTRY)
