"""The directory of one embedded server: its locks, its log, its data, its socket, and who may enter."""

import hashlib
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from connector.errors import ConnectorError


@dataclass(frozen=True)
class Room:
    """One server's place below the home; the directory's name is the server's."""

    path: Path

    def make(self) -> None:
        """Make the home and the directory when they are missing; those that exist keep their permissions."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.mkdir(mode=0o700, exist_ok=True)

    @property
    def name(self) -> str:
        """The server's name."""
        return self.path.name

    @property
    def users_lock(self) -> Path:
        """Held shared by each user process for its life, exclusively by a keeper that ends."""
        return self.path / "users.lock"

    @property
    def keeper_lock(self) -> Path:
        """Held exclusively by the keeper for its life."""
        return self.path / "keeper.lock"

    @property
    def ready_lock(self) -> Path:
        """Held exclusively by the keeper while the server answers: unlike a file, it cannot outlive the keeper."""
        return self.path / "ready.lock"

    @property
    def log(self) -> Path:
        """What the keeper and the server have to say."""
        return self.path / "keeper.log"

    @property
    def data(self) -> Path:
        """The server's working directory."""
        return self.path / "data"

    @property
    def mark(self) -> str:
        """A word that occurs in the command line of this room's server and in no other."""
        return "connector-" + hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]

    @property
    def socket_directory(self) -> Path:
        """A function of the room's path: short enough for any socket and plain enough for any URL, wherever home is."""
        return Path("/tmp") / self.mark  # noqa: S108 - private_directory refuses one that is not ours


def private_directory(path: Path, owner: pwd.struct_passwd | None = None) -> None:
    """Make `path` a directory that only `owner` (default: this process's user) may enter.

    Raises:
        ConnectorError: it exists and is not ours, as anybody may arrange below /tmp.
    """
    path.mkdir(mode=0o700, exist_ok=True)
    status = path.lstat()
    ours = {os.geteuid()} | ({owner.pw_uid} if owner else set())
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in ours:
        raise ConnectorError(f"{path} belongs to another user: remove it or choose another home.")
    path.chmod(0o700)
    if owner:
        os.chown(path, owner.pw_uid, owner.pw_gid)
