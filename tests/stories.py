"""What may happen to records and how it may arrive, for tests that hold people against the oracle."""

from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from tests.feed import FIELDS, HOUR, SOURCES
from tests.oracle import BEGINNING, Record, Rules

PLACEHOLDER = "no@email.com"
RULES = Rules({field.name: (field.type, field.rule) for field in FIELDS}, frozenset({PLACEHOLDER}), 3)
OTHER_RULES = (
    replace(RULES, max_records_per_key=1),
    replace(RULES, never_merge=frozenset({PLACEHOLDER, "ann@acme.com"})),
)
IDS = {"Lead": "00Q{:015d}", "Contact": "003{:015d}"}

EMAILS = (
    "ann@acme.com",
    "\u200bAnn@ACME.com\u3000",
    "bob@acme.com",
    "bob@acme.com ",
    "ｂob＠acme.com",
    "cid@acme.com",
    "info@acme.com",
    "INFO@acme.com",
    PLACEHOLDER.upper(),
    "ann at acme",
    "ann@acme@com",
    "a nn@acme.com",
    "  ",
    None,
)
VALUES: dict[str, tuple[str | None, ...]] = {
    "active": (None, "true", "false"),
    "company": (None, "Acme", "acme", " ", "\u3000", " Acme "),
    "interests": (None, "tea", "tea;coffee"),
    "met_at": (None, "2026-02-01T08:00:00+00:00", "2025-02-01T08:00:00.123+00:00"),
    "score": (None, "0", "7.25", "7.250", "-1"),
    "since": (None, "2024-02-29", "1999-12-31"),
    "tags": (None, "red", "blue;red", "green;blue"),
    "title": (None, "Head", "\t", "Hand"),
    "vip": (None, "true", "false"),
}
TRUTHS = st.sampled_from((None, True, False))


@dataclass(frozen=True)
class Story:
    """What happens to the records, and how it arrives: deliveries in order, and after each the rules to resolve by."""

    versions: tuple[Record, ...]
    deliveries: tuple[tuple[tuple[Record, ...], Rules | None], ...]


@st.composite
def contents(draw: st.DrawFn, blank: Record) -> Record:
    """A version of a record with everything drawn that may change."""
    is_converted = blank.object == "Lead" and draw(st.booleans())
    target = IDS["Contact"].format(draw(st.integers(1, 4)))
    return replace(
        blank,
        email=draw(st.sampled_from(EMAILS)),
        is_deleted=draw(st.integers(0, 5)) == 0,
        is_converted=is_converted,
        converted_to=target if is_converted else None,
        email_permission=draw(TRUTHS),
        sms_permission=draw(TRUTHS),
        values={name: draw(st.sampled_from(choice)) for name, choice in VALUES.items()},
    )


@st.composite
def lives(draw: st.DrawFn, source_id: int, kind: str, number: int) -> list[Record]:
    """The versions of one record, each read at its own time; stamps rise, stay while something changes unseen, or lie
    in the future.
    """
    created_at = BEGINNING - draw(st.integers(0, 2)) * HOUR
    blank = Record(source_id, kind, IDS[kind].format(number), created_at=created_at)
    hours = draw(st.lists(st.integers(0, 3), min_size=1, max_size=3).map(sorted))
    return [
        replace(
            draw(contents(blank)),
            version_at=BEGINNING + hour * HOUR,
            modified_at=BEGINNING + draw(st.integers(0, hour)) * HOUR,
            read_at=BEGINNING + (10 + place) * HOUR,
            ahead=draw(st.sampled_from((0, 0, 0, 1000))) * HOUR,
        )
        for place, hour in enumerate(hours)
    ]


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Lives of a few records, cut into deliveries in any order with repetitions, and people resolved in between."""
    slots = st.tuples(st.sampled_from(SOURCES), st.sampled_from(sorted(IDS)), st.integers(1, 4))
    chosen = draw(st.lists(slots, min_size=2, max_size=12, unique=True))
    versions = [version for slot in chosen for version in draw(lives(*slot))]
    repeated = draw(st.lists(st.sampled_from(versions), max_size=4))
    order = draw(st.permutations(versions + repeated))
    cuts = sorted(draw(st.lists(st.integers(0, len(order)), max_size=4)))
    parts = [order[low:high] for low, high in zip([0, *cuts], [*cuts, len(order)], strict=True)]
    between = st.sampled_from((None, RULES, RULES, RULES, *OTHER_RULES))
    return Story(tuple(versions), tuple((tuple(sorted(part, key=in_batches)), draw(between)) for part in parts))


def in_batches(record: Record) -> tuple[Any, ...]:
    return record.source_id, record.object, record.seen_at


def bystanders(count: int) -> list[Record]:
    """Records that nothing happens to; they keep the touched share small, so that people are resolved piecemeal."""
    return [
        Record(1, "Lead", IDS["Lead"].format(1000 + n), f"bystander{n // 2}@else.com", values={"company": f"Else {n}"})
        for n in range(count)
    ]
