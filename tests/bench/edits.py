"""What happens in the org: texts that other tools spoil, and a thousand rows that change before a poll."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from connector import soql
from tests.bench.mapping import MAPPINGS
from tests.bench.stage import Org

AWKWARD = (
    *("NULL", "null", "#N/A", "None", "NaN", "true", "007", "00012345", "1e5", "+351 900", "=1+1", "\\N", "\\."),
    *("line\nfeed", "carriage\r\nreturn", "lone\rreturn", "tab\there", "\ttab", " spaces ", "  ", '"', 'a "b", c'),
    *("e\u0301", "ﬁne", "zero\u200bwidth", "\ufeffmark", "👩\u200d👩\u200d👧"),
)
SPACES = "   "
QUIET = 1200.0
NEW_ADDRESS_EVERY = 10


def insert_awkward(org: Org) -> int:
    """Insert rows of each object whose texts are AWKWARD, and one whose email is of spaces; return how many."""
    inserted = 0
    for sobject in MAPPINGS:
        names = {"Company": "Awkward"} if sobject == "Lead" else {}
        rows = [names | {"LastName": "Awkward", "Title": text, "Notes__c": text} for text in AWKWARD]
        ids = org.control.edit("insert_many", sobject, rows)
        org.control.edit("corrupt", sobject, ids[0], "Email", SPACES)  # the front door would make it null
        inserted += len(ids)
    return inserted


def some_ids(org: Org, count: int) -> Mapping[str, Sequence[str]]:
    """Return ids of `count` rows, spread evenly over the objects and over the rows of each."""
    share = count // len(MAPPINGS)
    found = {}
    for sobject in MAPPINGS:
        rows = org.control.snapshot(sobject).values()
        kept = [row for row in rows if not (row["IsDeleted"] or row.get("IsConverted"))]
        found[sobject] = [row["Id"] for row in kept[:: max(1, len(kept) // share)]][:share]
    return found


def change(org: Org, ids: Mapping[str, Sequence[str]], number: int) -> str:
    """Change these rows, a tenth of them in their email; return a literal of a moment before all of them.

    Time passes first, so that what one poll reads again for safety is not what another has changed.
    """
    org.control.advance(QUIET)
    since = soql.stamp(datetime.fromisoformat(org.control.org()["now"]))
    for sobject, chosen in ids.items():
        for place, record_id in enumerate(chosen):
            values = {"Title": f"Title {number}"}
            if place % NEW_ADDRESS_EVERY == 0:
                values["Email"] = f"changed.{number}.{place}@example.com"
            org.control.edit("update", sobject, record_id, values)
    return since
