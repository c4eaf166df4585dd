"""A CDP whose people are held against the oracle whatever happens to its records, rules and decisions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from cdp import decisions, rules, verification
from cdp.fields import rules as rules_in_force
from cdp.merging import Identity
from tests import oracle
from tests.feed import HOUR, Cdp
from tests.oracle import BEGINNING, Record, Rules
from tests.stories import IDS, RULES, bystanders

NOISE = tuple(bystanders(20))


def lead(number: int, email: str | None = None, source_id: int = 1, **about: Any) -> Record:
    return Record(source_id, "Lead", IDS["Lead"].format(number), email, **about)


def contact(number: int, email: str | None = None, source_id: int = 1, **about: Any) -> Record:
    return Record(source_id, "Contact", IDS["Contact"].format(number), email, **about)


def identity(of: Rules) -> Identity:
    return Identity(of.max_records_per_key, tuple(sorted(of.never_merge)))


@dataclass
class World:
    """Bystanders keep the touched share small, so that people are resolved piecemeal."""

    cdp: Cdp
    rules: Rules = RULES
    hours: int = 0
    now: dict[UUID, Record] = field(default_factory=dict)
    decided: dict[int, tuple[str, frozenset[UUID]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.now = {record.handle: record for record in NOISE}
        self.cdp.reset()
        self.cdp.deliver(NOISE)
        self.cdp.resolve(self.rules)

    def change(self, *records: Record) -> None:
        """Give records a newer version together, and compare people with the oracle."""
        self.say(*records)
        self.compare()

    def say(self, *records: Record) -> None:
        """Give records a newer version together."""
        self.hours += 1
        stamp = BEGINNING + self.hours * HOUR
        newer = [replace(record, version_at=stamp, modified_at=stamp, read_at=stamp) for record in records]
        self.now.update({record.handle: record for record in newer})
        self.cdp.deliver(sorted(newer, key=lambda record: (record.source_id, record.object)))

    def split(self, *records: Record) -> int:
        return self.decide("split", [record.handle for record in records])

    def join(self, *records: Record) -> int:
        return self.decide("join", [record.handle for record in records])

    def decide(self, kind: str, handles: Sequence[UUID]) -> int:
        """Take a decision, and compare people with the oracle."""
        with self.cdp.session() as session:
            number = {"split": decisions.split, "join": decisions.join}[kind](session, handles, "a test")
        self.decided[number] = (kind, frozenset(handles))
        self.compare()
        return number

    def undo(self, number: int) -> None:
        """Take a decision back, and compare people with the oracle."""
        with self.cdp.session() as session:
            decisions.undo(session, number)
        del self.decided[number]
        self.compare()

    def choose(self, name: str, rule: str) -> None:
        """Give a field another rule."""
        with self.cdp.session() as session:
            rules.set_rules(session, rules.with_rule(rules_in_force(session), name, rule))
        self.rules = replace(self.rules, fields={**self.rules.fields, name: (self.rules.fields[name][0], rule)})

    def order(self, *source_ids: int) -> None:
        """Put sources first."""
        with self.cdp.session() as session:
            rules.set_rules(session, rules.with_source_order(session, rules_in_force(session), source_ids))
        self.rules = replace(self.rules, source_order=source_ids)

    def expected(self) -> dict[UUID, dict[str, Any]]:
        made = {kind: tuple(named for k, named in self.decided.values() if k == kind) for kind in ("split", "join")}
        return oracle.people(self.now.values(), replace(self.rules, splits=made["split"], joins=made["join"]))

    def compare(self) -> None:
        """Bring people up to date, and hold them against the oracle."""
        self.cdp.resolve(self.rules)
        assert self.cdp.people() == self.expected()
        assert self.cdp.query("SELECT FROM touched") == []

    def verify(self) -> verification.Comparison:
        return verification.verify(self.cdp.url, identity(self.rules))

    def groups(self, *records: Record) -> list[list[str]]:
        """The people that these records form, as sorted lists of record ids."""
        handles = [record.handle for record in records]
        found = self.cdp.query(
            "SELECT array_agg(r.record_id ORDER BY r.record_id) AS ids FROM membership AS m"
            " JOIN record AS r USING (handle) WHERE handle = ANY(%(handles)s) GROUP BY m.person_id",
            handles=handles,
        )
        return sorted(row["ids"] for row in found)

    def events(self, after: int | None = None) -> list[dict[str, Any]]:
        from cdp import queries

        with self.cdp.session() as session:
            return list(queries.events(session, after))


def ids(*groups: Iterable[Record]) -> list[list[str]]:
    """Groups of records as `World.groups` gives them."""
    return sorted(sorted(record.record_id for record in group) for group in groups)
