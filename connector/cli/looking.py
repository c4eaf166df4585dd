"""Commands that look: status, a person, a record, health. They read through the named queries and write nothing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any
from uuid import UUID

import typer
from sqlmodel import Session

from cdp import queries
from cdp.db import transaction
from connector import reports, sources, tracing
from connector.cli.app import Json, app
from connector.cli.output import console, print_json, print_lines, show, show_schedule, table
from connector.errors import BadInput, ConnectorError
from connector.runtime import Runtime

LOOK = "Look"
MOST_SHOWN = 10
MOST_ACTIVITIES = 50


@app.command(rich_help_panel=LOOK)
def status(
    name: Annotated[str | None, typer.Argument(help="Name or id of one data source; all of them otherwise.")] = None,
    json: Json = False,
) -> None:
    """Show the state of every source, its objects and runs, and the totals."""
    runtime = Runtime()
    with transaction(runtime.database_url) as session:
        wanted = sources.find(session, name).id if name else None
        report = reports.status(session, runtime.settings, wanted)
    if json:
        print_json(report)
        return
    for source in report["sources"]:
        _show_source(source)
    if report["unclaimed"]:
        console.print(f"! {report['unclaimed']}", markup=False, soft_wrap=True)
    console.print(f"People {show(report['people'])} · live records {show(report['records'])}")
    if report["activities"]:
        table(("activity", "number"), report["activities"].items())
        console.print(f"Opportunities without a primary contact: {show(report['unassociated_opportunities'])}")


def _show_source(source: dict[str, Any]) -> None:
    state = source["state"] + (" · updating" if source["updating"] else "")
    console.print(f"{source['name']} ({source['org_id']}): {state}", style="bold", markup=False)
    today, freshness = source["today"], source["freshness"]
    late = " (late)" if freshness["late"] else ""
    console.print(
        f"  read up to {show(freshness['read_to'])}{late}, {show(today['read'])} rows read today", markup=False
    )
    if source["waits_until"]:
        console.print(f"  waits until {show(source['waits_until'])}", markup=False)
    if source["api"]["forecast"]:
        console.print(f"  API calls: {source['api']['forecast']}", markup=False, soft_wrap=True)
    console.print(f"  {show_schedule(source['schedule'])}", markup=False)
    if source["attention"]:
        words = f"  {source['attention']['message']} {source['attention']['remedy']}"
        console.print(words, markup=False, soft_wrap=True)
    table(
        ("object", "records", "read up to", "windows", "quarantined"),
        (
            (name, one["records"], one["cursor"], "no gaps" if one["windows_contiguous"] else "GAP", one["quarantined"])
            for name, one in source["objects"].items()
        ),
    )
    shown = ("run_id", "kind", "state", "started_at", "read", "written", "skipped", "deleted", "quarantined", "error")
    table([name.replace("_", " ") for name in shown], ([run[name] for name in shown] for run in source["runs"][:5]))
    console.print()


@app.command(rich_help_panel=LOOK)
def person(
    wanted: Annotated[
        str | None, typer.Argument(help="Email, person id, or Salesforce record id.", metavar="EMAIL|ID")
    ] = None,
    why: Annotated[bool, typer.Option("--why", help="Tell for each value which record it came from and why.")] = False,
    why_not: Annotated[
        tuple[str, str] | None, typer.Option("--why-not", help="Tell why two records or people are not one.")
    ] = None,
    json: Json = False,
) -> None:
    """Show a profile."""
    if (wanted is None) == (why_not is None):
        raise BadInput("Name one person, or two with --why-not.")
    with transaction(Runtime().database_url) as session:
        if why_not:
            _show_why_not(queries.why_not(session, *(_records(session, one) for one in why_not)), json=json)
            return
        profiles = [_explained(session, one, why=why) for one in people_known_by(session, wanted or "")]
    if json:
        print_lines(profiles) if len(profiles) > 1 else print_json(profiles[0])
        return
    for profile in profiles[:MOST_SHOWN]:
        show_profile(profile)
    if len(profiles) > MOST_SHOWN:
        console.print(f"… and {show(len(profiles) - MOST_SHOWN)} more people; --json lists them all.")


def people_known_by(session: Session, wanted: str) -> list[UUID]:
    """Return the people that an email or an id leads to; raises ConnectorError when there are none."""
    found = queries.resolve_person(session, tracing.full_id(wanted))
    if not found:
        raise ConnectorError(f"Nobody is known by '{wanted}': try an email, a person id or a Salesforce record id.")
    return found


def _records(session: Session, wanted: str) -> list[UUID]:
    found = queries.find_records(session, tracing.full_id(wanted))
    if not found:
        raise ConnectorError(f"No record is known by '{wanted}': try an email, a person id or a Salesforce record id.")
    return found


def _explained(session: Session, person_id: UUID, *, why: bool) -> queries.Row:
    profile = queries.person(session, person_id)
    handles = queries.find_records(session, str(person_id))
    profile["keys"] = [
        {"record": queries.named(row), "key": row["key"], "obstacle": row["obstacle"]}
        for row in queries.standings(session, handles)
    ]
    profile["activities"] = queries.timeline(session, person_id, MOST_ACTIVITIES)
    if why:
        profile |= {"why": queries.why(session, person_id), "bonds": queries.bonds(session, person_id)}
    return profile


def _show_why_not(answer: queries.Row, *, json: bool) -> None:
    if json:
        print_json(answer)
        return
    console.print("They are one person:" if answer["together"] else "They are not one person:", style="bold")
    for reason in answer["reasons"]:
        console.print(f"  {reason}", markup=False, soft_wrap=True)


def show_profile(profile: dict[str, Any]) -> None:
    """Print a profile, with the winner of each field if it was asked for."""
    console.print(f"{show(profile['email'])} · person {profile['person_id']}", style="bold", markup=False)
    table(("source", "object", "record"), ((r["source"], r["object"], r["record_id"]) for r in profile["records"]))
    for key in profile.get("keys", ()):
        if key["obstacle"]:
            console.print(f"  {key['record']} {key['obstacle']}.", markup=False, soft_wrap=True)
    if "bonds" in profile:
        bonds = ((one["kind"], one["by"], "; ".join(one["records"])) for one in profile["bonds"])
        table(("held together by", "", "records"), bonds)
    if "why" in profile:
        table(
            ("field", "value", "from", "modified", "rule", "others"),
            (
                (v.field, v.value, f"{v.source} {v.object} {v.record_id}", v.modified_at, v.rule, _others(v.losers))
                for v in profile["why"]
            ),
        )
    else:
        table(("field", "value"), ((name, value) for name, value in profile["fields"].items() if value is not None))
    answers = {True: "may be used", False: "must not be used", None: "not known"}
    console.print(" · ".join(f"{channel} {answers[answer]}" for channel, answer in profile["permissions"].items()))
    show_activities(profile.get("activities", ()))


def show_activities(activities: Sequence[queries.Row]) -> None:
    """Print the newest activities of a timeline, if it has any."""
    if activities:
        shown = activities[:MOST_SHOWN]
        table(
            ("when", "activity", "source", "about"),
            ((one["occurred_at"], one["kind"], one["source"], _about(one["attributes"])) for one in shown),
        )
    if len(activities) > MOST_SHOWN:
        console.print("… and earlier ones; --json lists more, and `connector export people --person ID` all.")


def _about(attributes: Mapping[str, Any]) -> str:
    """Return the attributes that tell an activity from others of its kind."""
    names = ("campaign_name", "opportunity_name", "role", "amount")
    steps = (
        f"{attributes.get(f'old_{name}', '?')} → {attributes[f'new_{name}']}"
        for name in ("status", "stage")
        if f"new_{name}" in attributes
    )
    return " · ".join((*(str(attributes[name]) for name in names if name in attributes), *steps))


def _others(losers: Iterable[Any]) -> str:
    return "; ".join(f"{one.source} {one.object}: {one.reason}" for one in losers)


@app.command(rich_help_panel=LOOK)
def trace(
    record_id: Annotated[
        str, typer.Argument(help="A Salesforce record id of 15 or 18 characters.", metavar="RECORD_ID")
    ],
    json: Json = False,
) -> None:
    """Tell what became of one Salesforce record: which person it is part of, or why of none."""
    runtime = Runtime()
    with transaction(runtime.database_url) as session:
        found = tracing.trace(session, record_id, runtime.settings.max_records_per_key)
    for answer in found:
        if answer["state"] == "filtered":
            answer["fate"] = tracing.left_out_by(runtime, answer)
    if json:
        print_lines(found)
        return
    for answer in found:
        where = f"{answer['source']} {answer['object']} " if "source" in answer else ""
        console.print(f"{where}{answer['record_id']}: {answer['fate']}", markup=False)


@app.command(rich_help_panel=LOOK)
def health(
    name: Annotated[str | None, typer.Argument(help="Name or id of one data source; all of them otherwise.")] = None,
    json: Json = False,
) -> None:
    """Check the sources and the emails that merge nobody: what was found, and what to do about it."""
    from connector.health import health as check  # noqa: PLC0415 - only this command asks so much
    from connector.unmerged import unmerged  # noqa: PLC0415

    runtime = Runtime()
    with transaction(runtime.database_url) as session:
        wanted = sources.find(session, name).id if name else None
        rows = [row for row in queries.sources(session) if wanted in (None, row["source_id"])]
        of_all = [(None, one) for one in unmerged(session)]
    found = [*((row["name"], one) for row in rows for one in check(runtime, row["source_id"])), *of_all]
    if json:
        print_lines({"source": source, **asdict(one)} for source, one in found)
    else:
        table(
            ("source", "check", "", "finding", "remedy"),
            ((source, one.check, one.status, one.finding, one.remedy) for source, one in found),
        )


@app.command(rich_help_panel=LOOK)
def log(
    name: Annotated[str | None, typer.Argument(help="Name or id of one data source; all of them otherwise.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10000, help="How many runs to go back.")] = 20,
    json: Json = False,
) -> None:
    """Show what the latest runs did, newest first."""
    with transaction(Runtime().database_url) as session:
        wanted = sources.find(session, name).id if name else None
        found = queries.log(session, wanted, limit)
    if json:
        print_lines(found)
    else:
        shown = ("at", "source", "run_id", "kind", "event", "object", "rows", "message")
        table([one.replace("_", " ") for one in shown], ([row[one] for one in shown] for row in found))
