"""The registry of person fields: names, types and rules, and the columns they own in `record` and `person`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import LiteralString

from psycopg import sql
from sqlmodel import Session, col, select

from cdp.db import Connection, driver
from cdp.errors import InvalidField
from cdp.models import PersonField, Source

TYPES: MappingProxyType[str, LiteralString] = MappingProxyType(
    {
        "text": "text",
        "number": "numeric",
        "boolean": "boolean",
        "date": "date",
        "datetime": "timestamptz",
        "list": "text[]",
    }
)
RULES: MappingProxyType[str, frozenset[str]] = MappingProxyType(
    {
        "most_recent": frozenset(TYPES),
        "source_priority": frozenset(TYPES),
        "any_true": frozenset({"boolean"}),
        "union": frozenset({"list"}),
    }
)
RESERVED = frozenset({"person_id", "email", "email_permission", "sms_permission", "created_at", "updated_at"})
NAME = re.compile(r"[a-z][a-z0-9_]{0,54}")


@dataclass(frozen=True, order=True)
class Field:
    """One person field: its name, its type (a key of TYPES) and the rule (a key of RULES) that picks its value."""

    name: str
    type: str = "text"
    rule: str = "most_recent"

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise InvalidField(
                f"'{self.name}' cannot name a person field: use lower-case letters, digits and underscores, "
                "beginning with a letter, at most 55."
            )
        if self.name in RESERVED:
            raise InvalidField(f"'{self.name}' is kept by every person already: choose another person field.")
        if self.type not in TYPES:
            raise InvalidField(f"'{self.type}' is no type of person field: choose one of {', '.join(TYPES)}.")
        if self.type not in RULES.get(self.rule, frozenset()):
            fitting = ", ".join(rule for rule, types in RULES.items() if self.type in types)
            raise InvalidField(
                f"The rule '{self.rule}' does not fit {self.name} ({self.type}): choose one of {fitting}."
            )

    @property
    def column(self) -> str:
        """The name of the field's column in `record`; in `person` it is the plain name."""
        return f"f_{self.name}"


SEARCHED = frozenset({"first_name", "last_name"})  # people are found by how these begin


@dataclass(frozen=True)
class Rules:
    """Whose value wins: the person fields with their rules, and the sources that `source_priority` puts first, by id.

    Sources that are not in `source_order` follow in the order of connection.
    """

    fields: tuple[Field, ...]
    source_order: tuple[int, ...] = ()


def rules(session: Session) -> Rules:
    """Return the rules in force."""
    preferred = select(Source.id).where(col(Source.priority).is_not(None)).order_by(col(Source.priority))
    return Rules(registered(session), tuple(one for one in session.exec(preferred) if one is not None))


def registered(session: Session) -> tuple[Field, ...]:
    """Return all person fields in the order of their names."""
    found = session.exec(select(PersonField).order_by(PersonField.name)).all()
    return tuple(Field(field.name, field.type, field.rule) for field in found)


def register(session: Session, fields: Sequence[Field]) -> None:
    """Add the person fields that are not there yet, with their columns; existing ones keep their type.

    Raises:
        InvalidField: a field exists with another type.
    """
    known = {field.name: field for field in registered(session)}
    for field in fields:
        if field.name not in known:
            session.add(PersonField(name=field.name, type=field.type, rule=field.rule))
            _add_columns(driver(session), field)
        elif known[field.name].type != field.type:
            raise InvalidField(
                f"The person field {field.name} holds {known[field.name].type} and cannot take {field.type}: "
                "map to another person field."
            )
    session.flush()


def _add_columns(connection: Connection, field: Field) -> None:
    connection.execute("SET LOCAL lock_timeout = '5s'")
    for table, column in (("record", field.column), ("person", field.name)):
        connection.execute(
            sql.SQL("ALTER TABLE {} ADD COLUMN {} {}").format(
                sql.Identifier(table), sql.Identifier(column), sql.SQL(TYPES[field.type])
            )
        )
    if field.name in SEARCHED:
        connection.execute(
            sql.SQL("CREATE INDEX {} ON person (lower({}) text_pattern_ops)").format(
                sql.Identifier(f"ix_person_{field.name}"), sql.Identifier(field.name)
            )
        )
