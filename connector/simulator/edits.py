"""Edits that concern several rows: deletion with its cascades, undeletion, merging, lead conversion."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .errors import ApiError, not_found
from .schema import NUMBER_TYPES, TEXT_TYPES, Field
from .table import Binned
from .values import clean

if TYPE_CHECKING:
    from .org import Org


_CHANGE_STAMPS = ("SystemModstamp", "LastModifiedDate")


def references_to(org: "Org", target: str) -> Iterator[tuple[str, Field]]:
    """Yield each stored reference field that may point at an object type, with the name of its own object."""
    for name, kind in org.catalog.types.items():
        yield from ((name, field) for field in kind.fields.values() if target in field.references and field.stored)


def _owned(org: "Org", object_name: str, record_id: str) -> list[tuple[str, str]]:
    """Return (object, id) of the live rows that a deletion takes along."""
    found: list[tuple[str, str]] = []
    for child, field in references_to(org, object_name):
        if field.cascade:
            table = org.tables[child]
            found += [(child, i) for i in table.where(field.name, record_id) if i not in table.bin]
    return found


def _moves_last_modified(org: "Org", object_name: str) -> bool:
    return org.behaviour.delete_moves_last_modified and "LastModifiedDate" in org.tables[object_name].slots


def delete(org: "Org", object_name: str, record_id: str, *, at: datetime | None) -> None:
    """Delete a live row and all that belongs to it; ApiError ENTITY_IS_DELETED or NOT_FOUND otherwise."""
    if record_id in org.tables[object_name].bin:
        raise ApiError("ENTITY_IS_DELETED", "entity is deleted", status=404)
    _bin(org, object_name, record_id, root=record_id, at=at or org.clock.now(), extra={})


def _bin(org: "Org", object_name: str, record_id: str, *, root: str, at: datetime, extra: Mapping[str, Any]) -> None:
    given: dict[str, Any] = {"IsDeleted": True}
    if "master" in extra:
        given["MasterRecordId"] = extra["master"]
    if record_id != root and not org.behaviour.cascade_moves_stamps:
        given |= {name: v for name, v in org.row(object_name, record_id).items() if name in _CHANGE_STAMPS}
    org.tables[object_name].bin[record_id] = Binned(org.clock.now(), root)
    org.deletions[object_name][record_id] = at
    touch = _moves_last_modified(org, object_name)
    org.write(object_name, record_id, given, action="delete", at=at, touch_last_modified=touch, extra=extra)
    for child, child_id in _owned(org, object_name, record_id):
        if child_id not in org.tables[child].bin:
            _bin(org, child, child_id, root=root, at=at, extra={"cascade_of": root})


def undelete(org: "Org", object_name: str, record_id: str, *, at: datetime | None) -> None:
    """Restore a row and, where the org does so, the rows that were deleted with it."""
    binned = org.tables[object_name].bin.get(record_id)
    if binned is None or binned.root != record_id or "undeletable" not in org.catalog.full(object_name).flags:
        raise ApiError("UNDELETE_FAILED", "Entity is not in the recycle bin")
    for name, table in org.tables.items():
        for other, entry in list(table.bin.items()):
            if entry.root == record_id and (other == record_id or org.behaviour.undelete_restores_children):
                _restore(org, name, other, at=at, extra={} if other == record_id else {"cascade_of": record_id})


def _restore(org: "Org", object_name: str, record_id: str, *, at: datetime | None, extra: Mapping[str, Any]) -> None:
    table = org.tables[object_name]
    del table.bin[record_id]
    org.deletions[object_name].pop(record_id, None)
    given = {"IsDeleted": False} | ({"MasterRecordId": None} if "MasterRecordId" in table.slots else {})
    touch = _moves_last_modified(org, object_name)
    org.write(object_name, record_id, given, action="undelete", at=at, touch_last_modified=touch, extra=extra)


def purge(org: "Org", object_name: str, record_id: str, *, logged: bool) -> None:
    """Remove a row and all that belongs to it for good."""
    table = org.tables[object_name]
    if record_id not in table.rows:
        raise not_found()
    if record_id not in table.bin:
        _bin(org, object_name, record_id, root=record_id, at=org.clock.now(), extra={"purged": True})
    for name, other_table in org.tables.items():
        for other in [i for i, entry in other_table.bin.items() if record_id in (i, entry.root)]:
            org.log("purge", name, other)
            other_table.remove(other)
            if not logged:
                del org.deletions[name][other]


def merge(org: "Org", object_name: str, winner: str, losers: Sequence[str], *, at: datetime | None) -> None:
    """Merge up to any number of losers; a child that the winner has already (a membership) is deleted instead."""
    table = org.tables[object_name]
    if "mergeable" not in org.catalog.full(object_name).flags or winner in losers or winner not in table.rows:
        raise ApiError("INVALID_OPERATION", f"cannot merge {object_name} into {winner}")
    if any(record_id in table.bin or record_id not in table.rows for record_id in (winner, *losers)):
        raise ApiError("ENTITY_IS_DELETED", "entity is deleted", status=404)
    stamp = at or org.clock.now()
    for loser in losers:
        _reparent(org, object_name, loser, winner, stamp)
        _bin(org, object_name, loser, root=loser, at=stamp, extra={"master": winner})
    org.write(object_name, winner, {}, action="merge", at=stamp, extra={"losers": list(losers)})


def _reparent(org: "Org", object_name: str, loser: str, winner: str, at: datetime) -> None:
    for child, field in references_to(org, object_name):
        if field.name in {"MasterRecordId", "LeadOrContactId"}:
            continue
        table = org.tables[child]
        for child_id in (i for i in table.where(field.name, loser) if i not in table.bin):
            if child == "CampaignMember" and _is_member(org, field.name, winner, child_id):
                _bin(org, child, child_id, root=child_id, at=at, extra={"duplicate_in": winner})
            else:
                touch, extra = org.behaviour.reparent_moves_last_modified, {"reparented": loser}
                org.write(child, child_id, {field.name: winner}, at=at, touch_last_modified=touch, extra=extra)


def _is_member(org: "Org", field: str, person: str, member: str) -> bool:
    table = org.tables["CampaignMember"]
    campaign = table.getter("CampaignId")
    others = (i for i in table.where(field, person) if i not in table.bin)
    return any(campaign(table.rows[i]) == campaign(table.rows[member]) for i in others)


def convert(
    org: "Org", lead: str, *, contact: str | None, opportunity_name: str | None, at: datetime | None
) -> dict[str, str | None]:
    """Convert a live lead into a contact (an existing one if given), its account and, if named, an opportunity."""
    row = org.row("Lead", lead)
    if row["IsDeleted"] or row["IsConverted"]:
        raise ApiError("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead")
    stamp = at or org.clock.now()
    account = org.row("Contact", contact)["AccountId"] if contact else None
    account = account or org.insert("Account", {"Name": row["Company"], "Industry": row["Industry"]}, at=stamp)
    contact = contact or org.insert("Contact", _contact_of(org, row) | {"AccountId": account}, at=stamp)
    members = _hand_over_members(org, lead, contact, stamp)
    opportunity = None
    if opportunity_name:
        links = {"AccountId": account, "ContactId": contact, "CampaignId": _last_campaign(org, members)}
        deal = {"Name": opportunity_name, "StageName": "Prospecting", "CloseDate": stamp.date()}
        opportunity = org.insert("Opportunity", deal | links, at=stamp)
    ids = {"account": account, "contact": contact, "opportunity": opportunity}
    given: dict[str, Any] = {f"Converted{name.title()}Id": record_id for name, record_id in ids.items()}
    given |= {"Status": "Closed - Converted", "IsConverted": True, "ConvertedDate": stamp.date()}
    touch = org.behaviour.conversion_moves_last_modified
    org.write("Lead", lead, given, action="convert", at=stamp, touch_last_modified=touch, extra=ids)
    return ids


_SAME_IN_CONTACT = (
    *("LastName", "FirstName", "Salutation", "Title", "Email", "Phone", "MobilePhone", "Fax", "LeadSource"),
    *("Description", "HasOptedOutOfEmail", "HasOptedOutOfFax", "DoNotCall"),
)
_MAILING = ("Street", "City", "State", "PostalCode", "Country")


def _contact_of(org: "Org", lead: Mapping[str, Any]) -> dict[str, Any]:
    """Copy what conversion copies: the standard fields, the address, and custom fields that both objects have."""
    custom = [name for name in org.tables["Contact"].names if name.endswith("__c") and name in lead]
    same = {name: lead[name] for name in (*_SAME_IN_CONTACT, *custom)}
    return same | {f"Mailing{part}": lead[part] for part in _MAILING}


def _hand_over_members(org: "Org", lead: str, contact: str, at: datetime) -> list[str]:
    table = org.tables["CampaignMember"]
    members = [i for i in table.where("LeadId", lead) if i not in table.bin]
    for member in members:
        if not _is_member(org, "ContactId", contact, member):
            org.write("CampaignMember", member, {"ContactId": contact}, at=at, extra={"converted": lead})
    return members


def _last_campaign(org: "Org", members: list[str]) -> str | None:
    rows = (org.row("CampaignMember", member) for member in members)
    last = max(rows, key=lambda row: (row["CreatedDate"], row["Id"]), default=None)
    return last["CampaignId"] if last else None


def _same(value: Any) -> Any:  # noqa: ANN401 - a value of any field type
    return value


_CASTS: Mapping[str, Callable[[Any], Any]] = {**dict.fromkeys(NUMBER_TYPES, float), "int": int}


def convert_value(field: Field, value: Any) -> Any:  # noqa: ANN401 - a value of any field type
    """Return a stored value as a field of another type would hold it, or null if it cannot."""
    if value is None:
        return clean(field, None)
    if field.type in TEXT_TYPES:
        return clean(field, str(value))
    try:
        return clean(field, _CASTS.get(field.type, _same)(value))
    except (ApiError, ValueError, TypeError):
        return None
