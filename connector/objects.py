"""The Salesforce objects we read, one row each: what is fixed about them, and the mappings a source starts with."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

ADDRESS = ("street", "city", "state", "postal_code", "country")


@dataclass(frozen=True)
class SalesforceObject:
    """One object: `rank` in ties (0 wins), `fixed` record column → field, `defaults` field → person field."""

    name: str
    rank: int
    fixed: Mapping[str, str]
    defaults: Mapping[str, str]
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
    rank=0,
    fixed=MappingProxyType(_COMMON),
    defaults=MappingProxyType(_NAMES | {"Department": "department"} | _address("Mailing")),
)
LEAD = SalesforceObject(
    name="Lead",
    rank=1,
    fixed=MappingProxyType(_COMMON | {"is_converted": "IsConverted", "converted_to": "ConvertedContactId"}),
    defaults=MappingProxyType(
        _NAMES | {"Company": "company", "Website": "website", "Industry": "industry"} | _address("")
    ),
)
PEOPLE: Mapping[str, SalesforceObject] = MappingProxyType({"Lead": LEAD, "Contact": CONTACT})
