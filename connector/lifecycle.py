"""The life of a data source: which state follows which, and what each step does; a refusal says what to do first."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlmodel import Session

from cdp import removal
from cdp.db import transaction
from cdp.models import Source
from connector import notifying, runs, sources
from connector.auth import Credentials
from connector.errors import Refused
from connector.runtime import Runtime
from connector.work import Work

LIVING = ("connected", "paused")


@dataclass(frozen=True)
class Step:
    """One step: the states it may start from, the state it leads to, and what to do where it may not."""

    starts: tuple[str, ...]
    leads_to: str
    otherwise: str


STEPS = {
    "pause": Step(("connected",), "paused", "only a connected data source can be paused"),
    "resume": Step(("paused",), "connected", "only a paused data source can be resumed"),
    "disconnect": Step(LIVING, "disconnected", "it is disconnected already"),
    "reconnect": Step(("disconnected",), "connected", "only a disconnected data source can be reconnected"),
    "archive": Step(("disconnected",), "archived", "disconnect it first"),
    "delete": Step(("archived", "deleting"), "deleting", "archive it first"),
}


def take(runtime: Runtime, name: str, step: str) -> Source:
    """Take a source one step further in its life.

    Raises:
        BadInput: there is no such source.
        Refused: its state does not allow this step.
    """
    with transaction(runtime.database_url) as database:
        source = sources.find(database, name)
        _check(source, step)
        source.state = STEPS[step].leads_to
        if step in ("resume", "reconnect"):
            source.next_poll_at = datetime.now(UTC)
        if step == "reconnect":
            sources.forget_attention(database, source.key)
        if step == "disconnect":
            source.session = None
            runs.cancel_open(database, source.key)
    return source


def _check(source: Source, step: str) -> None:
    if source.state not in STEPS[step].starts:
        raise Refused(f"The data source '{source.name}' is {source.state}: {STEPS[step].otherwise}.")


def reconnect(runtime: Runtime, name: str) -> Source:
    """Connect a disconnected source again with the credentials it has, once they have been tried."""
    with transaction(runtime.database_url) as database:
        source = sources.find(database, name)
        _check(source, "reconnect")
    sources.open_org(runtime, source.key)
    reconnected = take(runtime, name, "reconnect")
    notifying.deliver(runtime.database_url, runtime.settings.notify_urls, source.key)
    return reconnected


def reauthenticate(runtime: Runtime, name: str, credentials: Credentials) -> Source:
    """Give a source new credentials for the same org; who connected it first stays noted.

    Raises:
        Refused: the source is archived, or the login leads to another org ("switching organizations").
    """
    with transaction(runtime.database_url) as database:
        source = sources.find(database, name)
        if source.state not in (*LIVING, "disconnected"):
            raise Refused(f"The data source '{name}' is {source.state}: connect the org anew after deleting it.")
    changed = sources.replace_credentials(runtime, source, credentials)
    notifying.deliver(runtime.database_url, runtime.settings.notify_urls, source.key)
    return changed


def consequences(session: Session, source: Source) -> removal.Consequences:
    """Tell beforehand what deleting a source takes away."""
    return removal.consequences(session, source.key)


def begin_removal(runtime: Runtime, name: str) -> int:
    """Mark an archived source for deletion and return the run that carries it out in the background."""
    source = take(runtime, name, "delete")
    return runs.request(runtime.database_url, source.key, "removal")


def remove(work: Work) -> None:
    """Carry out a removal: records in slices, then everything else of the source; may be interrupted at any point."""
    url, source_id = work.runtime.database_url, work.lease.source_id
    while True:
        with transaction(url) as database:
            removed = removal.remove_slice(database, source_id)
            work.lease.note(database, "all", removed)
        if not removed.deleted:
            break
