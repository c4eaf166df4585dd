"""The whole product on one machine: two simulated orgs, embedded services and a real worker, in a home of its own."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cdp import queries
from cdp.db import transaction
from connector import sources
from connector.auth import parse_credentials
from connector.runtime import Runtime
from connector.schema import migrate
from connector.settings import Settings
from connector.simulator import Org, SimulatorServer
from connector.simulator.population import populate

ORGS = ("acme", "globex")
WORKER_STOPS_IN = 20
"""Seconds until the worker is killed."""
SERVERS_STOP_IN = 20
"""Seconds until a home that cannot be removed is left."""
PAUSE = 0.05
"""Seconds between two attempts at removing the home."""
Profiles = Mapping[str, dict[str, Any]]


@dataclass(frozen=True)
class Stage:
    """What the demo plays on: the installation, the orgs by name, and their server."""

    runtime: Runtime
    orgs: Mapping[str, Org]
    server: SimulatorServer


@contextmanager
def stage(leads: int, contacts: int) -> Iterator[Stage]:
    """Set everything up in a temporary home, and take it down again whatever happens."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="connector-demo-"))
        stack.callback(_remove, folder)
        orgs = {name: _org(name, number, leads, contacts) for number, name in enumerate(ORGS)}
        server = stack.enter_context(SimulatorServer(list(orgs.values()), ca_dir=folder / "ca"))
        chosen = _settings(folder, server, orgs)
        runtime = Runtime(chosen)
        migrate(runtime.database_url)
        stack.enter_context(_worker(chosen))
        yield Stage(runtime, orgs, server)


def _remove(folder: Path) -> None:
    """Remove the home, again and again: a server that was just starting writes to it until it finds it gone."""
    deadline = time.monotonic() + SERVERS_STOP_IN
    while folder.exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(PAUSE)


def _org(name: str, number: int, leads: int, contacts: int) -> Org:
    org = Org(name)
    populate(org, leads=leads, contacts=contacts, seed=7 + number, shared_people=7)
    return org


def _settings(folder: Path, server: SimulatorServer, orgs: Mapping[str, Org]) -> Settings:
    """Settings that leave the user's own installation alone."""
    return Settings(
        home=folder / "home",
        database_url=None,
        redis_url=None,
        encryption_keys=None,
        ca_bundle=server.ca_file,
        allowed_hosts=[server.url(org).removeprefix("https://") for org in orgs.values()],
        log_level="WARNING",
        _env_file=None,
    )


@contextmanager
def _worker(chosen: Settings) -> Iterator[None]:
    """Run `connector worker` with the demo's settings."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("CONNECTOR_")}
    ours = {
        "CONNECTOR_HOME": str(chosen.home),
        "CONNECTOR_CA_BUNDLE": str(chosen.ca_bundle),
        "CONNECTOR_ALLOWED_HOSTS": ",".join(chosen.allowed_hosts),
        "CONNECTOR_LOG_LEVEL": chosen.log_level,
    }
    command = [sys.executable, "-m", "connector", "worker", "--concurrency", "2"]
    process = subprocess.Popen(  # noqa: S603 - our own command line
        command, env=own | ours, cwd=chosen.home.parent, start_new_session=True, stdout=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(WORKER_STOPS_IN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def connect(on: Stage) -> None:
    """Connect both orgs with the credentials that their server hands out."""
    for name, org in on.orgs.items():
        credentials = parse_credentials(json.dumps(on.server.credentials(org)))
        sources.connect(on.runtime, name, on.server.url(org), credentials)


def profiles(on: Stage) -> dict[str, dict[str, Any]]:
    """Return every profile by person id."""
    with transaction(on.runtime.database_url) as session:
        return {profile["person_id"]: profile for profile in queries.people(session)}


def edit(on: Stage, known: Profiles, hero: str) -> list[str]:
    """Change both orgs and say what was done: an email changes, a contact joins the hero, a Lead is deleted."""
    mover = _record(known, "acme", "Contact", but=hero, of_many=True)
    leaver = _record(known, "globex", "Lead", but=hero, of_many=False)
    on.orgs["acme"].update("Contact", mover["record_id"], {"Email": "brand.new@example.org"})
    email = known[hero]["email"].upper()
    joiner = on.orgs["globex"].insert("Contact", {"LastName": "Newcomer", "Title": "Chief Joiner", "Email": email})
    on.orgs["globex"].delete("Lead", leaver["record_id"])
    return [
        f"acme: the email of Contact {mover['record_id']} becomes brand.new@example.org",
        f"globex: a new Contact {joiner} with the email {email}",
        f"globex: the Lead {leaver['record_id']} is deleted",
    ]


def _record(known: Profiles, source: str, sobject: str, *, but: str, of_many: bool) -> dict[str, str]:
    """Return a record of a person other than `but`: one of several, or the only one."""
    return next(
        record
        for person_id, profile in known.items()
        if person_id != but and profile["email"] and (len(profile["records"]) > 1) is of_many
        for record in profile["records"]
        if (record["source"], record["object"]) == (source, sobject)
    )


def differences(before: Profiles, after: Profiles) -> Iterator[tuple[str, str, str]]:
    """Yield (person id, what happened, details) for every person that is not as it was."""
    for person_id in sorted(before.keys() | after.keys()):
        old, new = before.get(person_id), after.get(person_id)
        if old is None and new is not None:
            yield person_id, "new person", f"{new['email']}: {_names(new)}"
        elif new is None and old is not None:
            yield person_id, "gone", f"{old['email']}: was {_names(old)}"
        elif old and new and old != new:
            yield person_id, "changed", "; ".join(_changes(old, new))


def _names(profile: Mapping[str, Any]) -> str:
    return ", ".join(f"{record['source']} {record['object']} {record['record_id']}" for record in profile["records"])


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for record in new["records"]:
        if record not in old["records"]:
            yield f"joined by {record['source']} {record['object']} {record['record_id']}"
    for record in old["records"]:
        if record not in new["records"]:
            yield f"left by {record['source']} {record['object']} {record['record_id']}"
    for name, value in {"email": new["email"], **new["fields"]}.items():
        before = old["email"] if name == "email" else old["fields"][name]
        if value != before:
            yield f"{name}: {before!r} → {value!r}"
