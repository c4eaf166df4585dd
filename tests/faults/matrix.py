"""Playing one fault once and counting what is wrong afterwards."""

import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.faults.life import settle
from tests.faults.rows import Fault
from tests.faults.scene import Differences, Scene, opened


@dataclass(frozen=True)
class Result:
    """One line of the table; `seconds` run from the end of the trouble to quiet."""

    fault: str
    seed: int
    in_salesforce: int
    stored: int
    wrong: Differences
    gaps: int
    seconds: float
    calls: int
    least: int

    @property
    def good(self) -> bool:
        """Whether nothing is wrong, and enough was stored for that to mean something."""
        return self.wrong == Differences() and not self.gaps and self.stored >= self.least


def play(fault: Fault, seed: int, database_url: str, folder: Path) -> Result:
    """Fill an org, connect it, play the fault, poll until quiet, and compare."""
    with opened(database_url, folder, fault.start(seed), **fault.settings) as scene:
        life = settle(scene.org, Random(seed))
        scene.connect()
        fault.play(scene, life)
        return _recovered(scene, fault, seed)


def _recovered(scene: Scene, fault: Fault, seed: int) -> Result:
    started = time.monotonic()
    scene.quiet()
    return counted(scene, fault.name, seed, fault.least, time.monotonic() - started)


def counted(scene: Scene, fault: str, seed: int, least: int, seconds: float) -> Result:
    """What is stored when all is over, against what should be."""
    return Result(
        fault=fault,
        seed=seed,
        in_salesforce=scene.written_in_salesforce(),
        stored=scene.stored_rows(),
        wrong=scene.differences(),
        gaps=len(scene.gaps()),
        seconds=seconds,
        calls=scene.instance().usage.used(),
        least=least,
    )
