"""The fleet for real: `connector worker` and `connector beat` on the embedded services, killed and deceived."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from celery import Celery
from pydantic import SecretStr

from cdp.db import driver, transaction
from connector import embedded, runs, tasks
from connector.runtime import Runtime
from connector.schema import migrate
from connector.settings import Settings
from connector.simulator import Org, SimulatorServer
from connector.simulator.clock import Clock
from tests.connector.conftest import KEY, Site, people_rows

pytestmark = pytest.mark.slow
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, embedded.Services]:
    home = tmp_path_factory.mktemp("fleet") / "home"
    services = embedded.services(home)
    migrate(services.database_url)
    return home, services


@pytest.fixture(scope="module")
def fleet(broker: tuple[Path, embedded.Services], ca_dir: Path) -> Iterator[Site]:
    """An installation that lives on the embedded services alone, connected to acme."""
    orgs = {name: Org(name, clock=Clock(datetime.now(UTC).replace(microsecond=0))) for name in ("acme", "globex")}
    home, services = broker
    with SimulatorServer(list(orgs.values()), ca_dir=ca_dir) as server:
        hosts = [server.url(org).removeprefix("https://") for org in orgs.values()]
        settings = Settings(
            home=home,
            encryption_keys=SecretStr(KEY),
            ca_bundle=server.ca_file,
            allowed_hosts=hosts,
            poll_interval=3600,
            _env_file=None,
        )
        site = Site(Runtime(settings), server, orgs)
        assert site.url == services.database_url
        orgs["acme"].insert_many("Lead", people_rows(200))
        site.connect()
        yield site


@pytest.fixture
def start(fleet: Site, tmp_path: Path) -> Iterator[Start]:
    """Start a process of the fleet; all end with the test."""
    with ExitStack() as stack:

        def begin(*arguments: str) -> "subprocess.Popen[str]":
            log = stack.enter_context((tmp_path / f"{arguments[0]}.{time.monotonic_ns()}.log").open("w"))
            process = subprocess.Popen(
                [sys.executable, "-m", "connector", *arguments],
                env=fleet.environment(),
                cwd=fleet.runtime.settings.home.parent,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            stack.callback(end, process)
            return process

        yield begin


def end(process: "subprocess.Popen[str]") -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(15)


def wait_until(condition: Callable[[], Any], limit: float = 60.0) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def health_check(service: str) -> list[str]:
    compose = yaml.safe_load((Path(__file__).parents[2] / "docker" / "compose.yaml").read_text("utf-8"))
    return list(compose["services"][service]["healthcheck"]["test"])


@pytest.mark.parametrize("service", ["dashboard", "metrics"])
def test_the_health_check_of_the_compose_file_tells_a_server_that_answers(start: Start, service: str) -> None:
    _, _, option, check = health_check(service)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    here = re.sub(r":\d+/", f":{port}/", check)

    def healthy() -> bool:
        return subprocess.run([sys.executable, option, here], capture_output=True, check=False).returncode == 0

    assert not healthy()
    server = start(service, "--port", str(port))
    wait_until(healthy)
    server.terminate()
    server.wait(15)
    assert not healthy()


def test_the_health_check_of_the_compose_file_tells_a_worker_that_lives(
    start: Start, broker: tuple[Path, embedded.Services]
) -> None:
    _, check = health_check("worker")
    known = {"CONNECTOR_REDIS_URL": broker[1].redis_url, "HOSTNAME": socket.gethostname()}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    def healthy() -> bool:
        shell = ["sh", "-c", check.replace("$$", "$")]
        return subprocess.run(shell, env={"PATH": path, **known}, capture_output=True, check=False).returncode == 0

    assert not healthy()
    worker = start("worker", "--concurrency", "1")
    wait_until(healthy)
    worker.terminate()
    assert worker.wait(15) == 0


def test_a_sync_goes_through_the_fleet(fleet: Site, start: Start) -> None:
    worker = start("worker", "--concurrency", "1")
    done = fleet.cli("sync", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    run = json.loads(done.stdout)
    assert (run["state"], run["read"]) == ("succeeded", 200)
    assert len(fleet.people()) == 200
    assert fleet.latest_run()["owner"] is None
    worker.terminate()
    assert worker.wait(15) == 0


def test_beat_finds_what_is_due_and_a_killed_workers_run_is_finished_by_another(fleet: Site, start: Start) -> None:
    fleet.forget_cursors()
    wipe(fleet)
    slow = fleet.fault("slow", "/query/0", times=None, seconds=0.5, every=2, name="slow")
    fleet.fault("page_size", "/query", times=None, size=20)
    fleet.change(next_poll_at=datetime.now(UTC))
    first = start("worker", "--concurrency", "1")
    start("beat")
    before = fleet.latest_run()["id"]
    wait_until(lambda: fleet.latest_run()["id"] > before and fleet.latest_run()["read"] > 0)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait(15)
    fleet.server.faults.clear(slow.name)
    left = fleet.latest_run()
    assert (left["state"], left["epoch"]) == ("running", 1)
    assert 0 < left["read"] < 200
    expire_lease(fleet)
    start("worker", "--concurrency", "1")
    wait_until(lambda: fleet.latest_run()["state"] == "succeeded")
    fleet.server.faults.clear()
    after = fleet.latest_run()
    assert (after["id"], after["epoch"], after["written"]) == (left["id"], 2, 200)
    assert len(fleet.people()) == 200


def wipe(fleet: Site) -> None:
    with transaction(fleet.url) as session:
        driver(session).execute("TRUNCATE record, membership, person, touched, people_state")


def expire_lease(fleet: Site) -> None:
    """Let the time that the dead worker's lease still has go by."""
    assert runs.claim(fleet.url, fleet.latest_run()["id"], "too early") is None
    fleet.query("UPDATE run SET lease_until = now() - interval '1 second' WHERE state = 'running' RETURNING id")


