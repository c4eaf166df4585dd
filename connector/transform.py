"""What a Salesforce row means: from describe and a source's mapping to a layout, and from JSON to the canonical CSV."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from cdp.fields import Field
from cdp.records import Consent, Layout, csv_row
from connector.errors import NeedsAttention, ObjectUnavailable
from connector.filters import EVERYTHING, Admission
from connector.objects import SalesforceObject

# Field types of describe and the person field types they fill; every other type is text.
PERSON_TYPES = MappingProxyType(
    {
        "boolean": "boolean",
        "int": "number",
        "double": "number",
        "currency": "number",
        "percent": "number",
        "date": "date",
        "datetime": "datetime",
        "multipicklist": "list",
    }
)
UNREADABLE = frozenset({"address", "location", "base64"})
FieldTypes = Mapping[str, str]
FieldMapping = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Plan:
    """How one object is read: the layout of the selected fields, mapped fields that are not there, and `volatile` ones.

    A volatile field, a formula or another object's, changes without moving any stamp of the row that shows it.
    `condition` narrows complete reads to what the source's filter asks for; `filter` is the filter's version, and
    `cursor` the stamp that polls go by.
    """

    sobject: SalesforceObject
    layout: Layout
    missing: tuple[str, ...]
    volatile: tuple[str, ...] = ()
    condition: str = ""
    filter: int = 0
    cursor: str = "LastModifiedDate"

    @property
    def of_settings(self) -> bool:
        """Whether the rows are settings, such as stages: they are never deleted, and count as nothing that was read."""
        return "is_deleted" not in self.layout.fixed and not self.layout.partial

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields to select, in the order of the CSV's columns."""
        return self.layout.columns


def field_types(describe: Mapping[str, Any]) -> dict[str, str]:
    """Return field name → type of a describe answer (`fields[].name`, `fields[].type`)."""
    return {field["name"]: field["type"] for field in describe["fields"]}


def default_mapping(sobject: SalesforceObject, types: FieldTypes) -> dict[str, dict[str, str]]:
    """Return the mapping a source starts with: the standard fields that the user may see."""
    return {
        field: {"to": target, "rule": "most_recent"} for field, target in sobject.defaults.items() if field in types
    }


def default_consent(sobject: SalesforceObject) -> dict[str, Any]:
    """Return the e-mail permission a source starts with; while its field is hidden, that needs attention."""
    return {"field": sobject.opt_out, "no": [True]}


def can_answer(rule: Mapping[str, Any], types: FieldTypes) -> bool:
    """Tell whether a consent rule's field is there and of the type that its values are."""
    kind = types.get(rule["field"])
    answers = (*rule.get("yes", ()), *rule.get("no", ()))
    return kind is not None and all(isinstance(answer, bool) == (kind == "boolean") for answer in answers)


def person_field(field: str, target: Mapping[str, str], types: FieldTypes) -> Field:
    """Return the person field that a mapping names, with the type that the Salesforce field gives it."""
    return Field(target["to"], PERSON_TYPES.get(types[field], "text"), target.get("rule", "most_recent"))


def plan(
    sobject: SalesforceObject,
    types: FieldTypes,
    mapping: FieldMapping,
    permissions: Mapping[str, Any],
    *,
    formulas: frozenset[str] = frozenset(),
    admission: Admission = EVERYTHING,
) -> Plan:
    """Decide what to read of an object now; `types` holds its own fields and those of paths that are asked for.

    A mapped field that describe does not show is left out of the layout, so its stored values stay as they are. Fields
    that the filter asks about are read besides.

    Raises:
        NeedsAttention: a field that every record needs is hidden.
    """
    fixed = {ours: theirs for ours, theirs in sobject.fixed.items() if theirs in types}
    fixed.setdefault("version_at", sobject.fixed["modified_at"])
    hidden = [sobject.fixed[name] for name in sorted(sobject.table.required - set(fixed))]
    if hidden:
        raise NeedsAttention(
            "field_hidden",
            f"The login cannot see {sobject.name}.{hidden[0]}.",
            "Give its profile or permission set read access to that field.",
            blocks=False,
        )
    fields = {person_field(name, target, types): name for name, target in mapping.items() if name in types}
    consent = _consent(sobject.name, types, permissions)
    answers = (answer.column for answer in consent.values())
    used = dict.fromkeys((*fixed.values(), *fields.values(), *answers, *admission.fields))
    layout = Layout(
        tuple(used),
        MappingProxyType(fixed),
        MappingProxyType(fields),
        MappingProxyType(consent),
        admitted=admission.predicate,
        table=sobject.table,
    )
    missing = tuple(sorted(name for name in mapping if name not in types))
    volatile = tuple(name for name in used if name in formulas or "." in name)
    return Plan(sobject, layout, missing, volatile, admission.condition)


def activity_plan(sobject: SalesforceObject, types: FieldTypes) -> Plan:
    """Decide what to read of an object that makes activities: those of its fields that the login may see.

    Raises:
        ObjectUnavailable: a field is hidden without which a row means nothing.
    """
    fixed = {ours: theirs for ours, theirs in sobject.fixed.items() if theirs in types}
    stamps = [name for name in sobject.stamps if name in types]
    if stamps:
        fixed.setdefault("version_at", stamps[0])
    hidden = sorted(sobject.fixed[name] for name in sobject.table.required - set(fixed))
    if hidden:
        raise ObjectUnavailable("field_hidden", f"The login cannot see {sobject.name}.{hidden[0]}.")
    nothing: Mapping[Field, str] = {}
    columns = tuple(dict.fromkeys((*fixed.values(), stamps[0])))
    layout = Layout(columns, MappingProxyType(fixed), MappingProxyType(nothing), table=sobject.table)
    return Plan(sobject, layout, (), cursor=stamps[0])


def _consent(sobject: str, types: FieldTypes, permissions: Mapping[str, Any]) -> dict[str, Consent]:
    answers = {}
    for channel, objects in permissions.items():
        rule = objects.get(sobject)
        if rule and can_answer(rule, types):
            answers[channel] = Consent(
                rule["field"],
                yes=frozenset(map(text, rule.get("yes", ()))),
                no=frozenset(map(text, rule.get("no", ()))),
                complement=types[rule["field"]] == "boolean",
            )
    return answers


def filled(mapping: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """Return a source's mapping with the fields that the plan has read no longer waiting to be filled."""
    name, done = plan.sobject.name, set(plan.layout.fields.values())
    fields = {
        field: {key: value for key, value in target.items() if key != "mapped_at" or field not in done}
        for field, target in mapping.get(name, {}).items()
    }
    return {**mapping, name: fields}


def text(value: object) -> str:
    """Return a JSON value as it would stand in a Bulk CSV; null is the empty text, as it is there."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def csv_rows(fields: Iterable[str], records: Iterable[Mapping[str, Any]]) -> bytes:
    """Return REST records as the same CSV that Bulk API 2.0 gives, without a header; fields may be paths."""
    paths = [field.split(".") for field in fields]
    return b"".join(csv_row(text(_follow(record, path)) for path in paths) for record in records)


def texts(fields: Iterable[str], record: Mapping[str, Any]) -> dict[str, str]:
    """Return field → text of a REST record, as its CSV has it; fields may be paths."""
    return {field: text(_follow(record, field.split("."))) for field in fields}


def _follow(record: Mapping[str, Any], path: list[str]) -> object:
    value: Any = record
    for step in path:
        if value is None:
            return None
        value = value.get(step)
    return value
