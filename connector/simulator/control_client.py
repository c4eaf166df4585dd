"""A client of the scripting interface, for other processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

TIMEOUT = 60.0
POPULATE_TIMEOUT = 3600.0


class ControlClient:
    """Scripts one org of a running simulator: `url` is the org's address, `ca_file` the simulator's authority.

    Values come and go as JSON: dates and datetimes are ISO text. Every method raises requests.HTTPError when the
    simulator refuses.
    """

    def __init__(self, url: str, ca_file: str | Path) -> None:
        self._base = f"{url}/_control/"
        self._session = requests.Session()
        self._session.verify = str(ca_file)
        self._session.trust_env = False

    def org(self) -> dict[str, Any]:
        """Key, name, org_id, url, now, and counts of rows by object."""
        return self._call("GET", "org")

    def edit(self, action: str, *args: Any, transaction: int | None = None, **kwargs: Any) -> Any:  # noqa: ANN401
        """Call a method of the org, or of an open long transaction.

        `edit("insert", "Lead", {"LastName": "Lima", "Company": "Lima Lda"})` returns the id.
        """
        within = {} if transaction is None else {"transaction": transaction}
        return self._call("POST", "edit", {"action": action, "args": args, "kwargs": kwargs} | within)["result"]

    def begin(self) -> int:
        """Open a long transaction; end it with `edit("commit", transaction=N)` or `edit("rollback", transaction=N)`."""
        number: int = self._call("POST", "begin")["transaction"]
        return number

    def snapshot(self, object_name: str) -> dict[str, dict[str, Any]]:
        """The rows of an object by id, as they are."""
        return {row["Id"]: row for row in self._lines("snapshot", {"object": object_name})}

    def history(self, after: int = 0) -> Iterator[dict[str, Any]]:
        """The events from number `after` on."""
        return self._lines("history", {"after": str(after)})

    def populate(self, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401
        """Add a population: `leads`, `contacts`, `seed` and what else `populate` takes."""
        made: dict[str, Any] = self._send("POST", "populate", arguments, timeout=POPULATE_TIMEOUT).json()
        return made

    def advance(self, seconds: float) -> None:
        """Move the org's clock forward."""
        self._call("POST", "clock", {"advance": seconds})

    def use_api(self, calls: int) -> int:
        """Count API calls as if others had made them; the answer is the org's usage."""
        used: int = self._call("POST", "usage", {"calls": calls})["api_usage"]
        return used

    def add_fault(self, kind: str, **of_rule: Any) -> dict[str, Any]:  # noqa: ANN401
        """Put a fault rule in force, for this org unless `org` says otherwise."""
        return self._call("POST", "faults", {"kind": kind} | of_rule)

    def faults(self) -> list[dict[str, Any]]:
        """The rules in force, with `met` and `hits`."""
        rules: list[dict[str, Any]] = self._send("GET", "faults").json()
        return rules

    def clear_faults(self, name: str = "") -> None:
        """Lift the rules called `name`, or all."""
        self._send("DELETE", "faults", query={"name": name})

    def request_log(self) -> Iterator[dict[str, Any]]:
        """The requests to this org so far."""
        return self._lines("requests", {})

    def counters(self) -> dict[str, Any]:
        """`api_usage`, `requests`, `by_status`, `by_path`."""
        return self._call("GET", "counters")

    def change_settings(self, **settings: Any) -> None:  # noqa: ANN401
        """Change how the org behaves."""
        self._call("PATCH", "settings", settings)

    def restrict(self, username: str, **rights: bool) -> None:
        """Set the rights of a user: `active`, `api_enabled`, `can_write`, `can_view_setup`."""
        self._call("PATCH", "users", {"username": username} | rights)

    def act(self, action: str) -> Any:  # noqa: ANN401
        """`expire_sessions`, `revoke`, `drop_cursors`, `move` (returns the new address) or `clear_requests`."""
        return self._call("POST", "act", {"action": action})["result"]

    def credentials(self, flow: str = "client_credentials", username: str | None = None) -> dict[str, str]:
        """The contents of a credentials file."""
        query = {"flow": flow} | ({"username": username} if username else {})
        found: dict[str, str] = self._send("GET", "credentials", query=query).json()
        return found

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer: dict[str, Any] = self._send(method, path, body).json()
        return answer

    def _lines(self, path: str, query: dict[str, str]) -> Iterator[dict[str, Any]]:
        return (json.loads(line) for line in self._send("GET", path, query=query).content.splitlines())

    def _send(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        query: dict[str, str] | None = None,
        timeout: float = TIMEOUT,
    ) -> requests.Response:
        response = self._session.request(method, self._base + path, json=body, params=query, timeout=timeout)
        response.raise_for_status()
        return response
