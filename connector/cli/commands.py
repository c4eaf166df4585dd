"""The whole command line: importing this registers every command on `app`."""

from connector.cli import (
    choosing,
    demo,
    exporting,
    living,
    looking,
    notifying,
    processes,
    setting_up,
    syncing,
    trusting,
    users,
)
from connector.cli.app import app

__all__ = [
    "app",
    "choosing",
    "demo",
    "exporting",
    "living",
    "looking",
    "notifying",
    "processes",
    "setting_up",
    "syncing",
    "trusting",
    "users",
]
