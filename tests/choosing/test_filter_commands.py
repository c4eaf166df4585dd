"""`filter show`, `set` and `preview`: what they print, keep and refuse."""

import json
from typing import Any

import pytest

from cdp import db
from connector import choosing, runs, sources
from tests.choosing.conftest import Command
from tests.connector.conftest import Site

GOLD: dict[str, Any] = {"field": "contact.tier__c", "op": "equals", "value": "gold"}
CONTACTS = {"field": "object", "op": "equals", "value": "Contact"}


def tables(site: Site) -> dict[str, Any]:
    """Everything that is stored, but for the audit log, which tells of refusals too, and the count of API calls."""
    found = site.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    names = {row["tablename"] for row in found} - {"audit", "api_budget", "api_hour"}
    with db.transaction(site.url) as session:
        connection = db.driver(session)
        return {name: sorted(map(repr, connection.execute(f'SELECT * FROM "{name}"'))) for name in names}


def test_a_filter_is_kept_with_its_author_and_version(peopled: Site, command: Command) -> None:
    assert command(peopled, "filter", "show", "acme") == "There is no filter: every record is let in.\n"
    words = command(peopled, "filter", "set", "acme", "--author", "ann", document=GOLD)
    assert "The filter admits only Contacts: Leads are left out. To include them, write" in words
    assert "It is in force as version 1; the next poll reads what enters and takes out what leaves." in words
    shown = json.loads(command(peopled, "filter", "show", "acme", "--json"))
    assert shown["filter"] == {"field": "Contact.Tier__c", "op": "equals", "value": "gold"}
    assert [(one["version"], one["author"]) for one in shown["versions"]] == [(1, "ann")]
    assert shown["versions"][0]["created_at"]


def test_the_same_filter_again_is_no_new_version(peopled: Site, command: Command) -> None:
    command(peopled, "filter", "set", "acme", document=GOLD)
    words = command(peopled, "filter", "set", "acme", document=GOLD)
    assert "This filter is in force already; nothing has changed." in words
    assert len(json.loads(command(peopled, "filter", "show", "acme", "--json"))["versions"]) == 1


def test_an_empty_document_takes_the_filter_away(peopled: Site, command: Command) -> None:
    command(peopled, "filter", "set", "acme", document=GOLD)
    assert "The filter can let in Leads and Contacts." in command(peopled, "filter", "set", "acme", document={})
    assert "There is no filter: every record is let in." in command(peopled, "filter", "show", "acme")


def test_a_bad_filter_is_refused_and_nothing_is_kept(peopled: Site, command: Command) -> None:
    document = GOLD | {"field": "Contact.Teir__c"}
    sentence = "Contact has no field 'Teir__c' that the login can see: did you mean Tier__c?"
    assert command(peopled, "filter", "set", "acme", document=document, fails=2) == sentence
    assert command(peopled, "filter", "preview", "acme", document=document, fails=2) == sentence
    assert peopled.query("SELECT FROM source_filter") == []


def test_a_missing_file_is_named(peopled: Site, command: Command) -> None:
    words = command(peopled, "filter", "set", "acme", "--file", "nowhere.json", fails=2)
    assert words == "The file nowhere.json cannot be read: check that it exists and is a text in UTF-8."


@pytest.mark.parametrize(
    ("words", "document"),
    [
        (("filter", "set", "acme"), GOLD),
        (("mapping", "set", "acme"), {}),
        (("permission", "set", "acme"), {}),
        (("map", "acme", "Lead.Tier__c", "tier"), ...),
        (("unmap", "acme", "Lead.Company"), ...),
    ],
)
def test_nothing_can_be_chosen_while_the_source_is_updating(
    peopled: Site, command: Command, words: tuple[str, ...], document: Any
) -> None:
    lease = runs.claim(peopled.url, peopled.request(), "somebody")
    assert lease is not None
    before = tables(peopled)
    assert command(peopled, *words, document=document, fails=3) == (
        f"The data source 'acme' is updating (poll, run {lease.run_id}), so its filter, fields, permissions and "
        "cursor are locked: wait until it has ended and try again."
    )
    assert tables(peopled) == before
    lease.finish("succeeded")
    command(peopled, *words, document=document)


def test_nothing_can_be_chosen_for_a_disconnected_source(peopled: Site, command: Command) -> None:
    peopled.change(state="disconnected")
    words = command(peopled, "filter", "set", "acme", document=GOLD, fails=3)
    assert words == "The data source 'acme' is disconnected: reconnect it first."


def test_no_run_begins_while_a_choice_is_being_made(peopled: Site) -> None:
    queued = peopled.request()
    with choosing.editing(peopled.runtime, "acme"):
        with db.transaction(peopled.url) as session:
            free = db.rows(
                db.driver(session), "SELECT id FROM run WHERE id = %(run)s FOR UPDATE SKIP LOCKED", {"run": queued}
            )
        assert free == []
    assert runs.claim(peopled.url, queued, "somebody") is not None


def test_a_preview_tells_what_would_happen_and_writes_nothing(peopled: Site, command: Command) -> None:
    before = tables(peopled)
    shown = json.loads(command(peopled, "filter", "preview", "acme", "--json", document=GOLD))
    lead, contact = shown["objects"]
    assert (lead["object"], lead["match"], lead["enter"], lead["leave"], lead["rows"]) == ("Lead", 0, 0, 30, 0)
    assert (contact["match"], contact["enter"], contact["leave"], contact["rows"]) == (10, 0, 20, 30)
    assert len(lead["leaving"]) == len(contact["leaving"]) == 10
    assert contact["leaving"][0]["email"].endswith("@example.org")
    assert contact["api_calls"] > 0
    assert shown["sentence"].startswith("The filter admits only Contacts")
    assert tables(peopled) == before


def test_a_preview_by_bulk_tells_the_same(peopled: Site, command: Command) -> None:
    by_rest = json.loads(command(peopled, "filter", "preview", "acme", "--json", document=GOLD))
    peopled.runtime.settings.bulk_threshold = 5
    by_bulk = json.loads(command(peopled, "filter", "preview", "acme", "--json", document=GOLD))
    counted = ("match", "enter", "leave", "rows", "entering", "leaving")
    for one, other in zip(by_rest["objects"], by_bulk["objects"], strict=True):
        assert [one[name] for name in counted] == [other[name] for name in counted]


def test_a_preview_without_a_file_is_of_the_filter_in_force(peopled: Site, command: Command) -> None:
    shown = command(peopled, "filter", "preview", "acme")
    assert "The filter can let in Leads and Contacts." in shown
    assert "Nothing was written; finding out took" in shown


def test_a_preview_of_a_long_list_reads_and_judges(peopled: Site, command: Command) -> None:
    document = {"field": "Contact.Tier__c", "op": "in", "value": ["gold", *(f"x{n}" for n in range(1900))]}
    _lead, contact = json.loads(command(peopled, "filter", "preview", "acme", "--json", document=document))["objects"]
    assert (contact["match"], contact["leave"]) == (10, 20)


def test_a_complete_read_under_the_filter_leaves_nothing_former(peopled: Site, command: Command) -> None:
    def selection() -> choosing.Selection:
        with db.transaction(peopled.url) as session:
            return choosing.selection(session, sources.find(session, "acme").key, "Contact")

    assert not selection().pending
    command(peopled, "filter", "set", "acme", document=GOLD)
    assert selection().former == (None,)
    command(peopled, "filter", "set", "acme", document=CONTACTS)
    assert [one is None for one in selection().former] == [False, True]
    peopled.forget_cursors()
    peopled.sync()
    assert not selection().pending
