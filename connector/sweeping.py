"""The sweep: ids and versions of everything Salesforce has against what is stored; every difference is healed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import structlog
from sqlmodel import Session

from cdp import sweeps
from cdp.db import transaction
from cdp.models import Run
from cdp.records import Outcome
from cdp.sweeps import Difference
from connector import filters
from connector.cursors import Pass
from connector.errors import SWEEP_BRAKE, NeedsAttention, ObjectUnavailable
from connector.fetching import fetch, mark_absent
from connector.objects import OBJECTS, SalesforceObject
from connector.pages import BULK_PAGE, Checkpoint, Page, Reading, begin, pages
from connector.transform import Plan
from connector.work import Work

SEEN = ("record_id", "is_deleted", "version_at")
NARROW_PAGE = 500_000
log = structlog.get_logger()


def sweep(work: Work) -> None:
    """Compare every object with Salesforce and heal what differs; goes on at the last page after an interruption.

    All are begun before the first is compared, so that Salesforce works on the bulk jobs of the others meanwhile.

    Raises:
        NeedsAttention: so many records are absent at once that it looks like lost permissions; nothing was marked.
    """
    plans: list[Plan] = []
    for sobject in OBJECTS.values():
        with _skipped_unless_visible(sobject):
            plans += _begin(work, sobject)
    for plan in plans:
        with _skipped_unless_visible(plan.sobject):
            _compare(work, plan)
    with transaction(work.runtime.database_url) as database:
        sweeps.forget_seen(database, work.lease.run_id)


@contextmanager
def _skipped_unless_visible(sobject: SalesforceObject) -> Iterator[None]:
    try:
        yield
    except ObjectUnavailable as error:
        log.warning("object_skipped", object=sobject.name, reason=str(error))


def _begin(work: Work, sobject: SalesforceObject) -> list[Plan]:
    """Decide how to read an object and begin; no plan when the filter lets none of it in."""
    selection = work.selection(sobject)
    if filters.settled(selection.tree, sobject.name) is False:
        return []
    plan, _drift = work.plan(sobject, selection)
    if not _progress(work, sobject):
        with transaction(work.runtime.database_url) as database:
            stored = sweeps.count_stored(database, work.source.key, sobject.name)
        _note_progress(work, sobject, {"page": begin(_reading(work, plan), rows=stored), "seen": False})
    return [plan]


def _compare(work: Work, plan: Plan) -> None:
    sobject = plan.sobject
    if not _progress(work, sobject)["seen"]:
        _see(work, plan)
    with transaction(work.runtime.database_url) as database:
        found = sweeps.differences(
            database, work.lease.run_id, work.lease.source_id, sobject.name, narrowed=bool(plan.condition)
        )
    _heal(work, plan, found, accept_absent=bool(work.lease.options.get("accept_absent")))


def _reading(work: Work, plan: Plan) -> Reading:
    """Ids and versions of everything; all mapped fields if some change without a stamp, since nothing else tells.

    Narrow rows come in larger pages: fewer calls.
    """
    fields = plan.fields if plan.volatile else tuple(plan.layout.fixed[name] for name in SEEN)
    return Reading(
        client=work.client,
        sobject=plan.sobject.name,
        fields=fields,
        part=Pass("all", plan.layout.fixed["version_at"], plan.condition),
        bulk_threshold=work.runtime.settings.bulk_threshold,
        counted=True,
        bulk_page=BULK_PAGE if plan.volatile else NARROW_PAGE,
    )


def _see(work: Work, plan: Plan) -> None:
    for page in pages(_reading(work, plan), _progress(work, plan.sobject)["page"]):
        work.guard_quota()
        _keep_page(work, plan, page)


def _keep_page(work: Work, plan: Plan, page: Page) -> None:
    name = plan.sobject.name
    with transaction(work.runtime.database_url) as database:
        if plan.volatile:
            outcome = work.store(database, plan, page.chunks, page.read_at)
            sweeps.keep_staged(database, work.lease.run_id, name, plan.layout)
            page.check(outcome.read)
        else:
            page.check(sweeps.keep_seen(database, work.lease.run_id, name, page.chunks()))
            work.lease.note(database, name, Outcome())
        _keep_progress(database, work, plan.sobject, {"page": page.checkpoint, "seen": page.last})


def _note_progress(work: Work, sobject: SalesforceObject, progress: Checkpoint) -> None:
    with transaction(work.runtime.database_url) as database:
        work.lease.note(database, sobject.name, Outcome())
        _keep_progress(database, work, sobject, progress)


def _keep_progress(database: Session, work: Work, sobject: SalesforceObject, progress: Checkpoint) -> None:
    run = database.get_one(Run, work.lease.run_id)
    run.checkpoint = {**(run.checkpoint or {}), sobject.name: progress}


def _progress(work: Work, sobject: SalesforceObject) -> Checkpoint:
    with transaction(work.runtime.database_url) as database:
        run = database.get_one(Run, work.lease.run_id)
    return cast("Checkpoint", (run.checkpoint or {}).get(sobject.name, {}))


def _heal(work: Work, plan: Plan, found: list[Difference], *, accept_absent: bool) -> None:
    """Read again what differs, and mark as gone what Salesforce does not know at this second look."""
    kinds = {difference.record_id: difference.kind for difference in found}
    began = work.client.observed.server_time
    known = fetch(work, plan, list(kinds))
    absent = kinds.keys() - known
    if not accept_absent:
        _brake(work, plan, sum(kinds[record_id] == "phantom" for record_id in absent))
    mark_absent(work, plan, absent, began)
    with transaction(work.runtime.database_url) as database:
        refused = sweeps.quarantined(database, work.source.key, plan.sobject.name)
        healed = [
            (record_id, kind, "read again" if record_id in known else "marked as gone")
            for record_id, kind in kinds.items()
            if record_id not in refused and not (kind == "phantom" and record_id in known)
        ]
        sweeps.keep_healed(database, work.lease.run_id, plan.sobject.name, healed)
    log.info("sweep_healed", object=plan.sobject.name, differences=len(healed))


def _brake(work: Work, plan: Plan, absent: int) -> None:
    """Ask a person before marking very many records as gone: lost permissions look just like mass deletion."""
    name = plan.sobject.name
    with transaction(work.runtime.database_url) as database:
        if not sweeps.braked(database, work.lease.source_id, name, absent):
            return
    raise NeedsAttention(
        SWEEP_BRAKE,
        f"{absent:,} {name} records are absent from Salesforce at once, so none of them was marked.",
        "Check that the login still sees all records; if they are truly gone, run "
        f"`connector sweep '{work.source.name}' --accept-absent`.",
        blocks=False,
    )
