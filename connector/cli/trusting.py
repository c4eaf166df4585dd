"""Commands for trusting what people are: the proof, the rules, decisions, erasure, and the feed of changes."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

import typer
from sqlmodel import Session

from cdp import erasure, people, queries, rules, verification
from cdp.db import transaction
from cdp.errors import EventsForgotten
from cdp.fields import Rules
from cdp.fields import rules as rules_in_force
from connector import deciding, sources, tracing
from connector.cli.app import Changing, Json, app, source
from connector.cli.looking import people_known_by
from connector.cli.output import console, is_interactive, print_json, print_lines, show, table
from connector.errors import BadInput, Refused
from connector.runtime import Runtime

TRUST = "Trust"
people_ = typer.Typer(help="Decisions about people, which outweigh their emails until undone.", no_args_is_help=True)
app.add_typer(people_, name="people", rich_help_panel=TRUST)

Records = Annotated[list[str], typer.Argument(help="Salesforce record ids or external ids.", metavar="RECORD...")]
Reason = Annotated[str, typer.Option("--reason", help="Why, for those who ask later.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what would change, and for whom.")]


@app.command(rich_help_panel=TRUST)
def verify(json: Json = False) -> None:
    """Build all people from zero beside the live ones and compare; 1 when anything differs. Writes nothing."""
    runtime = Runtime()
    found = verification.verify(runtime.database_url, runtime.identity)
    rate = round(found.records / max(found.seconds, 0.001))
    if json:
        print_json({**vars(found), "same": found.same, "records_per_second": rate})
    else:
        _show_comparison(found, rate)
    if not found.same:
        raise typer.Exit(1)


def _show_comparison(found: verification.Comparison, rate: int) -> None:
    console.print(
        f"{show(found.records)} live records make {show(found.people)} people; rebuilt in {found.seconds:.1f} s "
        f"({show(rate)} records/s)."
    )
    if found.pending:
        console.print(f"{show(found.pending)} records wait for the resolver; their people are left out.")
    if found.same:
        console.print("No difference.")
        return
    console.print(
        f"{show(found.people_different)} people and {show(found.memberships_different)} memberships differ.",
        style="bold",
    )
    lines = [(one.person_id, name, *values) for one in found.examples for name, values in one.columns.items()]
    table(("person", "what", "live", "rebuilt"), lines, title="The first of them")


@app.command(rich_help_panel=TRUST, cls=Changing)
def rule(
    field: Annotated[str, typer.Argument(help="A person field.", metavar="FIELD")],
    chosen: Annotated[str, typer.Argument(help="most_recent, source_priority, any_true or union.", metavar="RULE")],
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Choose the rule that picks a person field's value."""
    runtime = Runtime()
    with transaction(runtime.database_url) as session:
        changed = rules.with_rule(rules_in_force(session), field, chosen)
    _put_in_force(runtime, changed, dry_run=dry_run, json=json)


