"""Playing one fault of the fleet once, and counting what is wrong when it has come to rest."""

import tempfile
from pathlib import Path
from random import Random

import structlog

from tests.faults.life import settle
from tests.faults.matrix import Result, counted
from tests.fleet.crew import mustered
from tests.fleet.rows import Fault


def play(fault: Fault, seed: int, folder: Path, *, long: bool) -> Result:
    """Fill the orgs, connect them, play the fault, let the fleet come to rest, and compare."""
    with mustered(folder, fault.others) as crew:
        lives = {name: settle(org, Random(f"{seed} {name}")) for name, org in crew.scene.orgs.items()}
        for name in crew.scene.orgs:
            if fault.rotates:
                crew.scene.instance(name).settings.rotate_refresh_tokens = True
            crew.scene.connect(name, "refresh_token" if fault.rotates else "client_credentials")
        fault(crew, lives["acme"], long=long)
        return counted(crew.scene, fault.name, seed, fault.least, seconds=crew.settle())


def play_long(fault: Fault, seed: int) -> Result:
    """Play it in its long form, in a folder of its own."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with tempfile.TemporaryDirectory(prefix="connector-fleet-") as folder:
        return play(fault, seed, Path(folder), long=True)
