"""Commands for the life of a data source."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cdp import queries
from cdp.db import transaction
from cdp.models import Source
from connector import choosing, cursors, lifecycle, reports, sources
from connector.auth import load_credentials
from connector.cli.app import Changing, Here, Json, SourceName, source
from connector.cli.output import console, hints, is_interactive, print_json, show_schedule
from connector.cli.syncing import carry_out
from connector.errors import BadInput
from connector.runtime import Runtime
from connector.schedules import LONGEST_INTERVAL


class Stamp(StrEnum):
    """The stamps that polls may go by."""

    last_modified = cursors.LAST_MODIFIED
    system = cursors.SYSTEM_STAMP


def _answer(changed: Source, *, json: bool) -> None:
    if json:
        print_json({"source_id": changed.id, "name": changed.name, "org_id": changed.org_id, "state": changed.state})
    else:
        console.print(f"The data source '{changed.name}' is {changed.state}.", markup=False)


@source.command(cls=Changing)
def pause(name: SourceName, json: Json = False) -> None:
    """Stop polling a source for a while; nothing is lost."""
    _answer(lifecycle.take(Runtime(), name, "pause"), json=json)


@source.command(cls=Changing)
def resume(name: SourceName, json: Json = False) -> None:
    """Go on polling a paused source."""
    _answer(lifecycle.take(Runtime(), name, "resume"), json=json)


@source.command(cls=Changing)
def disconnect(name: SourceName, json: Json = False) -> None:
    """Stop using an org: open work ends; records, people and credentials stay."""
    _answer(lifecycle.take(Runtime(), name, "disconnect"), json=json)


@source.command(cls=Changing)
def reconnect(name: SourceName, json: Json = False) -> None:
    """Use a disconnected org again, with the credentials it has."""
    _answer(lifecycle.reconnect(Runtime(), name), json=json)


@source.command(cls=Changing)
def archive(name: SourceName, json: Json = False) -> None:
    """Put a disconnected source away; what it brought stays until it is deleted."""
    _answer(lifecycle.take(Runtime(), name, "archive"), json=json)


@source.command(cls=Changing)
def cursor(
    name: SourceName,
    stamp: Annotated[Stamp, typer.Argument(help="The stamp that polls go by.", metavar="STAMP")],
    json: Json = False,
) -> None:
    """Choose the stamp that polls go by; SystemModstamp sees every change in one pass."""
    changed = choosing.choose_cursor(Runtime(), name, stamp.value)
    if json:
        print_json({"source_id": changed.id, "name": changed.name, "cursor": changed.cursor_field})
    else:
        console.print(f"Polls of '{changed.name}' go by {changed.cursor_field}.", markup=False)


@source.command(cls=Changing)
def schedule(
    name: SourceName,
    interval: Annotated[
        int | None, typer.Option(min=1, max=LONGEST_INTERVAL, help="Seconds from the end of a poll to the next.")
    ] = None,
    sweep_hour: Annotated[int | None, typer.Option(min=0, max=23, help="Hour in UTC of the sweeps.")] = None,
    default: Annotated[
        bool, typer.Option("--default", help="Go by the settings again in all that is not given.")
    ] = False,
    json: Json = False,
) -> None:
    """Choose how often a source is polled, and at which hour it is swept."""
    if interval is None and sweep_hour is None and not default:
        raise BadInput("Say what to change: --interval, --sweep-hour or --default; `connector source show` shows it.")
    runtime = Runtime()
    lifecycle.reschedule(runtime, name, interval, sweep_hour, default=default)
    with transaction(runtime.database_url) as session:
        wanted = sources.find(session, name).id
        row = next(one for one in queries.sources(session) if one["source_id"] == wanted)
    planned = reports.schedule(row, runtime.settings)
    if json:
        print_json({"source_id": row["source_id"], "name": row["name"], "schedule": planned})
    else:
        console.print(f"'{row['name']}': {show_schedule(planned)}.", markup=False)


@source.command(cls=Changing)
def reauthenticate(
    name: SourceName,
    credentials: Annotated[
        Path | None, typer.Option(help="JSON file with new credentials; - for standard input.")
    ] = None,
    json: Json = False,
) -> None:
    """Give a source new credentials for the same org."""
    if credentials is None:
        raise BadInput("Give the new credentials with --credentials FILE (- for standard input).")
    given = load_credentials(None if str(credentials) == "-" else credentials, stdin=str(credentials) == "-")
    _answer(lifecycle.reauthenticate(Runtime(), name, given), json=json)


@source.command(cls=Changing)
def delete(
    name: SourceName,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would go, and who would vanish.")] = False,
    here: Here = False,
    json: Json = False,
) -> None:
    """Delete an archived source with every record and value it brought, and recompute the people it touched."""
    runtime = Runtime()
    found, lost = lifecycle.consequences(runtime, name)
    words = (
        f"Deleting '{found.name}' removes {lost.records:,} records; {lost.people_vanish:,} people vanish and "
        f"{lost.people_stay:,} stay with what other sources know of them."
    )
    hints.print(words, markup=False, soft_wrap=True)
    if not dry_run:
        if is_interactive() and not yes:
            typer.confirm("Delete it?", abort=True, err=True)
        failure = carry_out(runtime, [lifecycle.begin_removal(runtime, name)], here=here)
        if failure:
            raise failure
    if json:
        print_json({"source_id": found.id, "name": found.name, "deleted": not dry_run, **vars(lost)})
    elif not dry_run:
        console.print(f"The data source '{found.name}' is deleted.", markup=False)
