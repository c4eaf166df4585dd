"""Why records are one person, or why not: the bonds that hold a person together, and what keeps a key from merging."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from uuid import UUID

from sqlmodel import Session

from cdp.db import driver, rows
from cdp.queries.stream import Row, as_record, as_uuid


def blocked_keys(session: Session, most: int = 1000) -> list[Row]:
    """Emails that merge nobody, by `reason`, in each reason those of most live records first and `most` at most.

    The reason is `shared` (by more records than may merge), `placeholder` or `invalid`; `records` hold the email, and
    there are `emails` for the same reason in all.
    """
    return rows(driver(session), _BLOCKED, {**_configured(session), "shown": most})


def _configured(session: Session) -> Row:
    """The limit and the placeholders that people were last computed with."""
    found = rows(
        driver(session),
        """
        SELECT (configuration->>'max_records_per_key')::integer AS most,
               ARRAY(SELECT email_key(address) FROM jsonb_array_elements_text(configuration->'never_merge') AS address)
                   AS never
        FROM people_state
        """,
    )
    return found[0] if found else {"most": 0, "never": []}


# A valid address that is no key is a placeholder.
_BLOCKED = """
    WITH keyless AS (
        SELECT r.email, email_key(r.email) AS key FROM membership AS m JOIN record AS r USING (handle)
        WHERE m.email_key IS NULL AND NOT is_blank(r.email)
    ),
    found AS (
        SELECT email_key AS email, 'shared' AS reason, count(*) AS records, %(most)s::integer AS most FROM membership
        WHERE email_key IS NOT NULL GROUP BY email_key HAVING count(*) > %(most)s
        UNION ALL SELECT key, 'placeholder', count(*), NULL FROM keyless WHERE key IS NOT NULL GROUP BY key
        UNION ALL SELECT email, 'invalid', count(*), NULL FROM keyless WHERE key IS NULL GROUP BY email
    )
    SELECT email, reason, records, most, emails FROM (
        SELECT *, count(*) OVER (PARTITION BY reason) AS emails,
               row_number() OVER (PARTITION BY reason ORDER BY records DESC, email COLLATE "C") AS place FROM found
    ) AS placed WHERE place <= %(shown)s ORDER BY reason DESC, place
"""


def find_records(session: Session, wanted: str) -> list[UUID]:
    """The records in any state that an email, a person id, a record's external id or Salesforce id leads to."""
    source_id, record_id = as_record(wanted)
    words = {"wanted": wanted, "source": source_id, "record_id": record_id, "uuid": as_uuid(wanted)}
    found = rows(driver(session), _FIND, words)
    return [row["handle"] for row in found]


_FIND = """
    SELECT r.handle FROM source AS s CROSS JOIN (VALUES ('Lead'), ('Contact')) AS o(object)
    JOIN record AS r ON r.handle = record_handle(s.org_id, o.object, %(record_id)s)
    WHERE s.id = coalesce(%(source)s, s.id)
    UNION SELECT m.handle FROM membership AS m WHERE m.person_id = %(uuid)s
    UNION SELECT r.handle FROM record AS r WHERE r.handle = %(uuid)s
    UNION SELECT r.handle FROM record AS r WHERE email_key(%(wanted)s) IS NOT NULL
                                             AND email_key(r.email) = email_key(%(wanted)s)
    ORDER BY 1
"""


def standings(session: Session, handles: Sequence[UUID]) -> list[Row]:
    """What each of these records brings to merging: its state, its key, and the `obstacle` to merging by it, if any."""
    found = rows(driver(session), _STANDINGS, {**_configured(session), "handles": list(handles)})
    return [{**row, "obstacle": _obstacle(row)} for row in found]


_STANDINGS = """
    SELECT r.handle, s.name AS source, r.object, r.record_id, r.state, m.person_id, m.link, r.converted_to,
           coalesce(is_blank(r.email), true) AS has_no_email, k.key, %(most)s::integer AS most,
           coalesce(k.key = ANY (%(never)s), false) AS is_placeholder,
           (SELECT count(*) FROM membership AS h WHERE h.email_key = k.key) AS holders,
           (SELECT min(d.id) FROM decision AS d JOIN decided AS n ON n.decision_id = d.id
            WHERE n.handle = r.handle AND d.kind = 'split') AS split_by,
           EXISTS (SELECT FROM touched AS t WHERE t.handle = r.handle) AS is_waiting
    FROM record AS r JOIN source AS s ON s.id = r.source_id LEFT JOIN membership AS m USING (handle)
    CROSS JOIN LATERAL (SELECT email_key(r.email) AS key) AS k
    WHERE r.handle = ANY (%(handles)s) ORDER BY r.source_id, r.object, r.record_id
"""
_NOT_LIVE = {
    "deleted": "is in the recycle bin",
    "gone": "was deleted for good",
    "filtered": "does not match the source's filter",
    "erased": "was erased on request",
}


def named(row: Row) -> str:
    """Return what a record is called in a sentence."""
    return f"{row['source']} {row['object']} {row['record_id']}"


