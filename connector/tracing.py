"""The fate of one Salesforce record in one answer: which person it is part of, or why of none."""

import json
from typing import Any

from sqlmodel import Session

from cdp import queries
from cdp.db import transaction
from connector import choosing, filters, soql, sources, transform
from connector.errors import BadInput, ConnectorError
from connector.filters import Node
from connector.objects import PEOPLE
from connector.paths import Describes
from connector.runtime import Runtime
from connector.soql import RECORD_ID

CHECK_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
PREFIXES = {
    "00Q": "Lead",
    "003": "Contact",
    "001": "Account",
    "701": "Campaign",
    "00v": "CampaignMember",
    "01Y": "CampaignMemberStatus",
    "006": "Opportunity",
    "00K": "OpportunityContactRole",
    "008": "OpportunityHistory",
    "01J": "OpportunityStage",
}


def long_id(text: str) -> str:
    """Return a record id in its form of 18 characters; raises BadInput for anything else.

    The three check letters tell which of the 15 characters are upper case ("ID field type" in the SOAP guide).
    """
    if not RECORD_ID.fullmatch(text):
        raise BadInput(f"'{text}' is no Salesforce record id: those have 15 or 18 letters and digits.")
    if len(text) == 18:
        return text
    groups = (text[0:5], text[5:10], text[10:15])
    return text + "".join(
        CHECK_LETTERS[sum(1 << place for place, letter in enumerate(group) if letter.isupper())] for group in groups
    )


def full_id(text: str) -> str:
    """Return a record id of 15 characters in its form of 18, and anything else as it is."""
    return long_id(text) if RECORD_ID.fullmatch(text) else text


def trace(session: Session, text: str, max_records_per_key: int) -> list[dict[str, Any]]:
    """Return what became of a record in each source that knows it, with a sentence; one answer at least.

    Raises:
        BadInput: the text is no record id.
    """
    record_id = long_id(text.rsplit("_", 1)[-1])
    sobject = PREFIXES.get(record_id[:3], "")
    if sobject and sobject not in PEOPLE and (kept := queries.trace_plain(session, sobject, record_id)):
        deeds = queries.deeds(session, record_id)
        return [{**row, **_deeds(row, deeds)} for row in kept]
    found = queries.trace(session, record_id)
    if not found:
        return [{"record_id": record_id, "state": "unknown", "fate": _unknown(session, record_id)}]
    return [{**row, "fate": _fate(row, max_records_per_key) + _newest(row)} for row in found]


def left_out_by(runtime: Runtime, answer: dict[str, Any]) -> str:
    """Say which part of the filter keeps a `filtered` record out, as Salesforce has it now."""
    name, sobject, record_id = answer["source"], answer["object"], answer["record_id"]
    with transaction(runtime.database_url) as database:
        source = sources.find(database, name)
        tree = choosing.current(database, source.key)
    if tree is None:
        return "The filter that kept it out is gone: the next poll lets it in."
    if filters.settled(tree, sobject) is False:
        return f"The filter of '{name}' lets no {sobject} in."
    try:
        part = _failing(runtime, source.key, tree, sobject, record_id)
    except ConnectorError as error:
        return f"It does not match the filter of '{name}'; by which part cannot be asked now: {error}"
    if part is None:
        return f"As it is in Salesforce now, it matches the filter of '{name}': the next poll or sweep lets it in."
    return f"It does not match this part of the filter of '{name}': {json.dumps(filters.dump(part))}."


def _failing(runtime: Runtime, source_id: int, tree: Node, sobject: str, record_id: str) -> Node | None:
    client = sources.open_org(runtime, source_id)
    fields = filters.fields_used(tree, sobject)
    columns = Describes(client.describe).resolve(sobject, fields)
    found = client.query(soql.select(sobject, ("Id", *fields), soql.among([record_id]))).records
    if not found:
        raise ConnectorError("Salesforce does not show the record any more.")
    now, row = client.observed.server_time, transform.texts(fields, found[0])

    def holds(part: Node) -> bool:
        return filters.evaluate(part, sobject, columns, row, now)

    return None if holds(tree) else filters.failing(tree, holds)


def _deeds(row: dict[str, Any], deeds: list[queries.Row]) -> dict[str, Any]:
    """What a row that is not a person's tells: the person its activities belong to, and a sentence."""
    mine = [one for one in deeds if one["source"] == row["source"]]
    person = mine[0]["person_id"] if mine else None
    standing = "It is stored." if row["state"] == "live" else _not_live({**row, "merged_into": None})
    if not mine:
        told = " No activity hangs on it by itself; those that name it do." if row["state"] != "quarantined" else ""
    else:
        whose = f"belong to person {person}" if person else "belong to nobody that is known here"
        told = f" Its {len(mine):,} activities, the latest {mine[0]['kind']}, {whose}."
    return {"person_id": person, "activities": len(mine), "fate": standing + told + _newest(row)}


def _newest(row: dict[str, Any]) -> str:
    if row["state"] == "quarantined" or not row["quarantined"]:
        return ""
    return f" Its newest version could not be stored: {row['quarantined']}."


def _unknown(session: Session, record_id: str) -> str:
    if long_id(record_id[:15]) != record_id:
        return "It is mistyped: its last three characters do not fit the 15 before; copy it from Salesforce again."
    sobject = PREFIXES.get(record_id[:3])
    if sobject is None:
        return f"No object with ids that begin with {record_id[:3]} is synced."
    covered = [row for row in queries.objects(session) if row["object"] == sobject and row["cursor"]]
    if not covered:
        return f"No source has read its {sobject} records yet: run `connector sync`."
    oldest = min(row["cursor"] for row in covered)
    return (
        f"No connected org has shown it: {sobject} records are read up to {oldest:%Y-%m-%d %H:%M} UTC. It is newer, "
        "in another org, deleted before it was read, or hidden from the login."
    )


def _fate(row: dict[str, Any], limit: int) -> str:
    if row["state"] != "live":
        return _not_live(row)
    if row["waiting"] or row["person_id"] is None:
        return "It is stored and waits for the next pass of the resolver."
    others = row["person_records"] - 1
    together = f"with {others} other record{'s' * (others != 1)}" if others else "alone"
    return f"It is part of person {row['person_id']}, {together}{_why_alone(row, limit) if not others else ''}."


def _not_live(row: dict[str, Any]) -> str:
    merged = f" It was merged into {row['merged_into']}." if row["merged_into"] else ""
    fates = {
        "deleted": f"It is in Salesforce's recycle bin, as seen at {row['read_at']:%Y-%m-%d %H:%M} UTC.{merged}",
        "gone": f"Salesforce does not know it any more, as seen at {row['read_at']:%Y-%m-%d %H:%M} UTC.{merged}",
        "filtered": "It does not match the source's filter.",
        "quarantined": f"It could not be stored: {row['quarantined']}.",
        "erased": "It was erased on request, and nothing personal of it is kept.",
    }
    return fates[row["state"]]


def _why_alone(row: dict[str, Any], limit: int) -> str:
    reasons = (
        (": it has no email", not row["has_email"]),
        (": its email is not a valid address", not row["has_valid_email"]),
        (": its email is a placeholder that merges nobody", not row["has_key"]),
        (f": {row['key_holders']} records share its email, more than merge", (row["key_holders"] or 0) > limit),
    )
    return next((reason for reason, holds in reasons if holds), "")
