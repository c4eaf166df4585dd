"""Two orgs of 20,000 records each: people equal a computation in plain Python from what the orgs themselves hold."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any
from uuid import UUID

import pytest

from connector.settings import NEVER_MERGE
from connector.simulator.population import populate
from tests.conftest import database_from
from tests.connector.conftest import Site
from tests.oracle import Record, Rules, exact, people

pytestmark = pytest.mark.slow
ORGS = ("acme", "globex")
MakeSite = Callable[..., Site]


@dataclass(frozen=True)
class OrgRecord(Record):
    """A row as an org holds it."""

    org: str = ""

    @property
    def org_id(self) -> str:
        return self.org


def truth(site: Site) -> dict[UUID, dict[str, Any]]:
    """People from the orgs' own rows and the written rules; of the product only the default mappings are taken."""
    records, fields = [], set()
    for name in ORGS:
        source, org = site.source(name), site.orgs[name]
        for sobject, mapping in source.mapping.items():
            fields |= {target["to"] for target in mapping.values()}
            rows = org.snapshot(sobject).values()
            records += [_record(source.id or 0, org.org_id, sobject, row, mapping) for row in rows]
    rules = Rules(dict.fromkeys(fields, ("text", "most_recent")), frozenset(NEVER_MERGE.split(",")))
    return people(records, rules)


def _record(source: int, org: str, sobject: str, row: Mapping[str, Any], mapping: Mapping[str, Any]) -> OrgRecord:
    return OrgRecord(
        org=org,
        source_id=source,
        object=sobject,
        record_id=row["Id"],
        email=row["Email"],
        created_at=row["CreatedDate"],
        modified_at=row["LastModifiedDate"],
        version_at=row["SystemModstamp"],
        is_deleted=row["IsDeleted"],
        is_converted=row.get("IsConverted", False),
        converted_to=row.get("ConvertedContactId"),
        email_permission=not row["HasOptedOutOfEmail"],
        values={target["to"]: row[field] for field, target in mapping.items()},
    )


def stored(site: Site) -> dict[UUID, dict[str, Any]]:
    return {
        row.pop("person_id"): {name: exact(value) for name, value in row.items()}
        for row in site.query(
            "SELECT p.*, (SELECT array_agg(handle ORDER BY handle) FROM membership AS m"
            "             WHERE m.person_id = p.person_id) AS members FROM person AS p"
        )
    }


def equal(site: Site) -> bool:
    """Compare without printing forty thousand people."""
    found, expected = stored(site), truth(site)
    different = [key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key)]
    return not [(found.get(key), expected.get(key)) for key in different]


def edit_at_random(site: Site, name: str, seed: int, count: int) -> None:
    """So many edits of every kind, a second after another."""
    org, random = site.orgs[name], Random(seed)
    emails = [row["Email"] for other in ORGS for row in site.orgs[other].snapshot("Contact").values()]
    for sobject in ("Lead", "Contact"):
        rows = [row for row in org.snapshot(sobject).values() if not row["IsDeleted"] and not row.get("IsConverted")]
        for row in random.sample(rows, count):
            org.clock.advance(1)
            _edit(random, org, sobject, row["Id"], random.choice(emails))


def _edit(random: Random, org: Any, sobject: str, record_id: str, email: str | None) -> None:
    roll = random.random()
    if roll < 0.4:
        org.update(sobject, record_id, {"Email": email})
    elif roll < 0.6:
        values = {"Title": random.choice([None, " ", "New title"]), "HasOptedOutOfEmail": random.random() < 0.5}
        org.update(sobject, record_id, values, touch_last_modified=random.random() < 0.7)
    elif roll < 0.8:
        org.delete(sobject, record_id)
        if random.random() < 0.3:
            org.undelete(sobject, record_id)
    elif roll < 0.9 and sobject == "Lead":
        org.convert(record_id)
    else:
        org.insert(sobject, {"LastName": "Newcomer", "Email": email, **({"Company": "x"} if sobject == "Lead" else {})})


@pytest.fixture
def big(make_site: MakeSite) -> Site:
    site = make_site(bulk_threshold=5000)
    for number, name in enumerate(ORGS):
        populate(site.orgs[name], leads=10_000, contacts=10_000, seed=7 + number, shared_people=7)
        site.orgs[name].clock.advance(3600)
    return site


@pytest.fixture
def second_database(template: str, server_url: str) -> Iterator[str]:
    with database_from(template, server_url) as url:
        yield url


def test_people_equal_the_orgs_truth_and_do_not_depend_on_order(
    big: Site, make_site: MakeSite, second_database: str
) -> None:
    for name in ORGS:
        big.connect(name)
        assert big.sync(name)["state"] == "succeeded"
    assert big.query("SELECT count(*) FROM record")[0]["count"] >= 40_000
    assert len({person["source"] for people in big.people().values() for person in people["records"]}) == 2
    assert equal(big)

    for seed, name in enumerate(reversed(ORGS)):
        edit_at_random(big, name, seed, 300)
        assert big.sync(name)["state"] == "succeeded"
    assert equal(big)

    other = make_site(database_url=second_database, bulk_threshold=10**6, poll_overlap=0)
    for name in ORGS:
        other.connect(name)
    other.server.faults.clear()
    other.fault("page_size", "/query", times=None, seed=5)
    for name in reversed(ORGS):
        assert other.sync(name)["state"] == "succeeded"
    assert stored(other) == stored(big)
    with_sources = "SELECT id, name, org_id FROM source ORDER BY id"
    assert other.query(with_sources) == big.query(with_sources)


def test_the_comparison_sees_a_difference(site: Site) -> None:
    """A comparison that cannot fail proves nothing: one changed character must show."""
    for name in ORGS:
        populate(site.orgs[name], leads=30, contacts=30, seed=1, shared_people=2)
        site.connect(name)
        site.sync(name)
    assert equal(site)
    assert site.query(
        "UPDATE person SET last_name = last_name || '!'"
        " WHERE person_id = (SELECT min(person_id::text)::uuid FROM person) RETURNING 1"
    )
    assert not equal(site)
