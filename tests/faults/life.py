"""What people do in an org all day, at random and repeatable: the edits that every fault happens among."""

from collections.abc import Callable
from random import Random

from connector.simulator import Org
from connector.simulator.population import populate

OBJECTS = ("Lead", "Contact")


class Life:
    """Edits of one org, each of rows that `random` picks; one that finds no row to work on does nothing."""

    def __init__(self, org: Org, random: Random) -> None:
        self.org = org
        self.random = random
        usual: tuple[Callable[[], None], ...] = (self.create, self.edit, self.automate, self.delete)
        rare = (self.undelete, self.merge, self.convert, self.swap_emails)
        self._weighted = {**dict.fromkeys(usual, 6), **dict.fromkeys(rare, 1), self.edit: 18}

    def go_on(self, steps: int, seconds: float = 0) -> None:
        """Let so many things happen, so many seconds apart."""
        chosen = self.random.choices(tuple(self._weighted), tuple(self._weighted.values()), k=steps)
        for act in chosen:
            act()
            self.org.clock.advance(seconds)

    def live(self, sobject: str) -> list[str]:
        """Ids of the rows that may be edited: not deleted, and no converted leads, which are read-only."""
        rows = self.org.snapshot(sobject)
        return sorted(i for i, row in rows.items() if not row["IsDeleted"] and not row.get("IsConverted"))

    def one(self, sobject: str | None = None) -> tuple[str, str] | None:
        """Any row that may be edited, as (object, id)."""
        sobject = sobject or self.random.choice(OBJECTS)
        found = self.live(sobject)
        return (sobject, self.random.choice(found)) if found else None

    def binned(self) -> list[tuple[str, str]]:
        """The rows in the recycle bin, as (object, id)."""
        return [(one, i) for one in OBJECTS for i in sorted(self.org.tables[one].bin)]

    def email(self) -> str | None:
        """One of few addresses, so that people share them; sometimes none."""
        return self.random.choice([f"p{number}@example.org" for number in range(40)] + [None, "P1@Example.org "])

    def create(self) -> None:
        """Somebody new."""
        sobject = self.random.choice(OBJECTS)
        company = {"Company": "Lima Lda"} if sobject == "Lead" else {}
        self.org.insert(sobject, {"LastName": f"New {self.random.random():.9f}", "Email": self.email()} | company)

    def edit(self) -> None:
        """A name, and sometimes the address."""
        if found := self.one():
            email = {"Email": self.email()} if self.random.random() < 0.3 else {}
            self.org.update(*found, {"LastName": f"Edited {self.random.random():.9f}"} | email)

    def automate(self) -> None:
        """A change that moves SystemModstamp alone."""
        if found := self.one():
            self.org.update(*found, {"Title": f"Made {self.random.random():.9f}"}, touch_last_modified=False)

    def delete(self) -> None:
        """Into the recycle bin."""
        if found := self.one():
            self.org.delete(*found)

    def purge(self) -> None:
        """Out of the recycle bin, or straight away."""
        candidates = self.binned() or [found for found in [self.one()] if found]
        if candidates:
            self.org.purge(*self.random.choice(candidates))

    def undelete(self) -> None:
        """Back from the recycle bin, unless a merge put it there."""
        rows = [(one, i) for one, i in self.binned() if self.org.row(one, i)["MasterRecordId"] is None]
        if rows:
            self.org.undelete(*self.random.choice(rows))

    def merge(self) -> None:
        """Two rows of one object into one."""
        sobject = self.random.choice(OBJECTS)
        found = self.live(sobject)
        if len(found) > 1:
            winner, loser = self.random.sample(found, 2)
            self.org.merge(sobject, winner, [loser])

    def convert(self) -> None:
        """A lead into a new contact, or into one that is there."""
        lead, contact = self.one("Lead"), self.one("Contact")
        if lead:
            self.org.convert(lead[1], contact=contact[1] if contact and self.random.random() < 0.5 else None)

    def swap_emails(self) -> None:
        """Two rows of one object exchange their addresses."""
        sobject = self.random.choice(OBJECTS)
        found = self.live(sobject)
        if len(found) > 1:
            one, other = self.random.sample(found, 2)
            mine, theirs = (self.org.row(sobject, i)["Email"] for i in (one, other))
            self.org.update(sobject, one, {"Email": theirs})
            self.org.update(sobject, other, {"Email": mine})


def settle(org: Org, random: Random, leads: int = 60, contacts: int = 40) -> Life:
    """Fill an org with people and return the life that goes on in it."""
    populate(org, leads=leads, contacts=contacts, campaigns=0, opportunities=0, seed=random.randrange(2**30))
    org.clock.advance(3600)
    return Life(org, random)