@source.command("order", cls=Changing)
def order_(
    names: Annotated[list[str], typer.Argument(help="Data sources, the most trusted first.", metavar="NAME...")],
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Choose whose values come first where a field's rule is source_priority; the sources not named follow."""
    runtime = Runtime()
    with transaction(runtime.database_url) as session:
        first = [sources.find(session, name).id for name in names]
        changed = rules.with_source_order(session, rules_in_force(session), [one for one in first if one is not None])
    _put_in_force(runtime, changed, dry_run=dry_run, json=json)


def _put_in_force(runtime: Runtime, changed: Rules, *, dry_run: bool, json: bool) -> None:
    if dry_run:
        _show_preview(rules.preview(runtime.database_url, runtime.identity, changed), json=json)
        return
    with transaction(runtime.database_url) as session:
        rules.set_rules(session, changed)
    if json:
        print_json({"rules": {one.name: one.rule for one in changed.fields}, "source_order": changed.source_order})
    else:
        console.print("Done. The next pass of a worker, or `connector sync --here`, recomputes people.")


@people_.command("preview")
def preview_(json: Json = False) -> None:
    """Tell what the settings of this environment would make of people, such as another limit or placeholder."""
    runtime = Runtime()
    _show_preview(rules.preview(runtime.database_url, runtime.identity), json=json)


def _show_preview(found: rules.Preview, *, json: bool) -> None:
    if json:
        print_json(found)
        return
    console.print(
        f"Of then {show(found.people)} people {show(found.change)} would differ: {show(found.merge)} made of several "
        f"people of now, {show(found.split)} of now parted. Nothing was written."
    )
    lines = [(one.person_id, name, *values) for one in found.examples for name, values in one.columns.items()]
    table(("person", "what", "now", "then"), lines, title="Examples")
    table(("person", "made of"), ((one["person_id"], one["made_of"]) for one in found.merging), title="Merged")
    table(("person", "parted into"), ((one["person_id"], one["parted_into"]) for one in found.splitting), title="Split")


@people_.command("split", cls=Changing)
def split_(records: Records, reason: Reason, json: Json = False) -> None:
    """Part these records from their person: they, and nobody else, are a person of their own."""
    runtime = Runtime()
    _tell(runtime, deciding.split(runtime, _handles(runtime, records), reason), json=json)


@people_.command("join", cls=Changing)
def join_(records: Records, reason: Reason, json: Json = False) -> None:
    """Make one person of these records, whatever their emails."""
    runtime = Runtime()
    _tell(runtime, deciding.join(runtime, _handles(runtime, records), reason), json=json)


@people_.command("undo", cls=Changing)
def undo_(decision: Annotated[int, typer.Argument(help="Its number.", metavar="ID")], json: Json = False) -> None:
    """Take a decision back; people are then as if it had never been."""
    runtime = Runtime()
    _tell(runtime, deciding.undo(runtime, decision), json=json)


def _handles(runtime: Runtime, records: Sequence[str]) -> list[UUID]:
    with transaction(runtime.database_url) as session:
        return [_record(session, one) for one in records]


def _tell(runtime: Runtime, number: int, *, json: bool) -> None:
    with transaction(runtime.database_url) as session:
        made = next(one for one in queries.decisions(session) if one["decision_id"] == number)
    if json:
        print_json(made)
    else:
        state = "is undone" if made["undone_at"] else "holds"
        console.print(f"Decision {number} {state}; people are up to date.")


def _record(session: Session, wanted: str) -> UUID:
    found = queries.find_records(session, tracing.full_id(wanted))
    if len(found) != 1:
        known = "no record is" if not found else f"{len(found)} records are"
        raise BadInput(
            f"Name one record with '{wanted}': {known} known by it; an external id (sf_…) is never ambiguous."
        )
    return found[0]


@people_.command("decisions")
def decisions_(json: Json = False) -> None:
    """List the decisions about people, newest first."""
    with transaction(Runtime().database_url) as session:
        found = queries.decisions(session)
    if json:
        print_lines(found)
    elif not found:
        console.print("There are no decisions: keys and conversions alone make people.")
    else:
        shown = ("decision_id", "kind", "decided_at", "undone_at", "reason", "records")
        table([name.replace("_", " ") for name in shown], ([row[name] for name in shown] for row in found))


@app.command(rich_help_panel=TRUST)
def events(
    after: Annotated[
        int | None, typer.Option(min=0, help="Number of the last event that is known already; 3 when it is too old.")
    ] = None,
    json: Json = False,  # noqa: ARG001 - every command takes it; events are JSON lines anyway
) -> None:
    """Print what became of people as JSON lines, in the order of commits, for a copy to follow."""
    try:
        with transaction(Runtime().database_url) as session:
            print_lines(queries.events(session, after))
    except EventsForgotten as error:
        raise Refused(str(error)) from None


@app.command(rich_help_panel=TRUST, cls=Changing)
def erase(
    wanted: Annotated[str, typer.Argument(help="Email, person id, or Salesforce record id.", metavar="EMAIL|ID")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Forget a person for good: all values go, and nothing personal of these records and emails is stored again."""
    runtime = Runtime()
    people.resolve(runtime.database_url, runtime.identity)
    with transaction(runtime.database_url) as session:
        person_id = _only_person(session, wanted)
        found = erasure.find(session, person_id)
    emails = ", ".join(found.emails) or "no email of its own"
    if is_interactive() and not yes:
        typer.confirm(
            f"Erase person {person_id} for good: {len(found.handles)} records, {emails}?", abort=True, err=True
        )
    with transaction(runtime.database_url) as session:
        found = erasure.erase(session, person_id, runtime.vault.erasure_keys)
    people.resolve(runtime.database_url, runtime.identity)
    erasure.sweep_out(runtime.database_url)
    if json:
        print_json({"person_id": person_id, "records": len(found.handles), "emails": len(found.emails)})
    else:
        console.print(f"Erased: {len(found.handles)} records hold no value of this person any more.")


def _only_person(session: Session, wanted: str) -> UUID:
    found = people_known_by(session, wanted)
    if len(found) > 1:
        some = ", ".join(map(str, found[:5]))
        raise Refused(f"{len(found)} people are known by '{wanted}': erase one by its id ({some}).")
    return found[0]
