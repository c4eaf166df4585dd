"""What every kind of run shares: the source and its org, a fresh plan of an object, and storing under the lease."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Self

from sqlmodel import Session

from cdp import fields, ingest
from cdp.db import driver, transaction
from cdp.errors import MalformedBatch
from cdp.models import Run, Source
from cdp.records import Batch, Outcome
from connector import choosing, filters, permits, schemas, sources, transform
from connector.choosing import Selection
from connector.client import OrgClient
from connector.errors import Transient
from connector.objects import SalesforceObject
from connector.outset import Outset
from connector.paths import Describes
from connector.runs import Lease
from connector.runtime import Runtime
from connector.schemas import Drift
from connector.slices import Slice, SliceOver
from connector.transform import Plan

MOST_NAMED = 10


@dataclass(frozen=True)
class Work:
    """What one run works with: the installation, the right to write, the source as it is now, and its org."""

    runtime: Runtime
    lease: Lease
    source: Source
    slice: Slice = field(default_factory=Slice)

    @cached_property
    def _covered(self) -> list[datetime]:
        return []

    @cached_property
    def client(self) -> OrgClient:
        """The org; signing in waits until something is asked of it."""
        return sources.open_org(self.runtime, self.lease.source_id, self.lease.kind)

    @cached_property
    def outset(self) -> Outset:
        """What was known of the objects when this slice began, or when `look_again` was last called."""
        with transaction(self.runtime.database_url) as database:
            return Outset.of(database, self.lease.source_id, self.lease.run_id)

    def look_again(self) -> None:
        """Have what is known of the objects be asked anew."""
        vars(self).pop("outset", None)

    @classmethod
    def begin(cls, runtime: Runtime, lease: Lease) -> Self:
        """Open the source of a claimed run."""
        with transaction(runtime.database_url) as database:
            source = database.get_one(Source, lease.source_id)
        return cls(runtime, lease, source)

    def selection(self, sobject: SalesforceObject) -> Selection:
        """Return the source's filter as it bears on an object."""
        with transaction(self.runtime.database_url) as database:
            return choosing.selection(database, self.source.key, sobject.name)

    def plan(self, sobject: SalesforceObject, selection: Selection) -> tuple[Plan, Drift]:
        """Describe the object anew and decide what to read; every mapped person field gets its column."""
        if sobject.makes == "activities":
            return self._activity_plan(sobject)
        mapping = self.source.mapping.get(sobject.name, {})
        asked = (*mapping, *filters.fields_used(selection.tree, sobject.name))
        columns = Describes(self.client.describe).resolve(sobject.name, [path for path in asked if "." in path])
        types = {path: column.type for path, column in columns.items()}
        now = self.client.observed.server_time
        overlap = timedelta(seconds=self.runtime.settings.poll_overlap)
        admission = selection.admission(sobject.name, columns, now, overlap)
        with transaction(self.runtime.database_url) as database:
            drift = schemas.note(database, self.source, sobject, types, now)
            self._offer(database, sobject, drift)
            readable = {name: target for name, target in mapping.items() if name not in drift.frozen}
            formulas = frozenset(path for path, column in columns.items() if column.calculated)
            plan = transform.plan(
                sobject, types, readable, self.source.permissions, formulas=formulas, admission=admission
            )
            fields.register(database, sorted(plan.layout.fields))
        return replace(plan, filter=selection.version, cursor=self.source.cursor_field), drift

    def remark(self, database: Session, words: str) -> None:
        """Say something that whoever looks at the run should know, once."""
        run = database.get_one(Run, self.lease.run_id)
        if words not in (run.note or ""):
            run.note = f"{run.note or ''} {words}".strip()

    def _offer(self, database: Session, sobject: SalesforceObject, drift: Drift) -> None:
        if drift.added:
            named = ", ".join(drift.added[:MOST_NAMED]) + (", …" if len(drift.added) > MOST_NAMED else "")
            self.remark(database, f"{sobject.name} has new fields ({named}): map those you want with `connector map`.")

    def _activity_plan(self, sobject: SalesforceObject) -> tuple[Plan, Drift]:
        """Decide by the last describe, for fewer calls; other runs than polls ask anew, and so does who met a change.

        While a backfill reads the object whole, no poll has to.
        """
        known = self.outset.schemas.get(sobject.name) if self.lease.kind == "poll" else None
        if known:
            reread = known.reread and sobject.name not in self.outset.filled
            return transform.activity_plan(sobject, known.fields), Drift(frozenset(), reread)
        types = transform.field_types(self.client.describe(sobject.name))
        with transaction(self.runtime.database_url) as database:
            drift = schemas.note_fixed(database, self.source.key, sobject, types, self.client.observed.server_time)
        return transform.activity_plan(sobject, types), drift

    @contextmanager
    def page(self) -> Iterator[Session]:
        """Open the one transaction of a page: rows, counts and checkpoint, and after a slice's last page the lease.

        Raises:
            SliceOver: after the commit; the run is queued again behind others and goes on at the checkpoint.
        """
        with transaction(self.runtime.database_url) as database:
            yield database
            if over := self.slice.over:
                self.lease.hand_back_in(database)
        if over:
            raise SliceOver

    def make_way(self) -> None:
        """Hand the run back if the slice is over, where everything done is committed; raises SliceOver then."""
        if self.slice.over:
            self.lease.hand_back()
            raise SliceOver

    def progress(self, sobject: str) -> dict[str, Any]:
        """Return how far this run has come with an object, as `keep_progress` last had it."""
        with transaction(self.runtime.database_url) as database:
            found: dict[str, Any] = (database.get_one(Run, self.lease.run_id).checkpoint or {}).get(sobject, {})
        return found

    def keep_progress(self, database: Session, sobject: str, progress: dict[str, Any]) -> None:
        """Keep how far this run has come with an object, in the caller's transaction."""
        run = database.get_one(Run, self.lease.run_id)
        run.checkpoint = {**(run.checkpoint or {}), sobject: progress}

    def store(
        self,
        database: Session,
        plan: Plan,
        chunks: Callable[[], Iterable[bytes]],
        read_at: datetime,
        expected: int | None = None,
        *,
        contested: bool | None = None,
        history: bool = False,
        empty: bool = False,
        ended: Mapping[str, datetime] | None = None,
    ) -> Outcome:
        """Store rows and the run's progress in the caller's transaction; raises LeaseLost when it must not commit.

        What they are besides is told in `Batch`; whether they are `contested` is found out unless it is given. `empty`
        says that there are no rows, which costs the least.
        """
        batch = Batch(
            source_id=self.lease.source_id,
            org_id=self.source.org_id,
            object=plan.sobject.name,
            rank=plan.sobject.rank,
            layout=plan.layout,
            read_at=read_at,
            chunks=chunks,
            erasure_keys=self.runtime.vault.erasure_keys,
            contested=self._is_contested(database) if contested is None and not empty else bool(contested),
            history=history,
            ended=ended or {},
        )
        try:
            outcome = Outcome() if empty else ingest.store(database, batch)
        except MalformedBatch as error:
            raise Transient("short_page", str(error)) from None
        if plan.of_settings:
            self.lease.note(database, plan.sobject.name, Outcome(quarantined=outcome.quarantined))
        else:
            self.lease.note(database, plan.sobject.name, outcome, expected)
        return outcome

    def _is_contested(self, database: Session) -> bool:
        """Tell whether another run of the source has begun to read, or a poll left a window half read."""
        asked = {"source": self.source.key, "run": self.lease.run_id, "polling": self.lease.kind in ("poll", "resync")}
        found = driver(database).execute(_CONTESTED, asked).fetchone()
        return found is not None and bool(found[0])

    def covered_to(self, sobject: SalesforceObject) -> datetime | None:
        """Return up to when no transaction is open; of objects that make activities the first answer of a run holds.

        A transaction that is open in an org may write to any object, so one question is enough.
        """
        if sobject.makes == "activities" and self._covered:
            return min(self._covered)
        answer = self.client.covered_to(sobject.name)
        if answer is not None:
            self._covered.append(answer)
        return answer

    def note_usage(self) -> None:
        """Keep what the org last said of its API calls, and how many this run has made for what."""
        if "client" not in vars(self):
            return
        self.client.give_back()
        with transaction(self.runtime.database_url) as database:
            run, made = database.get_one(Run, self.lease.run_id), self.client.observed.take_calls()
            run.api_calls += made.total()
            run.calls_by_kind = dict(Counter(run.calls_by_kind) + made)
            source = database.get_one(Source, self.lease.source_id)
            source.api_used, source.api_limit = permits.usage(database, source.key)


_CONTESTED = """
    SELECT EXISTS (SELECT FROM run WHERE source_id = %(source)s AND id <> %(run)s AND started_at IS NOT NULL
                                     AND state IN ('queued', 'running', 'waiting'))
        OR (NOT %(polling)s AND EXISTS (SELECT FROM cursor WHERE source_id = %(source)s AND checkpoint IS NOT NULL))
"""
