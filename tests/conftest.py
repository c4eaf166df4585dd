"""What all suites share: a clean environment, one PostgreSQL with a migrated template, a database a test, a CDP to feed."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from types import MappingProxyType
from typing import Any
from uuid import UUID, uuid4

import hypothesis
import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url
from sqlmodel import Session

from cdp import db, ingest
from cdp.fields import Field, register
from cdp.merging import Identity
from cdp.models import Source
from cdp.people import Resolution, resolve
from cdp.records import Batch, Consent, Layout, Outcome
from connector import embedded, schema
from tests.oracle import BEGINNING, Record, Rules, exact, org_id

hypothesis.settings.register_profile("connector", deadline=None)
hypothesis.settings.load_profile("connector")


@pytest.fixture(scope="session", autouse=True)
def given_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str | None]:
    """Hide the developer's settings, `.env` and `.connector` from all tests; yield the database they name, if any."""
    given = os.environ.get("CONNECTOR_DATABASE_URL")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.upper().startswith("CONNECTOR_")]:
            patch.delenv(name)
        patch.chdir(tmp_path_factory.mktemp("working_directory"))
        yield given


@pytest.fixture(scope="session")
def server_url(given_database: str | None, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database from which tests may create others: the one given, or one embedded for this session."""
    return given_database or embedded.services(tmp_path_factory.mktemp("home"), redis=False).database_url


@pytest.fixture(scope="session")
def template(server_url: str) -> Iterator[str]:
    """The name of a migrated, empty database that nobody is connected to."""
    with database_from("template0", server_url) as url:
        schema.migrate(url)
        db.engine(url).dispose()
        yield make_url(url).database or ""


@pytest.fixture
def database_url(template: str, server_url: str) -> Iterator[str]:
    """A migrated, empty database of the test's own."""
    with database_from(template, server_url) as url:
        yield url


@contextmanager
def database_from(template: str, server_url: str) -> Iterator[str]:
    """Clone a database, and drop the clone at the end."""
    name = f"test_{uuid4().hex}"
    url = make_url(server_url).set(database=name).render_as_string(hide_password=False)
    names = {"name": sql.Identifier(name), "template": sql.Identifier(template)}
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {name} TEMPLATE {template} ENCODING 'UTF8'").format(**names))
        try:
            yield url
        finally:
            db.engine(url).dispose()
            connection.execute(sql.SQL("DROP DATABASE {name} WITH (FORCE)").format(**names))


@pytest.fixture
def cdp(database_url: str) -> "Cdp":
    """A CDP of three sources, with a person field of every type and every rule."""
    return Cdp(database_url, FIELDS)


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
            db.driver(session).execute("TRUNCATE record, touched, membership, person, people_state, quarantine")

    def session(self) -> Any:
        """A session in one transaction."""
        return db.transaction(self.url)

    def deliver(self, records: Iterable[Record]) -> Outcome:
        """Store records in one transaction, in their order."""
        with self.session() as session:
            return self.store(session, records)

    def store(self, session: Session, records: Iterable[Record]) -> Outcome:
        """Store records in the given session."""
        outcome = Outcome()
        for _, alike in groupby(records, key=lambda r: (r.source_id, r.object, r.read_at)):
            outcome += ingest.store(session, self.batch(list(alike)))
        return outcome

    def batch(self, records: Sequence[Record]) -> Batch:
        """Records of one source, object and time of reading as the connector would hand them over."""
        first = records[0]
        rows = [cells(record, self.fields) for record in records]
        return batch(rows, layout(self.fields), first.source_id, first.object, first.read_at)

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
    }
)
ANSWER = {"yes": frozenset({"yes"}), "no": frozenset({"no"})}
CONSENT = MappingProxyType({"email": Consent("MayEmail", **ANSWER), "sms": Consent("MayText", **ANSWER)})


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
        *(stamp.isoformat() for stamp in (record.created_at, record.modified_at, record.version_at)),
        record.email,
        str(record.is_converted).lower(),
        record.converted_to,
    ]
    consent = [{True: "yes", False: "no", None: None}[may] for may in (record.email_permission, record.sms_permission)]
    return [*fixed, *consent, *(record.values.get(field.name) for field in fields)]


def batch(
    rows: Iterable[Sequence[str | None]],
    layout: Layout,
    source_id: int = 1,
    kind: str = "Lead",
    read_at: datetime = BEGINNING,
) -> Batch:
    """Rows of text as a batch, in chunks that end anywhere."""
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
