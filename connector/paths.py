"""From a field's path to what describe says of it; a path may lead over up to five parents."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Literal

from connector.errors import BadInput, ObjectUnavailable

MAX_PARENTS = 5
Kind = Literal["text", "id", "number", "boolean", "date", "datetime", "list", "other"]
KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        **dict.fromkeys(("string", "textarea", "picklist", "combobox", "phone", "email", "url"), "text"),
        **dict.fromkeys(("int", "double", "currency", "percent"), "number"),
        **dict.fromkeys(("id", "reference"), "id"),
        "boolean": "boolean",
        "date": "date",
        "datetime": "datetime",
        "multipicklist": "list",
    }
)


class UnknownField(BadInput):
    """A name in a path leads nowhere that the login may see."""


@dataclass(frozen=True)
class Column:
    """A field as seen from an object: `path` is spelled as the org spells it, `type` is that of describe.

    `exact` fields tell upper from lower case; `calculated` ones change without a stamp.
    """

    path: str
    type: str
    label: str = ""
    filterable: bool = True
    exact: bool = False
    calculated: bool = False

    @property
    def kind(self) -> Kind:
        """What the values are, whatever Salesforce calls them."""
        return KINDS.get(self.type, "other")


# All that a reference to several kinds of objects shows of its target.
POLYMORPHIC: Mapping[str, Column] = MappingProxyType(
    {name.lower(): Column(name, "string", name) for name in ("Name", "FirstName", "LastName", "Email", "Title", "Type")}
    | {"id": Column("Id", "id", "Record ID"), "isactive": Column("IsActive", "boolean", "Active")}
)


class Describes:
    """The describes of an org, each asked for once."""

    def __init__(self, describe: Callable[[str], Mapping[str, Any]]) -> None:
        self._describe = describe
        self._known: dict[str, Mapping[str, Any]] = {}

    def describe(self, sobject: str) -> Mapping[str, Any]:
        """Return an object's describe; raises ObjectUnavailable when the login may not see it."""
        if sobject not in self._known:
            self._known[sobject] = self._describe(sobject)
        return self._known[sobject]

    def columns(self, sobject: str) -> dict[str, Column]:
        """Return the object's own fields by their names in lower case."""
        return {field["name"].lower(): _column(field) for field in self.describe(sobject)["fields"]}

    def find(self, sobject: str, path: str) -> Column:
        """Return what a path is, in any case of letters.

        Raises:
            UnknownField: a name in it is unknown or hidden; the nearest ones are suggested.
            ObjectUnavailable: the login cannot see the object itself.
        """
        *parents, name = path.split(".")
        if len(parents) > MAX_PARENTS:
            raise UnknownField(f"{sobject}.{path} leads over more than {MAX_PARENTS} parents: choose a nearer field.")
        self.describe(sobject)
        try:
            columns, spelled = self._follow(sobject, parents)
        except ObjectUnavailable:
            raise UnknownField(f"{sobject}.{path} leads to an object that the login cannot see.") from None
        found = columns.get(name.lower())
        if found is None:
            where = ".".join([sobject, *spelled])
            known = [column.path for column in columns.values()]
            raise UnknownField(f"{where} has no field '{name}' that the login can see{_suggestion(name, known)}")
        return replace(found, path=".".join([*spelled, found.path]))

    def resolve(self, sobject: str, paths: Iterable[str]) -> dict[str, Column]:
        """Return the object's own fields and those of the paths that lead somewhere, by path as spelled by the org."""
        columns = {column.path: column for column in self.columns(sobject).values()}
        for path in paths:
            try:
                columns[path] = self.find(sobject, path)
            except UnknownField:
                continue
        return columns

    def _follow(self, sobject: str, parents: list[str]) -> tuple[Mapping[str, Column], list[str]]:
        columns, fields, spelled = self.columns(sobject), self.describe(sobject)["fields"], list[str]()
        for parent in parents:
            reference = self._reference(".".join([sobject, *spelled]), parent, fields)
            spelled.append(reference["relationshipName"])
            if len(reference["referenceTo"]) > 1:
                columns, fields = dict(POLYMORPHIC), []
            else:
                target = reference["referenceTo"][0]
                columns, fields = self.columns(target), self.describe(target)["fields"]
        return columns, spelled

    @staticmethod
    def _reference(where: str, parent: str, fields: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
        references = {field["relationshipName"]: field for field in fields if field["relationshipName"]}
        for name, field in references.items():
            if name.lower() == parent.lower() and field["referenceTo"]:
                return field
        suggestion = _suggestion(parent, list(references))
        raise UnknownField(f"{where} has no parent '{parent}' that the login can see{suggestion}")


def _column(field: Mapping[str, Any]) -> Column:
    return Column(
        field["name"], field["type"], field["label"], field["filterable"], field["caseSensitive"], field["calculated"]
    )


def _suggestion(name: str, known: Iterable[str]) -> str:
    folded = {one.lower(): one for one in known}
    near = get_close_matches(name.lower(), folded, n=1)
    return f": did you mean {folded[near[0]]}?" if near else "."
