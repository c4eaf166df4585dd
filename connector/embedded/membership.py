"""A user process's side: stay registered as a user of a server, and start its keeper when there is none."""

import fcntl
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from connector.embedded.locks import is_locked, open_lock, try_lock, was_removed
from connector.embedded.room import Room
from connector.errors import ConnectorError

_held: dict[Path, int] = {}
"""The locks on users.lock of this process; never closed, so the kernel drops them however the process ends."""


@dataclass
class Membership:
    """One attempt to use the server of a room."""

    room: Room
    started_keeper: bool = False

    def join(self) -> bool:
        """Do the next step that is possible without waiting; return whether the server is ready for us.

        Raises:
            ConnectorError: the keeper that this attempt started has ended.
            OSError: the room cannot be used.
        """
        if not self._registered():
            return False
        self._ensure_keeper()
        return is_locked(self.room.ready_lock)

    def _registered(self) -> bool:
        held = _held.get(self.room.path)
        if held is not None and not was_removed(held):
            return True
        self.room.make()
        descriptor = open_lock(self.room.users_lock)
        if not try_lock(descriptor, fcntl.LOCK_SH):
            os.close(descriptor)
            return False
        _held[self.room.path] = descriptor
        return True

    def _ensure_keeper(self) -> None:
        descriptor = open_lock(self.room.keeper_lock)
        try:
            if try_lock(descriptor, fcntl.LOCK_EX):
                if self.started_keeper:
                    raise ConnectorError(f"The embedded {self.room.name} did not start: see {self.room.log}.")
                _start_keeper(self.room, descriptor)
                self.started_keeper = True
        finally:
            os.close(descriptor)


def _start_keeper(room: Room, lock: int) -> None:
    """Start a keeper that inherits the locked descriptor: there is no moment in which a second one could start."""
    command = [sys.executable, "-P", "-m", "connector.embedded.keeper", room.name, str(room.path), str(lock)]
    room.log.touch(mode=0o600)
    with room.log.open("ab") as log:
        subprocess.run(  # noqa: S603 - our own module
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[lock],
            start_new_session=True,
            check=False,
        )
