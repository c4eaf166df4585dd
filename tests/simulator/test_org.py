"""Edits: what they write, what they refuse, what they leave in the history."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from connector.simulator.behaviour import Behaviour
from connector.simulator.clock import Clock
from connector.simulator.errors import ApiError
from connector.simulator.ids import check_characters, to_18
from connector.simulator.org import Org
from connector.simulator.query import run_query
from connector.simulator.schema import make_field

NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)


@pytest.fixture
def org() -> Org:
    return Org("acme", clock=Clock(NOON))


@pytest.fixture
def lead(org: Org) -> str:
    return add_lead(org)


@pytest.fixture
def account(org: Org) -> str:
    return org.insert("Account", {"Name": "Acme"})


@pytest.fixture
def contact(org: Org, account: str) -> str:
    return org.insert("Contact", {"LastName": "Reis", "AccountId": account})


@pytest.fixture
def campaign(org: Org) -> str:
    return org.insert("Campaign", {"Name": "Spring"})


def add_lead(org: Org, **values: Any) -> str:
    return org.insert("Lead", {"LastName": "Lima", "Company": "Lima Lda"} | values)


def add_member(org: Org, campaign: str, **values: Any) -> str:
    return org.insert("CampaignMember", {"CampaignId": campaign} | values)


def add_deal(org: Org, **values: Any) -> str:
    deal = {"Name": "Deal", "StageName": "Prospecting", "CloseDate": date(2026, 12, 1), "Amount": 1000}
    return org.insert("Opportunity", deal | values)


def ids(org: Org, object_name: str, **options: bool) -> list[str]:
    return list(run_query(org, f"SELECT Id FROM {object_name}", **options).rows)


def refusal(code: str) -> Any:
    return pytest.raises(ApiError, match=f"^{code}:")


@pytest.mark.parametrize(
    ("id15", "suffix"),
    [
        ("001M000000qfPyS", "IAU"),
        ("a0RE000000IJmcN", "MAT"),
        ("a01M00000062mPg", "IAI"),
        ("AbCdEfGhIjKlMnO", "VKV"),
        ("00q000000000000", "AAA"),
    ],
)
def test_check_characters(id15: str, suffix: str) -> None:
    assert check_characters(id15) == suffix
    assert to_18(id15) == to_18(id15 + suffix) == id15 + suffix


@pytest.mark.parametrize("bad", ["", "00Q", "001M000000qfPySIAA", "001M000000qfP-S", "001M000000qfPySIAU0"])
def test_to_18_refuses(bad: str) -> None:
    with pytest.raises(ValueError, match="invalid ID"):
        to_18(bad)


def test_clock_stands_still_until_advanced() -> None:
    clock = Clock(NOON)
    clock.advance(90.7)
    assert clock.now() == NOON + timedelta(seconds=90)
    with pytest.raises(ValueError, match="forward"):
        clock.advance(-1)


def test_insert_stamps_and_defaults(org: Org, lead: str) -> None:
    row = org.row("Lead", lead)
    assert lead.startswith("00Q")
    assert to_18(lead[:15]) == lead
    assert row["CreatedDate"] == row["LastModifiedDate"] == row["SystemModstamp"] == NOON
    assert (row["Name"], row["Status"], row["IsConverted"]) == ("Lima", "Open - Not Contacted", False)
    assert row["OwnerId"] == row["CreatedById"] == org.user_id


def test_ids_of_two_orgs_differ(lead: str) -> None:
    assert add_lead(Org("globex")) != lead


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"LastName": None}, "REQUIRED_FIELD_MISSING"),
        ({"Nope__c": 1}, "INVALID_FIELD"),
        ({"Address": {}}, "INVALID_FIELD"),
        ({"FirstName": "x" * 41}, "STRING_TOO_LONG"),
        ({"FirstName": 5}, "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        ({"Vip__c": "yes"}, "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        ({"NumberOfEmployees": 1.5}, "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        ({"Score__c": "7"}, "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        ({"Birthday__c": "31.12.2000"}, "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        ({"Birthday__c": NOON}, "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        ({"Signed_Up__c": "2026-10-01T00:00:00"}, "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        ({"Signed_Up__c": "soon"}, "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        ({"OwnerId": "nobody"}, "MALFORMED_ID"),
        ({"OwnerId": to_18("005000000000000")}, "INVALID_CROSS_REFERENCE_KEY"),
    ],
)
def test_insert_refuses(org: Org, values: dict[str, Any], code: str) -> None:
    before = len(org.history)
    with refusal(code):
        add_lead(org, **values)
    assert len(org.history) == before


def test_values_as_stored(org: Org) -> None:
    given = {"FirstName": "", "Title": "  ", "Email": " \t", "Signed_Up__c": "2026-10-01T14:00:00.75+02:00"}
    lead = add_lead(org, **given, Birthday__c="2000-02-29", Interests__c=["Music", "Food"], Score__c=1.239, OwnerId="")
    row = org.row("Lead", lead)
    assert (row["FirstName"], row["Title"], row["Email"], row["OwnerId"]) == (None, "  ", None, org.user_id)
    assert (row["Signed_Up__c"], row["Birthday__c"]) == (NOON, date(2000, 2, 29))
    assert (row["Interests__c"], row["Score__c"]) == ("Music;Food", 1.24)


def test_emails_keep_case_and_space(org: Org) -> None:
    assert org.row("Lead", add_lead(org, Email=" Ana.Lima@Example.COM "))["Email"] == " Ana.Lima@Example.COM "


def test_update_moves_stamps(org: Org, lead: str) -> None:
    org.clock.advance(60)
    org.update("Lead", lead, {"FirstName": "Ana"})
    row = org.row("Lead", lead)
    assert row["Name"] == "Ana Lima"
    assert row["CreatedDate"] == NOON
    assert row["LastModifiedDate"] == row["SystemModstamp"] == NOON + timedelta(seconds=60)


def test_automation_moves_system_modstamp_only(org: Org, lead: str) -> None:
    org.clock.advance(60)
    org.update("Lead", lead, {"Rating": "Hot"}, touch_last_modified=False)
    row = org.row("Lead", lead)
    assert (row["LastModifiedDate"], row["SystemModstamp"]) == (NOON, NOON + timedelta(seconds=60))


def test_system_modstamp_never_precedes_last_modified(org: Org) -> None:
    later = NOON + timedelta(days=1)
    lead = add_lead(org, LastModifiedDate=later)
    assert org.row("Lead", lead)["SystemModstamp"] == later


def test_update_refuses(org: Org, lead: str) -> None:
    with refusal("NOT_FOUND"):
        org.update("Lead", to_18("00Q000000000000"), {})
    with refusal("INVALID_TYPE"):
        org.update("Nope", lead, {})
    with refusal("REQUIRED_FIELD_MISSING"):
        org.update("Lead", lead, {"LastName": ""})
    with pytest.raises(ValueError, match="time zone"):
        org.update("Lead", lead, {}, at=datetime(2026, 10, 1))  # noqa: DTZ001 - that is the point
    org.delete("Lead", lead)
    with refusal("ENTITY_IS_DELETED"):
        org.update("Lead", lead, {})


def test_history_keeps_every_version(org: Org, lead: str) -> None:
    org.update("Lead", lead, {"City": "Porto"})
    org.delete("Lead", lead)
    events = list(org.history.of("Lead", lead))
    assert [event.action for event in events] == ["insert", "update", "delete"]
    assert [event.row["City"] for event in events] == [None, "Porto", "Porto"]
    assert [event.row["IsDeleted"] for event in events] == [False, False, True]
    assert list(org.history[-1:]) == events[-1:]


def test_delete_cascades_and_undelete_restores(org: Org, account: str, contact: str, campaign: str) -> None:
    deal = add_deal(org, AccountId=account, ContactId=contact)
    member = add_member(org, campaign, ContactId=contact)
    org.clock.advance(5)
    org.delete("Account", account)
    gone = (("Account", account), ("Contact", contact), ("Opportunity", deal), ("CampaignMember", member))
    for name, record_id in gone:
        row = org.row(name, record_id)
        assert row["IsDeleted"]
        assert row["SystemModstamp"] == NOON + timedelta(seconds=5)
        assert record_id not in ids(org, name)
        assert record_id in ids(org, name, include_deleted=True)
    assert ids(org, "OpportunityContactRole") == []
    org.undelete("Account", account)
    assert all(record_id in ids(org, name) for name, record_id in gone)
    assert org.deleted_log("Contact", NOON, NOON + timedelta(hours=1)) == []


def test_cascade_without_stamps_or_restoration() -> None:
    behaviour = Behaviour(
        cascade_moves_stamps=False, undelete_restores_children=False, delete_moves_last_modified=False
    )
    org = Org("acme", clock=Clock(NOON), behaviour=behaviour)
    account = org.insert("Account", {"Name": "Acme"})
    contact = org.insert("Contact", {"LastName": "Reis", "AccountId": account})
    org.clock.advance(5)
    org.delete("Account", account)
    assert org.row("Contact", contact)["SystemModstamp"] == NOON
    assert org.row("Account", account)["LastModifiedDate"] == NOON
    assert org.row("Account", account)["SystemModstamp"] > NOON
    org.undelete("Account", account)
    assert ids(org, "Contact") == []


def test_campaign_and_its_members_come_back_together(org: Org, campaign: str, lead: str) -> None:
    member = add_member(org, campaign, LeadId=lead)
    org.delete("Campaign", campaign)
    assert ids(org, "CampaignMember") == []
    org.undelete("Campaign", campaign)
    assert ids(org, "CampaignMember") == [member]


def test_undelete_refuses(org: Org, campaign: str, lead: str) -> None:
    member = add_member(org, campaign, LeadId=lead)
    org.delete("CampaignMember", member)
    with refusal("UNDELETE_FAILED"):
        org.undelete("CampaignMember", member)
    with refusal("UNDELETE_FAILED"):
        org.undelete("Lead", lead)
    org.delete("Lead", lead)
    with refusal("ENTITY_IS_DELETED"):
        org.delete("Lead", lead)


def test_bin_lasts_fifteen_days(org: Org, lead: str) -> None:
    org.delete("Lead", lead)
    org.clock.advance(15 * 86_400 - 1)
    assert ids(org, "Lead", include_deleted=True) == [lead]
    org.clock.advance(1)
    assert ids(org, "Lead", include_deleted=True) == []
    assert org.snapshot("Lead") == {}
    assert org.history[-1].extra == {"expired": True}


@pytest.mark.parametrize("logged", [True, False])
def test_purge_leaves_no_row(org: Org, account: str, contact: str, *, logged: bool) -> None:
    org.purge("Account", account, logged=logged)
    assert ids(org, "Account", include_deleted=True) == ids(org, "Contact", include_deleted=True) == []
    log = org.deleted_log("Contact", NOON, NOON + timedelta(hours=1))
    assert [record_id for record_id, _ in log] == ([contact] if logged else [])
    with refusal("NOT_FOUND"):
        org.purge("Account", account)


def test_merge(org: Org, campaign: str) -> None:
    winner, loser = add_lead(org), add_lead(org)
    other = org.insert("Campaign", {"Name": "Autumn"})
    kept = add_member(org, campaign, LeadId=winner)
    doubled = add_member(org, campaign, LeadId=loser)
    moved = add_member(org, other, LeadId=loser)
    org.clock.advance(5)
    org.merge("Lead", winner, [loser])
    row = org.row("Lead", loser)
    assert (row["IsDeleted"], row["MasterRecordId"]) == (True, winner)
    assert ids(org, "CampaignMember") == [kept, moved]
    assert org.row("CampaignMember", doubled)["IsDeleted"]
    assert org.row("CampaignMember", moved)["LeadId"] == org.row("CampaignMember", moved)["LeadOrContactId"] == winner
    assert org.row("CampaignMember", moved)["LastModifiedDate"] > NOON
    assert org.history[-1].extra == {"losers": [loser]}
    org.undelete("Lead", loser)
    assert org.row("Lead", loser)["MasterRecordId"] is None
    assert org.row("CampaignMember", moved)["LeadId"] == winner


def test_merge_takes_over_deals_and_converted_leads(org: Org, account: str, contact: str, lead: str) -> None:
    winner = org.insert("Contact", {"LastName": "Reis", "AccountId": account})
    org.convert(lead, contact=contact)
    role = org.insert(
        "OpportunityContactRole", {"OpportunityId": add_deal(org), "ContactId": contact, "IsPrimary": True}
    )
    org.merge("Contact", winner, [contact])
    assert org.row("OpportunityContactRole", role)["ContactId"] == winner
    assert org.row("Lead", lead)["ConvertedContactId"] == winner


def test_merge_refuses(org: Org, lead: str, campaign: str) -> None:
    with refusal("INVALID_OPERATION"):
        org.merge("Lead", lead, [lead])
    with refusal("INVALID_OPERATION"):
        org.merge("Campaign", campaign, [org.insert("Campaign", {"Name": "x"})])
    loser = add_lead(org)
    org.delete("Lead", loser)
    with refusal("ENTITY_IS_DELETED"):
        org.merge("Lead", lead, [loser])


def test_convert(org: Org, campaign: str) -> None:
    lead = add_lead(org, FirstName="Ana", Email="ana@example.com", City="Porto", Score__c=3, HasOptedOutOfEmail=True)
    member = add_member(org, campaign, LeadId=lead)
    org.clock.advance(60)
    made = org.convert(lead, opportunity_name="Deal")
    account, contact, deal = made["account"], made["contact"], made["opportunity"]
    assert account
    assert contact
    assert deal
    row = org.row("Lead", lead)
    assert (row["IsConverted"], row["Status"], row["ConvertedDate"]) == (True, "Closed - Converted", NOON.date())
    assert (row["ConvertedAccountId"], row["ConvertedContactId"], row["ConvertedOpportunityId"]) == (
        account,
        contact,
        deal,
    )
    person = org.row("Contact", contact)
    assert (person["Name"], person["Email"], person["MailingCity"]) == ("Ana Lima", "ana@example.com", "Porto")
    assert (person["Score__c"], person["HasOptedOutOfEmail"], person["AccountId"]) == (3.0, True, account)
    membership = org.row("CampaignMember", member)
    assert (membership["LeadId"], membership["ContactId"], membership["Type"]) == (lead, contact, "Contact")
    assert org.row("Opportunity", deal)["CampaignId"] == campaign
    (role,) = org.snapshot("OpportunityContactRole").values()
    assert (role["ContactId"], role["IsPrimary"], role["Role"]) == (contact, True, None)


def test_convert_into_existing_contact(org: Org, lead: str, account: str, contact: str) -> None:
    made = org.convert(lead, contact=contact)
    assert made == {"account": account, "contact": contact, "opportunity": None}
    assert ids(org, "Contact") == [contact]


def test_conversion_and_merging_may_leave_last_modified() -> None:
    behaviour = Behaviour(conversion_moves_last_modified=False, reparent_moves_last_modified=False)
    org = Org("acme", clock=Clock(NOON), behaviour=behaviour)
    lead, winner, loser = add_lead(org), add_lead(org), add_lead(org)
    member = add_member(org, org.insert("Campaign", {"Name": "Spring"}), LeadId=loser)
    org.clock.advance(60)
    org.convert(lead)
    org.merge("Lead", winner, [loser])
    for row in (org.row("Lead", lead), org.row("CampaignMember", member)):
        assert (row["LastModifiedDate"], row["SystemModstamp"]) == (NOON, NOON + timedelta(seconds=60))


def test_converted_leads_are_frozen(org: Org, lead: str, campaign: str) -> None:
    org.convert(lead)
    for attempt in (
        lambda: org.update("Lead", lead, {"City": "x"}),
        lambda: org.convert(lead),
        lambda: add_member(org, campaign, LeadId=lead),
    ):
        with refusal("CANNOT_UPDATE_CONVERTED_LEAD"):
            attempt()
    org.behaviour.edit_converted_leads = True
    org.update("Lead", lead, {"City": "x"})
    assert org.row("Lead", lead)["City"] == "x"


def test_opportunity_follows_its_stage(org: Org) -> None:
    deal = add_deal(org)
    org.clock.advance(60)
    org.update("Opportunity", deal, {"StageName": "Closed Won"})
    row = org.row("Opportunity", deal)
    assert (row["IsClosed"], row["IsWon"], row["Probability"], row["ForecastCategory"]) == (True, True, 100.0, "Closed")
    assert (row["ExpectedRevenue"], row["LastStageChangeDate"]) == (1000.0, NOON + timedelta(seconds=60))
    assert (row["FiscalYear"], row["FiscalQuarter"], row["Fiscal"]) == (2026, 4, "2026 4")
    with refusal("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"):
        org.update("Opportunity", deal, {"StageName": "Maybe"})


def test_opportunity_history(org: Org) -> None:
    deal = add_deal(org)
    org.update("Opportunity", deal, {"Amount": 2000})
    org.update("Opportunity", deal, {"NextStep": "call"})
    org.update("Opportunity", deal, {"StageName": "Qualification", "Probability": 33})
    rows = [row for row in org.snapshot("OpportunityHistory").values() if row["OpportunityId"] == deal]
    assert [(row["StageName"], row["Amount"], row["PrevAmount"], row["Probability"]) for row in rows] == [
        ("Prospecting", 1000.0, None, 10.0),
        ("Prospecting", 2000.0, 1000.0, 10.0),
        ("Qualification", 2000.0, 2000.0, 33.0),
    ]


def test_one_primary_contact_role(org: Org, contact: str) -> None:
    deal = add_deal(org)
    first = org.insert("OpportunityContactRole", {"OpportunityId": deal, "ContactId": contact, "IsPrimary": True})
    org.clock.advance(5)
    second = org.insert("OpportunityContactRole", {"OpportunityId": deal, "ContactId": contact, "IsPrimary": True})
    assert not org.row("OpportunityContactRole", first)["IsPrimary"]
    assert org.row("OpportunityContactRole", first)["SystemModstamp"] > NOON
    org.update("OpportunityContactRole", first, {"IsPrimary": True})
    assert not org.row("OpportunityContactRole", second)["IsPrimary"]


def test_member_status_and_response(org: Org, campaign: str, lead: str) -> None:
    member = add_member(org, campaign, LeadId=lead, Status="No such status")
    row = org.row("CampaignMember", member)
    assert (row["Status"], row["HasResponded"], row["FirstRespondedDate"], row["Type"]) == ("Sent", False, None, "Lead")
    org.update("CampaignMember", member, {"Status": "Responded"})
    org.clock.advance(86_400)
    org.update("CampaignMember", member, {"Status": "Sent"})
    row = org.row("CampaignMember", member)
    assert (row["HasResponded"], row["FirstRespondedDate"]) == (False, NOON.date())


def test_one_membership_per_person(org: Org, campaign: str, lead: str, contact: str) -> None:
    member = add_member(org, campaign, LeadId=lead)
    with pytest.raises(ApiError, match="Already a campaign member") as refused:
        add_member(org, campaign, LeadId=lead)
    assert refused.value.body() == [{"message": "Already a campaign member.", "errorCode": "DUPLICATE_VALUE"}]
    org.delete("CampaignMember", member)
    add_member(org, campaign, LeadId=lead)
    both = add_member(org, campaign, LeadId=lead, ContactId=contact)
    assert org.row("CampaignMember", both)["LeadId"] is None
    with refusal("REQUIRED_FIELD_MISSING"):
        add_member(org, campaign)


def test_late_commit(org: Org, lead: str) -> None:
    late = org.late_commit()
    new = late.insert("Lead", {"LastName": "Late", "Company": "x"})
    late.update("Lead", lead, {"City": "Porto"})
    org.clock.advance(600)
    assert ids(org, "Lead") == [lead]
    assert org.latest_date_covered() == NOON
    late.commit()
    assert org.latest_date_covered() == NOON + timedelta(seconds=600)
    assert ids(org, "Lead") == [lead, new]
    assert org.row("Lead", new)["SystemModstamp"] == org.row("Lead", lead)["LastModifiedDate"] == NOON
    assert {event.at for event in org.history[-2:]} == {NOON + timedelta(seconds=600)}


def test_late_commit_rolls_back_on_error(org: Org, lead: str) -> None:
    def fail() -> None:
        with org.late_commit() as late:
            late.delete("Lead", lead)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert ids(org, "Lead") == [lead]
    assert org.latest_date_covered() == org.clock.now()


def test_late_write_does_not_turn_a_stamp_back(org: Org, lead: str) -> None:
    with org.late_commit() as late:
        late.update("Lead", lead, {"City": "Porto"})
        late.delete("Lead", lead)
        org.clock.advance(60)
        org.update("Lead", lead, {"City": "Lisboa"})
    row = org.row("Lead", lead)
    assert (row["City"], row["IsDeleted"], row["SystemModstamp"]) == ("Porto", True, NOON + timedelta(seconds=60))


def test_hidden_rows_vanish_without_a_trace(org: Org, lead: str) -> None:
    org.set_hidden_rows("Lead", [lead])
    assert ids(org, "Lead", include_deleted=True) == []
    assert org.updated_ids("Lead", NOON, NOON + timedelta(hours=1)) == []
    assert org.count("Lead") == 1
    org.set_hidden_rows("Lead", [])
    assert ids(org, "Lead") == [lead]


def test_hidden_fields_and_objects(org: Org, lead: str) -> None:
    org.hide_field("Lead", "Email")
    org.hide_object("Campaign")
    with refusal("INVALID_FIELD"):
        run_query(org, "SELECT Email FROM Lead")
    with refusal("INVALID_TYPE"):
        run_query(org, "SELECT Id FROM Campaign")
    with refusal("INVALID_FIELD"):
        run_query(org, "SELECT Campaign.Name FROM CampaignMember")
    org.update("Lead", lead, {"Email": "still@example.com"})
    org.show_field("Lead", "Email")
    org.show_object("Campaign")
    assert run_query(org, "SELECT Email FROM Lead").json_records()[0]["Email"] == "still@example.com"


def test_schema_changes_move_no_stamp(org: Org) -> None:
    lead = add_lead(org, Region__c="EMEA", Score__c=7)
    before = org.row("Lead", lead)["SystemModstamp"]
    org.clock.advance(60)
    org.add_field("Lead", make_field("Flag__c", "boolean"))
    org.rename_field("Lead", "Region__c", "Area__c")
    org.retype_field("Lead", "Score__c", "string")
    row = org.row("Lead", lead)
    assert (row["Flag__c"], row["Area__c"], row["Score__c"], row["SystemModstamp"]) == (False, "EMEA", "7.0", before)
    assert org.history[-1].row["Region__c"] == "EMEA"
    org.retype_field("Lead", "Area__c", "double", precision=18)
    assert org.row("Lead", lead)["Area__c"] is None
    assert org.row("Lead", add_lead(org, Area__c=1))["Area__c"] == 1.0
    with pytest.raises(ValueError, match="custom"):
        org.rename_field("Lead", "City", "Town__c")


def test_damaged_values_reach_readers_but_match_nothing(org: Org, lead: str) -> None:
    org.corrupt("Lead", lead, "Birthday__c", "31.02.2026")
    result = run_query(org, "SELECT Birthday__c FROM Lead ORDER BY Birthday__c")
    assert result.json_records()[0]["Birthday__c"] == "31.02.2026"
    assert b"".join(result.csv(header=False)) == b'"31.02.2026"\n'
    assert run_query(org, "SELECT Id FROM Lead WHERE Birthday__c > 2000-01-01").total == 0


def test_replication_logs(org: Org, lead: str) -> None:
    org.clock.advance(60)
    other = add_lead(org)
    org.delete("Lead", lead)
    end = org.clock.now() + timedelta(seconds=1)
    assert org.updated_ids("Lead", NOON, end) == [other]
    assert org.deleted_log("Lead", NOON, end) == [(lead, NOON + timedelta(seconds=60))]
    assert org.deleted_log("Lead", NOON, NOON + timedelta(seconds=60)) == []
    org.clock.advance(16 * 86_400)
    assert org.deleted_log("Lead", NOON, org.clock.now()) == []
    assert org.earliest_date_available() == org.clock.now() - timedelta(days=15)
