"""Commands for trusting what people are: the proof, the rules, decisions, erasure, and the feed of changes."""

import typer

from cdp import verification
from connector.cli.app import Json, app
from connector.cli.output import console, print_json, show, table
from connector.runtime import Runtime

TRUST = "Trust"


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
