"""The fleet's fault matrix in its short form: one seed, and each trouble for a few seconds."""

from pathlib import Path

import pytest

from tests.fleet.matrix import play
from tests.fleet.rows import FAULTS, Fault


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_nothing_is_wrong_after(fault: Fault, tmp_path: Path) -> None:
    result = play(fault, 0, tmp_path, long=False)
    assert result.good, result
