"""Fields whose values are worked out when they are read: addresses, what members mirror, campaign statistics."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .schema import Field, ObjectType
from .table import Row, Table

if TYPE_CHECKING:
    from .org import Org

Reader = Callable[[Row], Any]

_ADDRESS_PARTS = ("City", "Country", "PostalCode", "State", "Street")
_CONTACT_TWINS = {part: f"Mailing{part}" for part in _ADDRESS_PARTS} | {"LeadOrContactOwnerId": "OwnerId"}
_LEAD_TWINS = {"CompanyOrAccount": "Company", "LeadOrContactOwnerId": "OwnerId"}


def reader(org: "Org", kind: ObjectType, field: Field) -> Reader:
    """Return a function from a row to the value of any field."""
    table = org.tables[kind.name]
    if field.type == "address":
        return _address(org, kind, field)
    if not field.virtual:
        return table.getter(field.name)
    return _mirror(org, field) if kind.name == "CampaignMember" else _statistic(org, field)


def _address(org: "Org", kind: ObjectType, field: Field) -> Reader:
    prefix = field.name.removesuffix("Address")
    table = org.tables[kind.name]
    names = [prefix + part for part in _ADDRESS_PARTS]
    parts = [(name.removeprefix(prefix), table.getter(name)) for name in names if name in kind.fields]

    def read(row: Row) -> dict[str, Any] | None:
        values = {name[0].lower() + name[1:]: get(row) for name, get in parts}
        if not any(values.values()):
            return None
        return dict(sorted({**values, "geocodeAccuracy": None, "latitude": None, "longitude": None}.items()))

    return read


def _follow(parents: Table, key: Reader, then: Reader) -> Reader:

    def read(row: Row) -> Any:  # noqa: ANN401 - a value of any field type
        parent = parents.rows.get(key(row))
        return None if parent is None else then(parent)

    return read


def _mirror(org: "Org", field: Field) -> Reader:
    members, contacts, leads = (org.tables[name] for name in ("CampaignMember", "Contact", "Lead"))
    if field.name == "CompanyOrAccount":
        accounts = org.tables["Account"]
        of_contact = _follow(accounts, contacts.getter("AccountId"), accounts.getter("Name"))
    else:
        of_contact = contacts.getter(_CONTACT_TWINS.get(field.name, field.name))
    of_lead = leads.getter(_LEAD_TWINS.get(field.name, field.name))
    from_contact = _follow(contacts, members.getter("ContactId"), of_contact)
    from_lead = _follow(leads, members.getter("LeadId"), of_lead)
    contact_id = members.getter("ContactId")

    def read(row: Row) -> Any:  # noqa: ANN401 - a value of any field type
        value = from_contact(row) if contact_id(row) else from_lead(row)
        return bool(value) if field.type == "boolean" else value

    return read


_Values = Mapping[str, Any]
_STATISTICS: Mapping[str, tuple[str, Callable[[_Values], float]]] = {
    "NumberOfLeads": ("CampaignMember", lambda member: member["LeadId"] is not None),
    "NumberOfContacts": ("CampaignMember", lambda member: member["ContactId"] is not None),
    "NumberOfConvertedLeads": ("CampaignMember", lambda member: bool(member["LeadId"] and member["ContactId"])),
    "NumberOfResponses": ("CampaignMember", lambda member: member["HasResponded"]),
    "NumberOfOpportunities": ("Opportunity", lambda _: 1),
    "NumberOfWonOpportunities": ("Opportunity", lambda opportunity: opportunity["IsWon"]),
    "AmountAllOpportunities": ("Opportunity", lambda opportunity: opportunity["Amount"] or 0.0),
    "AmountWonOpportunities": (
        "Opportunity",
        lambda opportunity: (opportunity["Amount"] or 0.0) * opportunity["IsWon"],
    ),
}


def _statistic(org: "Org", field: Field) -> Reader:
    source, weigh = _STATISTICS[field.name]
    table = org.tables[source]

    def read(row: Row) -> float:
        children = (table.rows[i] for i in table.where("CampaignId", row[0]) if i not in table.bin)
        total = sum(weigh(table.unpack(child)) for child in children)
        return total if field.type == "int" else float(total)

    return read
