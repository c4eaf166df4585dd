"""Rules: their SQL, their words and the oracle agree; a change is told beforehand and recomputes everybody."""

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from cdp import queries, rules
from cdp.errors import InvalidField
from cdp.fields import RULES as FITTING
from cdp.fields import rules as rules_in_force
from connector.cli.commands import app
from tests.feed import FIELDS, Cdp
from tests.oracle import exact
from tests.stories import RULES, Story, in_batches, stories
from tests.trust.world import World, contact, identity, lead

CHOICES = {field.name: sorted(rule for rule, types in FITTING.items() if field.type in types) for field in FIELDS}
A = lead(1, "ann@acme.com", values={"company": "First", "title": "Older"})
B = contact(2, "ann@acme.com", 2, values={"company": "Second", "title": "Newer"})


@pytest.mark.slow
@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(
    story=stories(),
    chosen=st.fixed_dictionaries({name: st.sampled_from(choices) for name, choices in CHOICES.items()}),
    order=st.permutations([1, 2, 3]).flatmap(lambda ids: st.integers(0, 3).map(lambda n: tuple(ids[:n]))),
)
def test_sql_words_and_oracle_pick_the_same_values(
    cdp: Cdp, story: Story, chosen: dict[str, str], order: tuple[int, ...]
) -> None:
    world = World(cdp)
    for name, rule in chosen.items():
        world.choose(name, rule)
    world.order(*order)
    cdp.deliver(sorted(story.versions, key=in_batches))
    world.now |= {record.handle: record for record in newest(story)}
    world.compare()
    with cdp.session() as session:
        for person, columns in cdp.people().items():
            told = {verdict.field: exact(verdict.value) for verdict in queries.why(session, person)}
            assert told == {name: columns[name] for name in CHOICES if columns[name] is not None}


def newest(story: Story) -> list[Any]:
    from tests.oracle import latest

    return latest(story.versions)


def test_the_order_of_sources_decides_where_a_rule_asks_for_it(world: World) -> None:
    world.change(A, B)
    for order, title in (((2, 1), "Newer"), ((3, 1), "Older"), ((), "Older"), ((3, 2), "Newer")):
        world.order(*order)
        world.compare()
        assert world.cdp.people()[A.handle]["title"] == title


def test_words_name_the_order_of_sources(world: World) -> None:
    world.change(A, B)
    world.order(2)
    world.compare()
    with world.cdp.session() as session:
        [title] = [verdict for verdict in queries.why(session, A.handle) if verdict.field == "title"]
    assert (title.source, [one.reason for one in title.losers]) == ("org 2", ["its source comes later"])


def test_an_unchanged_rule_recomputes_nobody(world: World) -> None:
    world.change(A, B)
    world.choose("company", RULES.fields["company"][1])
    world.order(1, 2, 3)
    world.rules = RULES
    assert world.cdp.resolve(RULES).written == 0


def test_a_preview_counts_with_examples_and_writes_nothing(world: World) -> None:
    world.change(A)
    world.change(B)
    before = world.cdp.query("SELECT xmin, ctid FROM person ORDER BY person_id")
    with world.cdp.session() as session:
        proposed = rules.with_rule(rules_in_force(session), "company", "source_priority")
    found = rules.preview(world.cdp.url, identity(RULES), proposed)
    assert (found.people, found.change, found.merge, found.split) == (11, 1, 0, 0)
    assert found.examples[0].columns == {"company": ("Second", "First")}
    assert world.cdp.query("SELECT xmin, ctid FROM person ORDER BY person_id") == before


def test_a_preview_of_settings_counts_merges_and_splits(world: World) -> None:
    crowd = [lead(20 + n, "info@acme.com") for n in range(4)]
    world.change(A, B, *crowd)
    pair, four = sorted([A.handle, B.handle]), sorted(one.handle for one in crowd)

    def found(**chosen: Any) -> rules.Preview:
        return rules.preview(world.cdp.url, replace(identity(RULES), **chosen))

    stricter = found(never_merge=("Ann@Acme.com",))
    assert (stricter.merge, stricter.split, stricter.merging) == (0, 1, [])
    assert stricter.splitting == [{"person_id": A.handle, "parted_into": pair}]
    looser = found(max_records_per_key=4)
    assert (looser.merge, looser.split, looser.change) == (1, 0, 3)  # the anchor keeps its values
    assert looser.merging == [{"person_id": crowd[0].handle, "made_of": four}]
    world.rules = replace(RULES, max_records_per_key=4, never_merge=frozenset({"ann@acme.com"}))
    world.compare()
    back = found()
    assert (back.merge, back.split) == (1, 1)
    assert (back.merging[0]["made_of"], back.splitting[0]["parted_into"]) == (pair, four)
    assert found(max_records_per_key=1).split == 11  # the crowd and ten pairs of bystanders


def test_placeholders_are_compared_as_keys(world: World) -> None:
    world.rules = replace(RULES, never_merge=frozenset({"\u200b ANN@ａcme.com"}))
    world.cdp.deliver([A, B])
    world.cdp.resolve(world.rules)
    assert {A.handle, B.handle} <= world.cdp.people().keys()


@pytest.mark.parametrize(("name", "rule"), [("nobody", "most_recent"), ("company", "any_true"), ("company", "newest")])
def test_a_rule_that_does_not_fit_is_refused(world: World, name: str, rule: str) -> None:
    with world.cdp.session() as session, pytest.raises(InvalidField):
        rules.with_rule(rules_in_force(session), name, rule)


def test_the_commands_preview_and_put_in_force(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.change(A)
    world.change(B)
    runtime = SimpleNamespace(database_url=world.cdp.url, identity=identity(RULES))
    monkeypatch.setattr("connector.cli.trusting.Runtime", lambda: runtime)

    def run(*words: str) -> Any:
        return json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)

    assert run("rule", "company", "source_priority", "--dry-run")["change"] == 1
    assert run("people", "preview")["change"] == 0
    assert run("rule", "company", "source_priority")["rules"]["company"] == "source_priority"
    assert run("source", "order", "org 2", "org 1")["source_order"] == [2, 1]
    world.cdp.resolve(RULES)
    assert world.cdp.people()[A.handle]["company"] == "Second"
