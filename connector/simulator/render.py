"""Rows as the JSON of the REST API."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from .schema import Field, ObjectType
from .soql import ast
from .soql.execute import Finder, compile_finder
from .soql.paths import Scope, find_parent, open_child_scope, path_reader, target_kind
from .soql.selection import select_paths
from .table import Row

if TYPE_CHECKING:
    from .org import Org

Json = dict[str, Any]
Step = Callable[[Row, str], Any]
Render = Callable[[Row, str], Json]
# What is still to be followed from the present row: the references on the way, and the field.
Rest = tuple[tuple[Field, ...], Field]


def json_value(value: Any) -> Any:  # noqa: ANN401 - a value of any field type
    """Return a stored value as JSON shows it: datetimes with `.000+0000`, dates as days, the rest unchanged."""
    if isinstance(value, datetime):
        return f"{value.isoformat()[:19]}.000+0000"
    return value.isoformat() if isinstance(value, date) else value


def record_renderer(scope: Scope, query: ast.Query, *, include_deleted: bool) -> Render:
    """Return a function from a row and an API version to a record with its parents and children."""
    rests = [(path.parents, path.field) for path in select_paths(scope, query)]
    steps = _steps(scope.org, scope.kind, rests)
    for item in query.select:
        if isinstance(item, ast.Query):
            name, step = _children_step(scope, item, include_deleted=include_deleted)
            steps[name] = step
    return _renderer(scope.kind.name, scope.kind.name, steps)


def _renderer(shown_type: str, kind_name: str, steps: Mapping[str, Step]) -> Render:
    def render(row: Row, version: str) -> Json:
        url = f"/services/data/v{version}/sobjects/{kind_name}/{row[0]}"
        record: Json = {"attributes": {"type": shown_type, "url": url}}
        record.update({name: step(row, version) for name, step in steps.items()})
        return record

    return render


def _steps(org: "Org", kind: ObjectType, rests: Sequence[Rest]) -> dict[str, Step]:
    by_parent: dict[str, list[Rest]] = {}
    steps: dict[str, Step] = {}
    for parents, field in rests:
        if parents:
            by_parent.setdefault(parents[0].name, []).append((parents[1:], field))
            steps.setdefault(parents[0].relationship or "", _nothing)
        else:
            steps[field.name] = _value_step(org, kind, field)
    for name, inner in by_parent.items():
        reference = kind.fields[name]
        steps[reference.relationship or ""] = _parent_step(org, kind, reference, inner)
    return steps


def _nothing(_row: Row, _version: str) -> None:
    return None


def _value_step(org: "Org", kind: ObjectType, field: Field) -> Step:
    read = path_reader(org, kind, (), field)
    return lambda row, _version: json_value(read(row))


def _parent_step(org: "Org", kind: ObjectType, reference: Field, rests: Sequence[Rest]) -> Step:
    key = org.tables[kind.name].getter(reference.name)
    shown = target_kind(org, reference)
    branches = []
    for name in reference.references:
        steps = _steps(org, org.catalog.types[name], rests)
        branches.append((name, _renderer(shown.name if shown else name, name, steps)))

    def step(row: Row, version: str) -> Json | None:
        found = find_parent(org, branches, key(row))
        return None if found is None else found[1](found[0], version)

    return step


def _children_step(scope: Scope, query: ast.Query, *, include_deleted: bool) -> tuple[str, Step]:
    child, reference = open_child_scope(scope, query)
    finder = compile_finder(child, query, include_deleted=include_deleted)
    render = record_renderer(child, query, include_deleted=include_deleted)
    table = scope.org.tables[child.kind.name]

    def step(row: Row, version: str) -> Json | None:
        rows = table.visible(include_deleted=include_deleted, ids=table.where(reference.name, row[0]))
        return _child_result(finder, rows, render, version)

    return reference.children or "", step


def _child_result(finder: Finder, rows: list[Row], render: Render, version: str) -> Json | None:
    records = [render(row, version) for row in finder.among(rows)]
    return {"totalSize": len(records), "done": True, "records": records} if records else None
