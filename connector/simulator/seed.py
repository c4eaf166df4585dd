"""The rows every org has from its first day: organization, users, a queue, stages, lead statuses."""

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .org import Org

_AGE = timedelta(days=3 * 365)
_USERS = (("Integration", "User", "integration"), ("Sofia", "Reis", "sofia"), ("Liam", "O'Neil", "liam"))
_STAGES = (
    ("Prospecting", "Pipeline", "Pipeline", 10.0),
    ("Qualification", "Pipeline", "Pipeline", 10.0),
    ("Needs Analysis", "Pipeline", "Pipeline", 20.0),
    ("Value Proposition", "Pipeline", "Pipeline", 50.0),
    ("Id. Decision Makers", "Pipeline", "Pipeline", 60.0),
    ("Perception Analysis", "Pipeline", "Pipeline", 70.0),
    ("Proposal/Price Quote", "Pipeline", "Pipeline", 75.0),
    ("Negotiation/Review", "Pipeline", "Pipeline", 90.0),
    ("Closed Won", "Closed", "Closed", 100.0),
    ("Closed Lost", "Omitted", "Omitted", 0.0),
)
_LEAD_STATUSES = ("Open - Not Contacted", "Working - Contacted", "Closed - Converted", "Closed - Not Converted")


def seed(org: "Org") -> None:
    """Fill a new org; its organization and its integration user get the ids the org already knows."""
    born = org.clock.now() - _AGE
    locale = {"TimeZoneSidKey": "UTC", "LanguageLocaleKey": "en_US"}
    for first, last, login in _USERS:
        name = {"FirstName": first, "LastName": last, "Alias": login[:8], "UserType": "Standard"}
        address = {"Username": f"{login}@{org.key}.example", "Email": f"{login}@{org.key}.example"}
        org.insert("User", {**name, **address, **locale, "LocaleSidKey": "en_US", "IsActive": True}, at=born)
    edition = {"OrganizationType": "Enterprise Edition", "InstanceName": "SIM1", "DefaultLocaleSidKey": "en_US"}
    org.insert("Organization", {"Name": org.name, **edition, **locale, "FiscalYearStartMonth": 1}, at=born)
    org.insert("Group", {"Name": "Inbound", "DeveloperName": "Inbound", "Type": "Queue"}, at=born)
    _stages(org)
    for order, label in enumerate(_LEAD_STATUSES, start=1):
        row = {"MasterLabel": label, "ApiName": label, "SortOrder": order}
        org.insert(
            "LeadStatus", {**row, "IsDefault": order == 1, "IsConverted": label == "Closed - Converted"}, at=born
        )


def _stages(org: "Org") -> None:
    for order, (label, category, category_name, probability) in enumerate(_STAGES, start=1):
        closed = label.startswith("Closed")
        stage = {"MasterLabel": label, "ApiName": label, "SortOrder": order, "DefaultProbability": probability}
        flags = {"IsActive": True, "IsClosed": closed, "IsWon": label == "Closed Won"}
        names = {"ForecastCategory": category, "ForecastCategoryName": category_name}
        org.insert("OpportunityStage", stage | flags | names, at=org.clock.now() - _AGE)
