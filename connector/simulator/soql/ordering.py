"""Sorting rows."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


def sort(items: list[T], keys: Sequence[tuple[Callable[[T], Any], bool, bool]]) -> list[T]:
    """Sort by (key, descending, nulls last) of each column, the first one leading; ties keep their order."""
    for key, descending, nulls_last in reversed(keys):
        decorated = [(key(item), item) for item in items]
        nulls = [item for value, item in decorated if value is None]
        found = [pair for pair in decorated if pair[0] is not None]
        found.sort(key=_comparable, reverse=descending)
        values = [item for _, item in found]
        items = values + nulls if nulls_last else nulls + values
    return items


def _comparable(pair: tuple[Any, object]) -> Any:  # noqa: ANN401 - a value of any sortable type
    return pair[0]
