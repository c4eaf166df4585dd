"""A filter while it is being edited: rows of a form on one side, the tree of a filter file on the other."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from connector.errors import BadInput, ObjectUnavailable
from connector.filters.checks import FITTING
from connector.filters.tree import WITH_EITHER, WITH_LIST, WITHOUT_VALUE, Operator
from connector.paths import Describes

GROUPS = {"all": "all of these", "any": "any of these", "none": "none of these"}
ROOT = "n"
OBJECT = "object"


@dataclasses.dataclass
class Draft:
    """One node: a group (`kind` of GROUPS) with its parts, or a condition (`kind` is "field") as it was typed."""

    kind: str = "field"
    field: str = ""
    op: str = "equals"
    value: str = ""
    parts: list["Draft"] = dataclasses.field(default_factory=list)


def from_tree(document: Any) -> Draft:  # noqa: ANN401 - JSON
    """Return the draft of a filter, always a group at the top."""
    found = _node(document) if document else Draft("all")
    return found if found.kind != "field" else Draft("all", parts=[found])


def _node(document: Mapping[str, Any]) -> Draft:
    if "not" in document:
        inside = document["not"]
        return Draft("none", parts=[_node(part) for part in inside.get("any", [inside])])
    for kind in ("all", "any"):
        if kind in document:
            return Draft(kind, parts=[_node(part) for part in document[kind]])
    return Draft(field=document["field"], op=document["op"], value=_typed(document.get("value")))


def _typed(value: Any) -> str:  # noqa: ANN401 - JSON
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(map(_typed, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def from_form(form: Mapping[str, str], place: str = ROOT) -> Draft:
    """Return the draft that a form holds: `PLACE.kind` and the like, parts under `PLACE.0`, `PLACE.1` and so on."""
    kind = form.get(f"{place}.kind", "all")
    if kind == "field":
        asked, op, value = (form.get(f"{place}.{name}", "") for name in ("field", "op", "value"))
        return Draft(field=asked, op=op, value=value)
    parts: list[Draft] = []
    while f"{place}.{len(parts)}.kind" in form:
        parts.append(from_form(form, f"{place}.{len(parts)}"))
    return Draft(kind if kind in GROUPS else "all", parts=parts)


def change(draft: Draft, what: str) -> Draft:
    """Do what a button of the form says: `add:PLACE`, `group:PLACE` or `remove:PLACE`; anything else does nothing."""
    doing, _, place = what.partition(":")
    steps = [int(step) for step in place.split(".")[1:] if step.isdigit()]
    try:
        if doing == "remove" and steps:
            _at(draft, steps[:-1]).parts.pop(steps[-1])
        elif doing in ("add", "group"):
            made = Draft() if doing == "add" else Draft("any", parts=[Draft()])
            _at(draft, steps).parts.append(made)
    except IndexError:
        pass  # the page was older than the draft
    return draft


def _at(draft: Draft, steps: list[int]) -> Draft:
    for step in steps:
        draft = draft.parts[step]
    return draft


def to_tree(draft: Draft, known: Describes) -> dict[str, Any] | None:
    """Return the draft as a filter file has it, values typed as their fields are; empty groups are left out.

    Raises:
        BadInput: a field is unknown, or a value is not of its type.
    """
    if draft.kind == "field":
        return _condition(draft, known)
    parts = [part for part in (to_tree(part, known) for part in draft.parts) if part is not None]
    if not parts:
        return None
    return {"not": {"any": parts}} if draft.kind == "none" else {draft.kind: parts}


def _condition(draft: Draft, known: Describes) -> dict[str, Any]:
    name, op = draft.field.strip(), draft.op
    if not name:
        raise BadInput("A condition has no field: choose one, or remove the condition.")
    if op in WITHOUT_VALUE:
        return {"field": name, "op": op}
    kind = "number" if op == Operator.within_last_days else _kind(name, known)
    if op in WITH_LIST or op in WITH_EITHER:
        return {"field": name, "op": op, "value": [_read(one.strip(), kind, name) for one in draft.value.split(",")]}
    return {"field": name, "op": op, "value": _read(draft.value.strip(), kind, name)}


def _kind(name: str, known: Describes) -> str:
    if name.lower() == OBJECT:
        return "text"
    owner, _, path = name.partition(".")
    try:
        return known.find(owner.capitalize(), path).kind
    except ObjectUnavailable:
        raise BadInput(f"There is no field '{name}' to ask about: write it as Lead.Status.") from None


def _read(text: str, kind: str, name: str) -> bool | int | float | str:
    if kind == "boolean" and text.lower() in ("true", "yes", "false", "no"):
        return text.lower() in ("true", "yes")
    if kind == "number":
        try:
            return float(text) if "." in text else int(text)
        except ValueError:
            raise BadInput(f"'{text}' is no number, which {name} is compared with.") from None
    return text


def operators() -> dict[str, str]:
    """Return every operator in words, in the order of the form."""
    return {str(one): str(one).replace("_", " ") for one in Operator if any(one in kind for kind in FITTING.values())}
