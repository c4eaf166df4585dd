"""How an org says yes or no to e-mail and SMS: which field of an object, and which of its values mean what."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cdp import clearing, people
from cdp.db import transaction
from cdp.models import Source
from connector import choosing, sources, transform
from connector.errors import BadInput, ObjectUnavailable
from connector.objects import PEOPLE
from connector.paths import Column, Describes, UnknownField
from connector.runtime import Runtime

CHANNELS = ("email", "sms")
SHAPE = 'permissions are {"email": {"Lead": {"field": "HasOptedOutOfEmail", "no": [true]}}, "sms": {…}}'
SHOWN = frozenset({"field", "yes", "no", "problem"})
TEXTS = frozenset({"picklist", "string", "combobox"})
Permissions = dict[str, dict[str, dict[str, Any]]]


@dataclass(frozen=True)
class Permission:
    """One consent mapping as it stands; `problem` says why its answers cannot be read now, None if they can."""

    channel: str
    object: str
    field: str
    yes: tuple[Any, ...]
    no: tuple[Any, ...]
    problem: str | None


def check(document: object, known: Describes) -> Permissions:
    """Return the permissions that a file holds, with fields as the org spells them.

    Raises:
        BadInput: it has not that shape, a field is unknown, or its values cannot be an answer.
    """
    if not isinstance(document, dict):
        raise BadInput(f"The permissions cannot be used: {SHAPE}.")
    return {channel: _channel(channel, objects, known) for channel, objects in document.items()}


def _channel(channel: str, objects: object, known: Describes) -> dict[str, dict[str, Any]]:
    if channel not in CHANNELS:
        raise BadInput(f"There is no channel '{channel}': permissions are for {' and '.join(CHANNELS)}.")
    if not isinstance(objects, dict):
        raise BadInput(f"The permissions cannot be used: {SHAPE}.")
    return {sobject: _answer(channel, sobject, rule, known) for sobject, rule in objects.items()}


def _answer(channel: str, sobject: str, rule: object, known: Describes) -> dict[str, Any]:
    if sobject not in PEOPLE:
        raise BadInput(f"There is no object '{sobject}' with permissions: use {' and '.join(PEOPLE)}.")
    if not isinstance(rule, dict) or not isinstance(rule.get("field"), str) or set(rule) - SHOWN:
        raise BadInput(f"The {channel} permission of {sobject} cannot be used: {SHAPE}.")
    try:
        column = known.find(sobject, rule["field"])
    except ObjectUnavailable:
        raise BadInput(f"The login cannot see {sobject}.") from None
    _check_values(f"{sobject}.{column.path}", column, rule)
    return {"field": column.path} | {side: rule[side] for side in ("yes", "no") if rule.get(side)}


def _check_values(full: str, column: Column, rule: Mapping[str, Any]) -> None:
    if "." in column.path:
        raise BadInput(
            f"{full} cannot drive consent: a parent's change would not be seen in time, so use an own field."
        )
    sides = [rule.get("yes", []), rule.get("no", [])]
    if not all(isinstance(side, list) for side in sides) or not any(sides):
        raise BadInput(f"Say which values of {full} mean yes or no: lists under 'yes' and 'no', one of them not empty.")
    if column.type != "boolean" and column.type not in TEXTS:
        raise BadInput(
            f"{full} ({column.type}) cannot drive consent: only a checkbox can, or a picklist or text whose values are "
            "mapped to yes and no."
        )
    kind, words = (bool, "true and false") if column.type == "boolean" else (str, "texts in quotes")
    values = [value for side in sides for value in side]
    if not all(isinstance(value, kind) and value != "" for value in values):
        raise BadInput(f"The values of {full} ({column.type}) are {words}.")
    if both := [value for value in sides[0] if value in sides[1]]:
        raise BadInput(f"The value {both[0]!r} of {full} cannot mean both yes and no.")


def replace(runtime: Runtime, name: str, document: object) -> int:
    """Put permissions in place of the present ones; what is no longer asked is forgotten: return how many answers.

    Stored answers of a field that is asked otherwise now stay until the record is read again, so that nobody's no is
    lost in between.

    Raises:
        BadInput: they do not fit the org.
        Refused: the source is updating.
    """
    wanted = check(document, _known(runtime, name))
    return _apply(runtime, name, lambda _present: wanted)


def set_one(runtime: Runtime, name: str, channel: str, sobject: str, rule: Mapping[str, Any] | None) -> int:
    """Set the permission of one channel and object, None not to ask it any more; see `replace`.

    The others stay as they are and are not checked again.
    """
    known = _known(runtime, name)
    answer = check({channel: {sobject: rule} if rule else {}}, known)[channel]

    def changed(present: Permissions) -> Permissions:
        others = {one: kept for one, kept in present.get(channel, {}).items() if one != sobject}
        return {**present, channel: others | answer}

    return _apply(runtime, name, changed)


def _known(runtime: Runtime, name: str) -> Describes:
    with transaction(runtime.database_url) as database:
        source = sources.find(database, name)
        choosing.check_editable(database, source)
    return choosing.describes(runtime, source)


def _apply(runtime: Runtime, name: str, change: Callable[[Permissions], Permissions]) -> int:
    with choosing.editing(runtime, name) as (database, source):
        present: Permissions = source.permissions
        wanted = change(present)
        forgotten = sum(
            clearing.clear(database, source.key, sobject, f"{channel}_permission")
            for channel, objects in present.items()
            for sobject in objects
            if sobject not in wanted.get(channel, {})
        )
        source.permissions = wanted
    if forgotten:
        people.resolve(runtime.database_url, runtime.identity)
    return forgotten


def show(runtime: Runtime, name: str) -> list[Permission]:
    """Return every consent mapping of a source as it stands against describe now."""
    with transaction(runtime.database_url) as database:
        source = sources.find(database, name)
    return standing(source, choosing.describes(runtime, source))


def standing(source: Source, known: Describes) -> list[Permission]:
    """Return every consent mapping of a source as it stands against what its login sees."""
    return [
        _standing(channel, sobject, rule, known)
        for channel, objects in sorted(source.permissions.items())
        for sobject, rule in sorted(objects.items())
    ]


def _standing(channel: str, sobject: str, rule: Mapping[str, Any], known: Describes) -> Permission:
    problem = None
    if not _answers(sobject, rule, known):
        problem = (
            f"{sobject}.{rule['field']} cannot be read, so new {channel} opt-outs are not known: give the user read "
            "access to the field, or set the permission mapping to another one."
        )
    return Permission(channel, sobject, rule["field"], tuple(rule.get("yes", ())), tuple(rule.get("no", ())), problem)


def _answers(sobject: str, rule: Mapping[str, Any], known: Describes) -> bool:
    try:
        column = known.find(sobject, rule["field"])
    except (UnknownField, ObjectUnavailable):
        return False
    return transform.can_answer(rule, {column.path: column.type})
