"""The command line as scripts see it: shapes of JSON, exit codes, and one clear sentence for everything that fails."""

import csv
import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from uuid import UUID

import click
import pytest
import typer
from typer.testing import CliRunner

from connector import sources
from connector.cli import OFTEN, _run
from connector.cli.commands import app
from connector.objects import OBJECTS
from connector.settings import settings
from tests.conftest import database_from
from tests.connector.conftest import Site, people_rows

Done = CompletedProcess[str]


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, with its path."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_help_and_takes_json(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*path, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output
    assert COMMANDS[path].help
    assert any("--json" in option.opts for option in COMMANDS[path].params)
    assert all(option.help for option in COMMANDS[path].params if isinstance(option, click.Option))


class Inside(Site):
    """The same command line run in this process, where it costs no start; its output still goes through the files."""

    capture: pytest.CaptureFixture[str]
    patch: pytest.MonkeyPatch

    def cli(self, *arguments: str, typed: str = "", **other: str) -> Done:
        del typed
        with self.patch.context() as patch:
            for name in [name for name in os.environ if name.startswith("CONNECTOR_")]:
                patch.delenv(name)
            for name, value in self.environment(**other).items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["connector", *arguments])
            settings.cache_clear()
            self.capture.readouterr()
            code = _run()
        out, err = self.capture.readouterr()
        return Done(arguments, code if isinstance(code, int) else 0, out, err)


@pytest.fixture
def inside(site: Site, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Inside]:
    handlers, level = logging.root.handlers[:], logging.root.level
    made = Inside(site.runtime, site.server, site.orgs)
    made.capture, made.patch = capfd, monkeypatch
    yield made
    settings.cache_clear()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def test_the_commands_of_the_main_job_are_there(site: Site) -> None:
    done = site.cli("--help")
    assert done.returncode == 0
    names = {" ".join(path) for path in COMMANDS}
    assert names >= {
        *("migrate", "demo", "simulator", "source connect", "source list", "source show"),
        *("sync", "status", "person", "export", "worker", "beat"),
    }
    assert all(name.split()[0] in done.stdout for name in names)


def credentials_file(site: Site, tmp_path: Path, name: str = "acme", **changes: Any) -> str:
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps(site.server.credentials(site.orgs[name]) | changes))
    return str(path)


def connect(site: Site, tmp_path: Path, *options: str, name: str = "acme", **changes: Any) -> Done:
    file = credentials_file(site, tmp_path, **changes)
    url = site.server.url(site.orgs["acme"])
    return site.cli("source", "connect", name, "--login-url", url, "--credentials", file, *options)


def lines(done: Done) -> list[dict[str, Any]]:
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def document(done: Done) -> dict[str, Any]:
    [one] = lines(done)
    return one


RUN = {
    *("run_id", "kind", "state", "started_at", "ended_at", "error"),
    *("read", "written", "skipped", "deleted", "quarantined"),
}


def test_the_documents_of_the_contract(inside: Inside, tmp_path: Path) -> None:
    org = inside.orgs["acme"]
    org.insert_many(
        "Lead", [*people_rows(3), {"LastName": "Silva", "Title": "=1+1", "Company": "x", "Email": "p0@EXAMPLE.org"}]
    )
    org.delete("Lead", sorted(org.snapshot("Lead"))[2])
    inside.instance().integration_user.can_write = False

    made = json.loads(connect(inside, tmp_path, "--json").stdout)
    assert made == {
        "source_id": made["source_id"],
        "name": "acme",
        "org_id": org.org_id,
        "instance_url": inside.server.url(org),
        "created_by": org.username,
    }

    run = document(inside.cli("sync", "--here", "--json"))
    assert run.keys() >= RUN
    assert (run["state"], run["read"], run["written"], run["deleted"]) == ("succeeded", 4, 4, 1)

    check_status(document(inside.cli("status", "--json")), made)
    assert document(inside.cli("status", str(made["source_id"]), "--json"))["sources"][0]["name"] == "acme"
    [listed] = lines(inside.cli("source", "list", "--json"))
    assert document(inside.cli("source", "show", "acme", "--json")) == listed
    assert (listed["name"], listed["state"], listed["org_id"]) == ("acme", "connected", org.org_id)

    people = lines(inside.cli("export", "people"))
    assert len(people) == 2
    assert all(person.keys() >= PERSON for person in people)
    [pair] = [person for person in people if len(person["records"]) == 2]
    assert pair["email"] == "p0@example.org"
    assert pair["permissions"] == {"email": True, "sms": None}
    assert pair["records"][0].keys() == {"source", "org_id", "object", "record_id"}
    for wanted in ("P0@example.org ", pair["person_id"], pair["records"][1]["record_id"]):
        assert document(inside.cli("person", wanted, "--json")).items() >= pair.items()
    why = document(inside.cli("person", pair["person_id"], "--why", "--json"))["why"]
    assert {verdict["field"] for verdict in why} == {"company", "last_name", "title"}

    records = lines(inside.cli("export", "records", "--json"))
    assert len(records) == 4
    assert all(record.keys() >= RECORD for record in records)
    one = records[0]
    assert one["external_id"] == f"sf_{made['source_id']}_Lead_{one['record_id']}"
    check_csv(inside, tmp_path)