def _obstacle(row: Row) -> str | None:
    """Return why nobody meets this record by its email, to follow its name; None when others may."""
    shared = f"{row['holders']:,} records hold it and at most {row['most']:,} may merge"
    reasons = (
        (f"{_NOT_LIVE.get(row['state'])}, and only live records form people", row["state"] != "live"),
        ("changed since people were last brought up to date: look again in a moment", row["is_waiting"]),
        (f"was split from the others by decision {row['split_by']}", row["split_by"] is not None),
        ("has no email", row["has_no_email"]),
        ("has an email that is no valid address, which merges nobody", row["key"] is None),
        (f"has the placeholder {row['key']}, which merges nobody", row["is_placeholder"]),
        (f"has {row['key']}, a shared mailbox: {shared}", row["holders"] > row["most"]),
    )
    return next((reason for reason, holds in reasons if holds), None)


def bonds(session: Session, person_id: UUID) -> list[Row]:
    """What holds a person's records together: each shared key, conversion and decision, with the records it joins."""
    found = rows(driver(session), _BONDS, {**_configured(session), "person": person_id})
    return [
        {"kind": kind, "by": by, "records": [named(row) for row in joined]}
        for (kind, by), joined in groupby(found, key=lambda row: (row["kind"], row["by"]))
    ]


_BONDS = """
    WITH side AS (
        SELECT n.handle, string_agg(d.id::text, ', ' ORDER BY d.id) AS name FROM decision AS d
        JOIN decided AS n ON n.decision_id = d.id
        WHERE d.kind = 'split' AND n.handle IN (
            SELECT handle FROM membership WHERE person_id = %(person)s) GROUP BY n.handle
    ),
    here AS (
        SELECT m.handle, m.email_key, m.link, s.name AS source, r.object, r.record_id, r.source_id,
               side.name AS side, side.name IS NULL AS free
        FROM membership AS m JOIN record AS r USING (handle) JOIN source AS s ON s.id = r.source_id
        LEFT JOIN side USING (handle) WHERE m.person_id = %(person)s
    ),
    bond AS (
        SELECT 1 AS place, 'email' AS kind, h.email_key AS by, h.handle FROM here AS h
        WHERE h.free AND (SELECT count(*) FROM membership AS k WHERE k.email_key = h.email_key)
                         <= %(most)s
        UNION ALL
        SELECT 2, 'conversion', one.source || ' ' || one.object || ' ' || one.record_id, x.handle
        FROM here AS one JOIN here AS other ON other.handle = one.link AND other.free
        CROSS JOIN LATERAL (VALUES (one.handle), (other.handle)) AS x(handle) WHERE one.free
        UNION ALL
        SELECT 3, 'decision', d.id::text, h.handle FROM decision AS d
        JOIN decided AS n ON n.decision_id = d.id JOIN here AS h ON h.handle = n.handle AND h.free
        WHERE d.kind = 'join'
        UNION ALL
        SELECT 4, 'split', side, handle FROM here WHERE NOT free
    )
    SELECT kind, by, source, object, record_id FROM (
        SELECT b.*, count(*) OVER (PARTITION BY kind, by) AS joined FROM bond AS b
    ) AS counted JOIN here USING (handle)
    WHERE joined > 1 ORDER BY place, by COLLATE "C", source_id, object, record_id
"""


def why_not(session: Session, one: Sequence[UUID], other: Sequence[UUID]) -> Row:
    """Why two sets of records are not one person: a sentence for each reason; `together` when they are one."""
    mine, theirs = standings(session, one), standings(session, other)
    people = [{row["person_id"] for row in side} - {None} for side in (mine, theirs)]
    together = people[0] & people[1]
    if together:
        bonded = [bond for person in sorted(together) for bond in bonds(session, person)]
        return {"together": True, "reasons": [_bond_sentence(bond) for bond in bonded]}
    silent = [f"{named(row)} {row['obstacle']}." for row in (*mine, *theirs) if row["obstacle"]]
    return {"together": False, "reasons": [*silent, *_unmet(mine, theirs)]}


def _bond_sentence(bond: Row) -> str:
    words = {"email": "share the email", "conversion": "are joined by the conversion of"}
    words |= {"decision": "were joined by decision", "split": "were split off together by decision"}
    return f"{' and '.join(bond['records'])} {words[bond['kind']]} {bond['by']}."


def _unmet(mine: Iterable[Row], theirs: Iterable[Row]) -> list[str]:
    keys = [sorted({row["key"] for row in side if not row["obstacle"]}) for side in (mine, theirs)]
    missing = [
        f"{named(row)} was converted to the contact {row['converted_to']}, which is not among the live records here."
        for row in (*mine, *theirs)
        if row["converted_to"] and row["link"] not in {other["handle"] for other in (*mine, *theirs)}
    ]
    if not all(keys):
        return missing
    return [f"Their emails differ: {', '.join(keys[0])} and {', '.join(keys[1])}.", *missing]
