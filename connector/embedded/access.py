"""What PostgreSQL needs when the connector runs as root: an account that is not root, and a way to its files."""

import os
import pwd
from pathlib import Path
from typing import Any

from connector.errors import ConnectorError

ACCOUNT = "nobody"
WORKING_DIRECTORY = "/proc/self/cwd"
"""On Linux a process reaches the directory it was started in by this name, whatever the directories above forbid."""


def service_account() -> pwd.struct_passwd | None:
    """Return the account PostgreSQL runs under when we are root, which it refuses; else None, for our own.

    Raises:
        ConnectorError: we are root and the system has no such account, or is not Linux.
    """
    if os.geteuid() != 0:
        return None
    try:
        account = pwd.getpwnam(ACCOUNT)
    except KeyError:
        account = None
    if account is None or not Path(WORKING_DIRECTORY).exists():
        raise ConnectorError("The embedded PostgreSQL cannot run as root on this system: use another account.")
    return account


def identity(account: pwd.struct_passwd | None) -> dict[str, Any]:
    """Return the arguments that make a child process run under `account`."""
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}


def open_way(path: Path) -> None:
    """Let other accounts pass through, not list, the directories above `path`, where they cannot yet."""
    for directory in path.parents:
        _grant(directory, 0o001)


def open_tree(tree: Path) -> None:
    """Let other accounts read programs that were installed under a strict umask."""
    if not tree.stat().st_mode & 0o004:
        for path in (tree, *tree.rglob("*")):
            _grant(path, 0o005 if path.stat().st_mode & 0o100 else 0o004)


def _grant(path: Path, bits: int) -> None:
    mode = path.stat().st_mode
    if mode & bits != bits:
        path.chmod(mode & 0o7777 | bits)