def test_an_exported_record_tells_its_state_and_the_address_its_own(inside: Inside) -> None:
    inside.orgs["acme"].insert("Lead", {"LastName": "Lima", "Company": "x", "State": "Lisboa"})
    inside.connect()
    inside.sync()
    [record] = lines(inside.cli("export", "records"))
    assert (record["state"], record["fields"]["state"]) == ("live", "Lisboa")


PERSON = {"person_id", "email", "fields", "permissions", "records", "created_at", "updated_at"}
RECORD = {
    *("source", "org_id", "object", "record_id", "external_id", "state", "modified_at", "person_id", "fields"),
}


SOURCE = {"source_id", "name", "org_id", "state", "updating", "attention", "objects", "api", "runs"}


def check_status(status: dict[str, Any], made: dict[str, Any]) -> None:
    assert status.keys() >= {"sources", "people", "records", "activities", "unassociated_opportunities"}
    assert (status["people"], status["records"]) == (2, 3)
    assert isinstance(status["activities"], dict)
    [source] = status["sources"]
    assert source.keys() >= {
        *("source_id", "name", "org_id", "state", "updating", "attention", "objects", "api", "runs")
    }
    assert (source["source_id"], source["state"], source["updating"], source["attention"]) == (
        made["source_id"],
        "connected",
        False,
        None,
    )
    assert source["objects"].keys() == OBJECTS.keys()
    lead = source["objects"]["Lead"]
    assert lead.keys() >= {"records", "cursor", "last_run", "windows_contiguous", "quarantined"}
    assert (lead["records"], lead["windows_contiguous"], lead["quarantined"]) == (3, True, 0)
    assert source["api"].keys() >= {"used", "limit", "share"}
    assert source["runs"][0].keys() >= RUN


