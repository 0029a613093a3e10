"""The wire: requests and answers in AWS's own formats, read from botocore's service models.

A request becomes `(service, operation, parameters)`; an answer is a plain dict that the model turns into
JSON or XML. Times inside are seconds since 1970 (float), as JSON carries them.
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel, Shape
from botocore.utils import parse_timestamp
from botocore.validate import ParamValidator

SERVICES = {"pi": "pi", "rds": "rds", "monitoring": "cloudwatch", "logs": "logs", "sts": "sts"}
"""Name in the signature → botocore's name of the service, which is also IAM's prefix."""

INVALID = {"rds": "InvalidParameterValue", "cloudwatch": "InvalidParameterValue"}
"""Service → its code for a parameter that its model forbids, where it is not ValidationException."""


class Refused(Exception):
    """An error as the service's answer: its code, HTTP status and message."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status = code, message, status

    @property
    def blame(self) -> str:
        """Return whose fault the error is, in AWS's words."""
        return "Sender" if self.status < 500 else "Receiver"


@dataclass(frozen=True)
class Request:
    """A client's request."""

    service: str
    operation: OperationModel
    parameters: dict[str, Any]
    is_json: bool


@functools.cache
def model(service: str) -> ServiceModel:
    """botocore's model of a service."""
    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


