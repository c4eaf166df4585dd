"""The rows of an org: read and written one by one, with stamps, rules and history."""

import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from . import recycle
from .behaviour import Behaviour
from .catalog import Catalog
from .clock import Clock
from .errors import ApiError, not_found
from .history import Event, History
from .ids import IdSequence, check_characters, instance_code
from .rules import AFTER_SAVE, BEFORE_SAVE, Save
from .schema import Field, ObjectType
from .table import Table
from .values import clean

Values = dict[str, Any]
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Store:
    """Tables behind one lock; whatever is written goes through the org's rules into the history."""

    def __init__(self, key: str, clock: Clock, behaviour: Behaviour) -> None:
        self.clock = clock
        self.behaviour = behaviour
        self.lock = threading.RLock()
        self.history = History()
        self.catalog = Catalog()
        instance = instance_code(key)
        self._ids = {kind.key_prefix: IdSequence(kind.key_prefix, instance) for kind in self.catalog.types.values()}
        self.tables = {name: Table(kind.stored) for name, kind in self.catalog.types.items()}
        self.deletions: dict[str, dict[str, datetime]] = {name: {} for name in self.tables}
        self.org_id, self.user_id = (prefix + instance + "000000001" for prefix in ("00D", "005"))
        self.org_id += check_characters(self.org_id)
        self.user_id += check_characters(self.user_id)
        self.damaged: set[str] = set()
        self._defaults: dict[str, Values] = {}

    def row(self, object_name: str, record_id: str) -> Values:
        """Return the stored values of a row, deleted or not; ApiError NOT_FOUND if there is none."""
        with self.lock:
            table = self.tables[self.catalog.full(object_name).name]
            row = table.rows.get(record_id)
            if row is None:
                raise not_found()
            return table.unpack(row)

    def find_row(self, object_name: str, field: str, value: str) -> Values | None:
        """Return the first row with that value in that field, or None."""
        with self.lock:
            found = self.tables[object_name].where(field, value)
            return self.row(object_name, found[0]) if found else None

    def snapshot(self, object_name: str) -> dict[str, Values]:
        """Return all rows by id as they are, those in the recycle bin flagged IsDeleted, hidden ones included."""
        with self.lock:
            recycle.expire(self)
            table = self.tables[object_name]
            return {record_id: table.unpack(row) for record_id, row in table.rows.items()}

    def count(self, object_name: str) -> int:
        """Return how many rows are not deleted."""
        with self.lock:
            table = self.tables[object_name]
            return len(table.rows) - len(table.bin)

    def insert(
        self, object_name: str, values: Mapping[str, Any], *, at: datetime | None = None, record_id: str | None = None
    ) -> str:
        """Save a new row and return its id; `record_id` takes one reserved before.

        ApiError as the API would refuse it: INVALID_FIELD, REQUIRED_FIELD_MISSING, STRING_TOO_LONG, DUPLICATE_VALUE, …
        """
        with self.lock:
            kind = self.catalog.full(object_name)
            # A null given for a new row means the default, as for any field left out.
            given = {name: value for name, value in self._clean(kind, values).items() if value is not None}
            _refuse_missing(name for name in kind.required if name not in given)
            record_id = record_id or self.reserve_id(object_name)
            stamp = self._stamp(at)
            by = {"CreatedById": self.user_id, "LastModifiedById": self.user_id}
            stamps = dict.fromkeys(("CreatedDate", "LastModifiedDate", "SystemModstamp"), stamp)
            new = {**self._default(kind), **by, **stamps, **given, "Id": record_id}
            self._save(object_name, Save(self, record_id, new, given, None, stamp), "insert", _NOTHING)
            return record_id

    def insert_many(self, object_name: str, rows: Iterable[Mapping[str, Any]]) -> list[str]:
        """Save new rows in one step and return their ids."""
        with self.lock:
            return [self.insert(object_name, row) for row in rows]

    def update(
        self,
        object_name: str,
        record_id: str,
        values: Mapping[str, Any],
        *,
        at: datetime | None = None,
        touch_last_modified: bool = True,
    ) -> None:
        """Change a row and its stamps, even if the values are the ones it has.

        With `touch_last_modified` off only SystemModstamp moves, as when automation edits. ApiError NOT_FOUND,
        ENTITY_IS_DELETED, CANNOT_UPDATE_CONVERTED_LEAD (unless the org allows it), or for a refused value.
        """
        with self.lock:
            kind = self.catalog.full(object_name)
            if record_id in self.tables[object_name].bin:
                raise ApiError("ENTITY_IS_DELETED", "entity is deleted", status=404)
            frozen = touch_last_modified and not self.behaviour.edit_converted_leads
            if frozen and self.row(object_name, record_id).get("IsConverted"):
                raise ApiError("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead")
            given = self._clean(kind, values)
            _refuse_missing(name for name in kind.required if name in given and given[name] is None)
            self.write(object_name, record_id, given, at=at, touch_last_modified=touch_last_modified)

    def write(
        self,
        object_name: str,
        record_id: str,
        given: Mapping[str, Any],
        *,
        action: str = "update",
        at: datetime | None = None,
        touch_last_modified: bool = True,
        extra: Mapping[str, Any] = _NOTHING,
    ) -> None:
        """Change a row as the platform itself does: no permission asked, no value checked."""
        stamp = self._stamp(at)
        old = self.row(object_name, record_id)
        new = {**old, "SystemModstamp": stamp, **({"LastModifiedDate": stamp} if touch_last_modified else {}), **given}
        self._save(object_name, Save(self, record_id, new, given, old, stamp), action, extra)

    def _save(self, object_name: str, save: Save, action: str, extra: Mapping[str, Any]) -> None:
        """Store a version of a row and let the org react to it."""
        new = save.values
        for rule in BEFORE_SAVE.get(object_name, ()):
            rule(save)
        new["SystemModstamp"] = max(new["SystemModstamp"], new.get("LastModifiedDate") or new["SystemModstamp"])
        table = self.tables[object_name]
        table.put(save.id, table.pack(new))
        self.log(action, object_name, save.id, extra)
        for reaction in AFTER_SAVE.get(object_name, ()):
            reaction(save)

    def log(self, action: str, object_name: str, record_id: str, extra: Mapping[str, Any] = _NOTHING) -> None:
        """Add an event with the present values of a row to the history."""
        table = self.tables[object_name]
        row = table.rows[record_id]
        self.history.append(Event(self.clock.now(), action, object_name, record_id, table.names, row, extra))

    def corrupt(self, object_name: str, record_id: str, field: str, value: str) -> None:
        """Put any text into a field, such as a date that is none, as rows damaged on the way would show."""
        with self.lock:
            self.damaged.add(field)
            table = self.tables[object_name]
            values = {**self.row(object_name, record_id), field: value, "SystemModstamp": self.clock.now()}
            values["LastModifiedDate"] = values["SystemModstamp"]
            table.put(record_id, table.pack(values))
            self.log("corrupt", object_name, record_id)

    def reserve_id(self, object_name: str) -> str:
        """Take the next id of an object."""
        with self.lock:
            return self._ids[self.catalog.full(object_name).key_prefix].next()

    def _stamp(self, at: datetime | None) -> datetime:
        if at is None:
            return self.clock.now()
        if at.tzinfo is None:
            raise ValueError("a stamp needs a time zone")
        return at.astimezone(UTC).replace(microsecond=0)

    def _clean(self, kind: ObjectType, values: Mapping[str, Any]) -> Values:
        cleaned = {}
        for name, value in values.items():
            field = kind.stored.get(name)
            if field is None or name == "Id":
                message = f"No such column '{name}' on sobject of type {kind.name}"
                raise ApiError("INVALID_FIELD", message, fields=[name])
            cleaned[name] = self._reference(field, value) if field.references else clean(field, value)
        return cleaned

    def _reference(self, field: Field, value: str | None) -> str | None:
        if any(value in self.tables[target].rows for target in field.references):
            return value
        record_id: str | None = clean(field, value)
        if record_id is None or any(record_id in self.tables[target].rows for target in field.references):
            return record_id
        raise ApiError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", fields=[field.name])

    def forget_defaults(self) -> None:
        """Work the defaults of new rows out anew, after a change of the schema."""
        self._defaults.clear()

    def _default(self, kind: ObjectType) -> Values:
        if kind.name not in self._defaults:
            defaults = {name: kind.fields[name].default for name in kind.stored}
            self._defaults[kind.name] = defaults | ({"OwnerId": self.user_id} if "OwnerId" in defaults else {})
        return self._defaults[kind.name]


def _refuse_missing(names: Iterator[str]) -> None:
    missing = list(names)
    if missing:
        message = f"Required fields are missing: [{', '.join(missing)}]"
        raise ApiError("REQUIRED_FIELD_MISSING", message, fields=missing)
