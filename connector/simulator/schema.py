"""Object types and their fields, read from the tables in `standard/`."""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

TEXT_TYPES = frozenset({"string", "textarea", "picklist", "multipicklist", "phone", "email", "url", "combobox"})
NUMBER_TYPES = frozenset({"int", "double", "currency", "percent"})
_LONG_TEXT = 255


@dataclass(frozen=True)
class Field:
    """One field of an object type: its Salesforce type, size and abilities."""

    name: str
    type: str
    label: str = ""
    length: int = 0
    precision: int = 0
    scale: int = 0
    nillable: bool = True
    createable: bool = True
    updateable: bool = True
    defaulted: bool = False
    filterable: bool = True
    sortable: bool = True
    groupable: bool = True
    id_lookup: bool = False
    name_field: bool = False
    cascade: bool = False
    virtual: bool = False
    references: tuple[str, ...] = ()
    relationship: str | None = None
    children: str | None = None
    compound: str | None = None
    values: tuple[str, ...] = ()
    default: str | bool | float | None = None

    @property
    def custom(self) -> bool:
        """Tell whether an administrator added the field."""
        return self.name.endswith("__c")

    @property
    def stored(self) -> bool:
        """Tell whether rows hold a value for the field; addresses and mirrors are computed when read."""
        return not self.virtual and self.type != "address"

    @property
    def polymorphic(self) -> bool:
        """Tell whether the reference may point at more than one object type."""
        return len(self.references) > 1


@dataclass(frozen=True)
class ObjectType:
    """An object type as one user sees it."""

    name: str
    label: str
    label_plural: str
    key_prefix: str
    flags: frozenset[str]
    fields: Mapping[str, Field]

    @property
    def custom(self) -> bool:
        """Tell whether an administrator added the object."""
        return self.name.endswith("__c")

    @cached_property
    def _folded(self) -> dict[str, Field]:
        return {name.lower(): field for name, field in self.fields.items()}

    @cached_property
    def _parents(self) -> dict[str, Field]:
        return {field.relationship.lower(): field for field in self.fields.values() if field.relationship}

    @cached_property
    def stored(self) -> dict[str, Field]:
        """Return the fields rows hold values for."""
        return {name: field for name, field in self.fields.items() if field.stored}

    @cached_property
    def required(self) -> list[str]:
        """Return the fields a new row must have."""
        needed = (f for f in self.fields.values() if f.createable and not f.nillable and not f.defaulted)
        return [field.name for field in needed if field.type != "boolean"]

    def find(self, name: str) -> Field | None:
        """Return the field of that name in any case, or None."""
        return self._folded.get(name.lower())

    def find_parent(self, relationship: str) -> Field | None:
        """Return the reference field behind a relationship name in any case, or None."""
        return self._parents.get(relationship.lower())

    @cached_property
    def name_field(self) -> Field | None:
        """Return the field that names a row."""
        return next((field for field in self.fields.values() if field.name_field), None)

    def with_fields(self, fields: Mapping[str, Field]) -> "ObjectType":
        """Return the same object type with other fields."""
        return replace(self, fields=dict(fields))


def make_field(name: str, type: str, **attributes: object) -> Field:  # noqa: A002 - Salesforce's own word
    """Build a field whose abilities follow from its type, as Salesforce sets them, unless given."""
    length = attributes.get("length", 0)
    is_long = type == "textarea" and isinstance(length, int) and length > _LONG_TEXT
    defaults: dict[str, object] = {
        "label": label_of(name),
        "filterable": not is_long,
        "sortable": not is_long and type not in {"multipicklist", "address"},
        "groupable": type not in {"datetime", "double", "currency", "percent", "textarea", "multipicklist", "address"},
    }
    if type == "boolean":
        defaults |= {"nillable": False, "default": False}
    return Field(name, type, **(defaults | attributes))  # type: ignore[arg-type]  # a table row has no static types


def label_of(name: str) -> str:
    """Return the label Salesforce would show for an API name: `HasOptedOutOfEmail` is 'Has Opted Out Of Email'."""
    stem = re.sub(r"__c$", "", name).replace("_", " ")
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", stem)
    return re.sub(r"\bId$", "ID", spaced) if spaced != "Id" else "Record ID"


def _size(field_type: str, size: str) -> dict[str, int]:
    if field_type == "int":
        return {}
    precision, _, scale = size.partition(".")
    if field_type in NUMBER_TYPES:
        return {"precision": int(precision), "scale": int(scale or 0)}
    return {"length": int(precision or 0)}


def _read_field(row: Mapping[str, str]) -> Field:
    flags = row["flags"]
    values = tuple(filter(None, row["values"].split("|")))
    default = next((value[1:] for value in values if value.startswith("*")), None)
    abilities: dict[str, object] = {
        "nillable": "n" in flags,
        "createable": "c" in flags,
        "updateable": "u" in flags,
        "defaulted": "d" in flags,
        "id_lookup": "i" in flags,
        "name_field": "e" in flags,
        "cascade": "k" in flags,
        "virtual": "m" in flags,
        **{name: False for flag, name in (("F", "filterable"), ("S", "sortable"), ("G", "groupable")) if flag in flags},
    }
    links = {
        "references": tuple(filter(None, row["references"].split("|"))),
        "relationship": row["relationship"] or None,
        "children": row["children"] or None,
        "compound": row["compound"] or None,
        "values": tuple(value.removeprefix("*") for value in values),
    }
    given = abilities | links | _size(row["type"], row["size"]) | ({"default": default} if default else {})
    return make_field(row["name"], row["type"], **given)


def _table(name: str) -> Iterator[dict[str, str]]:
    text = (Path(__file__).parent / "standard" / name).read_text(encoding="utf-8")
    return iter(csv.DictReader(text.splitlines()))


def standard_objects() -> dict[str, ObjectType]:
    """Return the object types of a fresh org by name: the system fields first and last, as describe lists them."""
    own: dict[str, list[Field]] = {}
    for row in _table("fields.csv"):
        own.setdefault(row["object"], []).append(_read_field(row))
    head, tail = own["*"][:2], own["*"][2:]
    types = {}
    for row in _table("objects.csv"):
        without = row["without"].split()
        fields = [field for field in head + own[row["name"]] + tail if field.name not in without]
        by_name = {field.name: field for field in fields}
        flags = frozenset(row["flags"].split())
        types[row["name"]] = ObjectType(row["name"], row["label"], row["plural"], row["prefix"], flags, by_name)
    return types
