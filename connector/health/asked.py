"""What the org itself tells of a source: login, API, rights, mappings, consent, what the filter selects."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cdp.db import transaction
from cdp.fields import registered
from cdp.models import Source
from connector import choosing, diagnosis, filters, mappings, permissions, soql, sources
from connector.checks import Finding, check
from connector.client import OrgClient
from connector.errors import ConnectorError, ObjectUnavailable
from connector.filters.logic import Columns
from connector.objects import PEOPLE
from connector.paths import Describes
from connector.runtime import Runtime
from connector.states import LIVING

GENERIC = ("https://login.salesforce.com", "https://test.salesforce.com")
PRESENT = "IsDeleted = false"


def asked(runtime: Runtime, source: Source) -> list[Finding]:
    """Ask the org itself; nothing when the source does not use it now."""
    if source.state not in LIVING:
        return []
    try:
        client = sources.open_org(runtime, source.key)
        known = Describes(client.describe)
        client.describe_global()
    except ConnectorError as error:
        return [_failed("credentials", error)]
    parts: Mapping[str, Callable[[], Iterator[Finding]]] = {
        "org": lambda: _organization(client, source),
        "rights": lambda: _rights(client),
        "mapping": lambda: _mappings(runtime, source, known),
        "consent": lambda: _consent(source, known),
        "filter": lambda: _selected(runtime, source, client, known),
    }
    found = [Finding("credentials", "ok", "The credentials work."), *_login_host(source)]
    for name, part in parts.items():
        try:
            found += part()
        except ConnectorError as error:
            found.append(_failed(name, error))
    return found


def _failed(name: str, error: ConnectorError) -> Finding:
    if problem := diagnosis.meaning(error):
        return Finding(name, "failing", problem.message, problem.remedy)
    words = f"This could not be checked: {str(error).rstrip('.')}."
    return Finding(name, "failing", words, "See that the org can be reached, and try again.")


def _login_host(source: Source) -> Iterator[Finding]:
    if source.login_url in GENERIC:
        words = f"The source logs in at {source.login_url}, which an admin may close to API logins."
        yield Finding("login_host", "warning", words, "Connect it at the org's own My Domain address.")
    else:
        yield Finding("login_host", "ok", "The source logs in at an address of the org's own.")


def _organization(client: OrgClient, source: Source) -> Iterator[Finding]:
    rows = client.query(soql.select("Organization", ("Id", "IsSandbox"))).records
    found: dict[str, Any] = rows[0] if rows else {"Id": source.org_id, "IsSandbox": ".sandbox." in source.instance_url}
    if found["Id"][:15] != source.org_id[:15]:
        words = f"The login leads to the org {found['Id']} instead of {source.org_id}."
        yield Finding("org", "failing", words, "Reauthenticate with a user of the first org.")
        return
    yield Finding("org", "ok", f"The login leads to the org {source.org_id}.")
    if found["IsSandbox"]:
        words = "The org is a sandbox: when it is refreshed it becomes another org, and must be connected anew."
        yield Finding("sandbox", "ok", words)


def _rights(client: OrgClient) -> Iterator[Finding]:
    described = {}
    for name in PEOPLE:
        try:
            described[name] = client.describe(name)
        except ObjectUnavailable:
            continue
    yield from check(client, described)


def _mappings(runtime: Runtime, source: Source, known: Describes) -> Iterator[Finding]:
    with transaction(runtime.database_url) as database:
        registry = {field.name: field for field in registered(database)}
    found = mappings.standing(source, known, registry)
    broken = [f"{one.object}.{one.field}" for one in found if one.problem]
    if broken:
        words = f"Of {len(found)} mapped fields {len(broken)} cannot be read: {', '.join(broken)}."
        yield Finding(
            "mapping", "failing", words, f"`connector mapping show '{source.name}'` tells how to repair each."
        )
    else:
        yield Finding("mapping", "ok", f"All {len(found)} mapped fields can be read.")


def _consent(source: Source, known: Describes) -> Iterator[Finding]:
    found = permissions.standing(source, known)
    if broken := [f"{one.object}.{one.field} ({one.channel})" for one in found if one.problem]:
        words = f"New opt-outs are not known, since these cannot be read: {', '.join(broken)}."
        yield Finding(
            "consent", "failing", words, f"`connector permission show '{source.name}'` tells how to repair each."
        )
    elif missing := sorted(PEOPLE.keys() - {one.object for one in found if one.channel == "email"}):
        words = f"No field says yes or no to e-mail for {' and '.join(missing)}."
        yield Finding("consent", "warning", words, f"Set one with `connector permission set '{source.name}'`.")
    else:
        yield Finding("consent", "ok", "The fields that say yes or no can be read.")


def _selected(runtime: Runtime, source: Source, client: OrgClient, known: Describes) -> Iterator[Finding]:
    """How many records are let in now: a filter that selects nothing looks just like a source that is idle."""
    with transaction(runtime.database_url) as database:
        tree = choosing.current(database, source.key)
    counts: dict[str, int | None] = {}
    for sobject, columns in choosing.visible(known, tree).items():
        counts[sobject] = _count(client, tree, sobject, columns)
    chooser = "The login sees" if tree is None else "The filter selects"
    for sobject, count in counts.items():
        name = f"filter_{sobject.lower()}"
        if count is None:
            yield Finding(name, "ok", f"The filter leaves {sobject}s out.")
        elif count:
            yield Finding(name, "ok", f"{chooser} {count:,} {sobject}s.")
        else:
            yield Finding(name, "warning", f"{chooser} no {sobject}s.", _remedy(source, filtered=tree is not None))
    if not any(counts.values()):
        words = "Nothing is selected, so no records are imported."
        yield Finding("filter", "failing", words, _remedy(source, filtered=tree is not None))


def _count(client: OrgClient, tree: filters.Node | None, sobject: str, columns: Columns) -> int | None:
    condition = filters.compiled(tree, sobject, columns, client.observed.server_time)
    if condition is False:
        return None
    return client.count(sobject, soql.both("" if condition is True else condition, PRESENT))


def _remedy(source: Source, *, filtered: bool) -> str:
    if filtered:
        return f"Widen the filter; try it first with `connector filter preview '{source.name}' --file FILE`."
    return "If there are some in Salesforce, give the user 'View All' on the object, or share them with it."
