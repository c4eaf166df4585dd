"""The sweep: ids and versions of everything Salesforce has against what is stored; every difference is healed."""

from typing import cast

import structlog

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
from connector.pages import BULK_PAGE, Checkpoint, Page, Reading, pages
from connector.transform import Plan
from connector.work import Work

SEEN = ("record_id", "is_deleted", "version_at")
NARROW_PAGE = 500_000
log = structlog.get_logger()


def sweep(work: Work) -> None:
    """Compare every object with Salesforce and heal what differs; goes on at the last page after an interruption.

    Raises:
        NeedsAttention: so many records are absent at once that it looks like lost permissions; nothing was marked.
    """
    for sobject in OBJECTS.values():
        try:
            _sweep_object(work, sobject, accept_absent=bool(work.lease.options.get("accept_absent")))
        except ObjectUnavailable as error:
            log.warning("object_skipped", object=sobject.name, reason=str(error))
    with transaction(work.runtime.database_url) as database:
        sweeps.forget_seen(database, work.lease.run_id)


def _sweep_object(work: Work, sobject: SalesforceObject, *, accept_absent: bool) -> None:
    selection = work.selection(sobject)
    if filters.settled(selection.tree, sobject.name) is False:
        return
    plan, _drift = work.plan(sobject, selection)
    if not _progress(work, sobject).get("seen"):
        _see(work, plan)
    with transaction(work.runtime.database_url) as database:
        found = sweeps.differences(
            database, work.lease.run_id, work.lease.source_id, sobject.name, narrowed=bool(plan.condition)
        )
    _heal(work, plan, found, accept_absent=accept_absent)


def _see(work: Work, plan: Plan) -> None:
    """Read ids and versions of everything; all mapped fields if some change without a stamp, since nothing else would.

    Narrow rows come in larger pages: fewer calls.
    """
    fields = plan.fields if plan.volatile else tuple(plan.layout.fixed[name] for name in SEEN)
    reading = Reading(
        client=work.client,
        sobject=plan.sobject.name,
        fields=fields,
        part=Pass("all", plan.layout.fixed["version_at"], plan.condition),
        bulk_threshold=work.runtime.settings.bulk_threshold,
        counted=True,
        bulk_page=BULK_PAGE if plan.volatile else NARROW_PAGE,
    )
    for page in pages(reading, _progress(work, plan.sobject).get("page")):
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
        run = database.get_one(Run, work.lease.run_id)
        run.checkpoint = {**(run.checkpoint or {}), name: {"page": page.checkpoint, "seen": page.last}}


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
    healed = [
        (record_id, kind, "read again" if record_id in known else "marked as gone")
        for record_id, kind in kinds.items()
        if not (kind == "phantom" and record_id in known)
    ]
    with transaction(work.runtime.database_url) as database:
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
