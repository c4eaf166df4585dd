"""The Salesforce objects we read, one row each: where their rows go, which fields they need, how they are followed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from cdp.tables import RECORD, Table

ADDRESS = ("street", "city", "state", "postal_code", "country")


@dataclass(frozen=True)
class SalesforceObject:
    """One object: what it makes, the table of its rows, and `fixed`, column of that table → field.

    Those that make people have a `rank` in ties (0 wins), `defaults` (field → person field) and an opt-out field.
    """

    name: str
    makes: Literal["people"]
    table: Table
    fixed: Mapping[str, str]
    rank: int = 0
    defaults: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    opt_out: str = "HasOptedOutOfEmail"


# SystemModstamp moves with every change, LastModifiedDate only with users' edits; so the first tells versions apart.
_COMMON = {
    "record_id": "Id",
    "is_deleted": "IsDeleted",
    "created_at": "CreatedDate",
    "modified_at": "LastModifiedDate",
    "version_at": "SystemModstamp",
    "email": "Email",
    "merged_into": "MasterRecordId",
}
_NAMES = {
    "Salutation": "salutation",
    "FirstName": "first_name",
    "LastName": "last_name",
    "Title": "title",
    "Phone": "phone",
    "MobilePhone": "mobile_phone",
    "Fax": "fax",
    "LeadSource": "lead_source",
}


def _address(prefix: str) -> dict[str, str]:
    return {prefix + part.title().replace("_", ""): part for part in ADDRESS}


CONTACT = SalesforceObject(
    name="Contact",
    makes="people",
    table=RECORD,
    rank=0,
    fixed=MappingProxyType(_COMMON),
    defaults=MappingProxyType(_NAMES | {"Department": "department"} | _address("Mailing")),
)
LEAD = SalesforceObject(
    name="Lead",
    makes="people",
    table=RECORD,
    rank=1,
    fixed=MappingProxyType(_COMMON | {"is_converted": "IsConverted", "converted_to": "ConvertedContactId"}),
    defaults=MappingProxyType(
        _NAMES | {"Company": "company", "Website": "website", "Industry": "industry"} | _address("")
    ),
)
OBJECTS: Mapping[str, SalesforceObject] = MappingProxyType({one.name: one for one in (LEAD, CONTACT)})
PEOPLE: Mapping[str, SalesforceObject] = MappingProxyType(
    {name: one for name, one in OBJECTS.items() if one.makes == "people"}
)
