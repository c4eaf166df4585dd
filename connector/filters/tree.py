"""The condition tree as an admin writes it: pydantic models, and a sentence for everything that is wrong with one."""

import json
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from enum import StrEnum
from itertools import chain
from typing import Annotated, Any, NoReturn, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from connector import texts
from connector.errors import BadInput

MAX_DEPTH = 20
MAX_CONDITIONS = 500
MAX_VALUES = 2000
Scalar: TypeAlias = bool | int | float | str


class Operator(StrEnum):
    """What a condition may ask of a field."""

    equals = "equals"
    not_equals = "not_equals"
    contains = "contains"
    not_contains = "not_contains"
    starts_with = "starts_with"
    in_ = "in"
    not_in = "not_in"
    greater_than = "greater_than"
    at_least = "at_least"
    less_than = "less_than"
    at_most = "at_most"
    is_empty = "is_empty"
    is_not_empty = "is_not_empty"
    includes = "includes"
    excludes = "excludes"
    within_last_days = "within_last_days"


WITHOUT_VALUE = frozenset({Operator.is_empty, Operator.is_not_empty})
WITH_LIST = frozenset({Operator.in_, Operator.not_in})
WITH_EITHER = frozenset({Operator.includes, Operator.excludes})


class _Node(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Condition(_Node):
    """One question about one field, `Object.Path`, or about `object`; `values` is empty where none is asked for."""

    field: str
    op: Operator
    values: tuple[Scalar, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _read(cls, given: dict[str, Any]) -> dict[str, Any]:
        if unknown := sorted(set(given) - {"field", "op", "value"}):
            _refuse(f"a condition has a field, an op and a value, and no '{unknown[0]}'")
        field = given.get("field")
        if not isinstance(field, str) or not field:
            _refuse("a condition needs a field, such as Lead.Status")
        op = _operator(field, given.get("op"))
        return {"field": field, "op": op, "values": _values(f"'{op}' on {field}", op, given)}


class All(_Node):
    """True when every part is."""

    all: Annotated[tuple["Node", ...], Field(min_length=1)]


class AnyOf(_Node):
    """True when at least one part is."""

    any: Annotated[tuple["Node", ...], Field(min_length=1)]


class Not(_Node):
    """True when its part is not."""

    not_: Annotated["Node", Field(alias="not")]


def _tag(value: object) -> str | None:
    """Tell which kind of node a document is; the mark keeps tags apart from keys in the places of errors."""
    if isinstance(value, Mapping):
        keys = {"all": "#all", "any": "#any", "not": "#not", "field": "#field", "op": "#field"}
        return next((tag for key, tag in keys.items() if key in value), None)
    return None


Node: TypeAlias = Annotated[
    Annotated[All, Tag("#all")]
    | Annotated[AnyOf, Tag("#any")]
    | Annotated[Not, Tag("#not")]
    | Annotated[Condition, Tag("#field")],
    Discriminator(
        _tag,
        custom_error_type="node",
        custom_error_message='a node is {"all": […]}, {"any": […]}, {"not": …} or a condition with field, op and value',
    ),
]


class _Root(BaseModel):
    tree: Node


def parse(text: str) -> Node | None:
    """Return the tree that a filter file holds; `null` and `{}` are no filter, which admits everything.

    Raises:
        BadInput: it is no tree; the sentence says where and why.
    """
    try:
        document = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise BadInput("The filter is not readable JSON: check its brackets, quotes and commas.") from None
    return read(document)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def read(document: object) -> Node | None:
    """Return the tree of a parsed document; raises BadInput as `parse` does."""
    if document in (None, {}):
        return None
    _check_all(document)
    try:
        tree = _Root.model_validate({"tree": document}).tree
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInput(f"The filter cannot be used{_place(first['loc'])}: {_sentence(first)}") from None
    if (count := sum(1 for _ in conditions(tree))) > MAX_CONDITIONS:
        raise BadInput(f"The filter has {count} conditions: use at most {MAX_CONDITIONS}, perhaps 'in' with a list.")
    return tree


def dump(tree: Node | None) -> Any:  # noqa: ANN401 - JSON
    """Return the tree as the document it was read from."""
    match tree:
        case All():
            return {"all": [dump(part) for part in tree.all]}
        case AnyOf():
            return {"any": [dump(part) for part in tree.any]}
        case Not():
            return {"not": dump(tree.not_)}
        case Condition():
            return {"field": tree.field, "op": tree.op.value} | _dumped_value(tree)
    return None


def _dumped_value(condition: Condition) -> dict[str, Any]:
    if condition.op in WITHOUT_VALUE:
        return {}
    several = condition.op in WITH_LIST | WITH_EITHER
    return {"value": list(condition.values) if several else condition.values[0]}


def failing(tree: Node, holds: Callable[[Node], bool]) -> Node:
    """Return the part that keeps out what the tree does not let in; `holds` tells whether a part is true of it."""
    if isinstance(tree, All):
        return failing(next(part for part in tree.all if not holds(part)), holds)
    return tree


def conditions(tree: Node | None) -> Iterator[Condition]:
    """Yield the conditions of a tree in their order."""
    match tree:
        case All():
            parts: tuple[Node, ...] = tree.all
        case AnyOf():
            parts = tree.any
        case Not():
            parts = (tree.not_,)
        case Condition():
            yield tree
            return
        case None:
            return
    for part in parts:
        yield from conditions(part)


def fields_used(tree: Node | None, sobject: str) -> tuple[str, ...]:
    """Return the paths of an object's fields that a tree asks about, in order of their names."""
    owned = (condition.field.partition(".") for condition in conditions(tree))
    return tuple(sorted({path for owner, _, path in owned if owner == sobject}))


def _check_all(document: object) -> None:
    """Raise BadInput for a document that is nested too deep, or a text anywhere in it that cannot be kept."""
    level, depth = [document], 0
    while level:
        if depth > 2 * MAX_DEPTH:  # a node and its list are two levels of JSON
            raise BadInput(f"The filter is nested too deep: use at most {MAX_DEPTH} levels.")
        if not texts.can_be_kept(one for one in level if isinstance(one, str)):
            raise BadInput("The filter has a character that no text in Salesforce can hold: leave it out.")
        depth += 1
        level = [
            inner
            for one in level
            if isinstance(one, list | dict)
            for inner in (chain(one, one.values()) if isinstance(one, dict) else one)
        ]


def _place(loc: tuple[int | str, ...]) -> str:
    """Return where in the document an error is, such as ` at all[1].not`."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in loc[1:] if str(step)[0] != "#")
    place = "".join(steps).lstrip(".")
    return f" at {place}" if place else ""


def _sentence(error: Any) -> str:  # noqa: ANN401 - pydantic's own
    words = {
        "too_short": "it needs at least one condition",
        "extra_forbidden": f"'{error['loc'][-1]}' does not belong there",
        "tuple_type": "'all' and 'any' take a list of nodes",
    }
    sentence = str(words.get(error["type"], error["msg"]))
    return sentence if sentence.endswith("?") else sentence + "."


def _refuse(sentence: str) -> NoReturn:
    raise PydanticCustomError("refused", "{sentence}", {"sentence": sentence})


def _operator(field: str, given: object) -> Operator:
    if given in list(Operator):
        return Operator(str(given))
    near = get_close_matches(str(given), list(Operator), n=1)
    suggestion = f"did you mean {near[0]}?" if near else f"use one of {', '.join(Operator)}"
    _refuse(f"the condition on {field} has no operator" if given is None else f"'{given}' is no operator: {suggestion}")


def _values(where: str, op: Operator, given: Mapping[str, Any]) -> tuple[Scalar, ...]:
    value = given.get("value")
    if op in WITHOUT_VALUE:
        if value is not None:
            _refuse(f"{where} takes no value")
        return ()
    if value is None:
        _refuse(f"{where} needs a value; for an empty field use is_empty")
    if op in WITH_LIST and not isinstance(value, list):
        _refuse(f"{where} takes a list of values")
    if isinstance(value, list) and op not in WITH_LIST | WITH_EITHER:
        _refuse(f"{where} takes one value, not a list")
    values = tuple(value) if isinstance(value, list) else (value,)
    if not 1 <= len(values) <= MAX_VALUES:
        _refuse(f"{where} takes 1 to {MAX_VALUES} values, not {len(values)}")
    for one in values:
        _check_scalar(where, one)
    return values


def _check_scalar(where: str, value: object) -> None:
    if not isinstance(value, bool | int | float | str):
        _refuse(f"{where} takes a text, a number, true or false")
    if value == "":
        _refuse(f"{where} has an empty text: use is_empty or is_not_empty")
