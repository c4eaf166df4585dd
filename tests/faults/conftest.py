"""What the tests of faults share: no pauses between attempts, a scene, and how long the form is."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

import pytest
import stamina

from tests.faults.life import Life, settle
from tests.faults.scene import Scene, opened

SEEDS = int(os.environ.get("FAULT_SEEDS", "1"))
LONG = SEEDS > 1


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    """Keep the number of attempts and leave out the pauses between them."""
    stamina.set_testing(True, attempts=100, cap=True)
    yield
    stamina.set_testing(False)


@pytest.fixture
def make_scene(database_url: str, tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    """Set a scene with settings of its own."""
    with ExitStack() as stack:

        def make(**chosen: Any) -> Scene:
            return stack.enter_context(opened(database_url, tmp_path, **chosen))

        yield make


@pytest.fixture
def scene(make_scene: Callable[..., Scene]) -> Scene:
    return make_scene()


@pytest.fixture
def life(scene: Scene) -> Life:
    """The life of a small org that is connected and has been read."""
    life = settle(scene.org, Random(7), leads=12, contacts=12)
    scene.connect()
    scene.poll()
    return life
