"""Which Salesforce field fills which person field: what may be mapped, what a change does, what is broken."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlmodel import Session

from cdp import clearing, fields, people
from cdp.db import transaction
from cdp.errors import InvalidField
from cdp.fields import Field
from cdp.models import Source
from connector import checks, choosing, sources
from connector.errors import BadInput, ObjectUnavailable, Refused
from connector.objects import PEOPLE
from connector.paths import Column, Describes, UnknownField
from connector.runtime import Runtime
from connector.transform import PERSON_TYPES, UNREADABLE

PERMISSIONS = ("email_permission", "sms_permission")
USE_PERMISSIONS = "Please use permissions setting to map values"
SHOWN = frozenset({"to", "rule", "mapped_at", "type", "label", "problem"})  # what a shown mapping may bring back
FieldMapping = dict[str, dict[str, dict[str, str]]]
Registry = Mapping[str, Field]


@dataclass(frozen=True)
class Change:
    """What a change of a mapping did: names as `Object.Field`, values forgotten, and an advice if there is one."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    cleared: int
    advice: str | None


@dataclass(frozen=True)
class Mapped:
    """One mapped field as it stands: `problem` says how it is broken and how to repair it, None if it is not."""

    object: str
    field: str
    label: str | None
    to: str
    type: str | None
    rule: str | None
    mapped_at: str | None
    problem: str | None


def read(document: object) -> FieldMapping:
    """Return the mapping that a file holds; raises BadInput when it has not the shape of one."""
    shape = 'a mapping is {"Lead": {"Company": {"to": "company", "rule": "most_recent"}}}'
    if not isinstance(document, dict):
        raise BadInput(f"The mapping cannot be used: {shape}.")
    for sobject, mapped in document.items():
        if sobject not in PEOPLE:
            raise BadInput(f"There is no object '{sobject}' to map: map {' and '.join(PEOPLE)}.")
        for field, target in mapped.items() if isinstance(mapped, dict) else [("?", None)]:
            _check_target(f"{sobject}.{field}", target, shape)
        _check_once(sobject, mapped)
    return document


def _check_once(sobject: str, mapped: Mapping[str, object]) -> None:
    names = Counter(field.lower() for field in mapped)
    if twice := next((field for field in mapped if names[field.lower()] > 1), None):
        raise BadInput(f"{sobject}.{twice} is mapped twice, whatever its case: keep one of the two.")


def _check_target(full: str, target: object, shape: str) -> None:
    if not isinstance(target, dict) or not isinstance(target.get("to"), str) or set(target) - SHOWN:
        raise BadInput(f"The mapping of {full} cannot be used: {shape}.")
    if not isinstance(target.get("rule", ""), str):
        raise BadInput(f"The rule of {full} is a word, such as most_recent.")


def add(runtime: Runtime, name: str, field: str, target: str, rule: str | None) -> Change:
    """Map one field, `Object.Path`, to a person field; see `replace` for what is raised."""
    sobject, path = _split(field)
    asked = {"to": target} | ({"rule": rule} if rule else {})

    def added(present: FieldMapping, column: Column | None) -> FieldMapping:
        spelled = column.path if column else path
        if held := present.get(sobject, {}).get(spelled):
            raise Refused(f"{sobject}.{spelled} is mapped to {held['to']} already: unmap it first.")
        return {**present, sobject: {**present.get(sobject, {}), spelled: asked}}

    known = _known(runtime, name)
    column = _find(known, sobject, path)
    return _apply(runtime, name, known, lambda present: added(present, column))


def remove(runtime: Runtime, name: str, field: str) -> Change:
    """Unmap one field, broken or not, and forget what it said.

    Raises:
        BadInput: it is not mapped.
        Refused: the source is updating.
    """
    sobject, path = _split(field)

    def removed(present: FieldMapping) -> FieldMapping:
        kept = present.get(sobject, {})
        spelled = next((one for one in kept if one.lower() == path.lower()), None)
        if spelled is None:
            raise BadInput(f"{field} is not mapped: `connector mapping show` lists what is.")
        return {**present, sobject: {one: target for one, target in kept.items() if one != spelled}}

    return _apply(runtime, name, None, removed)


def replace(runtime: Runtime, name: str, document: object) -> Change:
    """Put a whole mapping in place of the present one; what stays as it is keeps its values and is not checked again.

    Raises:
        BadInput: a field is unknown or cannot be mapped, or a name, type or rule does not fit.
        Refused: the source is updating, or a person field is taken or is of another type.
    """
    wanted = read(document)
    return _apply(runtime, name, _known(runtime, name), lambda _present: wanted)


def _split(field: str) -> tuple[str, str]:
    owner, _, path = field.partition(".")
    sobject = next((one for one in PEOPLE if one.lower() == owner.lower()), None)
    if sobject is None or not path:
        raise BadInput(f"'{field}' names no field to map: write OBJECT.FIELD, of {' or '.join(PEOPLE)}.")
    return sobject, path


def _known(runtime: Runtime, name: str) -> Describes:
    with transaction(runtime.database_url) as database:
        source = sources.find(database, name)
        choosing.check_editable(database, source)
    return choosing.describes(runtime, source)


def _find(known: Describes, sobject: str, path: str) -> Column:
    try:
        return known.find(sobject, path)
    except ObjectUnavailable:
        raise BadInput(f"The login cannot see {sobject}.") from None


