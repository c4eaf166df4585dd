"""The detached process that keeps one server running while anybody uses it, and ends it two seconds after the last."""

import contextlib
import fcntl
import logging
import os
import signal
import sys
import time
from pathlib import Path

import psutil

from connector.embedded.locks import held, open_lock, try_lock, was_removed
from connector.embedded.postgres import Postgres
from connector.embedded.redis import Redis
from connector.embedded.room import Room
from connector.embedded.server import Server, launch, leftovers, stop
from connector.errors import ConnectorError

log = logging.getLogger(__name__)

SERVERS: dict[str, type[Postgres | Redis]] = {"postgres": Postgres, "redis": Redis}
LINGER = 2.0
"""Seconds without users before the server ends."""
TICK = 0.1
"""Seconds between two looks at the users and the server."""
RETRY = 1.0
"""Seconds between two starts of a server that keeps dying."""
PAUSE = 0.02
ATTEMPTS = 10
"""Starts before giving up."""


class Keeper:
    """Keeps one server; `lock` is the open descriptor that holds the room's keeper lock until this process ends."""

    def __init__(self, server: Server, lock: int) -> None:
        self.server = server
        self.lock = lock
        self.users = open_lock(server.room.users_lock)
        self.last_used = time.monotonic()
        self.process: psutil.Popen | None = None
        self.launched = 0.0

    def keep(self) -> None:
        """Run the server until nobody holds the users lock, the room is removed, or a signal ends this process.

        Raises:
            ConnectorError: the server ended again and again while starting.
        """
        try:
            self._start()
            with held(self.server.room.ready_lock):
                log.info("ready")
                while not self._abandoned():
                    self._revive()
                    time.sleep(TICK)
        finally:
            self._end()

    def _start(self) -> None:
        for _ in range(ATTEMPTS):
            process = self._launch()
            while process.poll() is None:
                if self.server.is_ready() or self._abandoned():
                    return
                time.sleep(PAUSE)
            log.warning("the server ended while starting, status %s", process.returncode)
            time.sleep(TICK)
        raise ConnectorError(f"The server did not start in {ATTEMPTS} attempts.")

    def _launch(self) -> psutil.Popen:
        for process in leftovers(self.server):
            log.warning("ending process %s, left behind by a killed keeper or server", process.pid)
            stop(process, self.server.stop_signal)
        self.process = launch(self.server)
        self.launched = time.monotonic()
        return self.process

    def _revive(self) -> None:
        if self.process is None or time.monotonic() - self.launched < RETRY:
            return
        if self.process.poll() is not None:
            log.warning("the server ended, status %s: starting it again", self.process.returncode)
            self._launch()
        elif not self.server.room.socket_directory.exists():
            log.warning("the socket directory was removed: starting the server again")
            stop(self.process, self.server.stop_signal)
            self._launch()

    def _abandoned(self) -> bool:
        """Return whether to end: the room is gone, or there are no users, and the users lock is held to keep it so."""
        if was_removed(self.lock):
            return True
        if not try_lock(self.users, fcntl.LOCK_EX):
            self.last_used = time.monotonic()
            return False
        if time.monotonic() - self.last_used > LINGER:
            return True
        fcntl.flock(self.users, fcntl.LOCK_UN)
        return False

    def _end(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if self.process:
            stop(self.process, self.server.stop_signal)
            log.info("ended")
        with contextlib.suppress(OSError):
            self.server.room.socket_directory.rmdir()


def main() -> None:
    """Detach and keep the server: `python -m connector.embedded.keeper SERVER ROOM LOCK_DESCRIPTOR`."""
    name, path, lock = sys.argv[1:]
    if os.fork():
        os._exit(0)
    os.umask(0o077)
    os.chdir("/")
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(format="%(asctime)s UTC [%(process)d] keeper: %(message)s", level=logging.INFO)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    Keeper(SERVERS[name](Room(Path(path))), int(lock)).keep()


if __name__ == "__main__":
    main()
