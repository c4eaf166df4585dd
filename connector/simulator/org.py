"""One simulated Salesforce org: its schema, its rows, its clock and its history."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from . import edits, recycle
from .behaviour import Behaviour
from .clock import Clock
from .late import LateCommit
from .schema import Field, ObjectType, make_field
from .seed import seed
from .store import Store

Values = dict[str, Any]


class Org(Store):
    """An org that scripts edit and queries read.

    Every method holds `lock`; hold it yourself to make several calls one step. Times are aware, stamps whole seconds
    of UTC. `at` sets the stamps of a write, which are now otherwise; events in `history` carry the time of the commit.
    Scripts may write any stored field, read-only ones and audit stamps included.
    """

    def __init__(
        self, key: str, name: str | None = None, clock: Clock | None = None, behaviour: Behaviour | None = None
    ) -> None:
        super().__init__(key, clock or Clock(), behaviour or Behaviour())
        self.key = key
        self.name = name or key.title()
        self.late: list[LateCommit] = []
        seed(self)

    @property
    def username(self) -> str:
        """Return the login of the integration user."""
        return f"integration@{self.key}.example"

    @property
    def objects(self) -> Mapping[str, ObjectType]:
        """Return the object types as the integration user sees them."""
        return self.catalog.visible

    # Edits that concern several rows

    def delete(self, object_name: str, record_id: str, *, at: datetime | None = None) -> None:
        """Move a row, and the rows that belong to it, to the recycle bin."""
        with self.lock:
            edits.delete(self, object_name, record_id, at=at)

    def undelete(self, object_name: str, record_id: str, *, at: datetime | None = None) -> None:
        """Take a row out of the recycle bin; ApiError UNDELETE_FAILED if it is not there on its own account."""
        with self.lock:
            edits.undelete(self, object_name, record_id, at=at)

    def purge(self, object_name: str, record_id: str, *, logged: bool = True) -> None:
        """Remove a row for good, deleted before or not; not `logged`: not even the delete log knows."""
        with self.lock:
            edits.purge(self, object_name, record_id, logged=logged)

    def merge(self, object_name: str, winner: str, losers: Sequence[str], *, at: datetime | None = None) -> None:
        """Merge rows into one: the losers are deleted and point at the winner, which takes over their children."""
        with self.lock:
            edits.merge(self, object_name, winner, losers, at=at)

    def convert(
        self, lead: str, *, contact: str | None = None, opportunity_name: str | None = None, at: datetime | None = None
    ) -> dict[str, str | None]:
        """Convert a lead; returns the ids of `account`, `contact` and `opportunity` (None without a name for one)."""
        with self.lock:
            return edits.convert(self, lead, contact=contact, opportunity_name=opportunity_name, at=at)

    def late_commit(self) -> LateCommit:
        """Open a long transaction: its writes are stamped when made and appear when it commits."""
        with self.lock:
            return LateCommit(self)

    # Schema and sharing

    def hide_field(self, object_name: str, field: str) -> None:
        """Hide a field from the integration user."""
        with self.lock:
            self.catalog.hide_field(object_name, field)

    def show_field(self, object_name: str, field: str) -> None:
        """Show a hidden field again."""
        with self.lock:
            self.catalog.show_field(object_name, field)

    def hide_object(self, object_name: str) -> None:
        """Hide an object type from the integration user."""
        with self.lock:
            self.catalog.hide_object(object_name)

    def show_object(self, object_name: str) -> None:
        """Show a hidden object type again."""
        with self.lock:
            self.catalog.show_object(object_name)

    def add_field(self, object_name: str, field: Field) -> None:
        """Add a field, null (or its default) in every row; no stamp moves."""
        with self.lock:
            self.catalog.put_field(object_name, field)
            self.tables[object_name].add_column(field.name, field.default)
            self.forget_defaults()

    def retype_field(self, object_name: str, field: str, new_type: str, **attributes: object) -> None:
        """Change the type of a field; values that do not fit become null, no stamp moves."""
        with self.lock:
            kept = self.catalog.full(object_name).fields[field]
            new = make_field(field, new_type, **({"label": kept.label, "length": kept.length or 255} | attributes))
            self.catalog.put_field(object_name, new)
            self.tables[object_name].convert_column(field, lambda value: edits.convert_value(new, value))

    def rename_field(self, object_name: str, old: str, new: str) -> None:
        """Give a custom field another API name; values stay, no stamp moves. ValueError for a standard field."""
        if not (old.endswith("__c") and new.endswith("__c")):
            raise ValueError("only custom fields can be renamed")
        with self.lock:
            self.catalog.rename_field(object_name, old, new)
            self.tables[object_name].rename_column(old, new)
            self.forget_defaults()

    def set_hidden_rows(self, object_name: str, ids: Collection[str]) -> None:
        """Hide exactly these rows from the integration user; no stamp moves, nothing is logged as deleted."""
        with self.lock:
            self.tables[object_name].hidden = frozenset(ids)

    # Replication

    def deleted_log(self, object_name: str, start: datetime, end: datetime) -> list[tuple[str, datetime]]:
        """Return ids and times of the deletions in `[start, end)` of the last 15 days."""
        with self.lock:
            return recycle.deleted_between(self, object_name, start, end)

    def updated_ids(self, object_name: str, start: datetime, end: datetime) -> list[str]:
        """Return the ids of the visible live rows whose SystemModstamp lies in `[start, end)`."""
        with self.lock:
            return recycle.updated_between(self, object_name, start, end)

    def latest_date_covered(self) -> datetime:
        """Return up to when `/updated` knows all: now, or the start of the oldest open transaction."""
        with self.lock:
            return min([self.clock.now(), *(transaction.opened_at for transaction in self.late)])

    def earliest_date_available(self) -> datetime:
        """Return from when on the delete log is complete."""
        return self.clock.now() - recycle.BIN_LIFE
