"""One server program as a process: start it, end it, and find what a killed keeper or server left behind."""

import logging
import os
import pwd
import signal
import time
from typing import Protocol

import psutil

from connector.embedded.access import identity
from connector.embedded.room import Room

log = logging.getLogger(__name__)

STOP_LIMIT = 30.0
"""Seconds that each signal may take to work."""
PAUSE = 0.02
ENVIRONMENT = {"LC_ALL": "C", "PATH": os.defpath}
"""All that a server sees of our environment: a PGPORT or TZ of the user would change what it does."""


class Server(Protocol):
    """What is particular to PostgreSQL or Redis."""

    @property
    def room(self) -> Room:
        """Where it lives."""

    @property
    def account(self) -> pwd.struct_passwd | None:
        """The account it runs under, None for our own."""

    @property
    def programs(self) -> frozenset[str]:
        """Names of the programs that work on the room's data."""

    @property
    def stop_signal(self) -> signal.Signals:
        """The signal for a clean end that does not wait for clients."""

    def prepare(self) -> None:
        """Make what the program needs before it starts; may be repeated."""

    def command(self) -> list[str]:
        """Return the program and its arguments, in which the room's mark occurs."""

    def is_ready(self) -> bool:
        """Return whether it answers."""


def launch(server: Server) -> psutil.Popen:
    """Start the program in its data directory; it may not answer yet."""
    server.prepare()
    return psutil.Popen(
        server.command(), cwd=server.room.data, env=ENVIRONMENT, start_new_session=True, **identity(server.account)
    )


def stop(process: psutil.Process, stop_signal: signal.Signals) -> None:
    """End a server cleanly, or at once when that takes too long."""
    for each in (stop_signal, signal.SIGQUIT, signal.SIGKILL):
        try:
            process.send_signal(each)
        except psutil.NoSuchProcess:
            return
        deadline = time.monotonic() + STOP_LIMIT
        while time.monotonic() < deadline:
            if has_ended(process):
                return
            time.sleep(PAUSE)
        log.warning("process %s did not end upon %s", process.pid, each.name)


def has_ended(process: psutil.Process) -> bool:
    """Return whether the process does nothing any more; as a zombie it may stay for ever where no init collects it."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def leftovers(server: Server) -> list[psutil.Process]:
    """Return the processes that run one of the server's programs for this very room, oldest first.

    PostgreSQL's own children are among them: those of a killed server finish their query before they see that it is
    gone, and until then no other can start.
    """
    found = [
        process
        for process in psutil.process_iter(["name", "cmdline", "create_time"])
        if process.info["name"] in server.programs and server.room.mark in " ".join(process.info["cmdline"] or [])
    ]
    return sorted(found, key=lambda process: process.info["create_time"])
