"""The benchmark reads as many columns as it says."""

from types import SimpleNamespace
from typing import cast

import pytest

from connector.client import API_VERSION
from connector.simulator import Org as SimulatedOrg
from connector.simulator.describe import describe_object
from tests.bench.mapping import COLUMNS, MAPPINGS, plan
from tests.bench.stage import Org


@pytest.mark.parametrize("sobject", MAPPINGS)
def test_each_object_is_read_with_25_columns(sobject: str) -> None:
    simulated = SimulatedOrg("bench")
    org = SimpleNamespace(describe=lambda name: describe_object(simulated, name, API_VERSION))
    assert len(plan(cast("Org", org), sobject).fields) == COLUMNS
