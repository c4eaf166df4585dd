"""The activities that a connector must tell, computed from the org's own log of events and nothing of ours.

What Salesforce keeps is taken from the events themselves: each step of a deal from the events of the deal, not from its
OpportunityHistory. Only what Salesforce does not keep, such as the former status of a member, is taken from the rows as
they were at each poll.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from functools import cached_property
from typing import Any

from connector.simulator import Org

ENDED = ("deleted", "gone")
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Told:
    """What one activity must say; `person` is the person's id, or None."""

    kind: str
    object: str
    record_id: str
    occurred_at: datetime
    old: Any = None
    new: Any = None
    person: str | None = None


@dataclass(frozen=True)
class Seen:
    """A row as a poll found it: `state` is live, deleted or gone; `at` is when that began, if it is not live."""

    state: str
    row: Row
    at: datetime


@dataclass(frozen=True)
class Expectation:
    """An org, how long its log was at each poll, and which person each of its live Leads and Contacts is part of."""

    org: Org
    polls: Sequence[int]
    people: Mapping[str, str]

    def all(self) -> list[Told]:
        """Every activity that there must be."""
        return [*self._members(), *self._deals(), *self._roles(), *self._leads(), *self._merges()]

    def _ids(self, sobject: str) -> list[str]:
        return sorted({event.id for event in self.org.history if event.object == sobject})

    @cached_property
    def _events(self) -> dict[str, list[tuple[int, Any]]]:
        found: dict[str, list[tuple[int, Any]]] = {}
        for number, event in enumerate(self.org.history):
            found.setdefault(event.id, []).append((number, event))
        return found

    def seen(self, record_id: str) -> list[Seen]:
        """The row as each poll found it; a poll that found it purged before any saw it found nothing."""
        found: list[Seen] = []
        for poll in self.polls:
            events = [event for number, event in self._events[record_id] if number < poll]
            if not events:
                continue
            last = events[-1]
            if last.action != "purge":
                found.append(Seen("deleted" if last.row["IsDeleted"] else "live", last.row, last.row["SystemModstamp"]))
            elif found:
                ended = [event for event in events if event.action == "delete"][-1]
                found.append(Seen("gone", found[-1].row, ended.row["SystemModstamp"]))
        return found

    def _changes(self, sobject: str) -> Iterator[tuple[str, Seen | None, Seen]]:
        """Each row's readings with the one before, the first with none."""
        for record_id in self._ids(sobject):
            seen = self.seen(record_id)
            yield from ((record_id, before, now) for before, now in zip([None, *seen], seen, strict=False))

    def _ends(self, before: Seen | None, now: Seen) -> bool:
        return now.state in ENDED and (before is None or before.state == "live")

    def _members(self) -> Iterator[Told]:
        for record_id, before, now in self._changes("CampaignMember"):
            who = self._member_person(self.seen(record_id)[-1].row)
            about = {"object": "CampaignMember", "record_id": record_id, "person": who}
            if before is None:
                yield Told("campaign_member_added", occurred_at=now.row["CreatedDate"], **about)
            yield from self._responses(before, now, about)
            if self._ends(before, now):
                kind = "removed" if now.state == "deleted" else "deleted"
                yield Told(f"campaign_member_{kind}", occurred_at=now.at, **about)

    def _responses(self, before: Seen | None, now: Seen, about: dict[str, Any]) -> Iterator[Told]:
        old, new = (before.row if before else None), now.row
        first = new["FirstRespondedDate"] is not None and (old is None or old["FirstRespondedDate"] is None)
        moved = old is not None and old["Status"] != new["Status"]
        if not first and not moved:
            return
        at = new["LastModifiedDate"]
        if old is not None and at <= old["LastModifiedDate"]:
            at = new["SystemModstamp"]
        if first:
            day = new["FirstRespondedDate"]
            close = abs((at.date() - day).days) <= (0 if old is None else 1)
            at = at if close else max(datetime.combine(day, time(), UTC), new["CreatedDate"])
        was = old["Status"] if old else None
        yield Told("campaign_member_status_updated", occurred_at=at, old=was, new=new["Status"], **about)

    def _deals(self) -> Iterator[Told]:
        for record_id in self._ids("Opportunity"):
            seen = self.seen(record_id)
            if not seen:
                continue
            about = {"object": "Opportunity", "record_id": record_id, "person": self._deal_person(record_id, seen[-1])}
            yield Told("opportunity_created", occurred_at=seen[0].row["CreatedDate"], **about)
            yield from self._steps(record_id, about)
            for before, now in zip([None, *seen], seen, strict=False):
                if self._ends(before, now):
                    yield Told("opportunity_deleted", occurred_at=now.at, **about)

    def _steps(self, record_id: str, about: dict[str, Any]) -> Iterator[Told]:
        """The steps of a deal up to the last poll that found its rows."""
        purged = [number for number, event in self._events[record_id] if event.action == "purge"]
        polls = [poll for poll in self.polls if not purged or poll <= purged[0]]
        rows = [event.row for number, event in self._events[record_id] if number < polls[-1]]
        for old, new in zip([None, *rows], rows, strict=False):
            step = about | {"occurred_at": new["SystemModstamp"]}
            if old and old["StageName"] != new["StageName"]:
                yield Told("opportunity_stage_changed", old=old["StageName"], new=new["StageName"], **step)
            if old and old["Amount"] != new["Amount"]:
                yield Told("opportunity_amount_changed", old=old["Amount"], new=new["Amount"], **step)
            was_open, was_won = old is None or not old["IsClosed"], bool(old and old["IsWon"])
            if new["IsWon"] and not was_won:
                yield Told("opportunity_won", **step)
            if new["IsClosed"] and not new["IsWon"] and (was_open or was_won):
                yield Told("opportunity_lost", **step)
            if not new["IsClosed"] and not was_open:
                yield Told("opportunity_reopened", old=old["StageName"] if old else None, **step)

    def _roles(self) -> Iterator[Told]:
        for record_id, before, now in self._changes("OpportunityContactRole"):
            who = self._person(self.seen(record_id)[-1].row["ContactId"])
            about = {"object": "OpportunityContactRole", "record_id": record_id, "person": who}
            if before is None:
                yield Told("opportunity_contact_linked", occurred_at=now.row["CreatedDate"], **about)
            if self._ends(before, now):
                yield Told("opportunity_contact_unlinked", occurred_at=now.at, **about)

    def _leads(self) -> Iterator[Told]:
        for record_id in self._ids("Lead"):
            converted = next((one.row for one in self.seen(record_id) if one.row["IsConverted"]), None)
            if converted is not None:
                stamp, day = converted["SystemModstamp"], converted["ConvertedDate"]
                at = stamp if abs((stamp.date() - day).days) <= 1 else datetime.combine(day, time(), UTC)
                yield Told("lead_converted", "Lead", record_id, at, person=self._person(record_id))

    def _merges(self) -> Iterator[Told]:
        for sobject in ("Lead", "Contact"):
            for record_id in self._ids(sobject):
                loser = next((one.row for one in self.seen(record_id) if one.row["MasterRecordId"]), None)
                if loser is not None:
                    at = loser["SystemModstamp"]
                    yield Told("records_merged", sobject, record_id, at, person=self._person(record_id))

    def _person(self, record_id: str | None) -> str | None:
        """The person of a record, or of the one that took its place."""
        while record_id and record_id not in self.people:
            row = self.seen(record_id)[-1].row
            record_id = row["MasterRecordId"] or row.get("ConvertedContactId")
        return self.people[record_id] if record_id else None

    def _member_person(self, row: Row) -> str | None:
        return self._person(row["ContactId"]) or self._person(row["LeadId"])

    def _deal_person(self, deal: str, last: Seen) -> str | None:
        """The person of the contact in the primary role, of a deal that has ended in that which went with it."""
        held = [seen[-1] for role in self._ids("OpportunityContactRole") if (seen := self.seen(role))]
        mine = [one for one in held if one.row["OpportunityId"] == deal and one.row["IsPrimary"]]
        counted = [one for one in mine if one.state == "live" or (last.state != "live" and one.at >= last.at)]
        if not counted:
            return None
        order = ("LastModifiedDate", "SystemModstamp", "Id")
        chosen = max(counted, key=lambda one: (one.state == "live", *(one.row[name] for name in order)))
        return self._person(chosen.row["ContactId"])
