"""What a login can do, found out at once when an org is connected: each finding is a sentence with its remedy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from connector.client import API_VERSION, OrgClient
from connector.errors import NeedsAttention
from connector.objects import PEOPLE
from connector.transform import field_types

MANY_FIELDS = 100


@dataclass(frozen=True)
class Finding:
    """One check: how it stands, what was found, and what to do about it."""

    check: str
    status: Literal["ok", "warning", "failing"]
    finding: str
    remedy: str = ""


def check(client: OrgClient, described: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    """Check a fresh login; `described` holds the describe of each people object that the user may see.

    Raises:
        NeedsAttention: neither Leads nor Contacts can be read, or the API version is not served.
    """
    if API_VERSION not in client.versions():
        raise NeedsAttention(
            "api_version",
            f"The org does not serve API version {API_VERSION}.",
            "Use a current release of the connector.",
        )
    if not described:
        raise NeedsAttention(
            "nothing_readable",
            "The login can see neither Leads nor Contacts.",
            "Give its profile or permission set 'Read' and 'View All' on Lead and Contact.",
        )
    findings = [Finding("api", "ok", f"The API is enabled and serves version {API_VERSION}.")]
    for name in PEOPLE:
        findings += _object_findings(name, described.get(name))
    findings.append(_rights(described))
    return findings


def _object_findings(name: str, describe: Mapping[str, Any] | None) -> list[Finding]:
    if describe is None:
        remedy = f"Give the user 'Read' and 'View All' on {name}, or leave it out."
        return [Finding(f"read_{name.lower()}", "warning", f"{name} records cannot be read and are left out.", remedy)]
    types = field_types(describe)
    findings = [Finding(f"read_{name.lower()}", "ok", f"{name} records can be read, with {len(types)} fields.")]
    opt_out = PEOPLE[name].opt_out
    if opt_out not in types:
        findings.append(
            Finding(
                f"consent_{name.lower()}",
                "warning",
                f"{name}.{opt_out} is hidden, so e-mail opt-outs of {name} records are not known.",
                "Give the user read access to the field and set the permission mapping.",
            )
        )
    return findings


def _rights(described: Mapping[str, Mapping[str, Any]]) -> Finding:
    """The connector only reads; a login that may write has more rights than it needs."""
    writable = [name for name, describe in described.items() if describe["updateable"]]
    if not writable:
        return Finding("least_rights", "ok", "The login may only read.")
    return Finding(
        "least_rights",
        "warning",
        f"The login may also change {' and '.join(writable)} records, which the connector never does.",
        "Use a permission set with read access only.",
    )


def fields_mapped(count: int) -> Finding | None:
    """Return an advice when so many fields are mapped that reading becomes slow."""
    if count <= MANY_FIELDS:
        return None
    return Finding(
        "fields_mapped",
        "warning",
        f"{count} fields are mapped; above {MANY_FIELDS} reading becomes slow.",
        "Unmap the fields that nobody uses.",
    )
