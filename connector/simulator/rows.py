"""Single rows over REST: read, create, update, delete."""

from __future__ import annotations

import re
from typing import Any

from starlette.responses import Response

from .errors import ApiError, not_found
from .ids import to_18
from .query import run_query
from .schema import ObjectType
from .wire import Call, data_route, reply

FIELD_PATH = re.compile(r"\w+(\.\w+)*")


def read(call: Call) -> Response:
    """`GET …/sobjects/X/ID?fields=A,B`: one row; all fields without the parameter."""
    kind, record_id = _object(call), _record_id(call)
    names = [name for name in call.query.get("fields", "").split(",") if name] or list(kind.fields)
    if not all(FIELD_PATH.fullmatch(name) for name in names):
        raise ApiError("INVALID_FIELD", "invalid field list")
    soql = " ".join(("SELECT", ", ".join(names), "FROM", kind.name, "WHERE Id =", repr(record_id)))
    found = run_query(call.instance.org, soql).json_records(0, 1, version=call.version)
    if not found:
        raise _gone(call, kind, record_id)
    return reply(found[0])


def create(call: Call) -> Response:
    """`POST …/sobjects/X`."""
    kind = _writable(call)
    values = call.json()
    _refuse_read_only(values, {name for name, field in kind.fields.items() if field.createable})
    record_id = call.instance.org.insert(kind.name, values)
    return reply({"id": record_id, "success": True, "errors": []}, 201)


def update(call: Call) -> Response:
    """`PATCH …/sobjects/X/ID`."""
    kind = _writable(call)
    values = call.json()
    _refuse_read_only(values, {name for name, field in kind.fields.items() if field.updateable})
    call.instance.org.update(kind.name, _record_id(call), values)
    return Response(b"", 204)


def delete(call: Call) -> Response:
    """`DELETE …/sobjects/X/ID`: into the recycle bin."""
    kind = _writable(call)
    call.instance.org.delete(kind.name, _record_id(call))
    return Response(b"", 204)


def basic(call: Call) -> Response:
    """`GET …/sobjects/X`: a short description and no recent rows."""
    kind = _object(call)
    return reply(
        {"objectDescribe": {"name": kind.name, "label": kind.label, "keyPrefix": kind.key_prefix}, "recentItems": []}
    )


def _object(call: Call) -> ObjectType:
    kind = call.instance.org.catalog.find(call.params["object"])
    if kind is None:
        raise not_found()
    return kind


def _writable(call: Call) -> ObjectType:
    kind = _object(call)
    if not call.signed_in.user.can_write:
        raise ApiError("INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id", status=403)
    return kind


def _refuse_read_only(values: dict[str, Any], writable: set[str]) -> None:
    refused = sorted(values.keys() - writable)
    if refused:
        message = (
            f"Unable to create/update fields: {', '.join(refused)}. Please check the security settings of this field"
        )
        raise ApiError("INVALID_FIELD_FOR_INSERT_UPDATE", message, fields=refused)


def _record_id(call: Call) -> str:
    try:
        return to_18(call.params["id"])
    except ValueError as error:
        raise not_found() from error


def _gone(call: Call, kind: ObjectType, record_id: str) -> ApiError:
    soql = " ".join(("SELECT Id FROM", kind.name, "WHERE Id =", repr(record_id)))
    if run_query(call.instance.org, soql, include_deleted=True).total:
        return ApiError("ENTITY_IS_DELETED", "entity is deleted", status=404)
    return not_found()


ROUTES = [
    data_route("/sobjects/{object}", basic),
    data_route("/sobjects/{object}", create, ["POST"]),
    data_route("/sobjects/{object}/{id}", read),
    data_route("/sobjects/{object}/{id}", update, ["PATCH"]),
    data_route("/sobjects/{object}/{id}", delete, ["DELETE"]),
]
