"""Several admins who change one source at the same moment: nobody's choice is lost, and no step is taken twice."""

from functools import partial

from connector import lifecycle, mappings, permissions
from connector.errors import Refused
from tests.connector.conftest import Site
from tests.together import together

SOURCE = "SELECT FROM source FOR UPDATE"
FIELDS = ("Description", "Industry", "Website", "Tier__c")


def test_mappings_added_at_once_are_all_kept(peopled: Site) -> None:
    peopled.change(mapping={})
    calls = [partial(mappings.add, peopled.runtime, "acme", f"Lead.{one}", f"x_{one.lower()}", None) for one in FIELDS]
    assert [one.added for one in together(peopled.url, SOURCE, calls)] == [(f"Lead.{one}",) for one in FIELDS]
    assert peopled.source().mapping["Lead"].keys() == set(FIELDS)


def test_permissions_set_at_once_are_all_kept(peopled: Site) -> None:
    answer = {"field": "Tier__c", "no": ["silver"]}
    pairs = [(channel, sobject) for channel in ("email", "sms") for sobject in ("Lead", "Contact")]
    calls = [partial(permissions.set_one, peopled.runtime, "acme", *pair, answer) for pair in pairs]
    assert together(peopled.url, SOURCE, calls) == [0] * 4
    kept = peopled.source().permissions
    assert kept == {channel: {"Lead": answer, "Contact": answer} for channel in ("email", "sms")}


def test_one_step_is_taken_once(peopled: Site) -> None:
    lifecycle.take(peopled.runtime, "acme", "pause")
    calls = [partial(lifecycle.take, peopled.runtime, "acme", "resume")] * 6
    outcomes = together(peopled.url, SOURCE, calls)
    assert [type(one) for one in outcomes].count(Refused) == 5
    assert peopled.source().state == "connected"
