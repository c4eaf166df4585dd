"""The select list of a query: fields, with FIELDS() spelled out, and subqueries."""

from lark import Token

from . import ast
from .paths import ResolvedPath, Scope

_MAX_WITH_ALL = 200


def select_paths(scope: Scope, query: ast.Query) -> list[ResolvedPath]:
    """Resolve the fields of a select list; ApiError for unknown, doubled or ill-placed ones."""
    paths: list[ResolvedPath] = []
    for item in query.select:
        if isinstance(item, ast.Path):
            paths.append(scope.resolve(item.token))
        elif isinstance(item, ast.Call):
            paths.extend(_expand(scope, query, item))
    _refuse_doubles(scope, paths)
    return paths


def _expand(scope: Scope, query: ast.Query, call: ast.Call) -> list[ResolvedPath]:
    which = (call.argument or "").upper()
    if call.function.upper() != "FIELDS" or which not in {"ALL", "STANDARD", "CUSTOM"}:
        raise scope.error(call.function, "INVALID_FIELD", f"Unknown function '{call.function}({call.argument or ''})'")
    if which != "STANDARD" and (query.limit is None or query.limit > _MAX_WITH_ALL):
        message = f"The SOQL FIELDS function must have a LIMIT of at most {_MAX_WITH_ALL}"
        raise scope.error(call.function, "MALFORMED_QUERY", message)
    wanted = {"ALL": {True, False}, "STANDARD": {False}, "CUSTOM": {True}}[which]
    fields = (field for field in scope.kind.fields.values() if field.custom in wanted)
    return [ResolvedPath(scope.kind, (), field, call.function) for field in fields]


def _refuse_doubles(scope: Scope, paths: list[ResolvedPath]) -> None:
    seen: dict[str, Token] = {}
    for path in paths:
        if path.column in seen:
            raise scope.error(path.token, "INVALID_FIELD", f"duplicate field selected: {path.column}")
        seen[path.column] = path.token
