"""What an admin has chosen for a source: who may change it when, and which filter is and was in force."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlmodel import Session, col, select

from cdp.db import driver, rows, transaction
from cdp.models import Source, SourceFilter
from connector import filters, sources, states
from connector.errors import ObjectUnavailable, Refused
from connector.filters import Admission, Columns, Node, Past
from connector.objects import PEOPLE
from connector.paths import Column, Describes
from connector.runs import LEASE_SECONDS
from connector.runtime import Runtime


@dataclass(frozen=True)
class Selection:
    """The filter of a source as it bears on one object.

    `former` are the filters that stored records came in under and that no complete read has replaced since; while there
    are any, the object must be read again (`pending`). `stored` tells whether there are any records;
    `version` is that of the filter, 0 before the first; `read_to` is how far the object has been read.
    """

    tree: Node | None
    former: tuple[Node | None, ...] = ()
    stored: bool = False
    version: int = 0
    read_to: datetime | None = None

    @property
    def pending(self) -> bool:
        """Tell whether the filter in force has not been applied to all stored records yet."""
        return bool(self.former)

    def past(self, overlap: timedelta) -> Past:
        """Return what a complete read must see besides; changes since so long before `read_to`, as in a poll."""
        return Past(self.former, self.read_to - overlap if self.stored and self.read_to else None)

    def admission(self, sobject: str, columns: Columns, now: datetime, overlap: timedelta) -> Admission:
        """Return how complete reads of the object are narrowed, and how each of its rows is judged."""
        return filters.admission(self.tree, sobject, columns, now, self.past(overlap))


@contextmanager
def editing(runtime: Runtime, name: str) -> Iterator[tuple[Session, Source]]:
    """Open a source for a change of its filter, mapping or permissions; no run of it begins until the change is done.

    Two changes come one after the other, each on top of what the one before left.

    Raises:
        BadInput: there is no such source.
        Refused: it is updating, or its state allows no change.
    """
    with transaction(runtime.database_url) as database:
        # A new run refers to this row and waits for it; one that is queued waits to be claimed.
        source = sources.hold(database, name, against_runs=True)
        driver(database).execute(_LOCK_OPEN_RUNS, (source.key,))
        check_editable(database, source)
        yield database, source


_LOCK_OPEN_RUNS = "SELECT FROM run WHERE source_id = %s AND state IN ('queued', 'running', 'waiting') FOR UPDATE"


def check_editable(database: Session, source: Source) -> None:
    """Raise Refused while a run of the source is at work, or in a state that allows no change."""
    states.check(source, "ask")
    at_work = rows(driver(database), _AT_WORK, {"source": source.key, "between": LEASE_SECONDS})
    if at_work:
        run = at_work[0]
        raise Refused(
            f"The data source '{source.name}' is updating ({run['kind']}, run {run['id']}), so its filter, fields, "
            "permissions and cursor are locked: wait until it has ended and try again."
        )


def choose_cursor(runtime: Runtime, name: str, field: str) -> Source:
    """Choose the stamp that a source's polls go by; the windows read so far hold under either.

    Each of them has seen all that either stamp told of, and a window half read begins again at the last closed one.

    Raises:
        BadInput: there is no such source.
        Refused: it is updating, or its state allows no change.
    """
    with editing(runtime, name) as (_database, source):
        source.cursor_field = field
    return source


# A run between two of its slices, which has an owner, is at work as well for as long as a dead worker's lease would be.
_AT_WORK = """
    SELECT id, kind FROM run
    WHERE source_id = %(source)s AND (state = 'running' AND lease_until > now() OR state = 'queued'
          AND owner IS NOT NULL AND queued_at > now() - make_interval(secs => %(between)s))
    ORDER BY id