def check_csv(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    assert site.cli("export", "people", "--format", "csv", "--output", str(file)).returncode == 0
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert len(rows) == 2
    assert any("'=1+1" in row.values() for row in rows)
    assert not any("=1+1" in row.values() for row in rows)
    assert list(tmp_path.glob("*.part")) == []


def test_a_source_has_a_schedule_of_its_own_until_it_goes_by_the_settings_again(inside: Inside, tmp_path: Path) -> None:
    connect(inside, tmp_path)

    def schedule(*options: str) -> tuple[int, int | None, bool]:
        chosen = document(inside.cli("source", "schedule", "acme", *options, "--json"))["schedule"]
        assert document(inside.cli("source", "show", "acme", "--json"))["schedule"] == chosen
        assert document(inside.cli("status", "--json"))["sources"][0]["schedule"] == chosen
        return chosen["interval"], chosen["sweep_hour"], chosen["own"]

    assert schedule("--interval", "60") == (60, None, True)
    assert schedule("--sweep-hour", "0") == (60, 0, True)
    assert inside.query("SELECT next_sweep_at FROM source")[0]["next_sweep_at"].hour == 0
    assert "polled every 60 s" in inside.cli("status").stdout
    assert inside.cli("sync", "--here").returncode == 0
    [waits] = inside.query("SELECT extract(epoch FROM next_poll_at - now())::integer AS seconds FROM source")
    assert 50 <= waits["seconds"] <= 66
    assert schedule("--default", "--interval", "30") == (30, None, True)
    assert schedule("--default") == (300, None, False)
    failed(inside.cli("source", "schedule", "acme"), 2, "Say what to change")


def test_status_says_that_due_work_finds_no_worker(inside: Inside, tmp_path: Path) -> None:
    connect(inside, tmp_path)
    assert document(inside.cli("status", "--json"))["unclaimed"] is None
    inside.query("UPDATE source SET next_poll_at = now() - interval '1 minute' RETURNING id")
    assert "1 sources are due and nobody queues their polls." in inside.cli("status").stdout


def test_what_people_read_is_there_without_json(inside: Inside, tmp_path: Path) -> None:
    inside.orgs["acme"].insert_many("Lead", people_rows(1))
    assert "Connected 'acme'" in connect(inside, tmp_path).stdout
    assert "succeeded" in inside.cli("sync", "acme", "--here").stdout
    assert "People 1" in inside.cli("status").stdout
    shown = inside.cli("person", "p0@example.org", "--why").stdout
    assert "Lima 00000" in shown
    assert "acme" in inside.cli("source", "list").stdout


def test_credentials_come_from_standard_input(site: Site) -> None:
    url = site.server.url(site.orgs["acme"])
    given = json.dumps(site.server.credentials(site.orgs["acme"], "refresh_token"))
    done = site.cli("source", "connect", "acme", "--login-url", url, "--credentials", "-", "--json", typed=given)
    assert json.loads(done.stdout)["name"] == "acme"


def failed(done: Done, code: int, *words: str) -> None:
    """One sentence (or two, with the remedy) on one line of stderr, nothing on stdout, the code of the contract."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "unexpected" not in done.stderr
    said = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(said) == 1, done.stderr
    assert said[0].endswith(".")
    assert all(word in said[0] for word in words), said[0]
    assert done.stdout == ""


def untouched(site: Site) -> None:
    assert site.query("SELECT id FROM source") == []
    assert site.query("SELECT name FROM person_field") == []


def test_wrong_credentials_need_attention_and_are_not_repeated(site: Site, tmp_path: Path) -> None:
    done = connect(site, tmp_path, client_secret="Wr0ngSecret")
    failed(done, 4)
    assert "Wr0ngSecret" not in done.stderr
    untouched(site)


def test_an_unreachable_host_is_a_failure(inside: Inside, tmp_path: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        file = credentials_file(inside, tmp_path)
        done = inside.cli(
            *("source", "connect", "acme", "--login-url", f"https://localhost:{port}", "--credentials", file),
            CONNECTOR_ALLOWED_HOSTS=f"localhost:{port}",
        )
    failed(done, 1, "cannot be reached")
    untouched(inside)


def test_an_untrusted_host_needs_attention(inside: Inside, tmp_path: Path) -> None:
    file, url = credentials_file(inside, tmp_path), inside.server.url(inside.orgs["acme"])
    done = inside.cli("source", "connect", "acme", "--login-url", url, "--credentials", file, CONNECTOR_CA_BUNDLE="")
    failed(done, 4, "certificate", "CONNECTOR_CA_BUNDLE")
    untouched(inside)


@pytest.mark.parametrize("url", ["https://evil.example", "http://acme.my.salesforce.com", "https://localhost", "acme"])
def test_a_host_that_is_not_allowed_is_wrong_usage(inside: Inside, tmp_path: Path, url: str) -> None:
    file = credentials_file(inside, tmp_path)
    failed(inside.cli("source", "connect", "acme", "--login-url", url, "--credentials", file), 2)
    untouched(inside)
    assert inside.asked("") == 0


def test_a_taken_name_and_a_taken_org_are_refused(inside: Inside, tmp_path: Path) -> None:
    assert connect(inside, tmp_path).returncode == 0
    failed(connect(inside, tmp_path), 3, "named 'acme' exists")
    failed(connect(inside, tmp_path, name="again"), 3, "connected already as 'acme'")
    assert len(inside.query("SELECT id FROM source")) == 1


def test_another_orgs_login_needs_attention(inside: Inside) -> None:
    inside.connect()
    other = inside.credentials("globex")
    context = sources._context(inside.source(), "credentials")
    inside.change(
        credentials=inside.runtime.vault.seal(sources.dump_credentials(other), context),
        login_url=inside.server.url(inside.orgs["globex"]),
        session=None,
    )
    failed_run = inside.cli("sync", "--here", "--json")
    assert failed_run.returncode == 4
    assert "witching organizations is not possible" in failed_run.stderr
    assert "Traceback" not in failed_run.stderr
    assert json.loads(failed_run.stdout)["state"] == "failed"
    assert inside.query("SELECT handle FROM record") == []


@pytest.mark.parametrize(
    "arguments", [("source", "show", "nobody"), ("status", "nobody"), ("sync", "nobody", "--here"), ("sync", "--here")]
)
def test_an_unknown_source_is_wrong_usage(inside: Inside, arguments: tuple[str, ...]) -> None:
    failed(inside.cli(*arguments), 2)
    assert inside.query("SELECT id FROM run") == []


@pytest.mark.parametrize(
    "content", [None, "", "{", "[]", "{}", '{"flow": "magic"}', '{"flow": "jwt", "client_id": "x"}', b"\xff\xfe\xfd"]
)
def test_unusable_credentials_are_wrong_usage(inside: Inside, tmp_path: Path, content: str | bytes | None) -> None:
    file = tmp_path / "credentials.json"
    if content is not None:
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    url = inside.server.url(inside.orgs["acme"])
    failed(inside.cli("source", "connect", "acme", "--login-url", url, "--credentials", str(file)), 2)
    untouched(inside)


@pytest.mark.parametrize("arguments", [("status",), ("migrate",), ("sync", "--here"), ("source", "list")])
def test_a_database_that_is_down_is_one_sentence(inside: Inside, arguments: tuple[str, ...]) -> None:
    url = "postgresql://user:s3cret@127.0.0.1:1/nowhere"
    done = inside.cli(*arguments, CONNECTOR_DATABASE_URL=url)
    failed(done, 1, "does not answer", "CONNECTOR_DATABASE_URL")
    assert "s3cret" not in done.stderr


@pytest.mark.parametrize("arguments", [("status",), ("sync", "--here"), ("export", "people"), ("person", "x")])
def test_a_database_that_is_not_migrated_says_so(
    inside: Inside, empty_database: str, arguments: tuple[str, ...]
) -> None:
    failed(inside.cli(*arguments, CONNECTOR_DATABASE_URL=empty_database), 1, "connector migrate")


@pytest.fixture
def empty_database(server_url: str) -> Iterator[str]:
    with database_from("template0", server_url) as url:
        yield url


def test_an_empty_database_is_migrated_once(inside: Inside, empty_database: str) -> None:
    first = document(inside.cli("migrate", "--json", CONNECTOR_DATABASE_URL=empty_database))
    again = document(inside.cli("migrate", "--json", CONNECTOR_DATABASE_URL=empty_database))
    assert first["before"] is None
    assert first["after"] == again["before"] == again["after"]


def test_a_broker_that_is_down_is_one_sentence(inside: Inside) -> None:
    inside.connect()
    done = inside.cli("sync", CONNECTOR_REDIS_URL="redis://:s3cret@127.0.0.1:1/0")
    failed(done, 1, "broker does not answer", "--here")
    assert "s3cret" not in done.stderr
    assert inside.query("SELECT state FROM run") == [{"state": "queued"}]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONNECTOR_POLL_INTERVAL", "often"),
        ("CONNECTOR_API_SHARE", "2"),
        ("CONNECTOR_BULK_THRESHOLD", "-1"),
        ("CONNECTOR_LOG_LEVEL", "LOUD"),
        ("CONNECTOR_MAX_RECORDS_PER_KEY", "0"),
    ],
)
def test_a_bad_setting_is_wrong_usage(inside: Inside, name: str, value: str) -> None:
    failed(inside.cli("status", **{name: value}), 2, name)


@pytest.mark.parametrize("name", ["CONNECTOR_DATABASE_URL", "CONNECTOR_REDIS_URL"])
def test_an_address_that_is_none_is_wrong_usage(inside: Inside, name: str) -> None:
    inside.connect()
    failed(inside.cli("sync", **{name: "nonsense"}), 2, name)


@pytest.mark.parametrize("keys", ["short", "AAAA,BBBB"])
def test_a_bad_key_is_wrong_usage(inside: Inside, tmp_path: Path, keys: str) -> None:
    file, url = credentials_file(inside, tmp_path), inside.server.url(inside.orgs["acme"])
    done = inside.cli(
        "source", "connect", "acme", "--login-url", url, "--credentials", file, CONNECTOR_ENCRYPTION_KEYS=keys
    )
    failed(done, 2, "encryption key")
    untouched(inside)


@pytest.mark.parametrize("number", ["4294967296", "9" * 30, "9" * 5000])
def test_a_number_too_large_to_be_one_of_these_is_wrong_usage(inside: Inside, number: str) -> None:
    inside.connect()
    for command in (("status",), ("source", "show"), ("sync", "--here")):
        failed(inside.cli(*command, number), 2, "There is no data source")
    usages = [("run", "cancel"), ("source", "schedule", "acme", "--interval"), ("log", "--limit"), ("person",)]
    for usage in usages:
        done = inside.cli(*usage, number)
        assert done.returncode == (1 if usage == ("person",) else 2), done.stderr
        assert "unexpected" not in done.stderr
    failed(inside.cli("run", "cancel", "4294967296"), 2, "There is no run")


@pytest.mark.parametrize(
    "usage", [("status",), ("person",), ("trace",), ("erase", "--yes"), ("export", "people", "--person")]
)
def test_an_argument_that_is_not_utf8_is_wrong_usage(inside: Inside, usage: tuple[str, ...]) -> None:
    failed(inside.cli(*usage, "a\udcffb"), 2, "cannot be kept")


def test_a_name_is_bounded(inside: Inside, tmp_path: Path) -> None:
    url, file = inside.server.url(inside.orgs["acme"]), credentials_file(inside, tmp_path)
    done = inside.cli("source", "connect", "x" * 101, "--login-url", url, "--credentials", file)
    failed(done, 2, "at most 100 characters")
    untouched(inside)


def test_a_source_is_not_polled_less_often_than_weekly(inside: Inside) -> None:
    inside.connect()
    assert inside.cli("source", "schedule", "acme", "--interval", "604801").returncode == 2
    assert inside.cli("source", "schedule", "acme", "--interval", "604800").returncode == 0


@pytest.mark.parametrize(
    "arguments", [("frobnicate",), ("status", "--frobnicate"), ("export", "secrets"), ("source", "connect")]
)
def test_wrong_usage_is_two(inside: Inside, arguments: tuple[str, ...]) -> None:
    done = inside.cli(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_nobody_and_nowhere(inside: Inside, tmp_path: Path) -> None:
    failed(inside.cli("person", "nobody@example.org"), 1, "Nobody is known by 'nobody@example.org'")
    failed(inside.cli("erase", "nobody@example.org"), 1, "Nobody is known by 'nobody@example.org'")
    file = tmp_path / "missing" / "people.jsonl"
    failed(inside.cli("export", "people", "--output", str(file)), 2, str(file))
    assert list(tmp_path.glob("**/*.part")) == []


def test_waiting_for_quota_is_five(inside: Inside) -> None:
    inside.connect()
    inside.instance().usage.count(90_000)
    done = inside.cli("sync", "--here")
    assert done.returncode == 5
    assert "of 100,000 API calls" in done.stderr
    assert inside.latest_run()["state"] == "waiting"


def test_a_reader_who_leaves_early_is_no_failure(site: Site) -> None:
    site.orgs["acme"].insert_many("Lead", people_rows(300))
    site.connect()
    site.sync()
    command = f"{sys.executable} -m connector export people | head -n 1"
    done = subprocess.run(
        ["/bin/sh", "-c", command], env=site.environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert UUID(json.loads(done.stdout)["person_id"])


@pytest.mark.parametrize("command", OFTEN)
def test_a_command_started_often_is_whole_with_its_one_room(command: str) -> None:
    """What it prints of itself is the same as when every room is there, and it has imported no other."""
    alone = "import sys; from connector.cli import _run; code = _run(); print('celery' in sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", alone, command, "--help"], capture_output=True, text=True, check=True)
    whole = CliRunner().invoke(app, [command, "--help"])
    assert done.stdout.split()[2:] == whole.stdout.split()[2:]
    assert done.stderr.strip() == "False"
