"""Emails that merge nobody, as findings with their reason; they are personal data, for an admin's eyes only."""

from dataclasses import dataclass
from itertools import groupby

from sqlmodel import Session

from cdp import queries
from connector.checks import Finding

TOLD = 10
REASONS = {
    "shared": ("shared_mailboxes", "shared by more than {most:,} records"),
    "placeholder": ("placeholders", "on the list of placeholders"),
    "invalid": ("invalid_emails", "no valid address"),
}
REMEDIES = {
    "shared": "Right for a mailbox that people share; for one person's address raise CONNECTOR_MAX_RECORDS_PER_KEY.",
    "placeholder": "Right for an address that nobody has; the list is CONNECTOR_NEVER_MERGE.",
    "invalid": "Correct them in Salesforce, and the records merge with others of the same address.",
}


@dataclass(frozen=True)
class Unmerged(Finding):
    """A finding with the emails it is about: `email` and how many `records` say it."""

    emails: tuple[queries.Row, ...] = ()


def unmerged(session: Session) -> list[Unmerged]:
    """Return a finding for each reason why emails of any source merge nobody; placeholders are as they should be."""
    found = groupby(queries.blocked_keys(session), key=lambda row: row["reason"])
    return [_finding(reason, list(same)) for reason, same in found] or [
        Unmerged("emails", "ok", "Every email that records say may merge them.")
    ]


def _finding(reason: str, rows: list[queries.Row]) -> Unmerged:
    check, words = REASONS[reason]
    told = ", ".join(f"{row['email']} ({row['records']:,})" for row in rows[:TOLD])
    rest = rows[0]["emails"] - min(len(rows), TOLD)
    return Unmerged(
        check,
        "ok" if reason == "placeholder" else "warning",
        f"Emails that merge nobody because they are {words.format(**rows[0])}: {told}"
        + (f" and {rest:,} more." if rest else "."),
        REMEDIES[reason],
        tuple({"email": row["email"], "records": row["records"]} for row in rows),
    )
