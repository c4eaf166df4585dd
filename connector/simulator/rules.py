"""What an org does by itself when a row is saved: derived values before, dependent rows after."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .errors import ApiError

if TYPE_CHECKING:
    from .store import Store

Values = dict[str, Any]
_TRACKED = ("StageName", "Amount", "Probability", "CloseDate")
_DEFAULT_STATUSES = (("Sent", False), ("Responded", True))


@dataclass
class Save:
    """A row about to be saved: its new values, those that were asked for, and the old ones (None: a new row)."""

    org: "Store"
    id: str
    values: Values
    given: Mapping[str, Any]
    old: Values | None
    at: datetime

    def changed(self, name: str) -> bool:
        """Tell whether a field differs from before; in a new row every field does."""
        return self.old is None or self.old[name] != self.values[name]


def _full_name(save: Save) -> None:
    first, last = save.values["FirstName"], save.values["LastName"]
    save.values["Name"] = f"{first} {last}" if first and last else first or last


def _stage(save: Save) -> None:
    values = save.values
    if not save.changed("StageName"):
        return
    stage = save.org.find_row("OpportunityStage", "MasterLabel", values["StageName"])
    if stage is None:
        message = f"bad value for restricted picklist field: {values['StageName']}"
        raise ApiError("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, fields=["StageName"])
    values.update({name: stage[name] for name in ("IsClosed", "IsWon", "ForecastCategory", "ForecastCategoryName")})
    if save.given.get("Probability") is None:
        values["Probability"] = stage["DefaultProbability"]
    if save.old is not None:
        values["LastStageChangeDate"] = save.at


def _revenue(save: Save) -> None:
    values = save.values
    amount, close = values["Amount"], values["CloseDate"]
    values["ExpectedRevenue"] = None if amount is None else round(amount * (values["Probability"] or 0) / 100, 2)
    quarter = (close.month + 2) // 3
    values.update(FiscalYear=close.year, FiscalQuarter=quarter, Fiscal=f"{close.year} {quarter}")


def _member_person(save: Save) -> None:
    values, org = save.values, save.org
    if save.old is None:
        if values["ContactId"]:
            values["LeadId"] = None
        elif not values["LeadId"]:
            raise ApiError("REQUIRED_FIELD_MISSING", "Required fields are missing: [LeadId or ContactId]")
        _refuse_member(org, values)
    values["LeadOrContactId"] = values["ContactId"] or values["LeadId"]
    values["Type"] = "Contact" if values["ContactId"] else "Lead"


def _refuse_member(org: "Store", values: Values) -> None:
    field = "ContactId" if values["ContactId"] else "LeadId"
    if field == "LeadId" and org.row("Lead", values["LeadId"])["IsConverted"]:
        raise ApiError("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead", fields=["LeadId"])
    members = org.tables["CampaignMember"]
    slot = members.slots["CampaignId"]
    taken = (i for i in members.where(field, values[field]) if members.rows[i][slot] == values["CampaignId"])
    if any(i not in members.bin for i in taken):
        raise ApiError("DUPLICATE_VALUE", "Already a campaign member.")


def _member_status(save: Save) -> None:
    values, org = save.values, save.org
    if not save.changed("Status"):
        return
    table = org.tables["CampaignMemberStatus"]
    live = (i for i in table.where("CampaignId", values["CampaignId"]) if i not in table.bin)
    options = [org.row("CampaignMemberStatus", i) for i in live]
    chosen = next((option for option in options if option["Label"] == values["Status"]), None)
    chosen = chosen or next((option for option in options if option["IsDefault"]), None)
    if chosen is None:
        raise ApiError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", fields=["CampaignId"])
    values["Status"], values["HasResponded"] = chosen["Label"], chosen["HasResponded"]
    if values["HasResponded"] and values["FirstRespondedDate"] is None:
        values["FirstRespondedDate"] = save.at.date()


def _campaign_statuses(save: Save) -> None:
    if save.old is None:
        for order, (label, responded) in enumerate(_DEFAULT_STATUSES, start=1):
            status = {"CampaignId": save.id, "Label": label, "SortOrder": order, "HasResponded": responded}
            save.org.insert("CampaignMemberStatus", {**status, "IsDefault": order == 1}, at=save.at)


def _opportunity_history(save: Save) -> None:
    if not any(save.changed(name) for name in _TRACKED):
        return
    copied = ("StageName", "Amount", "ExpectedRevenue", "Probability", "CloseDate", "ForecastCategory")
    row = {"OpportunityId": save.id} | {name: save.values[name] for name in copied}
    if save.old is not None:
        row |= {"PrevAmount": save.old["Amount"], "PrevCloseDate": save.old["CloseDate"]}
    save.org.insert("OpportunityHistory", row, at=save.at)


def _opportunity_contact(save: Save) -> None:
    if save.old is None and save.values["ContactId"]:
        role = {"OpportunityId": save.id, "ContactId": save.values["ContactId"], "IsPrimary": True}
        save.org.insert("OpportunityContactRole", role, at=save.at)


def _single_primary(save: Save) -> None:
    if not (save.values["IsPrimary"] and (save.changed("IsPrimary") or save.changed("OpportunityId"))):
        return
    roles = save.org.tables["OpportunityContactRole"]
    for other in roles.where("OpportunityId", save.values["OpportunityId"]):
        if other != save.id and other not in roles.bin and save.org.row("OpportunityContactRole", other)["IsPrimary"]:
            save.org.update("OpportunityContactRole", other, {"IsPrimary": False}, at=save.at)


BEFORE_SAVE: Mapping[str, tuple[Callable[[Save], None], ...]] = {
    **dict.fromkeys(("Lead", "Contact", "User", "Individual"), (_full_name,)),
    "Opportunity": (_stage, _revenue),
    "CampaignMember": (_member_person, _member_status),
}
AFTER_SAVE: Mapping[str, tuple[Callable[[Save], None], ...]] = {
    "Campaign": (_campaign_statuses,),
    "Opportunity": (_opportunity_history, _opportunity_contact),
    "OpportunityContactRole": (_single_primary,),
}
