"""The world in which trust is tested."""

import pytest

from tests.feed import Cdp
from tests.trust.world import World


@pytest.fixture
def world(cdp: Cdp) -> World:
    return World(cdp)
