"""Describe documents have the shape and the facts of a real org's."""

from typing import Any

import pytest

from connector.simulator.describe import describe_global, describe_object
from connector.simulator.errors import ApiError
from connector.simulator.org import Org


def words(text: str) -> set[str]:
    return set(text.split())


GLOBAL_KEYS = words(
    """activateable associateEntityType associateParentEntity createable custom customSetting deepCloneable deletable
    deprecatedAndHidden feedEnabled hasSubtypes isInterface isSubtype keyPrefix label labelPlural layoutable mergeable
    mruEnabled name queryable replicateable retrieveable searchable triggerable undeletable updateable urls"""
)
OBJECT_KEYS = GLOBAL_KEYS | words(
    """actionOverrides childRelationships compactLayoutable defaultImplementation extendedBy extendsInterfaces fields
    implementedBy implementsInterfaces listviewable lookupLayoutable namedLayoutInfos networkScopeFieldName
    recordTypeInfos searchLayoutable sobjectDescribeOption supportedScopes"""
)
FIELD_KEYS = words(
    """aggregatable aiPredictionField autoNumber byteLength calculated calculatedFormula cascadeDelete caseSensitive
    compoundFieldName controllerName createable custom defaultValue defaultValueFormula defaultedOnCreate
    dependentPicklist deprecatedAndHidden digits displayLocationInDecimal encrypted externalId extraTypeInfo filterable
    filteredLookupInfo formulaTreatNullNumberAsZero groupable highScaleNumber htmlFormatted idLookup inlineHelpText
    label length mask maskType name nameField namePointing nillable permissionable picklistValues polymorphicForeignKey
    precision queryByDistance referenceTargetField referenceTo relationshipName relationshipOrder restrictedDelete
    restrictedPicklist scale searchPrefilterable soapType sortable type unique updateable
    writeRequiresMasterRead"""
)


@pytest.fixture
def org() -> Org:
    return Org("acme")


def fields(org: Org, name: str) -> dict[str, dict[str, Any]]:
    return {field["name"]: field for field in describe_object(org, name, "66.0")["fields"]}


def picked(field: dict[str, Any], *keys: str) -> tuple[Any, ...]:
    return tuple(field[key] for key in keys)


def test_global(org: Org) -> None:
    document = describe_global(org, "66.0")
    by_name = {summary["name"]: summary for summary in document["sobjects"]}
    assert picked(document, "encoding", "maxBatchSize") == ("UTF-8", 200)
    assert all(set(summary) == GLOBAL_KEYS for summary in document["sobjects"])
    assert by_name["Lead"]["keyPrefix"] == "00Q"
    assert by_name["Lead"]["urls"]["describe"] == "/services/data/v66.0/sobjects/Lead/describe"
    flags = ("undeletable", "searchable", "mergeable", "replicateable")
    assert picked(by_name["CampaignMember"], *flags) == (False, False, False, True)
    assert picked(by_name["OpportunityContactRole"], *flags) == (False, False, False, True)
    assert by_name["Campaign"]["undeletable"] is True


def test_every_object_has_all_keys(org: Org) -> None:
    for name in org.objects:
        document = describe_object(org, name, "66.0")
        assert set(document) == OBJECT_KEYS
        assert all(set(field) == FIELD_KEYS for field in document["fields"])
        master = document["recordTypeInfos"][-1]
        assert picked(master, "recordTypeId", "master") == ("012000000000000AAA", True)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Id", ("id", "tns:ID", 18, 18, False, False, False)),
        ("LastName", ("string", "xsd:string", 80, 240, False, True, True)),
        ("Email", ("email", "xsd:string", 80, 240, True, True, True)),
        ("Status", ("picklist", "xsd:string", 255, 765, False, True, True)),
        ("ConvertedDate", ("date", "xsd:date", 0, 0, True, False, False)),
        ("IsConverted", ("boolean", "xsd:boolean", 0, 0, False, True, False)),
        ("SystemModstamp", ("datetime", "xsd:dateTime", 0, 0, False, False, False)),
        ("AnnualRevenue", ("currency", "xsd:double", 0, 0, True, True, True)),
        ("NumberOfEmployees", ("int", "xsd:int", 0, 0, True, True, True)),
        ("Address", ("address", "urn:address", 0, 0, True, False, False)),
        ("OwnerId", ("reference", "tns:ID", 18, 18, False, True, True)),
        ("Interests__c", ("multipicklist", "xsd:string", 4099, 12297, True, True, True)),
        ("Notes__c", ("textarea", "xsd:string", 131072, 393216, True, True, True)),
    ],
)
def test_lead_fields(org: Org, name: str, expected: tuple[Any, ...]) -> None:
    keys = ("type", "soapType", "length", "byteLength", "nillable", "createable", "updateable")
    assert picked(fields(org, "Lead")[name], *keys) == expected


def test_field_details(org: Org) -> None:
    lead = fields(org, "Lead")
    owner = picked(lead["OwnerId"], "referenceTo", "relationshipName", "polymorphicForeignKey", "namePointing")
    assert owner == (["Group", "User"], "Owner", True, True)
    assert picked(lead["Email"], "idLookup", "unique") == (True, False)
    assert picked(lead["Notes__c"], "filterable", "sortable", "groupable", "custom") == (False, False, False, True)
    assert picked(lead["CreatedDate"], "filterable", "sortable", "groupable") == (True, True, False)
    assert picked(lead["Address"], "filterable", "sortable") == (True, False)
    assert picked(lead["Street"], "compoundFieldName", "extraTypeInfo") == ("Address", "plaintextarea")
    assert picked(lead["AnnualRevenue"], "precision", "scale", "digits") == (18, 0, 0)
    assert picked(lead["NumberOfEmployees"], "precision", "digits") == (0, 8)
    first, *_ = lead["Status"]["picklistValues"]
    assert picked(first, "value", "active", "defaultValue", "validFor") == ("Open - Not Contacted", True, True, None)


def test_cascades(org: Org) -> None:
    children = describe_object(org, "contact", "66.0")["childRelationships"]
    found = {(child["childSObject"], child["field"]): child for child in children}
    member = found["CampaignMember", "ContactId"]
    assert picked(member, "relationshipName", "cascadeDelete") == ("CampaignMembers", True)
    assert found["OpportunityContactRole", "ContactId"]["cascadeDelete"] is True
    assert found["Lead", "ConvertedContactId"]["cascadeDelete"] is False


def test_history_has_no_last_modified_date(org: Org) -> None:
    assert "LastModifiedDate" not in fields(org, "OpportunityHistory")
    assert {"CreatedDate", "SystemModstamp", "IsDeleted"} <= fields(org, "OpportunityHistory").keys()


def test_what_is_hidden_is_absent(org: Org) -> None:
    org.hide_field("Lead", "HasOptedOutOfEmail")
    org.hide_object("CampaignMember")
    assert "HasOptedOutOfEmail" not in fields(org, "Lead")
    assert "CampaignMember" not in {summary["name"] for summary in describe_global(org, "66.0")["sobjects"]}
    with pytest.raises(ApiError) as refused:
        describe_object(org, "CampaignMember", "66.0")
    assert (refused.value.status, refused.value.code) == (404, "NOT_FOUND")


def test_record_types(org: Org) -> None:
    row = {"Name": "Partner", "DeveloperName": "Partner", "SobjectType": "Lead", "IsActive": True}
    partner = org.insert("RecordType", row)
    first, master = describe_object(org, "Lead", "66.0")["recordTypeInfos"]
    assert picked(first, "recordTypeId", "name", "master") == (partner, "Partner", False)
    assert master["defaultRecordTypeMapping"] is True
