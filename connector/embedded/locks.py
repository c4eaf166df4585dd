"""Kernel locks on files: they end with the process that holds them, however it dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def open_lock(path: Path) -> int:
    """Open a lock file, made when missing; the descriptor does not survive an exec."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def try_lock(descriptor: int, mode: int) -> bool:
    """Take a lock (`fcntl.LOCK_SH` or `LOCK_EX`) without waiting; return whether it was free."""
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def was_removed(descriptor: int) -> bool:
    """Return whether the open lock file was deleted, so that nobody else can meet us there."""
    return os.fstat(descriptor).st_nlink == 0


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock exclusively, waiting for it first."""
    descriptor = open_lock(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Return whether somebody holds the lock exclusively."""
    descriptor = open_lock(path)
    try:
        return not try_lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)
