"""The floor: reading the CSV of Bulk 2.0 jobs to nowhere, and COPY of the same CSV into unlogged tables of text."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from connector import soql
from tests.bench.stage import Org, Stage

PAGE = 50_000
CHUNK = 1 << 18
LOOK_EVERY = 0.02
Columns = Mapping[str, Sequence[str]]
"""The fields to read of each object."""


@dataclass(frozen=True)
class Job:
    """A finished bulk job: its columns, and its result as a file."""

    sobject: str
    columns: Sequence[str]
    file: Path


@dataclass(frozen=True)
class Floor:
    """What the floor is measured with: the columns of each object and the CSV of its job."""

    org: Org
    wanted: Columns
    jobs: Sequence[Job]

    @property
    def size(self) -> int:
        """Bytes of CSV."""
        return sum(job.file.stat().st_size for job in self.jobs)

    def read(self) -> float:
        """Have a Bulk 2.0 job of each object done and download its result to nowhere; return the seconds."""
        started = time.perf_counter()
        for url in _finished_jobs(self.org, self.wanted).values():
            for _ in _chunks(self.org, url):
                pass
        return time.perf_counter() - started

    def copy(self, database_url: str) -> float:
        """COPY all results into new unlogged tables, and return the seconds."""
        with psycopg.connect(database_url) as connection:
            for job in self.jobs:
                connection.execute(_create(job))
            connection.commit()
            started = time.perf_counter()
            for job in self.jobs:
                _copy(connection, job)
            connection.commit()
            return time.perf_counter() - started


def floor(stage: Stage, wanted: Columns) -> Floor:
    """Have bulk jobs of all objects done, and keep their results."""
    jobs = []
    for sobject, url in _finished_jobs(stage.org, wanted).items():
        file = stage.folder / f"{sobject}.csv"
        with file.open("wb") as out:
            out.writelines(_chunks(stage.org, url, page=10**6))
        jobs.append(Job(sobject, wanted[sobject], file))
    return Floor(stage.org, wanted, jobs)


def _finished_jobs(org: Org, wanted: Columns) -> dict[str, str]:
    """Create all jobs at once, as the fastest reader would, and return object → URL when they are done."""
    urls = {sobject: _create_job(org, sobject, columns) for sobject, columns in wanted.items()}
    for url in urls.values():
        _await_job(org, url)
    return urls


def _create_job(org: Org, sobject: str, columns: Sequence[str]) -> str:
    query = soql.select(sobject, columns)
    made = org.http.post(f"{org.data_url}jobs/query", json={"operation": "queryAll", "query": query}).json()
    return f"{org.data_url}jobs/query/{made['id']}"


def _await_job(org: Org, url: str) -> None:
    while (state := org.http.get(url).json()["state"]) != "JobComplete":
        assert state in ("UploadComplete", "InProgress"), state
        time.sleep(LOOK_EVERY)


def _chunks(org: Org, url: str, page: int = PAGE) -> Iterator[bytes]:
    locator = ""
    while locator != "null":
        parameters = {"maxRecords": str(page)} | ({"locator": locator} if locator else {})
        with org.http.get(f"{url}/results", params=parameters, stream=True) as response:
            response.raise_for_status()
            locator = response.headers["Sforce-Locator"]
            yield from response.iter_content(CHUNK)


def _create(job: Job) -> sql.Composed:
    columns = sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(column)) for column in job.columns)
    return sql.SQL("DROP TABLE IF EXISTS {0}; CREATE UNLOGGED TABLE {0} ({1})").format(
        sql.Identifier(job.sobject), columns
    )


def _copy(connection: psycopg.Connection, job: Job) -> None:
    statement = sql.SQL("COPY {} FROM STDIN WITH (FORMAT csv, HEADER)").format(sql.Identifier(job.sobject))
    with job.file.open("rb") as file, connection.cursor() as cursor, cursor.copy(statement) as copy:
        while chunk := file.read(CHUNK):
            copy.write(chunk)
