"""What a slice of a poll finds when it begins, asked at once: most objects have no change, and should cost little."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from sqlmodel import Session, select

from cdp import quarantine
from cdp.models import Cursor, ObjectSchema, Run
from connector import findings, runs, schemas
from connector.objects import OBJECTS


@dataclass(frozen=True)
class Outset:
    """By object: whether the run is `done` with it, its cursor, the schema believed of it, and what is to be mended.

    `hidden` are objects of which a finding says that they cannot be read; of those in `refused` rows are in quarantine;
    those in `filled` an open backfill is to fill.
    """

    done: frozenset[str]
    cursors: Mapping[str, Cursor]
    schemas: Mapping[str, ObjectSchema]
    hidden: frozenset[str]
    refused: frozenset[str]
    filled: frozenset[str]

    @classmethod
    def of(cls, database: Session, source_id: int, run_id: int) -> Self:
        """Look, in the caller's transaction."""
        progress = database.get_one(Run, run_id).checkpoint or {}
        cursors = database.exec(select(Cursor).where(Cursor.source_id == source_id)).all()
        return cls(
            done=frozenset(name for name, reached in progress.items() if reached.get("done")),
            cursors={cursor.object: cursor for cursor in cursors},
            schemas=schemas.known(database, source_id),
            hidden=findings.hidden(database, source_id),
            refused=quarantine.objects(database, source_id, list(OBJECTS)),
            filled=runs.filled(database, source_id),
        )
