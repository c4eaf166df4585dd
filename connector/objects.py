"""The Salesforce objects we read, one row each: where their rows go, which fields they need, how they are followed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from cdp import tables
from cdp.tables import RECORD, Table

ADDRESS = ("street", "city", "state", "postal_code", "country")


@dataclass(frozen=True)
class SalesforceObject:
    """One object: what it makes, the table of its rows, and `fixed`, column of that table → field.

    Those that make people have a `rank` in ties (0 wins), `defaults` (field → person field) and an opt-out field, and
    follow the cursor of their source. Those that make activities follow the first of `stamps` that they have; for
    those that are `watched`, every poll asks what was deleted without a trace, for the others only the sweep does.
    """

    name: str
    makes: Literal["people", "activities"]
    table: Table
    fixed: Mapping[str, str]
    rank: int = 0
    defaults: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    opt_out: str = "HasOptedOutOfEmail"
    stamps: tuple[str, ...] = ("SystemModstamp", "LastModifiedDate", "CreatedDate")
    watched: bool = False

    @property
    def kept(self) -> tuple[str, ...]:
        """The fields whose values its table holds, but for those that say which row it is, of when, and whether live.

        A page without one of these may still be read: what it held stays.
        """
        return tuple(field for name, field in self.fixed.items() if name not in _EVERY_ROW)


_EVERY_ROW = frozenset({"record_id", "is_deleted", "created_at", "modified_at", "version_at"})
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
_CONVERSION = {"is_converted": "IsConverted", "converted_to": "ConvertedContactId", "converted_on": "ConvertedDate"}
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
    watched=True,
    rank=0,
    fixed=MappingProxyType(_COMMON),
    defaults=MappingProxyType(_NAMES | {"Department": "department"} | _address("Mailing")),
)
LEAD = SalesforceObject(
    name="Lead",
    makes="people",
    table=RECORD,
    watched=True,
    rank=1,
    fixed=MappingProxyType(_COMMON | _CONVERSION),
    defaults=MappingProxyType(
        _NAMES | {"Company": "company", "Website": "website", "Industry": "industry"} | _address("")
    ),
)
_ROW = {"record_id": "Id", "is_deleted": "IsDeleted", "created_at": "CreatedDate", "version_at": "SystemModstamp"}
_DEAL = {"stage": "StageName", "amount": "Amount", "currency": "CurrencyIsoCode", "probability": "Probability"}
_DEAL |= {"close_date": "CloseDate"}


def _activity(
    name: str,
    table: Table,
    fixed: Mapping[str, str],
    *,
    stamps: tuple[str, ...] = SalesforceObject.stamps,
    watched: bool = False,
) -> SalesforceObject:
    fields = MappingProxyType({**_ROW, **fixed})
    return SalesforceObject(name, "activities", table, fields, stamps=stamps, watched=watched)


# Activities can be told from any order of reading; this one finds names and people before what refers to them.
_ACTIVITY_OBJECTS = (
    _activity("Account", tables.COMPANY, {"name": "Name"}),
    _activity("Campaign", tables.CAMPAIGN, {"name": "Name", "type": "Type", "status": "Status"}),
    _activity(
        "CampaignMemberStatus",
        tables.CAMPAIGN_MEMBER_STATUS,
        {"campaign_id": "CampaignId", "label": "Label", "has_responded": "HasResponded"},
    ),
    _activity(
        "CampaignMember",
        tables.CAMPAIGN_MEMBER,
        {"modified_at": "LastModifiedDate", "campaign_id": "CampaignId", "lead_id": "LeadId", "contact_id": "ContactId"}
        | {"status": "Status", "has_responded": "HasResponded", "first_responded_on": "FirstRespondedDate"},
        watched=True,
    ),
    _activity(
        "OpportunityStage",
        tables.OPPORTUNITY_STAGE,
        {"name": "ApiName", "is_closed": "IsClosed", "is_won": "IsWon"},
    ),
    _activity(
        "Opportunity",
        tables.OPPORTUNITY,
        {"name": "Name", "type": "Type", **_DEAL, "owner_id": "OwnerId", "account_id": "AccountId"},
        watched=True,
    ),
    _activity(
        "OpportunityContactRole",
        tables.OPPORTUNITY_ROLE,
        {"modified_at": "LastModifiedDate", "opportunity_id": "OpportunityId", "contact_id": "ContactId"}
        | {"role": "Role", "is_primary": "IsPrimary"},
        watched=True,
    ),
    _activity(
        "OpportunityHistory",
        tables.OPPORTUNITY_HISTORY,
        {"opportunity_id": "OpportunityId", **_DEAL, "forecast_category": "ForecastCategory"},
        stamps=("CreatedDate",),
    ),
)
OBJECTS: Mapping[str, SalesforceObject] = MappingProxyType(
    {one.name: one for one in (LEAD, CONTACT, *_ACTIVITY_OBJECTS)}
)
PEOPLE: Mapping[str, SalesforceObject] = MappingProxyType(
    {name: one for name, one in OBJECTS.items() if one.makes == "people"}
)