class Trap:
    """Whoever unpickles this makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.marker),)


def test_a_pickled_message_is_refused_and_does_no_harm(
    fleet: Site, broker: tuple[Path, embedded.Services], start: Start, tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    attacker = Celery("attacker", broker=broker[1].redis_url)
    attacker.conf.update(task_serializer="pickle", accept_content=["pickle"])
    attacker.send_task("connector.work", args=(Trap(marker),), serializer="pickle", queue="ticks")
    worker = start("worker", "--concurrency", "1")
    done = fleet.cli("sync", "--json")
    assert done.returncode == 0, done.stderr
    assert worker.poll() is None
    assert not marker.exists()
    [log] = tmp_path.glob("worker.*.log")
    assert "ContentDisallowed" in log.read_text() or "pickle" in log.read_text()
    attacker.close()


def test_polls_are_taken_before_sweeps_that_were_sent_before_them(fleet: Site, start: Start) -> None:
    sweep, poll = (runs.request(fleet.url, fleet.source().key, kind) for kind in ("sweep", "poll"))
    tasks.hand_over(fleet.runtime, [sweep, poll])
    start("worker", "--concurrency", "1")
    wait_until(lambda: fleet.run(sweep)["ended_at"] and fleet.run(poll)["ended_at"])
    assert fleet.run(poll)["ended_at"] < fleet.run(sweep)["started_at"]


def test_a_worker_that_is_told_to_stop_hands_its_run_to_another_at_once(fleet: Site, start: Start) -> None:
    fleet.forget_cursors()
    fleet.fault("slow", "/query/0", times=None, seconds=0.5, name="slow")
    fleet.fault("page_size", "/query", times=None, size=10)
    first = start("worker", "--concurrency", "1")
    run_id = fleet.request()
    tasks.hand_over(fleet.runtime, [run_id])
    wait_until(lambda: fleet.run(run_id)["read"] > 0)
    first.terminate()
    assert first.wait(30) == 0
    left = fleet.run(run_id)
    assert (left["state"], left["epoch"], left["alive"]) == ("queued", 1, False)
    fleet.server.faults.clear()
    start("worker", "--concurrency", "1")
    wait_until(lambda: fleet.run(run_id)["state"] == "succeeded")
    assert fleet.run(run_id)["epoch"] == 2


def test_a_worker_refuses_limits_that_would_deliver_work_twice(fleet: Site) -> None:
    refused = fleet.cli("worker", CONNECTOR_TASK_LIMIT="3600", CONNECTOR_VISIBILITY_TIMEOUT="3600")
    assert refused.returncode == 2
    assert refused.stderr.startswith(
        "CONNECTOR_TASK_LIMIT (3600 s) must be below CONNECTOR_VISIBILITY_TIMEOUT (3600 s)"
    )


def test_a_run_can_always_be_cancelled(fleet: Site) -> None:
    run_id = fleet.request()
    lease = runs.claim(fleet.url, run_id, "somebody")
    assert lease
    done = fleet.cli("run", "cancel", str(run_id), "--json")
    assert (done.returncode, json.loads(done.stdout)["state"]) == (0, "cancelled")
    lease.finish("succeeded")
    assert fleet.run(run_id)["state"] == "cancelled"
    assert fleet.source().next_poll_at > datetime.now(UTC)
    assert fleet.cli("run", "cancel", str(run_id)).returncode == 3
    assert fleet.cli("run", "cancel", "999999").returncode == 2
