"""F27: a person is erased, and whatever is read again afterwards stores nothing personal anywhere."""

from uuid import UUID

import pytest

from cdp import decisions, erasure, people, queries
from cdp.db import transaction
from cdp.fields import Field, register
from tests.dump import holding
from tests.faults.life import Life
from tests.faults.scene import DAY, Scene

SECRETS = ("quentin", "zweistein", "555-0142", "schatzmeister")
EMAIL = "Quentin@example.net"
ABOUT = {"LastName": "Zweistein", "FirstName": "Quentin", "Phone": "555-0142", "Title": "Schatzmeister"}


def erase(scene: Scene) -> UUID:
    with transaction(scene.url) as session:
        [person] = queries.resolve_person(session, EMAIL)
        erasure.erase(session, person, scene.runtime.vault.erasure_keys)
    people.resolve(scene.url, scene.runtime.identity)
    erasure.sweep_out(scene.url)
    return person


def test_an_erased_person_stays_erased(scene: Scene, life: Life, capfd: pytest.CaptureFixture[str]) -> None:
    lead = scene.org.insert("Lead", {**ABOUT, "Company": "Zweistein & Co", "Email": EMAIL})
    contact = scene.org.insert("Contact", {**ABOUT, "Email": EMAIL.upper()})
    scene.poll()
    with transaction(scene.url) as session:
        decisions.join(session, queries.find_records(session, EMAIL), "Quentin says both are his")
    assert holding(scene.url, *SECRETS) == ["decision", "membership", "person", "record"]
    scene.org.corrupt("Contact", contact, "Title", "Schatzmeister\x00")
    scene.poll()
    scene.attempt("sweep")
    erase(scene)
    assert holding(scene.url, *SECRETS) == []

    def comes_back() -> None:
        scene.org.update("Lead", lead, {"Title": "Schatzmeister a. D.", "Email": "quentin@elsewhere.net"})

    def backfills() -> None:
        with transaction(scene.url) as session:
            register(session, [Field("rating")])
        scene.map("Lead", Rating="rating")
        scene.org.update("Lead", lead, {"Rating": "Zweistein"})
        assert scene.attempt("backfill", fields={"Lead": ["Rating"]})["state"] == "succeeded"

    def applies_anew() -> None:
        scene.org.insert("Contact", {**ABOUT, "Email": f"\u200b{EMAIL} "})

    steps = (comes_back, scene.forget_cursors, backfills, applies_anew, lambda: life.go_on(20))
    for step in steps:
        step()
        scene.poll()
        assert holding(scene.url, *SECRETS) == [], step
    for kind in ("resync", "sweep"):
        scene.later(DAY)
        assert scene.attempt(kind)["state"] in ("succeeded", "incomplete")
        assert holding(scene.url, *SECRETS) == [], kind
    logged = "".join(capfd.readouterr()).lower()
    assert "page_stored" in logged
    assert not [word for word in SECRETS if word in logged]
