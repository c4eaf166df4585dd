"""Activities, and the rows of Salesforce's objects that they are told from, each as last read."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Index, Numeric, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from cdp.models.columns import stamp


def _id(*, primary_key: bool = False, nullable: bool = False) -> Any:  # noqa: ANN401 - as the helpers of columns
    """A Salesforce id of 18 characters."""
    return Field(
        default=None if nullable else ..., sa_type=Text(collation="C"), primary_key=primary_key, nullable=nullable
    )


class _Row(SQLModel):
    """What all of these know: `state` is live, deleted, gone or erased, and `ended_at` when it ceased to be live."""

    source_id: int = Field(primary_key=True)
    record_id: str = _id(primary_key=True)
    state: str
    created_at: datetime = stamp()
    version_at: datetime = stamp()
    read_at: datetime = stamp()
    ended_at: datetime | None = stamp(default=None)


class Company(_Row, table=True):
    """A company: its name."""

    name: str | None = None


class Campaign(_Row, table=True):
    """A campaign."""

    name: str | None = None
    type: str | None = None
    status: str | None = None


class CampaignMemberStatus(_Row, table=True):
    """A status that members of a campaign may have, and whether it counts as a response."""

    __tablename__ = "campaign_member_status"

    campaign_id: str = _id()
    label: str | None = None
    has_responded: bool | None = None


class CampaignMember(_Row, table=True):
    """A Lead or Contact in a campaign; `lead` and `contact` are the handles of their records."""

    __tablename__ = "campaign_member"
    __table_args__ = (
        Index("ix_campaign_member_lead", "lead", postgresql_where=text("lead IS NOT NULL")),
        Index("ix_campaign_member_contact", "contact", postgresql_where=text("contact IS NOT NULL")),
    )

    modified_at: datetime = stamp()
    campaign_id: str = _id()
    lead_id: str | None = _id(nullable=True)
    contact_id: str | None = _id(nullable=True)
    lead: UUID | None = None
    contact: UUID | None = None
    status: str | None = None
    has_responded: bool | None = None
    first_responded_on: date | None = None


class OpportunityStage(_Row, table=True):
    """What a stage means: closed or open, won or not."""

    __tablename__ = "opportunity_stage"

    name: str
    is_closed: bool | None = None
    is_won: bool | None = None


class Opportunity(_Row, table=True):
    """A deal."""

    name: str | None = None
    type: str | None = None
    stage: str | None = None
    amount: Decimal | None = Field(default=None, sa_type=Numeric)
    currency: str | None = None
    probability: Decimal | None = Field(default=None, sa_type=Numeric)
    close_date: date | None = None
    owner_id: str | None = _id(nullable=True)
    account_id: str | None = _id(nullable=True)


class OpportunityRole(_Row, table=True):
    """A contact's role in a deal; `contact` is the handle of its record."""

    __tablename__ = "opportunity_role"
    __table_args__ = (Index(None, "source_id", "opportunity_id"), Index(None, "contact"))

    modified_at: datetime = stamp()
    opportunity_id: str = _id()
    contact_id: str | None = _id(nullable=True)
    contact: UUID | None = None
    role: str | None = None
    is_primary: bool | None = None


class OpportunityHistory(_Row, table=True):
    """What a deal was from a moment on."""

    __tablename__ = "opportunity_history"
    __table_args__ = (Index(None, "source_id", "opportunity_id"),)

    opportunity_id: str = _id()
    stage: str | None = None
    amount: Decimal | None = Field(default=None, sa_type=Numeric)
    currency: str | None = None
    probability: Decimal | None = Field(default=None, sa_type=Numeric)
    close_date: date | None = None
    forecast_category: str | None = None


class Activity(SQLModel, table=True):
    """A dated fact about a row: a member, a deal, a contact's role in one, a Lead or a Contact.

    `version` tells facts of one kind about one row apart. `holder` is the handle of the record that it hangs on where
    the row itself does not tell (any more). `attributes` are those of that moment; what still holds is looked up.
    """

    __table_args__ = (Index("ix_activity_holder", "holder", postgresql_where=text("holder IS NOT NULL")),)

    source_id: int = Field(primary_key=True)
    record_id: str = _id(primary_key=True)
    kind: str = Field(primary_key=True)
    version: str = Field(primary_key=True)
    occurred_at: datetime = stamp()
    history: bool = Field(default=False)
    holder: UUID | None = None
    attributes: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True)))
