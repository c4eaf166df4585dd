"""Where the rows of an object are kept: each table, what a row of it knows of itself, and how it is found by id."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import LiteralString

from psycopg import sql


@dataclass(frozen=True)
class Table:
    """A table of rows as last read: its `columns`, as SQL types that text is read as, and those that are `required`.

    `handles` are columns with the handle of a Lead or Contact, each with that object and the column of its id. The
    table of records holds several objects, is keyed by handle and has mapped fields besides; all others are `plain`.

    Statements that are the same for all tables have a row of it as `r`, and the parameters `source`, `org`, `object`.
    """

    name: str
    columns: Mapping[str, LiteralString]
    required: frozenset[str]
    handles: Mapping[str, tuple[str, str]] = field(default_factory=lambda: MappingProxyType({}))
    plain: bool = True

    @property
    def identifier(self) -> sql.Identifier:
        """Its name in a statement."""
        return sql.Identifier(self.name)

    @property
    def own(self) -> sql.SQL:
        """The condition that `r` is of the statement's source and object."""
        return sql.SQL(
            "r.source_id = %(source)s" if self.plain else "r.source_id = %(source)s AND r.object = %(object)s"
        )

    def same(self, record_id: sql.Composable, org: sql.SQL = sql.SQL("%(org)s")) -> sql.Composed:  # noqa: B008 - fixed
        """The condition that `r` is the record with an id, by the table's key."""
        if self.plain:
            return sql.SQL("r.source_id = %(source)s AND r.record_id = {}").format(record_id)
        return sql.SQL("r.handle = record_handle({}, %(object)s, {})").format(org, record_id)


RECORD = Table(
    name="record",
    columns=MappingProxyType(
        {
            "record_id": "text",
            "is_deleted": "boolean",
            "created_at": "timestamptz",
            "modified_at": "timestamptz",
            "version_at": "timestamptz",
            "email": "text",
            "is_converted": "boolean",
            "converted_to": "text",
            "converted_on": "date",
            "merged_into": "text",
        }
    ),
    required=frozenset({"record_id", "is_deleted", "created_at", "modified_at", "version_at"}),
    plain=False,
)


def _plain(
    name: str,
    columns: Mapping[str, LiteralString],
    required: frozenset[str] = frozenset(),
    handles: Mapping[str, tuple[str, str]] = MappingProxyType({}),
) -> Table:
    common: dict[str, LiteralString] = {"record_id": "text", "is_deleted": "boolean"}
    common |= {"created_at": "timestamptz", "version_at": "timestamptz"}
    needed = frozenset({"record_id", "created_at", "version_at"})
    return Table(name, MappingProxyType({**common, **columns}), needed | required, handles)


_DEAL: dict[str, LiteralString] = {"stage": "text", "amount": "numeric", "currency": "text", "probability": "numeric"}
_DEAL |= {"close_date": "date"}
COMPANY = _plain("company", {"name": "text"})
CAMPAIGN = _plain("campaign", {"name": "text", "type": "text", "status": "text"})
CAMPAIGN_MEMBER_STATUS = _plain(
    "campaign_member_status",
    {"campaign_id": "text", "label": "text", "has_responded": "boolean"},
    frozenset({"campaign_id"}),
)
CAMPAIGN_MEMBER = _plain(
    "campaign_member",
    {"modified_at": "timestamptz", "campaign_id": "text", "lead_id": "text", "contact_id": "text", "status": "text"}
    | {"has_responded": "boolean", "first_responded_on": "date"},
    frozenset({"modified_at", "campaign_id"}),
    {"lead": ("Lead", "lead_id"), "contact": ("Contact", "contact_id")},
)
OPPORTUNITY_STAGE = _plain(
    "opportunity_stage", {"name": "text", "is_closed": "boolean", "is_won": "boolean"}, frozenset({"name"})
)
OPPORTUNITY = _plain("opportunity", {"name": "text", "type": "text", **_DEAL, "owner_id": "text", "account_id": "text"})
OPPORTUNITY_ROLE = _plain(
    "opportunity_role",
    {"modified_at": "timestamptz", "opportunity_id": "text", "contact_id": "text", "role": "text"}
    | {"is_primary": "boolean"},
    frozenset({"modified_at", "opportunity_id"}),
    {"contact": ("Contact", "contact_id")},
)
OPPORTUNITY_HISTORY = _plain(
    "opportunity_history",
    {"opportunity_id": "text", **_DEAL, "forecast_category": "text"},
    frozenset({"opportunity_id"}),
)
PLAIN: Mapping[str, Table] = MappingProxyType(
    {
        "Account": COMPANY,
        "Campaign": CAMPAIGN,
        "CampaignMemberStatus": CAMPAIGN_MEMBER_STATUS,
        "CampaignMember": CAMPAIGN_MEMBER,
        "OpportunityStage": OPPORTUNITY_STAGE,
        "Opportunity": OPPORTUNITY,
        "OpportunityContactRole": OPPORTUNITY_ROLE,
        "OpportunityHistory": OPPORTUNITY_HISTORY,
    }
)
