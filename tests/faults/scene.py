"""The stage of a fault: an installation and one org, and what is stored held against the org's own truth."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from cdp import queries
from cdp.db import transaction
from cdp.fields import Field, registered
from cdp.models import Source
from connector import runs
from connector.errors import ConnectorError
from connector.objects import OBJECTS, PEOPLE
from connector.runtime import Runtime
from connector.settings import Settings
from connector.simulator import Org, SimulatorServer
from connector.simulator.clock import Clock
from connector.transform import text
from tests import oracle
from tests.connector.conftest import KEY, Site

MINUTE, HOUR, DAY = 60, 3600, 86_400
POLL_EVERY = 5 * MINUTE
MOST_POLLS = 15
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Differences:
    """What is stored and should not be, or the other way round: record ids by kind, and people that differ."""

    missing: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    phantom: tuple[str, ...] = ()
    duplicate: tuple[str, ...] = ()
    people: tuple[UUID, ...] = ()

    def __add__(self, other: "Differences") -> "Differences":
        return Differences(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))


NONE = Differences()


@dataclass(frozen=True)
class RealRecord(oracle.Record):
    """A record of an org that has an id of its own."""

    org: str = ""

    @property
    def org_id(self) -> str:
        return self.org


class Scene(Site):
    """A site with the org `acme` on it, and perhaps others; an org's clock moves only when a test moves it.

    `admits` tells whether the filter in force lets a row in, as (org, object, row).
    """

    admits: Callable[[Org, str, Row], bool] = staticmethod(lambda _org, _object, _row: True)

    @property
    def org(self) -> Org:
        return self.orgs["acme"]

    def later(self, seconds: float = POLL_EVERY) -> None:
        """Let time pass in the org."""
        self.org.clock.advance(seconds)

    def poll(self, after: float = POLL_EVERY) -> queries.Row:
        """Let time pass, poll, and return the run, however it ended."""
        self.later(after)
        return self.attempt("poll")

    def attempt(self, kind: str, **options: Any) -> queries.Row:
        """Carry out a run of a kind and return it, however it ended."""
        run_id = runs.request(self.url, self.source().key, kind, options)
        try:
            return self.execute(run_id)
        except ConnectorError:
            return self.run(run_id)

    def run_queued(self) -> list[queries.Row]:
        """Carry out the runs that were asked for and not begun, such as the sweep after a long outage."""
        found = self.query("SELECT id FROM run WHERE state = 'queued' ORDER BY id")
        return [self.execute(row["id"]) for row in found]

    def quiet(self) -> int:
        """Poll on, five minutes apart, until nothing changes any more; return how many polls that took."""
        for number in range(1, MOST_POLLS + 1):
            run = self.poll()
            if run["state"] in ("succeeded", "incomplete") and not run["written"]:
                return number
        raise AssertionError(f"not quiet after {MOST_POLLS} polls")

    def map(self, sobject: str, **fields: str) -> None:
        """Map Salesforce fields of an object to person fields, besides those that are mapped already."""
        mapping = self.source().mapping
        mapping[sobject] |= {name: {"to": target, "rule": "most_recent"} for name, target in fields.items()}
        self.change(mapping=mapping)

    def written_in_salesforce(self) -> int:
        """How many versions of Leads and Contacts the org's history has."""
        return sum(event.object in PEOPLE for event in self.org.history)

    def rows_in_salesforce(self) -> int:
        """How many rows of synced objects there are, deleted ones included; settings do not count."""
        return sum(len(self.org.snapshot(one)) for one in OBJECTS if one != "OpportunityStage")

    def stored_rows(self) -> int:
        """How many rows all runs have written."""
        return int(self.query("SELECT coalesce(sum(written), 0) AS rows FROM run")[0]["rows"])

    def findings(self) -> set[tuple[str, str, str]]:
        """The open findings, as (object, code, subject)."""
        found = self.query("SELECT object, code, subject FROM finding")
        return {(row["object"], row["code"], row["subject"]) for row in found}

    def gaps(self) -> list[queries.Row]:
        """The objects whose windows do not meet."""
        with transaction(self.url) as session:
            return [row for row in queries.objects(session) if not row["windows_contiguous"]]

    def differences(self) -> Differences:
        """Hold every record, and people as the oracle computes them from the truth, against what is stored."""
        with transaction(self.url) as session:
            fields = {field.name: field for field in registered(session)}
        found, records = NONE, []
        for name, org in self.orgs.items():
            wrong, real = self._compared(self.source(name), org, fields)
            found, records = found + wrong, records + real
        return replace(found, people=self._wrong_people(records, fields))

    def _compared(self, source: Source, org: Org, fields: dict[str, Field]) -> tuple[Differences, list[oracle.Record]]:
        """One org's records against what is stored of it; and these records as the oracle reads them."""
        stored = self.query("SELECT * FROM record WHERE source_id = %(id)s ORDER BY object, record_id", id=source.key)
        mine = {(row["object"], row["record_id"]): row for row in stored}
        truth = {
            (one, i): row
            for one in PEOPLE
            for i, row in org.snapshot(one).items()
            if not row["IsDeleted"] and self.admits(org, one, row)
        }
        live = {key for key, row in mine.items() if row["state"] == "live"}
        real = {key: self._real(source, org, key[0], (row, mine.get(key, {})), fields) for key, row in truth.items()}
        wrong = Differences(
            missing=_ids(truth.keys() - live),
            stale=_ids(key for key in truth.keys() & live if not _same(real[key], mine[key], fields)),
            phantom=_ids(live - truth.keys()),
            duplicate=_ids({(row["object"], row["record_id"]) for row in stored} if len(mine) < len(stored) else ()),
        )
        return wrong, list(real.values())

    def _real(
        self, source: Source, org: Org, sobject: str, rows: tuple[Row, Row], fields: dict[str, Field]
    ) -> RealRecord:
        """A row, beside the stored one, as the oracle reads it; what the login cannot see keeps its old value."""
        row, stored = rows
        visible = org.objects[sobject].fields if sobject in org.objects else {}
        values: dict[str, str | None] = {}
        for name, target in source.mapping.get(sobject, {}).items():
            field = fields[target["to"]]
            shown = text(_plain(row[name])) if name in visible else text(_plain(stored.get(field.column)))
            values[field.name] = shown or None
        return RealRecord(
            source_id=source.key,
            object=sobject,
            record_id=row["Id"],
            email=row["Email"],
            created_at=row["CreatedDate"],
            modified_at=row["LastModifiedDate"],
            version_at=row["SystemModstamp"],
            is_converted=row.get("IsConverted", False),
            converted_to=row.get("ConvertedContactId"),
            email_permission=not row["HasOptedOutOfEmail"],
            values=values,
            org=org.org_id,
        )

    def _wrong_people(self, records: list[oracle.Record], fields: dict[str, Field]) -> tuple[UUID, ...]:
        identity = self.runtime.identity
        rules = oracle.Rules(
            {field.name: (field.type, field.rule) for field in fields.values()},
            frozenset(filter(None, map(oracle.email_key, identity.never_merge))),
            identity.max_records_per_key,
        )
        wanted, got = oracle.people(records, rules), self._people()
        return tuple(sorted(one for one in wanted.keys() | got.keys() if wanted.get(one) != got.get(one)))

    def _people(self) -> dict[UUID, dict[str, Any]]:
        found = self.query(
            "SELECT p.*, (SELECT array_agg(handle ORDER BY handle) FROM membership AS m"
            "             WHERE m.person_id = p.person_id) AS members FROM person AS p"
        )
        return {row.pop("person_id"): {name: oracle.exact(value) for name, value in row.items()} for row in found}