def _apply(
    runtime: Runtime, name: str, known: Describes | None, change: Callable[[FieldMapping], FieldMapping]
) -> Change:
    with choosing.editing(runtime, name) as (database, source):
        present: FieldMapping = source.mapping
        wanted, made = _decided(present, change(present), known, _registry(database))
        fields.register(database, made)
        cleared = sum(
            clearing.clear(database, source.key, sobject, f"f_{target['to']}")
            for sobject, _field, target in _leaving(present, wanted)
        )
        source.mapping = wanted
    if cleared:
        people.resolve(runtime.database_url, runtime.identity)
    return Change(_names(wanted, present), _names(present, wanted), cleared, _advice(wanted))


def _registry(database: Session) -> dict[str, Field]:
    return {field.name: field for field in fields.registered(database)}


def _decided(
    present: FieldMapping, wanted: FieldMapping, known: Describes | None, registry: Registry
) -> tuple[FieldMapping, list[Field]]:
    """Return the mapping to store and the person fields it needs; raises as `replace` does."""
    decided: FieldMapping = {}
    made: dict[str, Field] = {}
    now = datetime.now(UTC).isoformat()
    for sobject, asked in wanted.items():
        decided[sobject] = {}
        for field, target in asked.items():
            held = present.get(sobject, {}).get(field)
            if held and held["to"] == target["to"] and target.get("rule", held.get("rule")) == held.get("rule"):
                decided[sobject][field] = held
                continue
            if known is None:
                raise AssertionError  # only removals come without describes
            column = _find(known, sobject, field)
            person_field = _person_field(sobject, column, target, {**registry, **made})
            made[person_field.name] = person_field
            decided[sobject][column.path] = {"to": person_field.name, "rule": person_field.rule, "mapped_at": now}
        _refuse_doubles(sobject, decided[sobject])
    return decided, list(made.values())


def _person_field(sobject: str, column: Column, target: Mapping[str, str], registry: Registry) -> Field:
    full, to = f"{sobject}.{column.path}", target["to"]
    if to in PERMISSIONS:
        raise Refused(USE_PERMISSIONS)
    if column.type in UNREADABLE:
        raise BadInput(f"{full} ({column.type}) cannot be mapped: map its parts.")
    kind = PERSON_TYPES.get(column.type, "text")
    held = registry.get(to)
    if held and held.type != kind:
        raise Refused(
            f"{full} is {column.type}, which gives {kind}, but the person field {to} holds {held.type}: "
            "map it to another person field."
        )
    rule = target.get("rule")
    if held and rule and rule != held.rule:
        raise Refused(f"The person field {to} follows the rule {held.rule} already: change it with `connector rule`.")
    try:
        return held or Field(to, kind, rule or "most_recent")
    except InvalidField as error:
        raise BadInput(str(error)) from None


def _refuse_doubles(sobject: str, decided: Mapping[str, Mapping[str, str]]) -> None:
    taken: dict[str, str] = {}
    for field, target in decided.items():
        if target["to"] in taken:
            raise Refused(
                f"{sobject}.{taken[target['to']]} and {sobject}.{field} cannot both fill {target['to']}: "
                "unmap one, or map it to another person field."
            )
        taken[target["to"]] = field


def _leaving(present: FieldMapping, wanted: FieldMapping) -> list[tuple[str, str, dict[str, str]]]:
    """The mapped fields whose person field is no longer filled by them."""
    return [
        (sobject, field, target)
        for sobject, mapped in present.items()
        for field, target in mapped.items()
        if wanted.get(sobject, {}).get(field, {}).get("to") != target["to"]
    ]


def _names(one: FieldMapping, other: FieldMapping) -> tuple[str, ...]:
    return tuple(f"{sobject}.{field}" for sobject, field, _target in _leaving(one, other))


def _advice(mapping: FieldMapping) -> str | None:
    finding = checks.fields_mapped(sum(map(len, mapping.values())))
    return f"{finding.finding} {finding.remedy}" if finding else None


def show(runtime: Runtime, name: str) -> list[Mapped]:
    """Return every mapped field as it stands against describe now."""
    with transaction(runtime.database_url) as database:
        source = sources.find(database, name)
        registry = _registry(database)
    return standing(source, choosing.describes(runtime, source), registry)


def standing(source: Source, known: Describes, registry: Registry) -> list[Mapped]:
    """Return every mapped field of a source as it stands against what its login sees."""
    return [
        _standing(sobject, field, target, known, registry)
        for sobject, mapped in sorted(source.mapping.items())
        for field, target in sorted(mapped.items())
    ]


def _standing(sobject: str, field: str, target: Mapping[str, str], known: Describes, registry: Registry) -> Mapped:
    held = registry.get(target["to"])
    column, problem = None, None
    try:
        column = known.find(sobject, field)
    except (UnknownField, ObjectUnavailable) as error:
        problem = _missing(sobject, field, target["to"], error)
    if column and held and PERSON_TYPES.get(column.type, "text") != held.type:
        problem = (
            f"{sobject}.{field} is {column.type} now, which {target['to']} ({held.type}) cannot hold; its old values "
            "are kept: unmap it and map it to another person field."
        )
    return Mapped(
        object=sobject,
        field=field,
        label=column.label if column else None,
        to=target["to"],
        type=held.type if held else None,
        rule=held.rule if held else None,
        mapped_at=target.get("mapped_at"),
        problem=problem,
    )


def _missing(sobject: str, field: str, target: str, error: Exception) -> str:
    hint = str(error) if isinstance(error, UnknownField) else f"The login cannot see {sobject}."
    return (
        f"{sobject}.{field}, mapped to {target}, was renamed, deleted or hidden; its values are kept. {hint} "
        f"Show it to the login again, or unmap {sobject}.{field} and map the field that took its place."
    )
