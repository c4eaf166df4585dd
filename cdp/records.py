"""What a batch of rows is: which column of the CSV means what, told without a word of Salesforce."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from types import MappingProxyType

from psycopg import sql

from cdp.fields import Field
from cdp.tables import RECORD, Table

REQUIRED_TO_FILL = frozenset({"record_id", "version_at"})


@dataclass(frozen=True)
class Consent:
    """How one column answers whether a channel may be used; text as it stands in the CSV.

    Values in `no` mean no, those in `yes` mean yes. With `complement` (a checkbox), a value in neither means the
    opposite of the only list given; otherwise it means nothing.
    """

    column: str
    yes: frozenset[str] = frozenset()
    no: frozenset[str] = frozenset()
    complement: bool = False


@dataclass(frozen=True)
class Layout:
    """Which CSV column holds what: `fixed` by the columns of its table, `fields` by person field, `consent` by channel.

    `columns` is every CSV column in the order of the file. `admitted` is true or false of a row, as SQL over these
    columns as text, in a statement without parameters; None lets every row in. A partial layout needs only id and
    version: its batches fill columns of records that are there, and never make or end one.
    """

    columns: tuple[str, ...]
    fixed: MappingProxyType[str, str]
    fields: MappingProxyType[Field, str]
    consent: MappingProxyType[str, Consent] = field(default_factory=lambda: MappingProxyType({}))
    partial: bool = False
    admitted: sql.Composable | None = None
    table: Table = RECORD

    def __post_init__(self) -> None:
        missing = (REQUIRED_TO_FILL if self.partial else self.table.required) - set(self.fixed)
        if missing:
            raise ValueError(f"a layout needs columns for {sorted(missing)}")

    @property
    def fingerprint(self) -> str:
        """What tells this layout from another that may find other rows bad: its columns, and what they are read as."""
        fields = sorted((field.name, field.type, column) for field, column in self.fields.items())
        return hashlib.sha256(json.dumps([self.columns, sorted(self.fixed.items()), fields]).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Batch:
    """Rows of one object of one source, read at `read_at` (the server's clock, aware), or not long after it.

    `rank` is the object's place when values tie (see `models.Record`); a converted record stands one behind.
    `chunks` may be called again: each call gives the same CSV from its start, without a header, every value quoted, an
    empty one meaning null. `erasure_keys` recognise what was erased (32 bytes each). `contested` says that rows of the
    source which were read earlier may still be on their way, and `history` that this is the first reading of the
    object. `ended` tells when some of its rows were deleted, by record id, where the rows themselves do not.
    """

    source_id: int
    org_id: str
    object: str
    rank: int
    layout: Layout
    read_at: datetime
    chunks: Callable[[], Iterable[bytes]]
    erasure_keys: tuple[bytes, ...] = ()
    contested: bool = True
    history: bool = False
    ended: Mapping[str, datetime] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Outcome:
    """What became of a batch, in rows: `written` were `imported` (new here) or changed; deletions are among them.

    `ahead` of the written ones bear a stamp later than the batch was read.
    """

    read: int = 0
    written: int = 0
    imported: int = 0
    deleted: int = 0
    skipped: int = 0
    quarantined: int = 0
    ahead: int = 0

    def __add__(self, other: "Outcome") -> "Outcome":
        mine, theirs = asdict(self), asdict(other)
        return Outcome(**{name: mine[name] + theirs[name] for name in mine})


def csv_row(values: Iterable[str | None]) -> bytes:
    """Return one CSV line as a batch wants it: every value quoted, null as an empty one."""
    quoted = ('"' + (value or "").replace('"', '""') + '"' for value in values)
    return (",".join(quoted) + "\n").encode("utf-8", "surrogatepass")
