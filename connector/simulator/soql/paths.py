"""From the names in a query to fields, and to functions that read them from rows."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from lark import Token

from ..errors import ApiError
from ..schema import NUMBER_TYPES, Field, ObjectType, make_field
from ..table import Row
from ..virtual import Reader, reader
from . import ast
from .parser import error_at

if TYPE_CHECKING:
    from ..org import Org

MAX_PARENTS = 5
_ORDERED = NUMBER_TYPES | {"date", "datetime"}
Branch = TypeVar("Branch")
_ADVICE = (
    "If you are attempting to use a custom {what}, be sure to append the '{suffix}' after the {place} name. "
    "Please reference your WSDL or the describe call for the appropriate names."
)
_COLUMN_ADVICE = _ADVICE.format(what="field", suffix="__c", place="custom field")
_RELATIONSHIP_ADVICE = _ADVICE.format(what="relationship", suffix="__r", place="custom relationship")
_ENTITY_ADVICE = _ADVICE.format(what="object", suffix="__c", place="entity")

# A polymorphic reference shows of its target only what all kinds of targets have in common.
_NAME_FIELDS = ("Id", "Name", "FirstName", "LastName", "Email", "Phone", "Title", "Username", "Alias", "IsActive")


@dataclass(frozen=True)
class ResolvedPath:
    """A path whose every name is known: the reference fields on the way, then the field itself."""

    kind: ObjectType
    parents: tuple[Field, ...]
    field: Field
    token: Token

    @property
    def names(self) -> tuple[str, ...]:
        """Return the parts of the path in the org's own spelling."""
        return (*(parent.relationship or "" for parent in self.parents), self.field.name)

    @property
    def column(self) -> str:
        """Return the path in the org's own spelling."""
        return ".".join(self.names)


@dataclass(frozen=True)
class Scope:
    """One query against one object type: resolves the names used in it."""

    org: "Org"
    text: str
    kind: ObjectType
    alias: str | None = None

    def error(self, token: Token | None, code: str, message: str) -> ApiError:
        """Build an error that points at a token of the query."""
        return error_at(self.text, token, code, message)

    def resolve(self, token: Token) -> ResolvedPath:
        """Return what a name means here; ApiError INVALID_FIELD for an unknown field or relationship."""
        names = token.split(".")
        if len(names) > 1 and names[0].lower() in {self.kind.name.lower(), (self.alias or "").lower()}:
            names = names[1:]
        if len(names) > MAX_PARENTS + 1:
            message = f"The path '{token}' spans more than {MAX_PARENTS} levels of parents"
            raise self.error(token, "MALFORMED_QUERY", message)
        kind, parents = self.kind, []
        for name in names[:-1]:
            parent = kind.find_parent(name)
            target = None if parent is None else target_kind(self.org, parent)
            if parent is None or target is None:
                message = f"Didn't understand relationship '{name}' in field path. {_RELATIONSHIP_ADVICE}"
                raise self.error(token, "INVALID_FIELD", message)
            parents.append(parent)
            kind = target
        field = kind.find(names[-1])
        if field is None:
            message = f"No such column '{names[-1]}' on entity '{kind.name}'. {_COLUMN_ADVICE}"
            raise self.error(token, "INVALID_FIELD", message)
        return ResolvedPath(self.kind, tuple(parents), field, token)

    def reader(self, path: ResolvedPath) -> Reader:
        """Return a function from a row of this object type to the value at the end of a path."""
        return path_reader(self.org, path.kind, path.parents, path.field)

    def comparable(self, path: ResolvedPath) -> Reader:
        """Return a reader for filters and sorting: text where none belongs (a damaged value) counts as null."""
        read = self.reader(path)
        if path.field.name not in self.org.damaged or path.field.type not in _ORDERED:
            return read
        return lambda row: None if isinstance(value := read(row), str) else value

    def operand(self, operand: ast.Path | ast.Call) -> ResolvedPath:
        """Resolve what a condition or an ordering is about: a field, never a function."""
        if isinstance(operand, ast.Call):
            raise self.error(operand.function, "MALFORMED_QUERY", f"unexpected token: '{operand.function}'")
        return self.resolve(operand.token)


def open_scope(org: "Org", text: str, query: ast.Query) -> Scope:
    """Return the scope of a query's FROM; ApiError INVALID_TYPE if the user sees no such object type."""
    kind = org.catalog.find(query.source)
    if kind is None:
        raise error_at(
            text, query.source, "INVALID_TYPE", f"sObject type '{query.source}' is not supported. {_ENTITY_ADVICE}"
        )
    return Scope(org, text, kind, query.alias)


def open_child_scope(scope: Scope, query: ast.Query) -> tuple[Scope, Field]:
    """Return the scope of a subquery in a select list, and the field of the child that points here."""
    for kind in scope.org.objects.values():
        for field in kind.fields.values():
            if scope.kind.name in field.references and (field.children or "").lower() == query.source.lower():
                return replace(scope, kind=kind, alias=query.alias), field
    message = f"Didn't understand relationship '{query.source}' in FROM part of query call. {_RELATIONSHIP_ADVICE}"
    raise scope.error(query.source, "INVALID_TYPE", message)


def target_kind(org: "Org", reference: Field) -> ObjectType | None:
    """Return the object type a reference leads to, None if hidden; for a polymorphic one, the common `Name` type."""
    targets = [org.objects[name] for name in reference.references if name in org.objects]
    if not reference.polymorphic or not targets:
        return targets[0] if targets else None
    fields = {n: target.fields[n] for n in _NAME_FIELDS for target in targets if n in target.fields}
    fields["Type"] = make_field("Type", "string", length=40)
    return ObjectType("Name", "Name", "Names", "", frozenset(), fields)


def path_reader(org: "Org", kind: ObjectType, parents: tuple[Field, ...], field: Field) -> Reader:
    """Return a function from a row to the value reached over its parents, null where a parent is missing."""
    if not parents:
        return _plain_reader(org, kind, field)
    first, rest = parents[0], parents[1:]
    key = org.tables[kind.name].getter(first.name)
    branches = [(name, path_reader(org, org.catalog.types[name], rest, field)) for name in first.references]

    def read(row: Row) -> Any:  # noqa: ANN401 - a value of any field type
        found = find_parent(org, branches, key(row))
        return None if found is None else found[1](found[0])

    return read


def find_parent(org: "Org", branches: list[tuple[str, Branch]], key: str | None) -> tuple[Row, Branch] | None:
    """Return the visible row with that id, and what goes with its object type."""
    if key is not None:
        for name, branch in branches:
            table = org.tables[name]
            row = table.rows.get(key)
            if row is not None and key not in table.hidden:
                return row, branch
    return None


def _plain_reader(org: "Org", kind: ObjectType, field: Field) -> Reader:
    known: Mapping[str, Field] = kind.fields
    if field.name == "Type" and field.name not in known:
        return lambda _row: kind.name
    if kind.name == "Group" and field.name == "Type":
        return lambda _row: "Queue"
    if field.name not in known:
        return lambda _row: None
    return reader(org, kind, known[field.name])
