"""`connector demo`: plays the main job on this machine, tells what it does, and ends by itself."""

import time
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from cdp import queries
from cdp.db import transaction
from connector.cli.app import Json, app
from connector.cli.looking import MOST_SHOWN, show_profile
from connector.cli.output import console, hints, print_json, table
from connector.cli.syncing import run_sources
from connector.errors import ConnectorError

if TYPE_CHECKING:
    from connector.demo import Stage


@app.command(rich_help_panel="Run")
def demo(
    leads: Annotated[int, typer.Option(min=10, help="Leads in each org.")] = 1000,
    contacts: Annotated[int, typer.Option(min=10, help="Contacts in each org.")] = 1000,
    json: Json = False,
) -> None:
    """Two simulated orgs in, one set of people out: the whole thing on this machine, in a temporary home."""
    from connector import demo as play  # noqa: PLC0415 - only this command needs the simulator

    started = time.monotonic()
    _tell("Starting PostgreSQL, Redis, two simulated Salesforce orgs and a worker …")
    with play.stage(leads, contacts) as on:
        _tell("Connecting both orgs and reading them with the worker …")
        play.connect(on)
        run_sources(on.runtime, None, "poll", here=False)
        before = play.profiles(on)
        hero, counts = _show_people(on, json=json)
        _tell("Editing both orgs:")
        edits = play.edit(on, before, str(hero))
        for line in edits:
            _tell(f"  · {line}")
        _tell("Polling again …")
        run_sources(on.runtime, None, "poll", here=False)
        changes = list(play.differences(before, play.profiles(on)))
    if json:
        print_json({"people_by_source": counts, "person": str(hero), "edits": edits, "changes": changes})
    else:
        table(("person", "what", "details"), changes, title="What changed, and nothing else")
        console.print(f"Done in {time.monotonic() - started:.0f} s. Everything ran in a temporary folder, now removed.")


def _tell(line: str) -> None:
    hints.print(line, markup=False, soft_wrap=True)


def _show_people(on: "Stage", *, json: bool) -> tuple[UUID, list[queries.Row]]:
    with transaction(on.runtime.database_url) as session:
        counts = queries.people_by_source(session)
        hero = queries.widest_person(session)
        if hero is None:
            raise ConnectorError("No person has records in both orgs: run the demo with more --leads and --contacts.")
        profile = queries.person(session, hero)
        profile |= {"why": queries.why(session, hero), "activities": queries.timeline(session, hero, MOST_SHOWN)}
        kinds = queries.activities_by_kind(session)
    if json:
        return hero, counts
    table(
        ("source", "leads", "contacts", "records", "people"),
        ((c["source"] or "together", c["leads"], c["contacts"], c["records"], c["people"]) for c in counts),
        title="Leads and Contacts read, and the people they make",
    )
    console.print("One of them, and the record that each value comes from:", style="bold")
    show_profile(profile)
    table(("activity", "number"), kinds.items(), title="What people did, by kind")
    return hero, counts
