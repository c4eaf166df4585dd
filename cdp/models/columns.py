"""What the columns of all fixed tables share: names of constraints, stamps with a zone, counters, JSON."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Column, DateTime, ForeignKey, MetaData
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}
SQLModel.metadata = MetaData(naming_convention=NAMING)
SQLModel.model_config["defer_build"] = True  # rows of tables are never validated


# Field helpers return Any because SQLModel declares fields by assigning them.
def stamp(**kwargs: Any) -> Any:  # noqa: ANN401
    """A point in time, with its zone."""
    return Field(sa_type=DateTime(timezone=True), **kwargs)


def counter() -> Any:  # noqa: ANN401
    """A number of rows, 0 to begin with."""
    return Field(default=0, sa_column_kwargs={"server_default": "0"})


def json(default: Callable[[], Any], server_default: str | None = None) -> Any:  # noqa: ANN401
    """A JSON document, never null."""
    return Field(default_factory=default, sa_column=Column(JSONB, nullable=False, server_default=server_default))


def source_key(*, primary_key: bool = False, index: bool = False) -> Column[int]:
    """The source a row belongs to, and leaves with."""
    reference = ForeignKey("source.id", ondelete="CASCADE")
    return Column(reference, primary_key=primary_key, nullable=False, index=index or None)
