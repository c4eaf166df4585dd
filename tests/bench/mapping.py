"""What all of them read: 25 columns of each object; texts, numbers, dates, lists, yes and no, and the stamps."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from cdp import fields
from cdp.db import transaction
from connector import sources, transform
from connector.auth import load_credentials
from connector.objects import PEOPLE
from connector.runtime import Runtime
from connector.schema import migrate
from connector.settings import Settings
from connector.transform import Plan, field_types
from tests.bench.stage import Org, Stage

SOURCE = "bench"
COLUMNS = 25
PERMISSIONS = {"email": {sobject: {"field": "HasOptedOutOfEmail", "no": [True]} for sobject in PEOPLE}}
_SAME = {
    "FirstName": "first_name",
    "LastName": "last_name",
    "Title": "title",
    "Phone": "phone",
    "MobilePhone": "mobile_phone",
    "LeadSource": "lead_source",
    "Score__c": "score",
    "Interests__c": "interests",
    "Signed_Up__c": "signed_up_at",
    "Notes__c": "notes",
}
_ADDRESS = ("Street", "City", "State", "Country")
# A Lead has eleven columns besides these (Id, flags, stamps, email, links, conversion, opt-out), a Contact eight.
MAPPINGS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "Lead": _SAME | {part: part.lower() for part in _ADDRESS},
        "Contact": _SAME
        | {"Salutation": "salutation", "Birthday__c": "birthday", "Description": "description"}
        | {f"Mailing{part}": part.lower() for part in _ADDRESS},
    }
)


def plan(org: Org, sobject: str) -> Plan:
    """Return how our connector reads an object with MAPPINGS."""
    return transform.plan(PEOPLE[sobject], field_types(org.describe(sobject)), _targets(sobject), PERMISSIONS)


def connect(stage: Stage, database_url: str) -> None:
    """Migrate a database and connect the org as the source SOURCE with MAPPINGS."""
    given = stage.settings(database_url).items()
    values: dict[str, Any] = {name.removeprefix("CONNECTOR_").lower(): value for name, value in given}
    runtime = Runtime(Settings(**values, _env_file=None))
    migrate(database_url)
    sources.connect(runtime, SOURCE, stage.org.url, load_credentials(stage.org.credentials, stdin=False))
    with transaction(database_url) as session:
        source = sources.find(session, SOURCE)
        source.mapping = {sobject: _targets(sobject) for sobject in MAPPINGS}
        wanted = {field for sobject in MAPPINGS for field in plan(stage.org, sobject).layout.fields}
        fields.register(session, sorted(wanted))


def _targets(sobject: str) -> dict[str, dict[str, str]]:
    return {field: {"to": target, "rule": "most_recent"} for field, target in MAPPINGS[sobject].items()}
