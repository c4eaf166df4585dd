"""People computed in plain Python from the written rules alone: what the database must come to in any order."""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any
from uuid import UUID

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Record:
    """One version of one record as it was read; `values` holds each person field's text as it stands in the CSV.

    `version_at` is when it was written, `ahead` how far the stamp it bears runs ahead of that.
    """

    source_id: int
    object: str
    record_id: str
    email: str | None = None
    created_at: datetime = BEGINNING
    modified_at: datetime = BEGINNING
    version_at: datetime = BEGINNING
    read_at: datetime = BEGINNING
    ahead: timedelta = timedelta(0)
    is_deleted: bool = False
    is_converted: bool = False
    converted_to: str | None = None
    merged_into: str | None = None
    email_permission: bool | None = None
    sms_permission: bool | None = None
    values: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def org_id(self) -> str:
        return org_id(self.source_id)

    @property
    def seen_at(self) -> datetime:
        """When it was read: never before it was written."""
        return max(self.read_at, self.version_at)

    @property
    def handle(self) -> UUID:
        return handle(self.org_id, self.object, self.record_id)

    @property
    def rank(self) -> int:
        """Contact, open Lead, converted Lead."""
        return 0 if self.object == "Contact" else 1 + self.is_converted


@dataclass(frozen=True)
class Rules:
    """The configuration: person field → (type, rule), which keys merge, which sources come first, and decisions."""

    fields: Mapping[str, tuple[str, str]]
    never_merge: frozenset[str] = frozenset()
    max_records_per_key: int = 50
    source_order: tuple[int, ...] = ()
    splits: tuple[frozenset[UUID], ...] = ()
    joins: tuple[frozenset[UUID], ...] = ()


def org_id(source_id: int) -> str:
    return f"00D5e00000000{source_id:02d}EAA"


def handle(org: str, kind: str, record_id: str) -> UUID:
    """A name-based UUID, version 8: the first 16 bytes of SHA-256 with the bits of version and variant set."""
    digits = list(hashlib.sha256(f"{org}/{kind}/{record_id}".encode()).hexdigest()[:32])
    digits[12] = digits[16] = "8"
    return UUID("".join(digits))


def latest(versions: Iterable[Record]) -> list[Record]:
    """The state of each record: its newest version, and of one stamp the one read last."""
    found: dict[UUID, Record] = {}
    for version in sorted(versions, key=lambda item: (item.version_at, item.seen_at)):
        found[version.handle] = version
    return list(found.values())


def email_key(raw: str | None) -> str | None:
    """Format characters and surrounding space go, NFKC, lower case; then the rule of validity."""
    visible = "".join(letter for letter in raw or "" if unicodedata.category(letter) != "Cf").strip()
    key = unicodedata.normalize("NFKC", visible).lower()
    if key.count("@") != 1:
        return None
    local, domain = key.split("@")
    has_space = any(letter.isspace() for letter in local)
    return key if local and not has_space and "." in domain else None


def people(versions: Iterable[Record], rules: Rules) -> dict[UUID, dict[str, Any]]:
    """Person id → the person's columns as `exact` values, and its `members`."""
    newest = {record.handle: record for record in latest(versions)}
    live = {name: record for name, record in newest.items() if not record.is_deleted}
    rules = replace(
        rules,
        splits=tuple(frozenset(_winner_of(name, newest) for name in split) for split in rules.splits),
        joins=tuple(frozenset(_winner_of(name, newest) for name in join) for join in rules.joins),
    )
    groups = {id(group): [live[name] for name in group] for group in _groups(live, rules).values()}
    return {_anchor(group).handle: _person(group, rules) for group in groups.values()}


def _winner_of(name: UUID, newest: Mapping[UUID, Record]) -> UUID:
    """Where merges in Salesforce led from a record; itself, if it was not merged."""
    record = newest.get(name)
    if record is None or not record.is_deleted or not record.merged_into:
        return name
    return _winner_of(handle(record.org_id, record.object, record.merged_into), newest)


def _groups(live: Mapping[UUID, Record], rules: Rules) -> dict[UUID, set[UUID]]:
    group = {name: {name} for name in live}
    sides = {name: [name in split for split in rules.splits] for name in live}
    apart = {name for name, side in sides.items() if any(side)}
    together = [(one, other) for one in apart for other in apart if sides[one] == sides[other]]
    for one, other in (*together, *_edges(live, rules, apart)):
        if group[one] is not group[other]:
            joined = group[one] | group[other]
            group.update(dict.fromkeys(joined, joined))
    return group


def _edges(live: Mapping[UUID, Record], rules: Rules, apart: set[UUID]) -> Iterable[tuple[UUID, UUID]]:
    keys = {name: _key(record, rules) for name, record in live.items()}
    holders = Counter(keys.values())
    first: dict[str, UUID] = {}
    free = {name: record for name, record in live.items() if name not in apart}
    for name in free:
        key = keys[name]
        if key is not None and holders[key] <= rules.max_records_per_key:
            yield first.setdefault(key, name), name
    for name, record in free.items():
        target = handle(record.org_id, "Contact", record.converted_to or "")
        if target in free:
            yield name, target
    for join in rules.joins:
        yield from permutations(join & free.keys(), 2)


def _key(record: Record, rules: Rules) -> str | None:
    key = email_key(record.email)
    return None if key in rules.never_merge else key


def _anchor(group: list[Record]) -> Record:
    return min(group, key=lambda r: (r.source_id, r.created_at, r.object != "Contact", r.record_id))


def _person(group: list[Record], rules: Rules) -> dict[str, Any]:
    laid = sorted(group, key=lambda r: (r.rank, r.source_id, r.record_id))
    laid.sort(key=lambda r: r.modified_at, reverse=True)
    columns: dict[str, Any] = {
        "email": _key(_anchor(group), rules),
        "email_permission": _strictest(r.email_permission for r in group),
        "sms_permission": _strictest(r.sms_permission for r in group),
        "created_at": min(r.created_at for r in group),
        "updated_at": max(r.modified_at for r in group),
        "members": sorted(r.handle for r in group),
    }
    return columns | {name: exact(_winner(laid, name, rules)) for name in rules.fields}


def _strictest(answers: Iterable[bool | None]) -> bool | None:
    given = {answer for answer in answers if answer is not None}
    return None if not given else False not in given


def _winner(laid: list[Record], name: str, rules: Rules) -> Any:
    kind, rule = rules.fields[name]
    if rule == "source_priority":
        order = [*rules.source_order, *range(1, 100)]
        laid = sorted(laid, key=lambda record: order.index(record.source_id))
    given = [_read(text, kind) for record in laid if (text := record.values.get(name))]
    values = [value for value in given if not (isinstance(value, str) and not value.strip())]
    if rule == "union":
        return sorted({item for value in values for item in value}) if values else None
    if rule == "any_true":
        return True in values if values else None
    return values[0] if values else None


def _read(text: str, kind: str) -> Any:
    readers: dict[str, Any] = {
        "text": str,
        "number": lambda digits: Decimal(format(Decimal(digits).normalize(), "f")),
        "boolean": lambda word: word == "true",
        "date": date.fromisoformat,
        "datetime": datetime.fromisoformat,
        "list": lambda joined: joined.split(";"),
    }
    return readers[kind](text)


def exact(value: Any) -> Any:
    """A value of which equality means the same bytes: numbers as they are written, since 1.0 equals 1.00."""
    return str(value) if isinstance(value, Decimal) else value
