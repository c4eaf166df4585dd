"""A CDP that tests feed with the oracle's records, and the rows and batches that they make of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sqlmodel import Session

from cdp import db, ingest
from cdp.fields import Field, register
from cdp.merging import Identity
from cdp.models import Source
from cdp.people import Resolution, resolve
from cdp.records import Batch, Consent, Layout, Outcome
from tests.oracle import BEGINNING, Record, Rules, exact, org_id

HOUR = timedelta(hours=1)
FIELDS = (
    Field("active", "boolean"),
    Field("company"),
    Field("interests", "list"),
    Field("met_at", "datetime"),
    Field("score", "number"),
    Field("since", "date"),
    Field("tags", "list", "union"),
    Field("title", "text", "source_priority"),
    Field("vip", "boolean", "any_true"),
)
SOURCES = (1, 2, 3)
ANN = Record(1, "Lead", "00Q000000000000001", "ann@acme.com", values={"company": "Acme"})
BOB = Record(1, "Lead", "00Q000000000000002", "bob@acme.com", values={"company": "Bobs"})
CID = Record(1, "Lead", "00Q000000000000003", "cid@acme.com", values={"company": "Cids"})


@dataclass(frozen=True)
class Cdp:
    """A CDP that takes the oracle's records, a batch for each source, object and time of reading."""

    url: str
    fields: tuple[Field, ...]

    def __post_init__(self) -> None:
        with db.transaction(self.url) as session:
            session.add_all(_source(number) for number in SOURCES)
            register(session, self.fields)

    def reset(self) -> None:
        """Forget all records and people, keep sources and fields; for tests that begin many times."""
        with self.session() as session:
            db.driver(session).execute(
                "TRUNCATE record, touched, membership, person, people_state, quarantine, decision, decision_record,"
                " erased, person_event, departure, decided"
            )

    def session(self) -> AbstractContextManager[Session]:
        """A session in one transaction."""
        return db.transaction(self.url)

    def deliver(self, records: Iterable[Record]) -> Outcome:
        """Store records in one transaction, in their order."""
        with self.session() as session:
            return self.store(session, records)

    def store(self, session: Session, records: Iterable[Record]) -> Outcome:
        """Store records in the given session."""
        outcome = Outcome()
        for _, alike in groupby(records, key=lambda r: (r.source_id, r.object, r.seen_at)):
            outcome += ingest.store(session, self.batch(list(alike)))
        return outcome

    def batch(self, records: Sequence[Record]) -> Batch:
        """Records of one source, object and time of reading as the connector would hand them over."""
        first = records[0]
        rows = [cells(record, self.fields) for record in records]
        return batch(rows, layout(self.fields), first.source_id, first.object, first.seen_at)

    def put(self, rows: Iterable[Sequence[str | None]], shape: Layout | None = None, **about: Any) -> Outcome:
        """Store rows of text in a layout, by default that of all columns."""
        with self.session() as session:
            return ingest.store(session, batch(rows, shape or layout(self.fields), **about))

    def put_bytes(self, *lines: bytes) -> Outcome:
        """Store CSV lines as they are, in the layout of all columns."""
        with self.session() as session:
            return ingest.store(session, replace(self.batch([ANN]), chunks=lambda: iter(lines)))

    def resolve(self, rules: Rules) -> Resolution:
        """Bring people up to date under the oracle's rules."""
        return resolve(self.url, Identity(rules.max_records_per_key, tuple(sorted(rules.never_merge))))

    def people(self) -> dict[UUID, dict[str, Any]]:
        """People as the oracle gives them."""
        return {
            row.pop("person_id"): {name: exact(value) for name, value in row.items()}
            for row in self.query(
                "SELECT p.*, (SELECT array_agg(handle ORDER BY handle) FROM membership AS m"
                "             WHERE m.person_id = p.person_id) AS members FROM person AS p"
            )
        }

    def companies(self) -> dict[str, str | None]:
        """Record id → company."""
        return {row["record_id"]: row["f_company"] for row in self.query("SELECT record_id, f_company FROM record")}

    def query(self, query: db.Statement, **parameters: object) -> list[dict[str, Any]]:
        """Rows of a query."""
        with self.session() as session:
            return db.rows(db.driver(session), query, parameters)


def _source(number: int) -> Source:
    return Source(
        id=number,
        name=f"org {number}",
        org_id=org_id(number),
        login_url="https://login.salesforce.com",
        instance_url=f"https://org{number}.my.salesforce.com",
        credentials=b"sealed",
        created_by="integration",
        created_at=BEGINNING,
        next_poll_at=BEGINNING,
    )


FIXED = MappingProxyType(
    {
        "record_id": "Id",
        "is_deleted": "IsDeleted",
        "created_at": "CreatedDate",
        "modified_at": "LastModifiedDate",
        "version_at": "SystemModstamp",
        "email": "Email",
        "is_converted": "IsConverted",
        "converted_to": "ConvertedContactId",
        "merged_into": "MasterRecordId",
    }
)
YES, NO = frozenset({"yes"}), frozenset({"no"})
CONSENT = MappingProxyType({"email": Consent("MayEmail", YES, NO), "sms": Consent("MayText", YES, NO)})


def layout(fields: Sequence[Field], consent: Mapping[str, Consent] = CONSENT) -> Layout:
    """All fixed columns, those of consent, and one of the same name for each person field."""
    columns = (*FIXED.values(), *(answer.column for answer in consent.values()), *(field.name for field in fields))
    mapped = MappingProxyType({field: field.name for field in fields})
    return Layout(columns, FIXED, mapped, MappingProxyType(dict(consent)))


def cells(record: Record, fields: Sequence[Field]) -> list[str | None]:
    """A record's row in the layout of all columns."""
    fixed = [
        record.record_id,
        str(record.is_deleted).lower(),
        *(stamp.isoformat() for stamp in (record.created_at, record.modified_at, record.version_at + record.ahead)),
        record.email,
        str(record.is_converted).lower(),
        record.converted_to,
        record.merged_into,
    ]
    consent = [{True: "yes", False: "no", None: None}[may] for may in (record.email_permission, record.sms_permission)]
    return [*fixed, *consent, *(record.values.get(field.name) for field in fields)]


def batch(
    rows: Iterable[Sequence[str | None]],
    layout: Layout,
    source_id: int = 1,
    kind: str = "Lead",
    read_at: datetime = BEGINNING + 100 * HOUR,
) -> Batch:
    """Rows of text as a batch, in chunks that end anywhere, read after all that tests write was written."""
    text = b"".join(map(line, rows))
    size = 101
    rank = {"Contact": 0, "Lead": 1}[kind]

    def chunks() -> Iterator[bytes]:
        return (text[at : at + size] for at in range(0, len(text), size))

    return Batch(source_id, org_id(source_id), kind, rank, layout, read_at, chunks)


def line(values: Iterable[str | None]) -> bytes:
    """One CSV line, every value quoted; a lone surrogate becomes the invalid bytes it stands for."""
    quoted = ",".join('"' + (value or "").replace('"', '""') + '"' for value in values)
    return quoted.encode("utf-8", "surrogatepass") + b"\n"


def row(record: Record, **changes: str | None) -> list[str | None]:
    """A record's row in the layout of all columns, with other text in some."""
    names = layout(FIELDS).columns
    return [changes.get(name, cell) for name, cell in zip(names, cells(record, FIELDS), strict=True)]