def service_of(headers: Any) -> str:
    """The service, from the scope of the signature."""
    scope = re.search(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/", headers.get("Authorization", ""))
    if scope is None or scope[1] not in SERVICES:
        raise Refused("MissingAuthenticationToken", "Request is missing Authentication Token", 403)
    return SERVICES[scope[1]]


def request(headers: Any, body: bytes) -> Request:
    """Read a request, and refuse what its model forbids."""
    service = service_of(headers)
    target = headers.get("X-Amz-Target")
    if target:
        operation = _operation(service, target.rsplit(".", 1)[-1])
        parameters = json.loads(body or b"{}")
    else:
        form = dict(parse_qsl(body.decode(), keep_blank_values=True))
        operation = _operation(service, form.get("Action", ""))
        parameters = _from_form(operation.input_shape, form, "") or {}
    _validate(service, operation.input_shape, parameters)
    return Request(service, operation, parameters, bool(target))


def _operation(service: str, name: str) -> OperationModel:
    if name not in model(service).operation_names:
        raise Refused("UnknownOperationException", f"{service} knows no operation {name!r}")
    return model(service).operation_model(name)


def _from_form(shape: Shape | None, form: dict[str, str], at: str) -> Any:
    """The parameters of a form: `Filters.Filter.1.Name=…`, None where there are none."""
    if shape is None:
        return {}
    if shape.type_name == "structure":
        dot = f"{at}." if at else ""
        found = {
            name: _from_form(member, form, dot + member.serialization.get("name", name))
            for name, member in shape.members.items()
        }
        return {name: value for name, value in found.items() if value is not None} or None
    if shape.type_name == "list":
        return _list_from_form(shape, form, at)
    return _scalar(shape, form[at]) if at in form else None


def _list_from_form(shape: Shape, form: dict[str, str], at: str) -> list[Any] | None:
    if not shape.serialization.get("flattened"):
        at = f"{at}.{shape.member.serialization.get('name', 'member')}"
    found: list[Any] = []
    while (value := _from_form(shape.member, form, f"{at}.{len(found) + 1}")) is not None:
        found.append(value)
    return found or None


def _scalar(shape: Shape, text: str) -> Any:
    if shape.type_name in ("integer", "long"):
        return int(text)
    if shape.type_name in ("float", "double"):
        return float(text)
    if shape.type_name == "boolean":
        return text.lower() == "true"
    return parse_timestamp(text).timestamp() if shape.type_name == "timestamp" else text


def _validate(service: str, shape: Shape | None, parameters: dict[str, Any]) -> None:
    """Refuse missing and unknown members, wrong types, and what lies outside the model's bounds."""
    if shape is None:
        return
    report = ParamValidator().validate(parameters, shape)
    problems = [report.generate_report()] if report.has_errors() else list(_bounds(shape, parameters, ""))
    if problems:
        code = INVALID.get(service, "ValidationException")
        raise Refused(code, f"{len(problems)} validation error detected: {'; '.join(problems)}")


def _bounds(shape: Shape, value: Any, at: str) -> Any:
    """List the violations of a shape's min, max, enum and pattern, at every level of a value."""
    if shape.type_name == "structure":
        for name, inner in value.items():
            yield from _bounds(shape.members[name], inner, name)
    elif shape.type_name == "list":
        for inner in value:
            yield from _bounds(shape.member, inner, at)
    broken = _broken_bound(shape, value)
    if broken:
        yield f"Value {value!r} at {at!r} failed to satisfy constraint: {broken}"


def _broken_bound(shape: Shape, value: Any) -> str | None:
    bounds = shape.metadata
    size = value if isinstance(value, int | float) else len(value)
    if size > bounds.get("max", float("inf")):
        return f"Member must have value or length less than or equal to {bounds['max']}"
    if size < bounds.get("min", float("-inf")):
        return f"Member must have value or length greater than or equal to {bounds['min']}"
    if bounds.get("enum") and value not in bounds["enum"]:
        return f"Member must satisfy enum value set: {bounds['enum']}"
    if isinstance(value, str) and bounds.get("pattern") and not re.fullmatch(bounds["pattern"], value):
        return f"Member must satisfy regular expression pattern: {bounds['pattern']}"
    return None


def answer(request: Request, result: dict[str, Any], request_id: str) -> tuple[str, bytes]:
    """Content type and body of an answer; a member that the model does not know is our mistake."""
    shape = request.operation.output_shape
    if request.is_json:
        return "application/x-amz-json-1.1", json.dumps(_known(shape, result)).encode()
    name = request.operation.name
    wrapper = shape.serialization.get("resultWrapper", f"{name}Result") if shape else f"{name}Result"
    inner = f"<{wrapper}>{_xml_members(shape, result) if shape else ''}</{wrapper}>"
    metadata = f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
    body = f'<?xml version="1.0"?><{name}Response>{inner}{metadata}</{name}Response>'
    return "text/xml", body.encode()


def _known(shape: Shape | None, value: Any) -> Any:
    """Remove members that are None, after checking that the model has every member."""
    if shape is None or not isinstance(value, dict | list):
        return value
    if isinstance(value, list):
        if not value or not isinstance(value[0], dict | list):
            return value
        if _is_flat(shape.member):  # a week's points are many
            _refuse_unknown(shape.member, dict.fromkeys(set().union(*value)))
            return (
                value
                if all(None not in one.values() for one in value)
                else [_without_none(one) for one in value]
            )
        return [_known(shape.member, inner) for inner in value]
    if shape.type_name == "map":
        return {key: _known(shape.value, inner) for key, inner in value.items()}
    _refuse_unknown(shape, value)
    return {n: _known(shape.members[n], inner) for n, inner in value.items() if inner is not None}


def _is_flat(shape: Shape) -> bool:
    return shape.type_name == "structure" and all(
        member.type_name not in ("structure", "list", "map") for member in shape.members.values()
    )


def _without_none(value: dict[str, Any]) -> dict[str, Any]:
    return {name: inner for name, inner in value.items() if inner is not None}


def _refuse_unknown(shape: Shape, value: dict[str, Any]) -> None:
    unknown = value.keys() - shape.members.keys()
    if unknown:
        raise AssertionError(f"{shape.name} has no member {', '.join(sorted(unknown))}")


def _xml_members(shape: Shape, value: dict[str, Any]) -> str:
    _refuse_unknown(shape, value)
    return "".join(
        _xml(shape.members[name], shape.members[name].serialization.get("name", name), inner)
        for name, inner in value.items()
        if inner is not None
    )


def _xml(shape: Shape, tag: str, value: Any) -> str:
    if shape.type_name == "structure":
        return f"<{tag}>{_xml_members(shape, value)}</{tag}>"
    if shape.type_name == "list":
        name = shape.member.serialization.get("name", "member")
        flat = shape.serialization.get("flattened")
        items = "".join(_xml(shape.member, tag if flat else name, item) for item in value)
        return items if flat else f"<{tag}>{items}</{tag}>"
    return f"<{tag}>{_xml_text(shape, value)}</{tag}>"


def _xml_text(shape: Shape, value: Any) -> str:
    if shape.type_name == "timestamp":
        return datetime.fromtimestamp(value, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if shape.type_name == "boolean":
        return "true" if value else "false"
    return escape(str(value), {"\r": "&#13;"})


def refusal(is_json: bool, refused: Refused, request_id: str) -> tuple[str, bytes]:
    """Content type and body of an error."""
    if is_json:
        body = json.dumps({"__type": refused.code, "message": refused.message})
        return "application/x-amz-json-1.1", body.encode()
    error = (
        f"<Type>{refused.blame}</Type><Code>{refused.code}</Code><Message>{escape(refused.message)}</Message>"
    )
    body = f"<ErrorResponse><Error>{error}</Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    return "text/xml", body.encode()
