"""Describe documents: what an org tells about its object types and their fields."""

from collections.abc import Iterator
from typing import Any

from .errors import not_found
from .org import Org
from .schema import TEXT_TYPES, Field, ObjectType

_MASTER_RECORD_TYPE = "012000000000000AAA"
_OBJECT_FLAGS = (
    *("createable", "custom", "deepCloneable", "deletable", "feedEnabled", "layoutable", "mergeable", "queryable"),
    *("replicateable", "retrieveable", "searchable", "triggerable", "undeletable", "updateable"),
)
_NEVER = ("activateable", "customSetting", "deprecatedAndHidden", "hasSubtypes", "isInterface", "isSubtype")
_SOAP_TYPES = {
    "id": "tns:ID",
    "reference": "tns:ID",
    "boolean": "xsd:boolean",
    "int": "xsd:int",
    "double": "xsd:double",
    "currency": "xsd:double",
    "percent": "xsd:double",
    "date": "xsd:date",
    "datetime": "xsd:dateTime",
    "address": "urn:address",
}
_FIELD_CONSTANTS: dict[str, Any] = {
    "aiPredictionField": False,
    "autoNumber": False,
    "calculated": False,
    "calculatedFormula": None,
    "caseSensitive": False,
    "controllerName": None,
    "defaultValueFormula": None,
    "dependentPicklist": False,
    "deprecatedAndHidden": False,
    "displayLocationInDecimal": False,
    "encrypted": False,
    "externalId": False,
    "filteredLookupInfo": None,
    "formulaTreatNullNumberAsZero": False,
    "highScaleNumber": False,
    "htmlFormatted": False,
    "inlineHelpText": None,
    "mask": None,
    "maskType": None,
    "queryByDistance": False,
    "referenceTargetField": None,
    "relationshipOrder": None,
    "restrictedDelete": False,
    "searchPrefilterable": False,
    "unique": False,
    "writeRequiresMasterRead": False,
}
_OBJECT_CONSTANTS: dict[str, Any] = {
    "actionOverrides": [],
    "compactLayoutable": True,
    "defaultImplementation": None,
    "extendedBy": None,
    "extendsInterfaces": None,
    "implementedBy": None,
    "implementsInterfaces": None,
    "listviewable": None,
    "lookupLayoutable": None,
    "namedLayoutInfos": [],
    "networkScopeFieldName": None,
    "searchLayoutable": True,
    "sobjectDescribeOption": "FULL",
    "supportedScopes": [{"label": "All records", "name": "everything"}, {"label": "My records", "name": "mine"}],
}


def describe_global(org: Org, version: str) -> dict[str, Any]:
    """Return the list of visible object types. `version` is a number such as `66.0`."""
    with org.lock:
        kinds = sorted(org.objects.values(), key=lambda kind: kind.name)
        return {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": [_summary(kind, version) for kind in kinds]}


def describe_object(org: Org, name: str, version: str) -> dict[str, Any]:
    """Return the full description of an object type; ApiError NOT_FOUND (404) if the user sees none of that name."""
    with org.lock:
        kind = org.catalog.find(name)
        if kind is None:
            raise not_found()
        return {
            **_summary(kind, version),
            **_OBJECT_CONSTANTS,
            "childRelationships": list(_child_relationships(org, kind)),
            "fields": [describe_field(kind, field) for field in kind.fields.values()],
            "recordTypeInfos": list(_record_types(org, kind, version)),
        }


def _summary(kind: ObjectType, version: str) -> dict[str, Any]:
    own = kind.flags | {"queryable", "retrieveable"} | ({"custom"} if kind.custom else set())
    base = f"/services/data/v{version}/sobjects/{kind.name}"
    return {
        **{flag: flag in own for flag in _OBJECT_FLAGS},
        **dict.fromkeys(_NEVER, False),
        "associateEntityType": "History" if kind.name.endswith("History") else None,
        "associateParentEntity": kind.name.removesuffix("History") if kind.name.endswith("History") else None,
        "keyPrefix": kind.key_prefix,
        "label": kind.label,
        "labelPlural": kind.label_plural,
        "mruEnabled": "layoutable" in own,
        "name": kind.name,
        "urls": {"rowTemplate": f"{base}/{{ID}}", "describe": f"{base}/describe", "sobject": base},
    }


def _child_relationships(org: Org, parent: ObjectType) -> Iterator[dict[str, Any]]:
    for kind in org.objects.values():
        for field in kind.fields.values():
            if parent.name in field.references:
                yield {
                    "cascadeDelete": field.cascade,
                    "childSObject": kind.name,
                    "deprecatedAndHidden": False,
                    "field": field.name,
                    "junctionIdListNames": [],
                    "junctionReferenceTo": [],
                    "relationshipName": field.children,
                    "restrictedDelete": False,
                }


def _record_types(org: Org, kind: ObjectType, version: str) -> Iterator[dict[str, Any]]:
    rows = [row for row in org.snapshot("RecordType").values() if row["SobjectType"] == kind.name]
    master = {"Id": _MASTER_RECORD_TYPE, "Name": "Master", "DeveloperName": "Master", "IsActive": True}
    for row in [*rows, master]:
        url = f"/services/data/v{version}/sobjects/{kind.name}/describe/layouts/{row['Id']}"
        yield {
            "active": row["IsActive"],
            "available": True,
            "defaultRecordTypeMapping": row is master,
            "developerName": row["DeveloperName"],
            "master": row is master,
            "name": row["Name"],
            "recordTypeId": row["Id"],
            "urls": {"layout": url},
        }


def describe_field(kind: ObjectType, field: Field) -> dict[str, Any]:
    """Return the description of one field: the 57 keys that every field has."""
    length = field.length
    return {
        **_FIELD_CONSTANTS,
        "aggregatable": field.type not in {"boolean", "multipicklist", "address"} and field.filterable,
        "byteLength": length if field.type in {"id", "reference"} else 3 * length if field.type in TEXT_TYPES else 0,
        "cascadeDelete": field.cascade,
        "compoundFieldName": field.compound,
        "createable": field.createable,
        "custom": field.custom,
        "defaultValue": field.default,
        "defaultedOnCreate": field.defaulted,
        "digits": 8 if field.type == "int" else 0,
        "extraTypeInfo": _extra_type_info(kind, field),
        "filterable": field.filterable,
        "groupable": field.groupable,
        "idLookup": field.id_lookup,
        "label": field.label,
        "length": length,
        "name": field.name,
        "nameField": field.name_field,
        "namePointing": field.polymorphic,
        "nillable": field.nillable,
        "permissionable": field.nillable and (field.createable or field.updateable),
        "picklistValues": [_picklist_value(field, value) for value in field.values],
        "polymorphicForeignKey": field.polymorphic,
        "precision": field.precision,
        "referenceTo": list(field.references),
        "relationshipName": field.relationship,
        "restrictedPicklist": False,
        "scale": field.scale,
        "soapType": _SOAP_TYPES.get(field.type, "xsd:string"),
        "sortable": field.sortable,
        "type": field.type,
        "updateable": field.updateable,
    }


def _extra_type_info(kind: ObjectType, field: Field) -> str | None:
    if field.type == "textarea":
        return "plaintextarea"
    if field.compound == "Name" or (field.name_field and "FirstName" in kind.fields):
        return "personname"
    return "switchablepersonname" if kind.name == "CampaignMember" and field.name == "Name" else None


def _picklist_value(field: Field, value: str) -> dict[str, Any]:
    return {"active": True, "defaultValue": value == field.default, "label": value, "validFor": None, "value": value}
