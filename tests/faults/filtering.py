"""F24: a filter edited in mid-sync, rows that leave and come back, and parents that change."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from unittest import mock

from connector import choosing, filters, polling
from connector.errors import Refused
from connector.pages import Page
from connector.polling import Step
from connector.simulator import Org
from connector.work import Work
from tests.faults.life import Life
from tests.faults.scene import HOUR, Scene

WANTED = ("Banking", "Energy", "Retail")
SOURCES = ("Web", "Other", None)


class Crash(BaseException):
    """As sudden as a signal."""


@dataclass(frozen=True)
class Choice:
    """A filter, and what it means told once more in plain Python: (org, object, row) → whether the row is let in."""

    tree: dict[str, Any] | None
    admits: Callable[[Org, str, Mapping[str, Any]], bool]


def by_source(sobject: str) -> dict[str, Any]:
    """A condition that the records of an object came from the web."""
    return {"field": f"{sobject}.LeadSource", "op": "equals", "value": "Web"}


INDUSTRY = {"field": "Contact.Account.Industry", "op": "in", "value": list(WANTED)}
CONTACTS = {"field": "object", "op": "equals", "value": "Contact"}
PLAIN = (
    Choice(None, lambda _org, _object, _row: True),
    Choice(
        {"any": [by_source("Lead"), CONTACTS]}, lambda _org, one, row: one == "Contact" or row["LeadSource"] == "Web"
    ),
    Choice({"any": [by_source("Lead"), by_source("Contact")]}, lambda _org, _object, row: row["LeadSource"] == "Web"),
    Choice(CONTACTS, lambda _org, one, _row: one == "Contact"),
)
PARENTAL = Choice(
    {"any": [by_source("Lead"), INDUSTRY]},
    lambda org, one, row: row["LeadSource"] == "Web" if one == "Lead" else _industry(org, row) in WANTED,
)


def _industry(org: Org, contact: Mapping[str, Any]) -> str | None:
    return org.row("Account", contact["AccountId"])["Industry"] if contact["AccountId"] else None


def choose(scene: Scene, choice: Choice) -> None:
    """Put a filter in force, and let the scene know what it means."""
    choosing.set_filter(scene.runtime, "acme", filters.read(choice.tree), "test")
    scene.admits = choice.admits


def move(life: Life, rows: int = 1) -> None:
    """Change what filters ask about."""
    for _ in range(rows):
        if found := life.one():
            life.org.update(*found, {"LeadSource": life.random.choice(SOURCES)})


def edited_filters(scene: Scene, life: Life) -> None:
    scene.poll()
    scene.fault("page_size", "/query", times=None, size=9)
    for choice in (*PLAIN[1:], PARENTAL, PLAIN[0], PARENTAL):
        life.go_on(15)
        _stop_at_page(scene, life.random.randint(1, 5))
        choose(scene, choice)
        move(life, 20)
        scene.poll()
    _refused_while_at_work(scene)
    scene.later(HOUR)
    accounts = {scene.org.row("Contact", contact)["AccountId"] for contact in life.live("Contact")} - {None}
    for account in sorted(accounts)[::2]:
        wanted = scene.org.row("Account", account)["Industry"] in WANTED
        scene.org.update("Account", account, {"Industry": "Other" if wanted else WANTED[0]})
    scene.poll()
    assert scene.differences().missing or scene.differences().phantom, "a parent's change shows on no page"
    assert scene.attempt("sweep")["state"] == "succeeded"
    scene.server.faults.clear()
    move(life, 20)


def _stop_at_page(scene: Scene, number: int) -> None:
    """Poll, and crash before the page of that number is stored, so that a window stays half read."""
    pages: list[Page] = []
    store = polling._store_page

    def crash_in_time(work: Work, step: Step, page: Page, **options: Any) -> None:
        pages.append(page)
        if len(pages) == number:
            raise Crash
        store(work, step, page, **options)

    with mock.patch.object(polling, "_store_page", crash_in_time), suppress(Crash):
        scene.poll()
    scene.query("UPDATE run SET queued_at = now() - interval '1 hour' WHERE state = 'queued' RETURNING id")


def _refused_while_at_work(scene: Scene) -> None:
    """Try to edit the filter between two pages of a run."""
    refused: list[Refused] = []
    store = polling._store_page

    def edit(work: Work, step: Step, page: Page, **options: Any) -> None:
        try:
            choosing.set_filter(scene.runtime, "acme", None, "test")
        except Refused as error:
            refused.append(error)
        store(work, step, page, **options)

    with mock.patch.object(polling, "_store_page", edit):
        scene.poll()
    assert refused, "a filter is not edited under the hands of a run"
