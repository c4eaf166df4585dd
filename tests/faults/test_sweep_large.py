"""Thirty-seven tampered records among many: the sweep heals just those, names them, and costs less than a full read."""

from collections.abc import Callable
from functools import partial

import pytest

from connector.pages import Reading
from tests.faults.conftest import LONG
from tests.faults.scene import Scene
from tests.faults.sweeping import fill, sweep


def heals_what_was_tampered(scene: Scene, rows: int) -> None:
    fill(scene, rows)
    swept = sweep(scene)
    print(f"{rows:,} records: {swept}")  # noqa: T201 - the figures are what the test shows
    assert len(swept.healed) == 37
    assert swept.healed == swept.tampered
    assert swept.calls < swept.full_read_calls


@pytest.mark.slow
def test_a_sweep_of_five_thousand(make_scene: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch) -> None:
    # A full read of so few shall take several pages all the same.
    monkeypatch.setattr("connector.polling.Reading", partial(Reading, bulk_page=200))
    heals_what_was_tampered(make_scene(bulk_threshold=1000), 5000)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not LONG, reason="part of the long form: FAULT_SEEDS=3")
def test_a_sweep_of_two_hundred_thousand(make_scene: Callable[..., Scene]) -> None:
    heals_what_was_tampered(make_scene(), 200_000)
