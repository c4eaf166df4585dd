"""Fills an org with people, campaigns and deals: the same for the same seed and the same time of its clock."""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from itertools import islice
from random import Random
from typing import Any

from .org import Org
from .people import AWKWARD_TEXTS, COMPANIES, PLACES, TITLES, Person, email_of, people

_SPAN_DAYS = 730
_SHARED, _REPEATED = 0.45, 0.60
_AWKWARD_FIELDS = ("Title", "Description", "Notes__c", "FirstName", "LastName")
_LEAD_CONVERTED = 0.03
Values = dict[str, Any]


def populate(
    org: Org,
    *,
    leads: int,
    contacts: int,
    campaigns: int | None = None,
    opportunities: int | None = None,
    seed: int,
    shared_people: int = 0,
) -> None:
    """Add rows to an org. Orgs given the same `shared_people` draw on one pool of people, so their emails overlap.

    About 3 % of the leads are converted afterwards, which adds as many contacts and accounts. Without numbers there
    is one campaign for each 500 people and one opportunity for each ten contacts.
    """
    total = leads + contacts
    with org.lock, _collector_paused():
        population = _Population(org, seed, total, shared_people)
        population.accounts(max(1, contacts // 4))
        population.contacts(contacts)
        population.leads(leads)
        population.campaigns(max(2, total // 500) if campaigns is None else campaigns)
        population.opportunities(contacts // 10 if opportunities is None else opportunities)
        population.convert_some()


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Spare the garbage collector: it would walk over the growing tables again and again, for a quarter of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _Population:
    def __init__(self, org: Org, seed: int, total: int, shared_people: int) -> None:
        self._org = org
        self._random = Random(seed)  # noqa: S311 - nothing here is secret
        self._now = org.clock.now()
        self._start = self._now - timedelta(days=_SPAN_DAYS)
        self._shared = list(islice(people(Random(shared_people), "p"), max(1, total // 2)))  # noqa: S311 - as above
        self._own = people(Random(seed), org.key[:8])  # noqa: S311 - as above
        self._met: list[Person] = []
        self._users = list(org.tables["User"].rows)
        self._accounts: list[str] = []
        self._contacts: list[str] = []
        self._leads: list[str] = []
        self._campaigns: list[str] = []
        self._options = {name: kind.fields for name, kind in org.catalog.types.items()}

    def accounts(self, count: int) -> None:
        """Add companies."""
        random = self._random
        for stamps in self._stamps(count):
            name = f"{random.choice(COMPANIES)} {random.randrange(count * 10)}"
            values = {
                "Name": name,
                "Industry": self._pick("Account", "Industry"),
                "Type": self._pick("Account", "Type"),
            }
            self._accounts.append(self._org.insert("Account", values | stamps))

    def contacts(self, count: int) -> None:
        """Add contacts, a few without an account."""
        for stamps in self._stamps(count):
            values = self._person("Contact", "Mailing") | stamps
            if self._random.random() < 0.95:
                values["AccountId"] = self._random.choice(self._accounts)
            self._contacts.append(self._org.insert("Contact", values))

    def leads(self, count: int) -> None:
        """Add leads."""
        random = self._random
        for stamps in self._stamps(count):
            values = self._person("Lead", "") | stamps
            values["Rating"] = self._pick("Lead", "Rating")
            values["Industry"] = self._pick("Lead", "Industry")
            values["Status"] = random.choice(("Open - Not Contacted", "Working - Contacted", "Closed - Not Converted"))
            values["AnnualRevenue"] = random.randrange(1, 500) * 10_000 if random.random() < 0.4 else None
            values["NumberOfEmployees"] = random.randrange(1, 5000) if random.random() < 0.4 else None
            self._leads.append(self._org.insert("Lead", values))

    def campaigns(self, count: int) -> None:
        """Add campaigns, each with a sample of the people."""
        everyone = self._contacts + self._leads
        for stamps in self._stamps(count):
            number = len(self._campaigns) + 1
            values = {"Name": f"Campaign {number}", "StartDate": stamps["CreatedDate"].date()} | stamps
            values |= {"Type": self._pick("Campaign", "Type"), "IsActive": self._random.random() < 0.7}
            campaign = self._org.insert("Campaign", values)
            self._campaigns.append(campaign)
            size = min(len(everyone), 100)
            for person in self._random.sample(everyone, size):
                self._member(campaign, person)

    def _member(self, campaign: str, person: str) -> None:
        field = "LeadId" if person.startswith("00Q") else "ContactId"
        joined = self._time_after(self._org.row("Lead" if field == "LeadId" else "Contact", person)["CreatedDate"])
        status = "Responded" if self._random.random() < 0.2 else "Sent"
        member = self._org.insert(
            "CampaignMember", {"CampaignId": campaign, field: person, "Status": status}, at=joined
        )
        if self._random.random() < 0.2:
            self._org.update("CampaignMember", member, {"Status": "Responded"}, at=self._time_after(joined))

    def opportunities(self, count: int) -> None:
        """Add deals and move most of them through some stages."""
        random = self._random
        for stamps in self._stamps(count if self._contacts else 0):
            born = stamps["CreatedDate"]
            close = (born + timedelta(days=random.randrange(10, 300))).date()
            amount = random.randrange(1, 2000) * 50.0 if random.random() < 0.9 else None
            values: Values = {"Name": f"Deal {random.randrange(10**6)}", "StageName": "Prospecting"}
            values |= {
                "CloseDate": close,
                "Amount": amount,
                "AccountId": random.choice(self._accounts),
                "OwnerId": random.choice(self._users),
            }
            values["CampaignId"] = random.choice(self._campaigns) if self._campaigns and random.random() < 0.5 else None
            opportunity = self._org.insert("Opportunity", values, at=born)
            self._roles(opportunity, born)
            self._advance(opportunity, born)

    def _roles(self, opportunity: str, born: datetime) -> None:
        """One deal in ten has no contact, two in ten none that is primary."""
        random = self._random
        roll = random.random()
        roles = 0 if roll < 0.1 else random.randrange(1, 4)
        for number, contact in enumerate(random.sample(self._contacts, min(roles, len(self._contacts)))):
            role: Values = {"OpportunityId": opportunity, "ContactId": contact, "IsPrimary": number == 0 and roll > 0.3}
            role["Role"] = self._pick("OpportunityContactRole", "Role")
            self._org.insert("OpportunityContactRole", role, at=born)

    def _advance(self, opportunity: str, born: datetime) -> None:
        stages = self._options["Opportunity"]["StageName"].values
        position, at = 0, born
        for _ in range(self._random.randrange(5)):
            position = min(position + self._random.randrange(1, 4), len(stages) - 1)
            at = self._time_after(at)
            self._org.update("Opportunity", opportunity, {"StageName": stages[position]}, at=at)

    def convert_some(self) -> None:
        """Convert about 3 % of the leads."""
        for lead in self._random.sample(self._leads, int(len(self._leads) * _LEAD_CONVERTED)):
            members = self._org.tables["CampaignMember"].where("LeadId", lead)
            stamps = [self._stamp("Lead", lead), *(self._stamp("CampaignMember", member) for member in members)]
            name = f"Deal {self._random.randrange(10**6)}" if self._random.random() < 0.5 else None
            self._org.convert(lead, opportunity_name=name, at=self._time_after(max(stamps)))

    def _stamp(self, object_name: str, record_id: str) -> datetime:
        stamp: datetime = self._org.row(object_name, record_id)["SystemModstamp"]
        return stamp

    def _person(self, object_name: str, address: str) -> Values:
        random, person = self._random, self._somebody()
        city, state, postal_code, country = random.choice(PLACES)
        values: Values = {
            "FirstName": person.first if random.random() < 0.95 else None,
            "LastName": person.last,
            "Salutation": self._pick(object_name, "Salutation"),
            "Email": email_of(random, person),
            "Phone": person.phone,
            "MobilePhone": person.phone if random.random() < 0.5 else None,
            "Title": random.choice(TITLES) if random.random() < 0.8 else None,
            "LeadSource": self._pick(object_name, "LeadSource"),
            "OwnerId": random.choice(self._users),
            f"{address}Street": f"Rua {random.randrange(1, 400)}\n{random.randrange(9)}º"
            if random.random() < 0.5
            else None,
            f"{address}City": city,
            f"{address}State": state,
            f"{address}PostalCode": postal_code,
            f"{address}Country": country,
        }
        if object_name == "Lead":
            values["Company"] = person.company
        values |= self._consent_and_custom(object_name)
        if random.random() < 0.04:
            values[random.choice(_AWKWARD_FIELDS)] = random.choice(AWKWARD_TEXTS)
        return values

    def _consent_and_custom(self, object_name: str) -> Values:
        random = self._random
        interests = self._options[object_name]["Interests__c"].values
        return {
            "HasOptedOutOfEmail": random.random() < 0.08,
            "DoNotCall": random.random() < 0.05,
            "Region__c": self._pick(object_name, "Region__c"),
            "Score__c": random.randrange(10_000) / 100 if random.random() < 0.7 else None,
            "Interests__c": ";".join(value for value in interests if random.random() < 0.25),
            "Vip__c": random.random() < 0.03,
            "Signed_Up__c": self._time_after(self._start) if random.random() < 0.5 else None,
            "Birthday__c": self._birthday() if random.random() < 0.5 else None,
            "Notes__c": f"Called {random.randrange(50)} times" if random.random() < 0.2 else None,
        }

    def _birthday(self) -> date:
        return self._start.date() - timedelta(days=self._random.randrange(7000, 25_000))

    def _somebody(self) -> Person:
        roll = self._random.random()
        if roll < _SHARED:
            return self._random.choice(self._shared)
        if roll < _REPEATED and self._met:
            return self._random.choice(self._met)
        self._met.append(next(self._own))
        return self._met[-1]

    def _pick(self, object_name: str, field: str) -> str | None:
        """Choose a picklist value, or none in a fifth of the cases."""
        values: Sequence[str] = self._options[object_name][field].values
        return self._random.choice(values) if self._random.random() < 0.8 else None

    def _stamps(self, count: int) -> Iterator[Values]:
        """Yield audit stamps: created evenly over two years, half edited since, a few by automation later."""
        span = (self._now - self._start).total_seconds()
        for number in range(count):
            created = self._start + timedelta(seconds=int(span * (number + self._random.random()) / count))
            modified = self._time_after(created) if self._random.random() < 0.5 else created
            touched = self._time_after(modified) if self._random.random() < 0.05 else modified
            yield {"CreatedDate": created, "LastModifiedDate": modified, "SystemModstamp": touched}

    def _time_after(self, at: datetime) -> datetime:
        seconds = int((self._now - at).total_seconds())
        return at + timedelta(seconds=self._random.randrange(seconds)) if seconds > 0 else at
