"""The fixed tables. Person fields are columns of `record` and `person` too, but `fields` owns those."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    MetaData,
    SmallInteger,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}
OPEN_RUN = "state IN ('queued', 'running', 'waiting')"
SQLModel.metadata = MetaData(naming_convention=NAMING)


# Field helpers return Any because SQLModel declares fields by assigning them.
def _stamp(**kwargs: Any) -> Any:  # noqa: ANN401
    return Field(sa_type=DateTime(timezone=True), **kwargs)


def _counter() -> Any:  # noqa: ANN401
    return Field(default=0, sa_column_kwargs={"server_default": "0"})


def _json(default: Callable[[], Any]) -> Any:  # noqa: ANN401
    return Field(default_factory=default, sa_column=Column(JSONB, nullable=False))


def _source_key(*, primary_key: bool = False) -> Column[int]:
    return Column(ForeignKey("source.id", ondelete="CASCADE"), primary_key=primary_key, nullable=False)


class Source(SQLModel, table=True):
    """One connected org; its id is also its place in the order of connection, which anchors and ties follow."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True)
    org_id: str = Field(unique=True)
    state: str = "connected"
    login_url: str
    instance_url: str
    credentials: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    session: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    created_by: str
    created_at: datetime = _stamp()
    polled_at: datetime | None = _stamp(default=None)
    next_poll_at: datetime = _stamp()
    priority: int | None = None
    attention: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True)))
    cursor_field: str = Field(default="LastModifiedDate", sa_column_kwargs={"server_default": "LastModifiedDate"})
    next_sweep_at: datetime | None = _stamp(default=None)
    mapping: dict[str, Any] = _json(dict)
    permissions: dict[str, Any] = _json(dict)
    api_used: int | None = None
    api_limit: int | None = None

    @property
    def key(self) -> int:
        """The id of a source that has been stored."""
        if self.id is None:
            raise ValueError("the source has not been stored yet")
        return self.id


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

    __table_args__ = (Index(None, "source_id", "object", "state"),)

    handle: UUID = Field(primary_key=True)
    source_id: (
        int  # no foreign key: its trigger would cost a tenth of a load; sources are removed by a run of their own
    )
    object: str
    record_id: str = Field(sa_column=Column(Text(collation="C"), nullable=False))
    state: str
    created_at: datetime = _stamp()
    modified_at: datetime = _stamp()
    version_at: datetime = _stamp()
    read_at: datetime = _stamp()
    email: str | None = None
    rank: int = Field(sa_type=SmallInteger)
    converted_to: str | None = None
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
    created_at: datetime = _stamp()
    updated_at: datetime = _stamp()


class PeopleState(SQLModel, table=True):
    """The configuration that people were last computed with; one row."""

    __tablename__ = "people_state"

    id: int = Field(default=1, primary_key=True)
    configuration: dict[str, Any] = _json(dict)


class Run(SQLModel, table=True):
    """One execution of a poll or another piece of work; whoever holds the lease with the current epoch may write."""

    __table_args__ = (
        Index(None, "source_id", "id"),
        Index("uq_run_open", "source_id", "kind", unique=True, postgresql_where=text(OPEN_RUN)),
    )

    id: int | None = Field(default=None, primary_key=True)
    source_id: int = Field(sa_column=_source_key())
    kind: str
    state: str = Field(default="queued", sa_column_kwargs={"server_default": "queued"})
    requested_at: datetime = _stamp(sa_column_kwargs={"server_default": text("now()")})
    started_at: datetime | None = _stamp(default=None)
    ended_at: datetime | None = _stamp(default=None)
    resume_at: datetime | None = _stamp(default=None)
    owner: str | None = None
    epoch: int = _counter()
    lease_until: datetime | None = _stamp(default=None)
    expected: int | None = None
    read: int = _counter()
    written: int = _counter()
    skipped: int = _counter()
    deleted: int = _counter()
    quarantined: int = _counter()
    error_code: str | None = None
    error: str | None = None
    note: str | None = None
    api_calls: int = _counter()
    options: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True)))
    checkpoint: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True)))


class RunObject(SQLModel, table=True):
    """What one run did to one object, in rows: the log is told from it."""

    __tablename__ = "run_object"

    run_id: int = Field(sa_column=Column(ForeignKey("run.id", ondelete="CASCADE"), primary_key=True))
    object: str = Field(primary_key=True)
    read: int = 0
    imported: int = 0
    updated: int = 0
    deleted: int = 0
    skipped: int = 0
    quarantined: int = 0


class ObjectSchema(SQLModel, table=True):
    """What describe last said of an object, field → type, and whether all of it has to be read again for that."""

    __tablename__ = "object_schema"

    source_id: int = Field(sa_column=_source_key(primary_key=True))
    object: str = Field(primary_key=True)
    fingerprint: str
    fields: dict[str, str] = _json(dict)
    seen_at: datetime = _stamp()
    reread: bool = False


class Finding(SQLModel, table=True):
    """Something about a source that a person should know or mend while work goes on; gone once it holds no more."""

    source_id: int = Field(sa_column=_source_key(primary_key=True))
    object: str = Field(primary_key=True)
    code: str = Field(primary_key=True)
    subject: str = Field(primary_key=True)
    message: str
    remedy: str
    since: datetime = _stamp()


class SweepRow(SQLModel, table=True):
    """One row that a sweep saw in Salesforce: its id, its version, and whether it is in the recycle bin."""

    __tablename__ = "sweep_row"

    run_id: int = Field(primary_key=True)
    object: str = Field(primary_key=True)
    record_id: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))
    version_at: datetime = _stamp()
    is_deleted: bool


class SweepHealed(SQLModel, table=True):
    """One difference that a sweep found and healed."""

    __tablename__ = "sweep_healed"

    run_id: int = Field(sa_column=Column(ForeignKey("run.id", ondelete="CASCADE"), primary_key=True))
    object: str = Field(primary_key=True)
    record_id: str = Field(primary_key=True)
    difference: str
    outcome: str


class Cursor(SQLModel, table=True):
    """How far one object of one source has been read, and the checkpoint inside the window being read."""

    source_id: int = Field(sa_column=_source_key(primary_key=True))
    object: str = Field(primary_key=True)
    closed_to: datetime | None = _stamp(default=None)
    checkpoint: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True)))
    last_run: datetime | None = _stamp(default=None)


class ReadWindow(SQLModel, table=True):
    """A stretch of time `[lo, hi)` that has been read completely for one object of one source."""

    __tablename__ = "read_window"
    __table_args__ = (Index(None, "source_id", "object", "hi"),)

    id: int | None = Field(default=None, primary_key=True)
    source_id: int = Field(sa_column=_source_key())
    object: str
    run_id: int
    lo: datetime | None = _stamp(default=None)
    hi: datetime = _stamp()


class Quarantine(SQLModel, table=True):
    """A row that could not be stored: which, and why; no value of it is kept."""

    source_id: int = Field(sa_column=_source_key(primary_key=True))
    object: str = Field(primary_key=True)
    record_id: str = Field(primary_key=True)
    version_at: str | None = None
    reason: str
    seen_at: datetime = _stamp()


class SourceFilter(SQLModel, table=True):
    """One version of a source's selective-sync filter; the newest is in force, and no tree lets everything in."""

    __tablename__ = "source_filter"

    source_id: int = Field(sa_column=_source_key(primary_key=True))
    version: int = Field(primary_key=True)
    tree: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True)))
    author: str
    created_at: datetime = _stamp(sa_column_kwargs={"server_default": text("now()")})
