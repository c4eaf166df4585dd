"""Connected orgs, what they let in, and what a person should know of them."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, LargeBinary, SmallInteger, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from cdp.models.columns import counter, json, source_key, stamp


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
    created_at: datetime = stamp()
    polled_at: datetime | None = stamp(default=None)
    next_poll_at: datetime = stamp()
    priority: int | None = None
    attention: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True)))
    cursor_field: str = Field(default="LastModifiedDate", sa_column_kwargs={"server_default": "LastModifiedDate"})
    next_sweep_at: datetime | None = stamp(default=None)
    poll_interval: int | None = None
    sweep_hour: int | None = Field(default=None, sa_type=SmallInteger)
    mapping: dict[str, Any] = json(dict)
    permissions: dict[str, Any] = json(dict)
    api_used: int | None = None
    api_limit: int | None = None
    noticed: dict[str, Any] = json(dict, server_default="{}")

    @property
    def key(self) -> int:
        """The id of a source that has been stored."""
        if self.id is None:
            raise ValueError("the source has not been stored yet")
        return self.id


class ApiBudget(SQLModel, table=True):
    """An org's calls of 24 hours: what it said last, what may have come since, permits out, and calls by the hour.

    `asked_at` is when an org whose answers do not say it was asked for its limits, `refused` if it did not tell.
    """

    __tablename__ = "api_budget"

    source_id: int = Field(sa_column=source_key(primary_key=True))
    used: int = counter()
    allowed: int | None = None
    observed_at: datetime | None = stamp(default=None)
    since: int = counter()
    settled: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    grants: dict[str, Any] = json(dict, server_default="{}")
    hours: dict[str, int] = json(dict, server_default="{}")
    asked_at: datetime | None = stamp(default=None)
    refused: bool = Field(default=False, sa_column_kwargs={"server_default": "false"})


class SourceFilter(SQLModel, table=True):
    """One version of a source's selective-sync filter; the newest is in force, and no tree lets everything in."""

    __tablename__ = "source_filter"

    source_id: int = Field(sa_column=source_key(primary_key=True))
    version: int = Field(primary_key=True)
    tree: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True)))
    author: str
    created_at: datetime = stamp(sa_column_kwargs={"server_default": text("now()")})


class ObjectSchema(SQLModel, table=True):
    """What describe last said of an object, field → type, and whether all of it has to be read again for that."""

    __tablename__ = "object_schema"

    source_id: int = Field(sa_column=source_key(primary_key=True))
    object: str = Field(primary_key=True)
    fingerprint: str
    fields: dict[str, str] = json(dict)
    seen_at: datetime = stamp()
    reread: bool = False


class Finding(SQLModel, table=True):
    """Something about a source that a person should know or mend while work goes on; gone once it holds no more."""

    source_id: int = Field(sa_column=source_key(primary_key=True))
    object: str = Field(primary_key=True)
    code: str = Field(primary_key=True)
    subject: str = Field(primary_key=True)
    message: str
    remedy: str
    since: datetime = stamp()


class Notice(SQLModel, table=True):
    """That a source came to need attention, or recovered: the outbox of messages; `due_at` is None once it is done."""

    id: int | None = Field(default=None, primary_key=True)
    source_id: int = Field(sa_column=source_key(index=True))
    kind: str
    causes: list[dict[str, str]] = json(list)
    created_at: datetime = stamp(sa_column_kwargs={"server_default": text("now()")})
    due_at: datetime | None = stamp(default=None, index=True)
    tries: int = counter()
    delivered: list[str] = json(list, server_default="[]")
