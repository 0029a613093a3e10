"""Tags: what drivers, frameworks and BI tools write into comments around a statement.

Forms (where they come from: the tools' sources and documents):

- `key=value` and `key='value'`, separated by commas, semicolons or blanks, with one value that is not a number;
  SQLCommenter percent-encodes the values.
- `key:value` pairs, separated by commas (Marginalia, Rails' query log tags, GitLab).
- `-- Looker Query Context '{…}'`, `/* {"app": "dbt", …} */`, `-- Sigma Σ {…}` and Mode's `-- {…}`: a JSON object.
- `-- Metabase:: userID: 1 queryType: MBQL queryHash: …`.
- `/* ApplicationName=DBeaver 23.1.0 - Main */` (DBeaver, DataGrip).
- `/* Username: …, query_id: 5, Queue: …, Query Hash: … */` (Redash).

A tag is not a literal and keeps its value. So only a comment before or after the whole statement, or right behind its
first word, has tags, and only if it is in one of these forms as a whole. A value without a percent sign holds no white
space, quote or `@`, except for the blank in `GET /orders`; a value that does is left out, and the other tags of the
comment stay if two of its keys are a framework's. Text commented out inside a statement, or a sentence, gives no tag.
Names and mail addresses of persons are left out; a number or a word written into such a comment does appear.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote

_METHOD = r"(?>(?:GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS) /)?+"
"""The start of a route as web frameworks write it."""

_KEY = r"[\w.\-%]++"
# A tag's value has at most 100 characters, in quotes 500: percent-encoded routes and traces are long.
_QUOTED = rf"""{_METHOD}(?>[^'"\s\\]|\\['"]){{0,500}}+"""
_BARE = rf"{_METHOD}[\w.:/%+\-@]{{0,100}}+"
_QUOTED_END, _BARE_END = r"(?=[\s,;\w]|\Z)", r"(?=[\s,;]|\Z)"
_PAIRS = re.compile(rf"""({_KEY})=(?:(['"])({_QUOTED})\2{_QUOTED_END}|({_BARE}){_BARE_END})""")
_TAGS = re.compile(
    rf"""\s*+(?>{_KEY}=(?:'{_QUOTED}'{_QUOTED_END}|"{_QUOTED}"{_QUOTED_END}|{_BARE}{_BARE_END})"""
    r"""(?:\s*+[,;]\s*+|\s++|\Z|(?<=['"])))++"""
)
"""A comment of nothing but pairs. All quantifiers are possessive: backtracking would take exponential time. Nothing that is
repeated captures: Python 3.11 would raise."""

_TEXT_PAIR = re.compile(r"""([\w.\-%]++)=(['"])((?>(?!\2)[^\\\n]|\\['"]){0,500}+)\2(?:\s*+,\s*+|\s*+\Z)""")
"""A pair whose value may hold white space and the other quote."""

_COLON_KEY = r"[A-Za-z_][\w.\-]{0,60}+"
_COLON_VALUE = (
    rf"{_METHOD}[\w.:/%+#\-?!=&*~@(){{}}<>\[\]]{{0,100}}+"
    r"(?>(?<=:in) [`'][\w ?!<>.#:()=\[\]]{0,60}+')?+"
)
_COLON_PAIR = rf"{_COLON_KEY}:(?!//){_COLON_VALUE}"
_COLON_PAIRS = re.compile(rf"({_COLON_KEY}):(?!//)({_COLON_VALUE})")
_COLON_TAGS = re.compile(rf"\s*+{_COLON_PAIR}(?>\s*+,\s*+{_COLON_PAIR})*+\s*+,?+\s*+")
_COLON_TEXT_PAIR = re.compile(r"([A-Za-z_][\w.\-]{0,60}+):(?!//) ?+([^,\n]{0,200}+)(?:,\s*+|\s*+\Z)")

_NUMBER = re.compile(r"[\d.:+\-]*")

_FRAMEWORK = {
    "action", "app", "application", "component", "controller", "controller_with_namespace", "correlation_id",
    "current_graphql_operation", "dag_id", "db_config_name", "db_driver", "endpoint_id", "feature_category", "framework",
    "job", "namespaced_controller", "request_id", "route", "sidekiq_job", "source_location", "task_id", "traceparent",
}  # fmt: skip
"""Keys one of which marks `key:value` pairs as tags: a comment without any is a note such as `TODO:later`."""

_JSON = re.compile(r"""\s*+(?:Looker\ Query\ Context\ '(?P<looker>\{.*\})'|Sigma\ \S{1,3}\ (?P<sigma>\{.*\})|(?P<json>\{\s*"\w+":.*\}))\s*+""", re.DOTALL | re.VERBOSE)  # fmt: skip

_MODE = re.compile(r"https://(?:app\.)?mode(?:analytics)?\.com/")
"""The address of a report in Mode, which stands in its JSON comment."""

_METABASE = re.compile(r"\s*+Metabase(?:::)? ?(?P<fields>(?>\s*+\w++: *+[\w\-]++)++)\s*+")
_FIELD = re.compile(r"(\w++): *+([\w\-]++)")

_REDASH = re.compile(r"\s*+(?:Username: [^,\n]*+|query_id: [^,\n]*+)(?>, [A-Za-z_][\w ]*+: [^,\n]*+)++\s*+")
_REDASH_FIELD = re.compile(r"([A-Za-z_][\w ]*+): ([\w:.\-]{1,100}+)(?=,|\s*\Z)")
_EDITOR = re.compile(
    r"\s*+ApplicationName=([A-Za-z][A-Za-z ]{0,40}? [\d.]{1,20}+)(?: - [A-Za-z ]{1,40}+)?\s*+"
)

_REDASH_KEYS = {"query_id", "Queue", "Job ID", "Task ID", "Query Hash", "Scheduled", "Query ID"}

PERSONAL = re.compile(
    r"(?i)user_?-?name|.*e-?mail.*|user|full_?name|first_?name|last_?name|login|author|owner|person|created_?by|executed_?by|db_user"
)
"""Keys whose value is the name or the address of a person."""

_SECRET = re.compile(r"(?i).*(?:passw|secret|token|api_?key|credential).*")


Token = tuple[str, str]
"""The kind and the text of a token; the kinds `blank` (white space or a comment), `word` and `open` matter here."""


def tags(tokens: Iterable[Token]) -> dict[str, str]:
    """Return the tags in comments around a statement. Answers: which job or tool sent it?

    >>> tags([("blank", "/* connector=etl job='orders' */"), ("word", "SELECT"), ("value", "1")])
    {'connector': 'etl', 'job': 'orders'}
    """
    before, after = _comments_around(tokens)
    return {
        key: value
        for comment in before + after
        for key, value in _tags_of(comment)
        if not PERSONAL.fullmatch(key) and not _SECRET.fullmatch(key) and "@" not in value
    }


def _tags_of(comment: str) -> Iterator[tuple[str, str]]:
    """Yield the tags of a comment; none if it is not as a whole in one of the forms."""
    if _TAGS.fullmatch(comment):
        pairs = [(key, inside or bare) for key, _, inside, bare in _PAIRS.findall(comment)]
        if not all(
            _NUMBER.fullmatch(value) for _, value in pairs
        ):  # else it may be a condition, commented out
            yield from ((_decoded(key), _decoded(value.replace("\\", ""))) for key, value in pairs)
    elif _COLON_TAGS.fullmatch(comment):
        pairs = _COLON_PAIRS.findall(comment)
        if any(key in _FRAMEWORK and value for key, value in pairs):
            yield from ((key, _decoded(value)) for key, value in pairs)
    elif found := _JSON.fullmatch(comment):
        yield from _from_json(found)
    elif found := _METABASE.fullmatch(comment):
        yield "tool", "metabase"
        yield from _FIELD.findall(found["fields"])
    elif _REDASH.fullmatch(comment):
        found_fields = [pair for pair in _REDASH_FIELD.findall(comment) if pair[0].strip() in _REDASH_KEYS]
        if any(key.strip() in {"query_id", "Query Hash"} for key, _ in found_fields):
            yield "tool", "redash"
            yield from ((key.strip(), value) for key, value in found_fields)
    elif found := _EDITOR.fullmatch(comment):
        yield "ApplicationName", found[1]
    else:
        yield from ((key, _decoded(value.replace("\\", ""))) for key, value in _plain_pairs(comment))


def _plain_pairs(comment: str) -> list[tuple[str, str]]:
    """Return the pairs with a plain value, if a comment is nothing but pairs and has two keys of a framework."""
    for form, alone in ((_TEXT_PAIR, _TAGS), (_COLON_TEXT_PAIR, _COLON_TAGS)):
        found, at = [], len(comment) - len(comment.lstrip())
        while pair := form.match(comment, at):
            found.append(pair)
            at = pair.end()
        if found and at == len(comment):
            is_framework = len({pair[1] for pair in found} & _FRAMEWORK) > 1
            plain = [pair for pair in found if alone.fullmatch(_unspaced(pair[0]))]
            return [(pair[1], pair[form.groups].strip()) for pair in plain] if is_framework else []
    return []


def _unspaced(pair: str) -> str:
    """Return a pair without its separator and without the blank behind its colon."""
    return re.sub(r"\A([\w.\-]++:) ", r"\1", pair.rstrip(" ,\n\r\t"))


def _decoded(value: str) -> str:
    """Return a percent-encoded value as text; as it stands if what it holds is no plain text."""
    if "%" not in value:
        return value
    text = unquote(value)
    return text if text.isprintable() and "\ufffd" not in text else value


def _from_json(found: re.Match[str]) -> Iterator[tuple[str, str]]:
    tool = found.lastgroup or ""
    try:
        fields = json.loads(found[tool])
    except (ValueError, RecursionError):
        return
    if not isinstance(fields, dict):
        return
    if tool == "json" and _MODE.match(str(fields.get("url"))):
        tool = "mode"
    if tool != "json":
        yield "tool", tool
    elif not _is_tag(fields.get("app")):
        return
    for key, value in fields.items():
        if re.fullmatch(r"[\w.\-]{1,60}", key) and _is_tag(value):
            yield key, str(value)


def _is_tag(value: Any) -> bool:
    """Return whether a value in JSON is short plain text, without white space, or a number."""
    if isinstance(value, str):
        return re.fullmatch(r"[\w.:/%+\-?=&#]{1,100}", value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool)


def _comments_around(tokens: Iterable[Token]) -> tuple[list[str], list[str]]:
    """Return the comments before the statement and right behind its first word, and those after its last word."""
    before: list[str] = []
    after: list[str] = []
    found, words = before, 0
    for kind, text in tokens:
        if kind == "open":
            return before, []
        if kind == "blank":
            found.append(_comment_text(text))
        elif text != ";":
            words += kind == "word" or words > 0
            if words == 2:
                before += after
            found = after
            after.clear()
    return before, after


def _comment_text(blank: str) -> str:
    if blank.startswith("/*"):
        return blank[2:-2] if blank.endswith("*/") and not blank.startswith(("/*+", "/*!")) else ""
    text = blank[2:] if blank.startswith("--") else blank[1:] if blank.startswith("#") else ""
    return text.rstrip().removesuffix(";")  # the log's semicolon stands behind the statement's last comment
