"""Bulk API 2.0 query jobs: run in the background, each to a result file."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from .errors import ApiError, not_found
from .ids import to_18
from .org import Org
from .query import check_bulk, run_query
from .results import ResultFile

State = Literal["UploadComplete", "InProgress", "JobComplete", "Failed", "Aborted"]
KEPT = timedelta(days=7)
FINAL = frozenset({"JobComplete", "Failed", "Aborted"})


@dataclass
class Job:
    """One query job."""

    id: str
    operation: str
    query: str
    object: str
    version: str
    created_by: str
    created_at: datetime
    state: State = "UploadComplete"
    changed_at: datetime | None = None
    result: ResultFile | None = None
    error: str = ""
    milliseconds: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def as_json(self) -> dict[str, Any]:
        """The job as its creation shows it."""
        return {
            "id": self.id,
            "operation": self.operation,
            "object": self.object,
            "createdById": self.created_by,
            "createdDate": _stamp(self.created_at),
            "systemModstamp": _stamp(self.changed_at or self.created_at),
            "state": self.state,
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": float(self.version),
            "lineEnding": "LF",
            "columnDelimiter": "COMMA",
        }

    def status(self) -> dict[str, Any]:
        """The job as its own resource shows it, with what it has done."""
        done = {
            "jobType": "V2Query",
            "numberRecordsProcessed": self.result.rows if self.result else 0,
            "retries": 0,
            "totalProcessingTime": self.milliseconds,
            "isPkChunkingSupported": True,
        }
        return self.as_json() | done | ({"errorMessage": self.error} if self.error else {})


class JobStore:
    """The query jobs of one org."""

    def __init__(self, org: Org) -> None:
        self._org = org
        self._lock = threading.Lock()
        self._serial = itertools.count(1)
        self._jobs: dict[str, Job] = {}

    def create(self, *, operation: str, query: str, object: str, version: str, created_by: str) -> Job:  # noqa: A002 - Salesforce's word
        """A new job in state UploadComplete."""
        identity = to_18(f"7505e{next(self._serial):010d}")
        job = Job(identity, operation, query, object, version, created_by, self._org.clock.now())
        with self._lock:
            self._jobs[job.id[:15]] = job
        return job

    def run(self, job: Job, *, delay: float = 0.0, error: str = "") -> None:
        """Work on `job` in the background, for at least `delay` seconds; `error` makes it fail with that message."""
        threading.Thread(target=self._work, args=(job, delay, error), daemon=True).start()

    def get(self, job_id: str) -> Job:
        """The job with this 15 or 18 character id. Raises ApiError NOT_FOUND, also after seven days."""
        with self._lock:
            job = self._jobs.get(job_id[:15])
        if job is None or job.created_at < self._org.clock.now() - KEPT:
            raise not_found()
        return job

    def all(self) -> list[Job]:
        """The jobs of the last seven days, oldest first."""
        since = self._org.clock.now() - KEPT
        with self._lock:
            return [job for job in self._jobs.values() if job.created_at >= since]

    def created_today(self) -> int:
        """Jobs made in the last 24 hours, deleted ones not counted."""
        since = self._org.clock.now() - timedelta(hours=24)
        return sum(1 for job in self.all() if job.created_at >= since)

    def abort(self, job: Job) -> None:
        """Stop a job. Raises ApiError INVALIDJOBSTATE if it has ended."""
        if job.state in FINAL:
            raise ApiError("INVALIDJOBSTATE", f"Aborting already {job.state} Job not allowed")
        self._end(job, "Aborted")

    def delete(self, job: Job) -> None:
        """Forget a job and its results. Raises ApiError INVALIDJOBSTATE while it runs."""
        if job.state not in FINAL:
            raise ApiError("INVALIDJOBSTATE", f"Deleting {job.state} Job not allowed")
        with self._lock:
            self._jobs.pop(job.id[:15], None)
        if job.result:
            job.result.close()

    def _work(self, job: Job, delay: float, error: str) -> None:
        started = time.monotonic()
        self._move(job, "InProgress")
        job.ended.wait(delay)
        try:
            job.result = None if error else self._result(job)
        except ApiError as refused:
            error = f"{refused.code.replace('_', '')}: {refused.message}"
        job.error = error
        job.milliseconds = int((time.monotonic() - started) * 1000)
        self._end(job, "Failed" if error else "JobComplete")

    def _result(self, job: Job) -> ResultFile:
        check_bulk(self._org, job.query)
        found = run_query(self._org, job.query, include_deleted=job.operation == "queryAll")
        return ResultFile(found.csv())

    def _end(self, job: Job, state: State) -> None:
        self._move(job, state)
        job.ended.set()

    def _move(self, job: Job, state: State) -> None:
        with self._lock:
            if job.state not in FINAL:
                job.state = state
                job.changed_at = self._org.clock.now()


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000+0000")
