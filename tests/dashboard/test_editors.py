"""Editing filters and mappings on the page: what is typed becomes the document of the command line."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp import db
from connector import choosing, filters
from connector.dashboard import drafts
from tests.connector.conftest import Site
from tests.dashboard.conftest import Open
from tests.dashboard.test_overview import text

FILTER = "/sources/1/filter"
MAPPING = "/sources/1/mapping"
conditions = st.builds(
    lambda field, op: {"field": field, "op": op}, st.sampled_from(["Lead.A", "Contact.B"]), st.just("is_empty")
)
trees = st.recursive(
    conditions,
    lambda parts: (
        st.lists(parts, min_size=1, max_size=3).flatmap(lambda few: st.sampled_from([{"all": few}, {"any": few}]))
        | parts.map(lambda part: {"not": part})
    ),
    max_leaves=8,
)


def flat(draft: drafts.Draft, place: str = drafts.ROOT) -> dict[str, str]:
    """A draft as the form sends it."""
    if draft.kind == "field":
        return {f"{place}.{name}": getattr(draft, name) for name in ("kind", "field", "op", "value")}
    form = {f"{place}.kind": draft.kind}
    for number, part in enumerate(draft.parts):
        form |= flat(part, f"{place}.{number}")
    return form


def plain(document: dict) -> object:
    """A tree without groups of one and with `not` always over `any`, to compare what trees mean."""
    for kind in ("all", "any"):
        if kind in document:
            parts = [plain(part) for part in document[kind]]
            return parts[0] if len(parts) == 1 else (kind, parts)
    if "not" in document:
        inside = plain(document["not"])
        return ("not", inside)
    return (document["field"], document["op"])


@given(trees)
def test_a_tree_survives_the_form(tree: dict) -> None:
    form = flat(drafts.from_tree(tree))
    again = drafts.to_tree(drafts.from_form(form), None)  # type: ignore[arg-type] - these conditions ask nothing of it
    assert plain(again) == plain(tree)


def test_buttons_change_the_draft() -> None:
    draft = drafts.change(drafts.from_tree(None), "add:n")
    draft = drafts.change(draft, "group:n")
    draft = drafts.change(draft, "add:n.1")
    assert [part.kind for part in draft.parts] == ["field", "any"]
    assert len(draft.parts[1].parts) == 2
    assert drafts.change(draft, "remove:n.0").parts[0].kind == "any"
    assert drafts.change(draft, "remove:n.9.9").parts == draft.parts
    assert drafts.change(draft, "nonsense").parts == draft.parts


def asked(*rows: tuple[str, str, str]) -> dict[str, str]:
    return flat(drafts.Draft("all", parts=[drafts.Draft(field=f, op=o, value=v) for f, o, v in rows]))


def test_a_filter_is_counted_confirmed_and_put_in_force(peopled: Site, visit: Open) -> None:
    browser = visit("admin")
    assert "Lead.Tier__c" in browser.get(FILTER).text
    form = asked(("Lead.Tier__c", "in", "gold, silver"))
    seen = text(browser.post(f"{FILTER}/preview", **form).text)
    assert "Lead 20 0 10" in seen
    assert "Contact 0 0 30" in seen
    page = browser.post(f"{FILTER}/confirm", **form)
    assert "would leave" in page.text
    tree = re.search(r'name="tree" value="([^"]*)"', page.text)
    assert tree
    answer = browser.post(FILTER, tree=tree[1].replace("&#34;", '"'))
    assert answer.status_code == 303
    with db.transaction(peopled.url) as session:
        [version] = choosing.versions(session, 1)
    assert version.author == "admin"
    assert version.tree == {"all": [{"field": "Lead.Tier__c", "op": "in", "value": ["gold", "silver"]}]}
    assert "gold, silver" in browser.get(FILTER).text
    assert filters.read(json.loads(json.dumps(version.tree)))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (("Lead.Nope", "equals", "x"), "Nope"),
        (("", "equals", "x"), "has no field"),
        (("Nothing.X", "equals", "x"), "There is no field"),
        (("Lead.NumberOfEmployees", "equals", "many"), "is no number"),
    ],
)
@pytest.mark.usefixtures("peopled")
def test_what_does_not_fit_is_said(visit: Open, row: tuple[str, str, str], words: str) -> None:
    answer = visit("admin").post(f"{FILTER}/preview", **asked(row))
    assert answer.status_code == 400
    assert words in text(answer.text)


def test_while_it_is_updating_editors_are_locked_with_the_reason(peopled: Site, visit: Open) -> None:
    peopled.query(
        """
        INSERT INTO run (source_id, kind, state, started_at, lease_until)
        VALUES (1, 'backfill', 'running', now(), now() + interval '1 hour') RETURNING 1
        """
    )
    browser = visit("admin")
    for page in (FILTER, MAPPING):
        answer = browser.get(page)
        assert "is updating (backfill" in text(answer.text)
        assert 'class="bare" disabled' in answer.text
    assert browser.post(f"{MAPPING}/remove", field="Lead.Company").status_code == 409
    assert "HX-Refresh" not in browser.get("/sources/1/lock").headers
    peopled.query("UPDATE run SET state = 'succeeded', ended_at = now(), lease_until = NULL RETURNING 1")
    assert browser.get("/sources/1/lock").headers["HX-Refresh"] == "true"


def test_a_field_is_mapped_and_unmapped(peopled: Site, visit: Open) -> None:
    browser = visit("admin")
    page = text(browser.get(f"{MAPPING}/confirm?field=lead.tier__c&to=tier").text)
    assert "It gives text , into the person field tier" in page
    answer = browser.post(f"{MAPPING}/add", field="Lead.Tier__c", to="tier")
    assert answer.headers["Location"] == "/sources/1/do/backfill"
    assert 'value="Lead.Tier__c" checked' in browser.get("/sources/1/do/backfill").text
    assert "fills from changes only" in browser.get(f"{MAPPING}?q=tier").text
    assert "Lead.Company" not in text(browser.get(f"{MAPPING}?q=tier").text).split("Map another")[0]
    assert "already" in text(browser.post(f"{MAPPING}/add", field="Lead.Tier__c", to="other").text)
    assert "is forgotten" in browser.get(f"{MAPPING}/confirm?remove=1&field=Lead.Tier__c").text
    assert browser.post(f"{MAPPING}/remove", field="Lead.Tier__c").status_code == 303
    assert "Tier__c" not in peopled.source().mapping["Lead"]


def test_a_broken_row_says_how_to_repair_it(peopled: Site, visit: Open) -> None:
    mapping = peopled.source().mapping
    peopled.change(mapping={**mapping, "Lead": {**mapping["Lead"], "Gone__c": {"to": "company"}}})
    assert "was renamed, deleted or hidden" in visit("viewer").get(MAPPING).text


def test_a_permission_is_set_and_taken_away(peopled: Site, visit: Open) -> None:
    browser = visit("admin")
    browser.get(MAPPING)
    asked = {"channel": "sms", "object": "Lead", "field": "Tier__c", "yes": "gold", "no": "silver"}
    assert "Lead.Tier__c" in browser.post(f"{MAPPING}/permission/confirm", **asked).text
    assert browser.post(f"{MAPPING}/permission", **asked).status_code == 303
    assert peopled.source().permissions["sms"] == {"Lead": {"field": "Tier__c", "yes": ["gold"], "no": ["silver"]}}
    assert browser.post(f"{MAPPING}/permission", channel="sms", object="Lead").status_code == 303
    assert peopled.source().permissions["sms"] == {}
    assert peopled.source().permissions["email"]["Lead"]["no"] == [True]