"""


def describes(runtime: Runtime, source: Source) -> Describes:
    """Return the describes of a source's org as its login sees it now.

    Raises:
        Refused: the org is not used now.
    """
    states.check(source, "ask")
    return Describes(sources.open_org(runtime, source.key).describe)


def visible(known: Describes, tree: Node | None) -> dict[str, dict[str, Column]]:
    """Return path → field for each object that the login sees, with the paths that a filter asks about."""
    found = {}
    for sobject in PEOPLE:
        try:
            found[sobject] = known.resolve(sobject, filters.fields_used(tree, sobject))
        except ObjectUnavailable:
            continue
    return found


def versions(database: Session, source_id: int) -> list[SourceFilter]:
    """Return all versions of a source's filter, the newest first."""
    newest_first = col(SourceFilter.version).desc()
    wanted = select(SourceFilter).where(SourceFilter.source_id == source_id).order_by(newest_first)
    return list(database.exec(wanted))


def current(database: Session, source_id: int) -> Node | None:
    """Return the filter in force; None lets everything in."""
    kept = versions(database, source_id)
    return filters.read(kept[0].tree) if kept else None


def selection(database: Session, source_id: int, sobject: str) -> Selection:
    """Return the filter in force for an object, and those that its stored records may have come in under.

    It chooses people, so other objects are read whole.
    """
    if sobject not in PEOPLE:
        return Selection(None)
    kept = versions(database, source_id)
    found = rows(driver(database), _READING, {"source": source_id, "object": sobject})[0]
    former = _former(kept, found["read_whole"], found["read_to"]) if kept and found["stored"] else ()
    return Selection(
        tree=filters.read(kept[0].tree) if kept else None,
        former=tuple(filters.read(version.tree) if version else None for version in former),
        stored=found["stored"],
        version=kept[0].version if kept else 0,
        read_to=found["read_to"],
    )


# When the run began that last read the object completely, how far it is read, and whether any record is stored.
_READING = """
    SELECT (SELECT max(r.started_at) FROM read_window AS w JOIN run AS r ON r.id = w.run_id
            WHERE w.source_id = %(source)s AND w.object = %(object)s AND w.lo IS NULL) AS read_whole,
           (SELECT closed_to FROM cursor WHERE source_id = %(source)s AND object = %(object)s) AS read_to,
           EXISTS (SELECT FROM record WHERE source_id = %(source)s AND object = %(object)s) AS stored
"""


def _former(
    kept: Sequence[SourceFilter], read_whole: datetime | None, read_to: datetime | None
) -> Sequence[SourceFilter | None]:
    """Return the filters since the last complete read, and the one it was made under; None stands for no filter."""
    if read_whole is None or read_to is None:
        return [*kept[1:], None]
    if read_whole >= kept[0].created_at:
        return ()
    since = [version for version in kept[1:] if version.created_at > read_whole]
    return [*since, next((version for version in kept[1:] if version.created_at <= read_whole), None)]


def check_filter(known: Describes, tree: Node | None) -> tuple[Node | None, str]:
    """Return a filter with its fields as the org spells them, and a sentence that says which objects it lets in.

    Raises:
        BadInput: it does not fit the org.
    """
    checked = filters.check(tree, known)
    columns = visible(known, checked)
    filters.check_length(checked, columns, datetime.now(UTC))
    return checked, filters.in_words(checked, columns)


def set_filter(runtime: Runtime, name: str, tree: Node | None, author: str) -> tuple[SourceFilter | None, str]:
    """Put a filter in force as a new version and have everything read again; return it with the sentence about it.

    The version is None when that filter is in force already.

    Raises:
        BadInput: the filter does not fit the org.
        Refused: the source is updating, or its state allows no change.
    """
    with transaction(runtime.database_url) as database:
        source = sources.find(database, name)
        check_editable(database, source)
    checked, words = check_filter(describes(runtime, source), tree)
    with editing(runtime, name) as (database, source):
        kept = versions(database, source.key)
        if checked == (filters.read(kept[0].tree) if kept else None):
            return None, words
        number = kept[0].version + 1 if kept else 1
        made = SourceFilter(source_id=source.key, version=number, tree=filters.dump(checked), author=author)
        database.add(made)
        source.next_poll_at = datetime.now(UTC)
        database.flush()
        database.refresh(made)
    return made, words
