"""A transaction of twenty minutes commits rows with old stamps while polls go on: nothing is missing, unswept."""

from collections.abc import Callable
from random import Random

import pytest

from tests.faults.life import Life, settle
from tests.faults.scene import HOUR, MINUTE, NONE, Scene

TRANSACTION = 20 * MINUTE


def held_open(scene: Scene, life: Life, seconds: int, every: int) -> set[str]:
    """Write rows in one transaction all the while polls go on; return the ids of those that are new."""
    new = set()
    with scene.org.late_commit() as transaction:
        for _ in range(seconds // every):
            new.add(transaction.insert("Contact", {"LastName": "Late", "Email": life.email()}))
            if found := life.one():
                transaction.update(*found, {"LastName": "Late too"})
            life.create()
            assert scene.poll(every)["state"] == "succeeded"
        assert not new & scene.states("Contact").keys()
    return new


def test_a_long_transaction_is_waited_for(scene: Scene, life: Life) -> None:
    new = held_open(scene, life, TRANSACTION, 4 * MINUTE)
    stamps = [scene.org.row("Contact", one)["SystemModstamp"] for one in new]
    assert (scene.org.clock.now() - min(stamps)).total_seconds() >= TRANSACTION
    scene.quiet()
    assert new <= scene.states("Contact").keys()
    assert scene.differences() == NONE
    assert {run["kind"] for run in scene.query("SELECT kind FROM run")} == {"poll"}


@pytest.mark.usefixtures("life")
def test_the_window_does_not_end_after_the_transaction_began(scene: Scene) -> None:
    scene.later(HOUR)
    began = scene.org.clock.now()
    with scene.org.late_commit():
        for _ in range(3):
            scene.poll(5 * MINUTE)
    assert scene.cursor("Lead").closed_to == scene.cursor("Contact").closed_to == began
    scene.poll()
    assert (scene.cursor("Lead").closed_to or began) > began


def test_without_word_from_the_org_the_overlap_covers_short_transactions(
    make_scene: Callable[..., Scene],
) -> None:
    scene = make_scene(poll_overlap=600)
    life = settle(scene.org, Random(8), leads=12, contacts=12)
    refused = scene.fault("error", "/updated", times=None, status=403, code="INSUFFICIENT_ACCESS", message="No.")
    scene.connect()
    scene.poll()
    new = held_open(scene, life, 8 * MINUTE, 2 * MINUTE)
    scene.quiet()
    assert refused.hits > 0
    assert new <= scene.states("Contact").keys()
    assert scene.differences() == NONE
