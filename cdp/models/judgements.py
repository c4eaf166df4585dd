"""The tables of what was judged and what followed: decisions, erasures, the feed of changes, and where old ids lead."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Column, ForeignKey, Identity, Index, LargeBinary, Uuid, text
from sqlmodel import Field, SQLModel

from cdp.models.columns import stamp

NOW = {"server_default": text("now()")}


class Decision(SQLModel, table=True):
    """A judgement that outweighs the keys, `split` or `join`, until it is undone; a fact, never derived."""

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    kind: str
    reason: str
    decided_at: datetime | None = stamp(default=None, nullable=False, sa_column_kwargs=NOW)
    undone_at: datetime | None = stamp(default=None)


class DecisionRecord(SQLModel, table=True):
    """A record that a decision names, by its handle, so that it holds through deletion, removal and return."""

    __tablename__ = "decision_record"

    decision_id: int = Field(sa_column=Column(ForeignKey("decision.id", ondelete="CASCADE"), primary_key=True))
    handle: UUID = Field(primary_key=True, index=True)


class Decided(SQLModel, table=True):
    """A record that a decision in force came down to when people were last resolved: one it names, or its winner."""

    decision_id: int = Field(sa_column=Column(ForeignKey("decision.id", ondelete="CASCADE"), primary_key=True))
    handle: UUID = Field(primary_key=True, index=True)


class Erased(SQLModel, table=True):
    """A tombstone: the keyed hash of an erased record's handle or email key, and which key made it."""

    hash: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    key_id: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    erased_at: datetime | None = stamp(default=None, nullable=False, sa_column_kwargs=NOW)


class PersonEvent(SQLModel, table=True):
    """One change of people, numbered in the order of commits. Ids are null where they are the person's own."""

    __tablename__ = "person_event"
    __table_args__ = (Index("ix_person_event_merged", "at", postgresql_where=text("kind = 'merged'")),)

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    at: datetime | None = stamp(default=None, nullable=False, sa_column_kwargs=NOW)
    kind: str
    person_id: UUID
    cause: str
    old_ids: list[UUID] | None = Field(default=None, sa_column=Column(ARRAY(Uuid)))
    new_ids: list[UUID] | None = Field(default=None, sa_column=Column(ARRAY(Uuid)))


class Departure(SQLModel, table=True):
    """Where the companions of a record went when it ceased to be live: its handle may be an id that was published.

    One row for each person that they are in; of no account while the record is live again.
    """

    handle: UUID = Field(primary_key=True)
    person_id: UUID = Field(primary_key=True, index=True)
