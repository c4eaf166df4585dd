"""The schema of one org, and the part of it that the integration user may see."""

from collections.abc import Mapping
from dataclasses import replace

from .errors import ApiError
from .schema import Field, ObjectType, standard_objects


class Catalog:
    """All object types of an org; `visible` leaves out what field-level security and permissions hide."""

    def __init__(self) -> None:
        self.types: dict[str, ObjectType] = standard_objects()
        self._hidden_objects: set[str] = set()
        self._hidden_fields: set[tuple[str, str]] = set()
        self._refresh()

    def _refresh(self) -> None:
        visible = {}
        for name, kind in self.types.items():
            if name not in self._hidden_objects:
                fields = {n: field for n, field in kind.fields.items() if (name, n) not in self._hidden_fields}
                visible[name] = kind.with_fields(fields)
        self.visible: Mapping[str, ObjectType] = visible
        self._folded = {name.lower(): kind for name, kind in visible.items()}

    def find(self, name: str) -> ObjectType | None:
        """Return the visible object type of that name in any case, or None."""
        return self._folded.get(name.lower())

    def full(self, name: str) -> ObjectType:
        """Return the whole object type, hidden fields included; ApiError INVALID_TYPE if the org has none."""
        kind = self.types.get(name)
        if kind is None:
            raise ApiError("INVALID_TYPE", f"sObject type '{name}' is not supported.")
        return kind

    def hide_object(self, name: str) -> None:
        """Take an object type away from the integration user."""
        self._hidden_objects.add(self.full(name).name)
        self._refresh()

    def show_object(self, name: str) -> None:
        """Give a hidden object type back."""
        self._hidden_objects.discard(name)
        self._refresh()

    def hide_field(self, object_name: str, field: str) -> None:
        """Take a field away from the integration user; KeyError if there is none of that name."""
        self._hidden_fields.add((object_name, self.full(object_name).fields[field].name))
        self._refresh()

    def show_field(self, object_name: str, field: str) -> None:
        """Give a hidden field back."""
        self._hidden_fields.discard((object_name, field))
        self._refresh()

    def put_field(self, object_name: str, field: Field) -> None:
        """Add a field, or replace the one of its name."""
        kind = self.full(object_name)
        self.types[object_name] = kind.with_fields({**kind.fields, field.name: field})
        self._refresh()

    def rename_field(self, object_name: str, old: str, new: str) -> None:
        """Give a field another API name in the same place."""
        kind = self.full(object_name)
        fields = {(new if n == old else n): (replace(f, name=new) if n == old else f) for n, f in kind.fields.items()}
        self.types[object_name] = kind.with_fields(fields)
        self._refresh()
