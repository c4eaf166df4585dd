"""Records and the people they make. Person fields are columns of `record` and `person` too, but `fields` owns those."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, Identity, Index, SmallInteger, Text, text
from sqlmodel import Field, SQLModel

from cdp.models.columns import json, source_key, stamp

HEIRS = "state <> 'live' AND coalesce(merged_into, converted_to) IS NOT NULL"


class PersonField(SQLModel, table=True):
    """The registry: one typed column of `person`, and of `record`, by the rule that picks its value."""

    __tablename__ = "person_field"

    name: str = Field(primary_key=True)
    type: str
    rule: str


class Record(SQLModel, table=True):
    """One row of one object of one source, as last read; mapped values are columns `f_<person field>`.

    `rank` says whose value wins when stamps tie (0 first) and whether the record may anchor before others (0 or not).
    """

    __table_args__ = (
        Index(None, "source_id", "object", "state"),
        Index("ix_record_heir", "source_id", text("coalesce(merged_into, converted_to)"), postgresql_where=text(HEIRS)),
    )

    handle: UUID = Field(primary_key=True)
    source_id: (
        int  # no foreign key: its trigger would cost a tenth of a load; sources are removed by a run of their own
    )
    object: str
    record_id: str = Field(sa_column=Column(Text(collation="C"), nullable=False))
    state: str
    created_at: datetime = stamp()
    modified_at: datetime = stamp()
    version_at: datetime = stamp()
    read_at: datetime = stamp()
    email: str | None = None
    rank: int = Field(sa_type=SmallInteger)
    converted_to: str | None = None
    converted_on: date | None = None
    merged_into: str | None = None
    email_permission: bool | None = None
    sms_permission: bool | None = None


class Touched(SQLModel, table=True):
    """The resolver's queue: records to bring people up to date with, and what caused it.

    The cause is `records`, `decision` or `erasure`; a decision moves records although nothing they say has changed.
    """

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    handle: UUID
    cause: str = Field(default="records", sa_column_kwargs={"server_default": "records"})


class Membership(SQLModel, table=True):
    """The person graph as last resolved: each live record, its person, its key and the contact it was converted to."""

    __table_args__ = (
        Index(None, "person_id"),
        Index("ix_membership_email_key", "email_key", postgresql_where=text("email_key IS NOT NULL")),
        Index("ix_membership_link", "link", postgresql_where=text("link IS NOT NULL")),
    )

    handle: UUID = Field(primary_key=True)
    person_id: UUID
    email_key: str | None = Field(default=None, sa_column=Column(Text(collation="C")))
    link: UUID | None = None


class Person(SQLModel, table=True):
    """A profile: the live records of one person laid over one another."""

    person_id: UUID = Field(primary_key=True)
    email: str | None = None
    email_permission: bool | None = None
    sms_permission: bool | None = None
    created_at: datetime = stamp()
    updated_at: datetime = stamp()


class PeopleState(SQLModel, table=True):
    """The configuration that people were last computed with, and the last event that is kept no more; one row."""

    __tablename__ = "people_state"

    id: int = Field(default=1, primary_key=True)
    configuration: dict[str, Any] = json(dict)
    forgotten_event: int = Field(default=0, sa_column=Column(BigInteger, server_default="0", nullable=False))


class Quarantine(SQLModel, table=True):
    """A row that could not be stored: which, and why; no value of it is kept.

    `layout` is the fingerprint of how it was read: under another one it may be good.
    """

    source_id: int = Field(sa_column=source_key(primary_key=True))
    object: str = Field(primary_key=True)
    record_id: str = Field(primary_key=True)
    version_at: str | None = None
    layout: str | None = None
    reason: str
    seen_at: datetime = stamp()