def _plain(value: Any) -> Any:
    """A stored value as its CSV has it, for `text`."""
    if isinstance(value, list):
        return ";".join(value)
    return value.isoformat() if hasattr(value, "isoformat") else value


def _same(real: RealRecord, stored: queries.Row, fields: dict[str, Field]) -> bool:
    fixed = ("email", "created_at", "modified_at", "version_at", "converted_to", "email_permission")
    return all(stored[name] == getattr(real, name) for name in fixed) and all(
        stored[fields[name].column] == (None if value is None else oracle._read(value, fields[name].type))
        for name, value in real.values.items()
    )


def _ids(keys: Any) -> tuple[str, ...]:
    return tuple(sorted(record_id for _, record_id in keys))


@contextmanager
def opened(
    database_url: str, folder: Path, start: datetime | None = None, others: tuple[str, ...] = (), **chosen: Any
) -> Iterator[Scene]:
    """Set the stage: a migrated database, a folder for certificates, orgs and their time, and chosen settings."""
    now = start or datetime.now(UTC).replace(microsecond=0)
    orgs = [Org(name, clock=Clock(now)) for name in ("acme", *others)]
    with SimulatorServer(orgs, ca_dir=folder) as server:
        hosts = [server.url(org).removeprefix("https://") for org in orgs]
        hosts += [server.instance(org).spare_url.removeprefix("https://") for org in orgs]
        settings = {
            "home": folder / "home",
            "database_url": database_url,
            "encryption_keys": KEY,
            "ca_bundle": server.ca_file,
            "allowed_hosts": hosts,
            **chosen,
        }
        yield Scene(Runtime(Settings(**settings, _env_file=None)), server, {org.key: org for org in orgs})
