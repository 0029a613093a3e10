"""Answers of AWS: JSON read without shaping, pages in order, and an error for what AWS did not write.

A proxy or gateway may answer in AWS's place, with a web page and any status. botocore's JSON parser takes such a page
for an empty answer, and its XML parser raises an error that no retry catches. Here it counts as a server error.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from xml.etree import ElementTree

from botocore.exceptions import PaginationError

UNREADABLE = "UnreadableAnswer"
"""Our error code of an answer that is not AWS's."""

SERVER_ERROR = 503


def check_answers(client: Any) -> Any:
    """Make a boto3 client retry answers that it cannot read, and return JSON answers as they are.

    Times of JSON answers stay numbers: botocore takes 15 us to shape a point and its datetime, which at 350 points a
    series is slower than the service's rate.
    """
    client.meta.events.register("before-parse", _read)
    service = client.meta.service_model.service_id.hyphenize()
    client.meta.events.register_first(f"needs-retry.{service}", _count_as_server_error)
    return client


def _read(
    operation_model: Any, response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object
) -> None:
    body, status = response_dict["body"], response_dict["status_code"]
    is_json = "json" in operation_model.service_model.resolved_protocol
    try:
        read = _json(body) if is_json else _xml(body)
    except ValueError:
        if body or status < 300:
            message = f"{_looks_like(body)}, with HTTP status {status}"
            customized_response_dict["Error"] = {"Code": UNREADABLE, "Message": message}
            response_dict.update(status_code=SERVER_ERROR, body=b"")
        return
    if is_json and status == 200:
        customized_response_dict.update(read)
        response_dict["body"] = b"{}"


def _json(body: bytes) -> dict[str, Any]:
    read = json.loads(body)
    if not isinstance(read, dict):
        raise ValueError("not an object")
    return read


def _xml(body: bytes) -> dict[str, Any]:
    """Check that the body is XML whose root is an answer of AWS, such as DescribeEventsResponse."""
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError as problem:
        raise ValueError(str(problem)) from None
    if not root.tag.endswith("Response"):
        raise ValueError(f"the root is {root.tag}")
    return {}


def _looks_like(body: bytes) -> str:
    if not body:
        return "nothing"
    return "a web page" if body.lstrip()[:1] == b"<" else "a broken answer"


def _count_as_server_error(response: Any = None, **_: object) -> None:
    """Give an unreadable answer the status that botocore retries, before it decides."""
    if response and response[1].get("Error", {}).get("Code") == UNREADABLE:
        response[0].status_code = SERVER_ERROR


def pages(operation: Callable[..., Any], token: str, **request: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the pages of an operation.

    Parameters
    ----------
    operation : callable
        Method of a boto3 client.
    token : str
        Name of the page token, the same in the request and in the answer.
    request : mapping
        Parameters of every request.

    Raises
    ------
    PaginationError
        If the service returns a token a second time: the pages would never end.
    """
    page = operation(**request)
    yield page
    seen = set[str]()
    while following := page.get(token):
        if following in seen:
            name = getattr(operation, "__name__", "the service")
            raise PaginationError(message=f"{name} returned the same {token} twice")
        seen.add(following)
        page = operation(**request, **{token: following})
        yield page
