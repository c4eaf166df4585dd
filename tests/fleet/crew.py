"""The processes of a fleet on one scene, and what can be done to them and to what they stand on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import redis
from psycopg import sql

from cdp.db import driver, transaction
from connector import embedded, schema
from connector.embedded.locks import is_locked
from connector.embedded.postgres import Postgres
from connector.embedded.redis import Redis
from connector.embedded.room import Room
from connector.embedded.server import leftovers
from tests.faults.scene import HOUR, Scene, opened

ROOT = Path(__file__).parents[2]
LIMIT = 120.0
SETTINGS = {"poll_interval": 1, "poll_overlap": 600, "bulk_threshold": 10**6, "sweep_interval": 10**6}
Process = subprocess.Popen[bytes]


def wait_until(condition: Callable[[], Any], what: str, limit: float = LIMIT) -> None:
    """Look ten times a second until something holds; fails with what it was after `limit` seconds."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {limit:.0f} s"
        time.sleep(0.1)


@dataclass
class Crew:
    """Workers and beats, each with its children in a process group of its own; their logs lie in `folder`."""

    scene: Scene
    services: embedded.Services
    folder: Path
    processes: list[Process] = field(default_factory=list)

    def worker(self, concurrency: int = 2, **variables: str) -> Process:
        """Start a worker with so many children."""
        return self._start("worker", "--concurrency", str(concurrency), **variables)

    def dying(self, point: str) -> Process:
        """Start a worker that kills itself at a failpoint, once."""
        mark = self.folder / f"mark.{time.monotonic_ns()}"
        return self.worker(1, FAILPOINT=point, FAILMARK=str(mark))

    def beat(self) -> Process:
        """Start a beat."""
        return self._start("beat")

    def _start(self, *arguments: str, **variables: str) -> Process:
        settings = {f"CONNECTOR_{name.upper()}": str(value) for name, value in SETTINGS.items()}
        environment = self.scene.environment(
            CONNECTOR_REDIS_URL=self.services.redis_url, CONNECTOR_LOG_LEVEL="INFO", PYTHONPATH=str(ROOT), **settings
        )
        with self._file(len(self.processes)).open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.fleet.process", *arguments],
                env=environment | variables,
                cwd=self.folder,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def log(self, process: Process) -> str:
        """What one process and its children have said."""
        return self._file(self.processes.index(process)).read_text("utf-8", "replace")

    def _file(self, number: int) -> Path:
        return self.folder / f"{number}.log"

    def logs(self) -> str:
        """Everything that the processes have said."""
        return "\n".join(path.read_text("utf-8", "replace") for path in sorted(self.folder.glob("*.log")))

    def kill(self, *chosen: Process) -> None:
        """`kill -9` of processes with their children; of all, if none is named."""
        for process in chosen or self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def freeze(self, process: Process) -> None:
        """Stop a process and its children where they are."""
        os.killpg(process.pid, signal.SIGSTOP)

    def thaw(self, process: Process) -> None:
        """Let them go on."""
        os.killpg(process.pid, signal.SIGCONT)

    @property
    def redis(self) -> "redis.Redis":
        """A client of the broker."""
        return redis.Redis.from_url(self.services.redis_client_url)

    def kill_redis(self, seconds: float = 0) -> None:
        """`kill -9` the broker, and keep it down for so long; it comes back empty."""
        room = Room(self.scene.runtime.settings.home / "redis")
        keeper = _keeper(room)
        keeper.suspend()
        _kill(Redis(room))
        time.sleep(seconds)
        keeper.resume()
        wait_until(Redis(room).is_ready, "Redis answers again")

    def kill_postgres(self) -> None:
        """`kill -9` the database server; its keeper starts it again."""
        server = Postgres(Room(self.scene.runtime.settings.home / "postgres"))
        _kill(server)
        wait_until(server.is_ready, "PostgreSQL answers again")

    def reset_connections(self) -> int:
        """Cut every connection to the database but our own; return how many."""
        statement = "SELECT count(pg_terminate_backend(pid)) AS cut FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        return int(self.scene.query(statement + " AND backend_type = 'client backend'")[0]["cut"])

    def order(self, statement: sql.Composable) -> None:
        """Tell the database something that has no result."""
        with transaction(self.scene.url) as session:
            driver(session).execute(statement)

    def runs(self, name: str = "acme") -> list[dict[str, Any]]:
        """The runs of a source, oldest first."""
        known = self.scene.source(name).key
        return self.scene.query("SELECT * FROM run WHERE source_id = %(id)s ORDER BY id", id=known)

    def settle(self) -> float:
        """Wait until each source's poll, begun from now on, finds nothing more to write; return the seconds it took."""
        started = time.monotonic()
        for org in self.scene.orgs.values():
            org.clock.advance(HOUR)
        since = datetime.now(UTC)
        for name in self.scene.orgs:
            wait_until(lambda name=name: self._idle(name, since), f"{name} came to rest")  # type: ignore[misc]
        return time.monotonic() - started

    def _idle(self, name: str, since: datetime) -> bool:
        rest = self.scene.query("SELECT count(*) AS waiting FROM touched")[0]["waiting"]
        last = [run for run in self.runs(name) if run["kind"] == "poll" and run["ended_at"]][-1:]
        quiet = [run for run in last if run["requested_at"] > since and not run["written"]]
        return not rest and any(run["state"] in ("succeeded", "incomplete") for run in quiet)


def _keeper(room: Room) -> psutil.Process:
    assert is_locked(room.keeper_lock)
    words = ["connector.embedded.keeper", room.name, str(room.path)]
    found = [one for one in psutil.process_iter(["cmdline"]) if set(words) <= set(one.info["cmdline"] or [])]
    return found[0]


def _kill(server: Postgres | Redis) -> None:
    first, *children = leftovers(server)
    first.kill()
    for process in (first, *children):
        wait_until(lambda process=process: _is_gone(process), "a killed server ends")  # type: ignore[misc]


def _is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@contextmanager
def mustered(folder: Path, others: tuple[str, ...] = ()) -> Iterator[Crew]:
    """Set a scene on embedded services of its own, and end every process of the fleet with it."""
    services = embedded.services(folder / "home")
    schema.migrate(services.database_url)
    with opened(services.database_url, folder, others=others, redis_url=services.redis_url, **SETTINGS) as scene:
        logs = folder / "logs"
        logs.mkdir()
        crew = Crew(scene, services, logs)
        try:
            yield crew
        finally:
            crew.kill()
