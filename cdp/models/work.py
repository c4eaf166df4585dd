"""Runs and how far they have read."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from cdp.models.columns import counter, source_key, stamp

OPEN_RUN = "state IN ('queued', 'running', 'waiting')"


class Run(SQLModel, table=True):
    """One execution of a poll or another piece of work; whoever holds the lease with the current epoch may write."""

    __table_args__ = (
        Index(None, "source_id", "id"),
        Index(None, "started_at"),
        Index("uq_run_open", "source_id", "kind", unique=True, postgresql_where=text(OPEN_RUN)),
    )

    id: int | None = Field(default=None, primary_key=True)
    source_id: int = Field(sa_column=source_key())
    kind: str
    state: str = Field(default="queued", sa_column_kwargs={"server_default": "queued"})
    requested_at: datetime = stamp(sa_column_kwargs={"server_default": text("now()")})
    queued_at: datetime = stamp(sa_column_kwargs={"server_default": text("now()")})
    started_at: datetime | None = stamp(default=None)
    ended_at: datetime | None = stamp(default=None)
    resume_at: datetime | None = stamp(default=None)
    owner: str | None = None
    epoch: int = counter()
    lease_losses: int = counter()
    lease_until: datetime | None = stamp(default=None)
    expected: int | None = None
    read: int = counter()
    written: int = counter()
    skipped: int = counter()
    deleted: int = counter()
    quarantined: int = counter()
    error_code: str | None = None
    error: str | None = None
    note: str | None = None
    api_calls: int = counter()
    calls_by_kind: dict[str, int] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True)))
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


class RunTally(SQLModel, table=True):
    """How many runs of a source and kind ended in a state since it was connected, and how many leases they lost.

    Runs are forgotten after a while; what is counted here stays as long as the source does.
    """

    __tablename__ = "run_tally"

    source_id: int = Field(sa_column=source_key(primary_key=True))
    kind: str = Field(primary_key=True)
    state: str = Field(primary_key=True)
    runs: int = Field(sa_type=BigInteger)
    lease_losses: int = Field(sa_type=BigInteger)


class RowTally(SQLModel, table=True):
    """What the ended runs of a source did to one object, in rows, since it was connected."""

    __tablename__ = "row_tally"

    source_id: int = Field(sa_column=source_key(primary_key=True))
    object: str = Field(primary_key=True)
    read: int = Field(sa_type=BigInteger)
    imported: int = Field(sa_type=BigInteger)
    updated: int = Field(sa_type=BigInteger)
    deleted: int = Field(sa_type=BigInteger)
    skipped: int = Field(sa_type=BigInteger)
    quarantined: int = Field(sa_type=BigInteger)


class RowCount(SQLModel, table=True):
    """How many rows of one object of a source are stored in one state; triggers on the tables themselves keep it.

    Records are not among them: their index tells, and a trigger would cost each of them more than it is worth.
    """

    __tablename__ = "row_count"

    source_id: int = Field(sa_column=source_key(primary_key=True))
    object: str = Field(primary_key=True)
    state: str = Field(primary_key=True)
    rows: int = Field(sa_type=BigInteger)


class Cursor(SQLModel, table=True):
    """How far one object of one source has been read, and the checkpoint inside the window being read."""

    source_id: int = Field(sa_column=source_key(primary_key=True))
    object: str = Field(primary_key=True)
    closed_to: datetime | None = stamp(default=None)
    checkpoint: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True)))
    last_run: datetime | None = stamp(default=None)


class ReadWindow(SQLModel, table=True):
    """A stretch of time `[lo, hi)` that has been read completely for one object of one source.

    `run_id` is the run that read it, or the first of those whose windows were joined.
    """

    __tablename__ = "read_window"
    __table_args__ = (
        Index(None, "source_id", "object", "hi"),
        Index("ix_read_window_whole", "run_id", postgresql_where=text("lo IS NULL")),
    )

    id: int | None = Field(default=None, primary_key=True)
    source_id: int = Field(sa_column=source_key())
    object: str
    run_id: int
    lo: datetime | None = stamp(default=None)
    hi: datetime = stamp()


class SweepRow(SQLModel, table=True):
    """One row that a sweep saw in Salesforce: its id, its version, and whether it is in the recycle bin."""

    __tablename__ = "sweep_row"

    run_id: int = Field(primary_key=True)
    object: str = Field(primary_key=True)
    record_id: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))
    version_at: datetime = stamp()
    is_deleted: bool


class SweepHealed(SQLModel, table=True):
    """One difference that a sweep found and healed."""

    __tablename__ = "sweep_healed"

    run_id: int = Field(sa_column=Column(ForeignKey("run.id", ondelete="CASCADE"), primary_key=True))
    object: str = Field(primary_key=True)
    record_id: str = Field(primary_key=True)
    difference: str
    outcome: str
