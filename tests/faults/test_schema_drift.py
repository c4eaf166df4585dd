"""Fields that vanish, come back, change their type or disappear in mid-run, and objects that become hidden."""

from connector.simulator.schema import make_field
from tests.faults.life import Life
from tests.faults.plays import before_query
from tests.faults.scene import HOUR, NONE, Scene


def one(life: Life, sobject: str = "Contact") -> str:
    return life.live(sobject)[0]


def with_field(scene: Scene, life: Life, value: str) -> str:
    """Add a mapped text field to Lead, fill it in every row, read it, and return its name."""
    scene.org.add_field("Lead", make_field("Zone__c", "string", length=80))
    for lead in life.live("Lead"):
        scene.org.update("Lead", lead, {"Zone__c": value})
    scene.map("Lead", Zone__c="zone")
    scene.poll()
    scene.poll(2 * HOUR)
    return "Zone__c"


def test_a_vanished_field_keeps_its_values_and_is_told_of_until_it_is_back(scene: Scene, life: Life) -> None:
    contact = one(life)
    scene.org.update("Contact", contact, {"Phone": "1"})
    scene.poll()
    scene.org.hide_field("Contact", "Phone")
    scene.org.update("Contact", contact, {"LastName": "Edited"})
    scene.poll()
    assert (scene.record(contact)["f_phone"], scene.record(contact)["f_last_name"]) == ("1", "Edited")
    [finding] = scene.query("SELECT * FROM finding")
    assert (finding["code"], finding["subject"]) == ("field_missing", "Phone")
    assert "missing or hidden since" in finding["message"]
    scene.poll()
    assert scene.query("SELECT since FROM finding")[0]["since"] == finding["since"]
    scene.org.show_field("Contact", "Phone")
    scene.quiet()
    assert scene.findings() == set()
    assert scene.differences() == NONE


def test_a_field_that_comes_back_has_the_values_it_was_given_meanwhile(scene: Scene, life: Life) -> None:
    scene.org.hide_field("Contact", "Phone")
    scene.poll()
    scene.org.update("Contact", one(life), {"Phone": "999"})
    scene.poll()
    scene.poll(HOUR)
    scene.org.show_field("Contact", "Phone")
    scene.quiet()
    assert scene.differences() == NONE


def test_an_email_that_cannot_be_read_is_told_of_and_read_again_once_it_can(scene: Scene, life: Life) -> None:
    lead = one(life, "Lead")
    scene.poll()
    scene.org.hide_field("Lead", "Email")
    scene.org.update("Lead", lead, {"Email": "changed@meanwhile.example"})
    added = scene.org.insert("Lead", {"LastName": "Unseen", "Company": "C", "Email": "new@meanwhile.example"})
    for _ in range(2):
        scene.poll(HOUR)
        [finding] = scene.query("SELECT * FROM finding")
        assert (finding["object"], finding["code"], finding["subject"]) == ("Lead", "field_missing", "Email")
        assert finding["message"].startswith("Lead.Email, by which records become one person, cannot be read since ")
        assert finding["remedy"] == "Give the user read access to the field; everything is read again then."
    scene.org.show_field("Lead", "Email")
    assert scene.poll(HOUR)["note"] is None
    assert scene.record(added)["email"] == "new@meanwhile.example"
    assert scene.findings() == set()
    assert scene.differences() == NONE


def test_a_new_field_is_read_for_what_changes_from_then_on(scene: Scene, life: Life) -> None:
    scene.org.add_field("Lead", make_field("New__c", "string", length=80, default="new"))
    scene.map("Lead", New__c="newest")
    lead = one(life, "Lead")
    scene.org.update("Lead", lead, {"LastName": "Edited"})
    assert scene.poll()["note"] is None
    assert scene.record(lead)["f_newest"] == "new"


def test_a_new_field_is_offered_once(scene: Scene, life: Life) -> None:
    scene.org.add_field("Lead", make_field("New__c", "string", length=80))
    life.go_on(3)
    assert scene.poll()["note"] == "Lead has new fields (New__c): map those you want with `connector map`."
    assert scene.poll()["note"] is None
    assert scene.findings() == set()


def test_a_retyped_field_that_still_fits_is_read_again(scene: Scene, life: Life) -> None:
    name = with_field(scene, life, "too long")
    scene.org.retype_field("Lead", name, "picklist")
    scene.org.tables["Lead"].convert_column(name, lambda _value: "shortened")
    scene.quiet()
    assert scene.differences() == NONE
    assert scene.findings() == set()


def test_a_retyped_field_is_read_again_even_after_a_run_that_failed(scene: Scene, life: Life) -> None:
    name = with_field(scene, life, "too long")
    scene.org.retype_field("Lead", name, "picklist")
    scene.org.tables["Lead"].convert_column(name, lambda _value: "shortened")
    scene.fault("server_unavailable", "/query", times=6)
    assert scene.poll()["state"] == "failed"
    scene.quiet()
    assert scene.differences() == NONE


def test_a_retyped_field_that_fits_no_more_is_frozen_and_told_of(scene: Scene, life: Life) -> None:
    name = with_field(scene, life, "12")
    scene.org.retype_field("Lead", name, "double", precision=18, scale=2)
    lead = one(life, "Lead")
    scene.org.update("Lead", lead, {name: 99.0, "LastName": "Edited"})
    assert scene.poll()["state"] == "succeeded"
    assert (scene.record(lead)["f_zone"], scene.record(lead)["f_last_name"]) == ("12", "Edited")
    assert scene.findings() == {("Lead", "field_retyped", name)}
    scene.org.retype_field("Lead", name, "string", length=80)
    scene.quiet()
    assert scene.findings() == set()
    assert scene.differences() == NONE


def test_a_field_hidden_in_mid_run_costs_a_second_describe(scene: Scene, life: Life) -> None:
    lead = one(life, "Lead")
    scene.org.update("Lead", lead, {"LastName": "Edited"})
    scene.server.requests.clear()
    with before_query(1, lambda: scene.org.hide_field("Lead", "Phone")):
        assert scene.poll()["state"] == "succeeded"
    assert scene.asked("Lead/describe") == 2
    assert scene.asked("Contact/describe") == 1
    assert scene.record(lead)["f_last_name"] == "Edited"
    assert ("Lead", "field_missing", "Phone") in scene.findings()


def test_a_hidden_object_is_told_of_and_the_other_goes_on(scene: Scene, life: Life) -> None:
    before = scene.states("Lead")
    scene.org.hide_object("Lead")
    contact = one(life)
    scene.org.update("Contact", contact, {"LastName": "Edited"})
    assert scene.poll()["state"] == "succeeded"
    assert scene.attempt("sweep")["state"] == "succeeded"
    assert scene.record(contact)["f_last_name"] == "Edited"
    assert scene.states("Lead") == before
    assert scene.findings() == {("Lead", "object_hidden", "Lead")}
    scene.org.show_object("Lead")
    life.go_on(10)
    scene.quiet()
    assert scene.findings() == set()
    assert scene.differences() == NONE


def test_a_vital_field_hidden_on_one_object_delays_no_other(scene: Scene, life: Life) -> None:
    scene.org.hide_field("Lead", "IsDeleted")
    contact = one(life)
    scene.org.update("Contact", contact, {"LastName": "Edited"})
    assert scene.poll()["error_code"] == "field_hidden"
    assert scene.record(contact)["f_last_name"] == "Edited"
