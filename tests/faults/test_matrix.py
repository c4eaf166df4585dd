"""The fault matrix: after each fault polls alone leave nothing missing, stale, phantom or duplicate."""

from pathlib import Path

import pytest

from tests.faults.conftest import SEEDS
from tests.faults.matrix import play
from tests.faults.rows import FAULTS, Fault


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_nothing_is_wrong_after(fault: Fault, seed: int, database_url: str, tmp_path: Path) -> None:
    result = play(fault, seed, database_url, tmp_path)
    assert result.good, result
