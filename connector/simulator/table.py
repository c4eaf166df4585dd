"""The rows of one object type, kept as tuples so that hundreds of thousands fit in memory."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Binned:
    """Why a row is in the recycle bin: when it was deleted, and with which row (itself, unless by a cascade)."""

    at: datetime
    root: str


class Table:
    """Rows by id, in the order of insertion; the first value of a row is its Id.

    A change replaces a row, so earlier versions stay valid for whoever holds them.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.rows: dict[str, Row] = {}
        self.hidden: frozenset[str] = frozenset()
        self.bin: dict[str, Binned] = {}
        self._indexes: dict[str, dict[Any, dict[str, None]]] = {}
        self._rename(tuple(names))

    def _rename(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.slots = {name: slot for slot, name in enumerate(names)}
        self._indexes.clear()

    def pack(self, values: Mapping[str, Any]) -> Row:
        """Turn a complete mapping of values into a row."""
        return tuple([values[name] for name in self.names])

    def unpack(self, row: Row) -> dict[str, Any]:
        """Turn a row into a mapping of values."""
        return dict(zip(self.names, row, strict=True))

    def put(self, record_id: str, row: Row) -> None:
        """Insert or replace a row."""
        old = self.rows.get(record_id)
        self.rows[record_id] = row
        for name, index in self._indexes.items():
            slot = self.slots[name]
            if old is None or old[slot] != row[slot]:
                self._unindex(index, record_id, old, slot)
                index.setdefault(row[slot], {})[record_id] = None

    def remove(self, record_id: str) -> None:
        """Take a row away for good."""
        old = self.rows.pop(record_id)
        self.bin.pop(record_id, None)
        for name, index in self._indexes.items():
            self._unindex(index, record_id, old, self.slots[name])

    @staticmethod
    def _unindex(index: dict[Any, dict[str, None]], record_id: str, old: Row | None, slot: int) -> None:
        if old is not None:
            index[old[slot]].pop(record_id, None)

    def where(self, name: str, value: str) -> list[str]:
        """Return the ids of the rows with that value, in order of insertion, from an index made at the first call."""
        index = self._indexes.get(name)
        if index is None:
            index = self._indexes[name] = {}
            slot = self.slots[name]
            for record_id, row in self.rows.items():
                index.setdefault(row[slot], {})[record_id] = None
        return list(index.get(value, ()))

    def getter(self, name: str) -> Callable[[Row], Any]:
        """Return a function from a row to the value of one field."""
        return itemgetter(self.slots[name])

    def visible(self, *, include_deleted: bool, ids: Collection[str] | None = None) -> list[Row]:
        """Return the rows the user may see, of all or of the ids given."""
        rows: Iterable[Row] = self.rows.values() if ids is None else self._pick(ids)
        if self.hidden:
            rows = (row for row in rows if row[0] not in self.hidden)
        slot = self.slots.get("IsDeleted")
        if include_deleted or slot is None or not self.bin:
            return list(rows)
        return [row for row in rows if not row[slot]]

    def _pick(self, ids: Collection[str]) -> Iterator[Row]:
        return (self.rows[record_id] for record_id in ids if record_id in self.rows)

    def add_column(self, name: str, value: object) -> None:
        """Add a field with one value in every row."""
        self.rows = {record_id: (*row, value) for record_id, row in self.rows.items()}
        self._rename((*self.names, name))

    def rename_column(self, old: str, new: str) -> None:
        """Give a field another name; the values stay."""
        self._rename(tuple(new if name == old else name for name in self.names))

    def convert_column(self, name: str, convert: Callable[[Any], Any]) -> None:
        """Replace each value of a field by its conversion."""
        slot = self.slots[name]
        self.rows = {i: (*row[:slot], convert(row[slot]), *row[slot + 1 :]) for i, row in self.rows.items()}
        self._indexes.clear()
