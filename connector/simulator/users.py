"""The users of a simulated org and what each may do."""

from __future__ import annotations

from dataclasses import dataclass

from .org import Org


@dataclass(eq=False)
class User:
    """A user who can log in, with the rights that Salesforce checks before it looks at any row.

    The rights may be changed at any time.
    """

    id: str
    username: str
    first_name: str
    last_name: str
    active: bool = True
    api_enabled: bool = True
    can_write: bool = True
    can_view_setup: bool = True

    @property
    def name(self) -> str:
        """First and last name."""
        return f"{self.first_name} {self.last_name}"


def users_of(org: Org) -> dict[str, User]:
    """The users among the rows of an org, by lower-case user name."""
    rows = org.snapshot("User").values()
    users = (User(row["Id"], row["Username"], row["FirstName"] or "", row["LastName"], row["IsActive"]) for row in rows)
    return {user.username.lower(): user for user in users}
