"""What happens in an org: campaigns, deals and people, each act at random among those that are possible now."""

from collections.abc import Callable
from contextlib import suppress
from random import Random

from connector.simulator import Org
from connector.simulator.errors import ApiError

EMAILS = ("ada@example.org", "bob@example.org", "cid@example.org", None)
STAGES = ("Prospecting", "Qualification", "Negotiation/Review", "Closed Won", "Closed Lost")
Act = Callable[[Org, Random], None]


def live(org: Org, sobject: str, **values: object) -> list[str]:
    """The ids of live rows, of those only that have such values."""
    rows = org.snapshot(sobject).values()
    return [row["Id"] for row in rows if not row["IsDeleted"] and all(row[k] == v for k, v in values.items())]


def _person(org: Org, random: Random) -> None:
    if random.random() < 0.5:
        org.insert("Lead", {"LastName": "Lima", "Company": "Lima Lda", "Email": random.choice(EMAILS)})
    else:
        org.insert("Contact", {"LastName": "Lima", "Email": random.choice(EMAILS)})


def _campaign(org: Org, random: Random) -> None:
    campaign = org.insert("Campaign", {"Name": f"Campaign {random.randrange(99)}", "Type": "Webinar"})
    org.insert("CampaignMemberStatus", {"CampaignId": campaign, "Label": "Attended", "HasResponded": True})


def _join(org: Org, random: Random) -> None:
    campaign = random.choice(live(org, "Campaign"))
    people = [("LeadId", i) for i in live(org, "Lead", IsConverted=False)]
    people += [("ContactId", i) for i in live(org, "Contact")]
    field, who = random.choice(people)
    if not live(org, "CampaignMember", CampaignId=campaign, **{field: who}):
        org.insert(
            "CampaignMember", {"CampaignId": campaign, field: who, "Status": random.choice(("Sent", "Attended"))}
        )


def _status(org: Org, random: Random) -> None:
    member = random.choice(live(org, "CampaignMember"))
    org.update("CampaignMember", member, {"Status": random.choice(("Sent", "Responded", "Attended"))})


def _remove(org: Org, random: Random) -> None:
    org.delete("CampaignMember", random.choice(live(org, "CampaignMember")))


def _purge(org: Org, random: Random) -> None:
    sobject = random.choice(("CampaignMember", "CampaignMember", "Opportunity", "OpportunityContactRole"))
    org.purge(sobject, random.choice(list(org.snapshot(sobject))))


def _deal(org: Org, random: Random) -> None:
    values = {"Name": f"Deal {random.randrange(99)}", "StageName": random.choice(STAGES), "CloseDate": "2027-01-01"}
    if random.random() < 0.5:
        values["ContactId"] = random.choice(live(org, "Contact"))
    org.insert("Opportunity", values | {"Amount": random.choice((None, 100.0, 250.5))})


def _move(org: Org, random: Random) -> None:
    org.update("Opportunity", random.choice(live(org, "Opportunity")), {"StageName": random.choice(STAGES)})


def _revalue(org: Org, random: Random) -> None:
    org.update("Opportunity", random.choice(live(org, "Opportunity")), {"Amount": random.choice((None, 100.0, 250.5))})


def _drop(org: Org, random: Random) -> None:
    org.delete("Opportunity", random.choice(live(org, "Opportunity")))


def _link(org: Org, random: Random) -> None:
    deal, contact = random.choice(live(org, "Opportunity")), random.choice(live(org, "Contact"))
    role = {"OpportunityId": deal, "ContactId": contact, "IsPrimary": random.random() < 0.5}
    org.insert("OpportunityContactRole", role | {"Role": random.choice(("Influencer", "Evaluator", None))})


def _primary(org: Org, random: Random) -> None:
    role = random.choice(live(org, "OpportunityContactRole"))
    org.update("OpportunityContactRole", role, {"IsPrimary": random.random() < 0.7})


def _unlink(org: Org, random: Random) -> None:
    org.delete("OpportunityContactRole", random.choice(live(org, "OpportunityContactRole")))


def _convert(org: Org, random: Random) -> None:
    lead = random.choice(live(org, "Lead", IsConverted=False))
    contact = random.choice([None, *live(org, "Contact")])
    org.convert(lead, contact=contact, opportunity_name=random.choice((None, "From a lead")))


def _merge(org: Org, random: Random) -> None:
    sobject = random.choice(("Lead", "Contact"))
    winner, loser = random.sample(live(org, sobject, **({"IsConverted": False} if sobject == "Lead" else {})), 2)
    org.merge(sobject, winner, [loser])


def _delete(org: Org, random: Random) -> None:
    sobject = random.choice(("Lead", "Contact", "Campaign"))
    org.delete(sobject, random.choice(live(org, sobject)))


def _restore(org: Org, random: Random) -> None:
    sobject = random.choice(("Lead", "Contact", "Opportunity", "Campaign"))
    bin_ = org.tables[sobject].bin
    org.undelete(sobject, random.choice([i for i, entry in bin_.items() if entry.root == i]))


ACTS: tuple[Act, ...] = (
    *(_person, _person, _campaign, _join, _join, _join, _status, _status, _status, _remove, _purge),
    *(_deal, _deal, _move, _move, _revalue, _drop, _link, _link, _primary, _primary, _unlink),
    *(_convert, _merge, _delete, _restore),
)


def begin(org: Org, random: Random) -> None:
    """Give an org a few people, campaigns and deals."""
    for act in (_person, _person, _person, _person, _campaign, _campaign, _join, _join, _deal, _link):
        attempt(org, random, act)


def attempt(org: Org, random: Random, act: Act) -> None:
    """Let time pass and do something, if there is anything to do it to."""
    org.clock.advance(random.randrange(1, 4000))
    with suppress(IndexError, ValueError, ApiError):  # nothing to choose from, or the org refuses
        act(org, random)
