"""The sweep: ids and versions of everything Salesforce has against what is stored; every difference is healed."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import structlog

from cdp import sweeps
from cdp.db import transaction
from cdp.records import Outcome
from connector import filters
from connector.cursors import Pass
from connector.errors import SWEEP_BRAKE, NeedsAttention, ObjectUnavailable
from connector.fetching import fetch, mark_absent
from connector.objects import OBJECTS, SalesforceObject
from connector.pages import BULK_PAGE, Page, Reading, begin, pages
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
    """Decide how to read an object and begin; no plan when this run is done with it, or the filter lets none in."""
    selection = work.selection(sobject)
    if work.progress(sobject.name).get("done") or filters.settled(selection.tree, sobject.name) is False:
        return []
    plan, _drift = work.plan(sobject, selection)
    if plan.of_settings:
        return []
    if not work.progress(sobject.name):
        with transaction(work.runtime.database_url) as database:
            stored = sweeps.count_stored(database, work.source.key, sobject.name, sobject.table)
        start = begin(_reading(work, plan), rows=stored)
        with transaction(work.runtime.database_url) as database:
            work.lease.note(database, sobject.name, Outcome())
            work.keep_progress(database, sobject.name, {"page": start, "seen": False})
    return [plan]


def _compare(work: Work, plan: Plan) -> None:
    name = plan.sobject.name
    if not work.progress(name)["seen"]:
        _see(work, plan)
    began = _look_again(work, plan)
    _mark_absent(work, plan, began)
    with work.page() as database:
        work.lease.note(database, name, Outcome())
        work.keep_progress(database, name, {"done": True})


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
    for page in pages(_reading(work, plan), work.progress(plan.sobject.name)["page"]):
        _keep_page(work, plan, page)


def _keep_page(work: Work, plan: Plan, page: Page) -> None:
    name = plan.sobject.name
    with work.page() as database:
        if plan.volatile:
            outcome = work.store(database, plan, page.chunks, page.read_at)
            sweeps.keep_staged(database, work.lease.run_id, name, plan.layout)
            page.check(outcome.read)
        else:
            page.check(sweeps.keep_seen(database, work.lease.run_id, name, page.chunks()))
            work.lease.note(database, name, Outcome())
        work.keep_progress(database, name, {"page": page.checkpoint, "seen": page.last})


def _look_again(work: Work, plan: Plan) -> datetime:
    """Read again what differs, and note what became of it; what Salesforce does not know at this second look is absent.

    Goes on behind the last id after an interruption: what differs for ever, as rows in quarantine do, is read once.
    Returns the server's time when the look began.
    """
    name, run_id, source_id = plan.sobject.name, work.lease.run_id, work.source.key
    with transaction(work.runtime.database_url) as database:
        table, narrowed = plan.sobject.table, bool(plan.condition)
        found = sweeps.differences(database, run_id, source_id, name, table=table, narrowed=narrowed)
    progress = {"seen": True, "looked_to": "", "began": work.client.observed.server_time.isoformat()}
    progress |= work.progress(name)
    kinds = {one.record_id: one.kind for one in found if one.record_id > str(progress["looked_to"])}
    for looked_for, known in fetch(work, plan, kinds):
        with work.page() as database:
            refused = sweeps.quarantined(database, source_id, name)
            healed = [(one, kinds[one]) for one in known - refused if kinds[one] != "phantom"]
            absent = [(one, kinds[one]) for one in looked_for if one not in known]
            work.lease.note(database, name, Outcome())
            sweeps.keep_looked(database, run_id, name, healed, absent)
            work.keep_progress(database, name, progress | {"looked_to": looked_for[-1]})
    return datetime.fromisoformat(str(progress["began"]))


def _mark_absent(work: Work, plan: Plan, began: datetime) -> None:
    """Mark as gone what was looked for in vain, unless so much is absent that a person must say it is right."""
    name, run_id = plan.sobject.name, work.lease.run_id
    with transaction(work.runtime.database_url) as database:
        absent = sweeps.absent(database, run_id, name)
    if not work.lease.options.get("accept_absent"):
        _brake(work, plan, sum(kind == "phantom" for kind in absent.values()))
    mark_absent(work, plan, absent, began)
    with transaction(work.runtime.database_url) as database:
        healed = sweeps.settle_absent(database, run_id, name)
    log.info("sweep_healed", object=name, differences=healed)


def _brake(work: Work, plan: Plan, absent: int) -> None:
    """Ask a person before marking very many records as gone: lost permissions look just like mass deletion."""
    name = plan.sobject.name
    with transaction(work.runtime.database_url) as database:
        if not sweeps.braked(database, work.lease.source_id, name, absent, plan.sobject.table):
            return
        sweeps.forget_absent(database, work.lease.run_id, name)
    raise NeedsAttention(
        SWEEP_BRAKE,
        f"{absent:,} {name} records are absent from Salesforce at once, so none of them was marked.",
        "Check that the login still sees all records; if they are truly gone, run "
        f"`connector sweep '{work.source.name}' --accept-absent`.",
        blocks=False,
    )
