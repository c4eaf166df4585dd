"""The life of a data source: what each step of it does."""

from datetime import UTC, datetime

from cdp import removal
from cdp.db import transaction
from cdp.models import Source
from connector import notifying, runs, sources, states
from connector.auth import Credentials
from connector.runtime import Runtime
from connector.work import Work


def take(runtime: Runtime, name: str, step: str) -> Source:
    """Take a source one step further in its life.

    Raises:
        BadInput: there is no such source.
        Refused: its state does not allow this step.
    """
    with transaction(runtime.database_url) as database:
        source = sources.hold(database, name)
        states.check(source, step)
        source.state = states.STEPS[step].leads_to or source.state
        if step in ("resume", "reconnect"):
            source.next_poll_at = datetime.now(UTC)
        if step == "reconnect":
            sources.forget_attention(database, source.key)
        if step == "disconnect":
            source.session = None
            runs.cancel_open(database, source.key)
    return source


def reconnect(runtime: Runtime, name: str) -> Source:
    """Connect a disconnected source again with the credentials it has, once they have been tried."""
    with transaction(runtime.database_url) as database:
        source = sources.find(database, name)
        states.check(source, "reconnect")
    sources.open_org(runtime, source.key)
    reconnected = take(runtime, name, "reconnect")
    notifying.deliver(runtime.database_url, runtime.settings.notify_urls, source.key)
    return reconnected


def reauthenticate(runtime: Runtime, name: str, credentials: Credentials) -> Source:
    """Give a source new credentials for the same org; who connected it first stays noted.

    Raises:
        Refused: the source is archived or being deleted, or the login leads to another org ("switching organizations").
    """
    with transaction(runtime.database_url) as database:
        source = sources.find(database, name)
        states.check(source, "reauthenticate")
    changed = sources.replace_credentials(runtime, source, credentials)
    notifying.deliver(runtime.database_url, runtime.settings.notify_urls, source.key)
    return changed


def reschedule(runtime: Runtime, name: str, interval: int | None, sweep_hour: int | None, *, default: bool) -> Source:
    """Give a source an interval of its own, or an hour of its sweeps, or with `default` those of the settings.

    None keeps what it has. The next poll or the next sweep follows what is chosen from now on; the other stays due when
    it was.

    Raises:
        BadInput: there is no such source.
        Refused: the org is not used now.
    """
    with transaction(runtime.database_url) as database:
        source = sources.hold(database, name)
        states.check(source, "ask")
        source.poll_interval = interval or (None if default else source.poll_interval)
        source.sweep_hour = sweep_hour if sweep_hour is not None or default else source.sweep_hour
        schedule, now = sources.schedule(runtime, source), datetime.now(UTC)
        if interval is not None or default:
            source.next_poll_at = min(source.next_poll_at, schedule.next_poll(now))
        if sweep_hour is not None or default:
            source.next_sweep_at = schedule.next_sweep(now)
    return source


def consequences(runtime: Runtime, name: str) -> tuple[Source, removal.Consequences]:
    """Tell beforehand what deleting a source takes away.

    Raises:
        Refused: its state does not allow to delete it.
    """
    with transaction(runtime.database_url) as database:
        source = sources.find(database, name)
        states.check(source, "delete")
        return source, removal.consequences(database, source.key)


def begin_removal(runtime: Runtime, name: str) -> int:
    """Mark an archived source for deletion and return the run that carries it out in the background."""
    source = take(runtime, name, "delete")
    return runs.request(runtime.database_url, source.key, "removal")


def remove(work: Work) -> None:
    """Carry out a removal: records in slices, then everything else of the source; may be interrupted at any point."""
    while True:
        with transaction(work.runtime.database_url) as database:
            removed = removal.remove_slice(database, work.lease.source_id)
            work.lease.note(database, "all", removed)
        if not removed.deleted:
            break
        work.make_way()
