"""The fixed tables, by what they hold; whoever imports this package knows them all."""

from cdp.models.access import Account, AccountSession, ApiToken, Audit, LoginAttempt, PendingSignin
from cdp.models.activities import (
    Activity,
    Campaign,
    CampaignMember,
    CampaignMemberStatus,
    Company,
    Opportunity,
    OpportunityHistory,
    OpportunityRole,
    OpportunityStage,
)
from cdp.models.judgements import Decided, Decision, DecisionRecord, Departure, Erased, PersonEvent
from cdp.models.people import Membership, PeopleState, Person, PersonField, Quarantine, Record, Touched
from cdp.models.sources import ApiBudget, Finding, Notice, ObjectSchema, Source, SourceFilter
from cdp.models.work import Cursor, ReadWindow, RowCount, RowTally, Run, RunObject, RunTally, SweepHealed, SweepRow

__all__ = [
    "Account",
    "AccountSession",
    "Activity",
    "ApiBudget",
    "ApiToken",
    "Audit",
    "Campaign",
    "CampaignMember",
    "CampaignMemberStatus",
    "Company",
    "Cursor",
    "Decided",
    "Decision",
    "DecisionRecord",
    "Departure",
    "Erased",
    "Finding",
    "LoginAttempt",
    "Membership",
    "Notice",
    "ObjectSchema",
    "Opportunity",
    "OpportunityHistory",
    "OpportunityRole",
    "OpportunityStage",
    "PendingSignin",
    "PeopleState",
    "Person",
    "PersonEvent",
    "PersonField",
    "Quarantine",
    "ReadWindow",
    "Record",
    "RowCount",
    "RowTally",
    "Run",
    "RunObject",
    "RunTally",
    "Source",
    "SourceFilter",
    "SweepHealed",
    "SweepRow",
    "Touched",
]
