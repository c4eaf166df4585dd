"""Commands that choose what to sync: objects and fields, mappings, permissions, the filter."""

import json as jsonlib
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from cdp.db import transaction
from connector import audit, choosing, filters, mappings, permissions, sources, states
from connector import preview as previews
from connector.cli.app import Changing, Json, SourceName, app
from connector.cli.output import console, hints, print_json, print_lines, table
from connector.errors import BadInput, ObjectUnavailable
from connector.objects import PEOPLE
from connector.paths import Describes
from connector.runtime import Runtime
from connector.transform import PERSON_TYPES, UNREADABLE

CHOOSE = "Choose what to sync"
filter_ = typer.Typer(help="Which records of a data source are let in.", no_args_is_help=True)
mapping = typer.Typer(help="Which Salesforce fields fill which person fields.", no_args_is_help=True)
permission = typer.Typer(help="How a data source says yes or no to e-mail and SMS.", no_args_is_help=True)
app.add_typer(filter_, name="filter", rich_help_panel=CHOOSE)
app.add_typer(mapping, name="mapping", rich_help_panel=CHOOSE)
app.add_typer(permission, name="permission", rich_help_panel=CHOOSE)
FileOption = Annotated[Path, typer.Option("--file", help="JSON file; - for standard input.")]
FieldName = Annotated[str, typer.Argument(help="Salesforce field, such as Lead.Company.", metavar="OBJECT.FIELD")]


def _text(path: Path) -> str:
    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise BadInput(f"The file {path} cannot be read: check that it exists and is a text in UTF-8.") from None


def _document(path: Path) -> object:
    try:
        return jsonlib.loads(_text(path), object_pairs_hook=_each_once)
    except (ValueError, RecursionError):
        raise BadInput(f"The file {path} is not readable JSON: check its brackets, quotes and commas.") from None


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse what JSON leaves open: of two values under one name, one would be dropped without a word."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise BadInput(f"The file has '{twice}' twice in one object: keep one of the two.")
    return found


def _known(name: str) -> tuple[dict[str, Any], Describes, list[dict[str, Any]]]:
    """Return a source's mapping, its describes, and every object that its login sees."""
    runtime = Runtime()
    with transaction(runtime.database_url) as session:
        source = sources.find(session, name)
    states.check(source, "ask")
    client = sources.open_org(runtime, source.key)
    return source.mapping, Describes(client.describe), client.describe_global()


@app.command(rich_help_panel=CHOOSE)
def objects(name: SourceName, json: Json = False) -> None:
    """List the objects that the login sees, and which of them are synced."""
    mapped, _, seen = _known(name)
    listed = [
        {
            "object": one["name"],
            "label": one["label"],
            "custom": one["custom"],
            "synced": one["name"] in PEOPLE,
            "mapped_fields": len(mapped.get(one["name"], {})),
        }
        for one in seen
    ]
    if json:
        print_lines(listed)
    else:
        table(("object", "label", "custom", "synced", "mapped fields"), (list(one.values()) for one in listed))


@app.command(rich_help_panel=CHOOSE)
def fields(
    name: SourceName,
    sobject: Annotated[str, typer.Argument(help="Salesforce object, such as Lead.", metavar="OBJECT")],
    json: Json = False,
) -> None:
    """List the fields of an object that the login sees: type, label, and what they are mapped to."""
    mapped, known, _ = _known(name)
    try:
        columns = known.columns(sobject).values()
    except ObjectUnavailable:
        raise BadInput(
            f"The login cannot see an object '{sobject}': `connector objects` lists those it sees."
        ) from None
    listed = [
        {
            "field": column.path,
            "label": column.label,
            "type": column.type,
            "person_type": None if column.type in UNREADABLE else PERSON_TYPES.get(column.type, "text"),
            "filterable": column.filterable,
            "formula": column.calculated,
            "mapped_to": mapped.get(sobject, {}).get(column.path, {}).get("to"),
        }
        for column in columns
    ]
    if json:
        print_lines(listed)
    else:
        shown = ("field", "label", "type", "person type", "filterable", "formula", "mapped to")
        table(shown, (list(one.values()) for one in listed))


@app.command("map", rich_help_panel=CHOOSE, cls=Changing)
def map_(
    name: SourceName,
    field: FieldName,
    person_field: Annotated[str, typer.Argument(help="Person field, such as company.", metavar="PERSON_FIELD")],
    rule: Annotated[str | None, typer.Option(help="Whose value wins, for a new person field.")] = None,
    json: Json = False,
) -> None:
    """Map a Salesforce field to a person field."""
    _show_change(name, mappings.add(Runtime(), name, field, person_field, rule), json=json)


@app.command(rich_help_panel=CHOOSE, cls=Changing)
def unmap(name: SourceName, field: FieldName, json: Json = False) -> None:
    """Unmap a Salesforce field and forget what it said."""
    _show_change(name, mappings.remove(Runtime(), name, field), json=json)


@mapping.command("show")
def mapping_show(name: SourceName, json: Json = False) -> None:
    """Show the mapped fields, and which of them are broken and how to repair them."""
    found = mappings.show(Runtime(), name)
    if json:
        print_json(_mapping_document(found))
        return
    shown = ("object", "field", "label", "to", "type", "rule")
    table(shown, ([getattr(one, key) for key in shown] for one in found))
    for one in found:
        if one.problem:
            hints.print(f"! {one.problem}", markup=False, soft_wrap=True)


def _mapping_document(found: Iterable[mappings.Mapped]) -> dict[str, dict[str, Any]]:
    """Return the mapped fields in the shape of a mapping file."""
    document: dict[str, dict[str, Any]] = {}
    for one in found:
        document.setdefault(one.object, {})[one.field] = _present(one, ("object", "field"))
    return document


def _permission_document(found: Iterable[permissions.Permission]) -> dict[str, dict[str, Any]]:
    """Return the consent mappings in the shape of a permission file."""
    document: dict[str, dict[str, Any]] = {}
    for one in found:
        document.setdefault(one.channel, {})[one.object] = _present(one, ("channel", "object"))
    return document


def _present(one: mappings.Mapped | permissions.Permission, without: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in vars(one).items() if name not in without and value not in (None, ())}


@mapping.command("set", cls=Changing)
def mapping_set(name: SourceName, file: FileOption, json: Json = False) -> None:
    """Put a whole mapping in place of the present one."""
    _show_change(name, mappings.replace(Runtime(), name, _document(file)), json=json)


def _show_change(name: str, change: mappings.Change, *, json: bool) -> None:
    if json:
        print_json(change)
        return
    if change.removed:
        gone = f"Unmapped {', '.join(change.removed)}: {change.cleared:,} records have forgotten what it said."
        console.print(gone, markup=False, soft_wrap=True)
    if change.added:
        names = ",".join(change.added)
        console.print(
            f"Mapped {', '.join(change.added)}. It fills from future changes only; for the records that are there "
            f"already run: connector backfill '{name}' --fields {names}",
            markup=False,
            soft_wrap=True,
        )
    if not change.added and not change.removed:
        console.print("Nothing has changed.")
    if change.advice:
        hints.print(f"! {change.advice}", markup=False, soft_wrap=True)


@permission.command("show")
def permission_show(name: SourceName, json: Json = False) -> None:
    """Show the consent mappings, and which of them cannot be read."""
    found = permissions.show(Runtime(), name)
    if json:
        print_json(_permission_document(found))
        return
    shown = ("channel", "object", "field", "yes", "no")
    table(shown, ([one.channel, one.object, one.field, list(one.yes), list(one.no)] for one in found))
    for one in found:
        if one.problem:
            hints.print(f"! {one.problem}", markup=False, soft_wrap=True)


@permission.command("set", cls=Changing)
def permission_set(name: SourceName, file: FileOption, json: Json = False) -> None:
    """Put consent mappings in place of the present ones."""
    forgotten = permissions.replace(Runtime(), name, _document(file))
    if json:
        print_json({"answers_forgotten": forgotten})
        return
    console.print(
        f"The permissions are set; {forgotten:,} answers of objects that are not asked any more are forgotten. Records "
        "that change are asked anew from the next poll on, so opt-outs apply then; the others keep their answers until "
        f"all is read again: connector sync '{name}' --full",
        markup=False,
        soft_wrap=True,
    )


@filter_.command("show")
def filter_show(name: SourceName, json: Json = False) -> None:
    """Show the filter in force, and its earlier versions."""
    with transaction(Runtime().database_url) as session:
        kept = choosing.versions(session, sources.find(session, name).key)
    if json:
        history = [one.model_dump(exclude={"source_id"}) for one in kept]
        print_json({"filter": kept[0].tree if kept else None, "versions": history})
    elif not kept or kept[0].tree is None:
        console.print("There is no filter: every record is let in.")
    else:
        console.print(jsonlib.dumps(kept[0].tree, indent=2, ensure_ascii=False), markup=False)
    if kept and not json:
        table(("version", "author", "since"), ((one.version, one.author, one.created_at) for one in kept))


@filter_.command("set", cls=Changing)
def filter_set(
    name: SourceName,
    file: FileOption,
    author: Annotated[str | None, typer.Option(help="Who sets it; the account of this shell otherwise.")] = None,
    json: Json = False,
) -> None:
    """Put a filter in force; an empty document ({}) lets everything in."""
    made, words = choosing.set_filter(Runtime(), name, filters.parse(_text(file)), author or audit.shell().name)
    if json:
        print_json({"version": made.version if made else None, "changed": made is not None, "sentence": words})
        return
    console.print(words, markup=False, soft_wrap=True)
    if made is None:
        console.print("This filter is in force already; nothing has changed.")
    else:
        console.print(
            f"It is in force as version {made.version}; the next poll reads what enters and takes out what leaves.",
            soft_wrap=True,
        )


@filter_.command("preview")
def filter_preview(
    name: SourceName,
    file: Annotated[Path | None, typer.Option(help="JSON file; the filter in force otherwise.")] = None,
    json: Json = False,
) -> None:
    """Tell what a filter would let in and take out, and what applying it would cost; writes nothing."""
    runtime = Runtime()
    if file is None:
        with transaction(runtime.database_url) as session:
            tree = choosing.current(session, sources.find(session, name).key)
    else:
        tree = filters.parse(_text(file))
    found = previews.preview(runtime, name, tree)
    if json:
        print_json(found)
        return
    console.print(found.sentence, markup=False, soft_wrap=True)
    shown = ("object", "match", "enter", "leave", "rows", "api_calls", "seconds")
    table([key.replace("_", " ") for key in shown], ([getattr(one, key) for key in shown] for one in found.objects))
    table(
        ("would", "object", "record", "name", "email"),
        (
            (verb, one.object, example.record_id, example.name, example.email)
            for one in found.objects
            for verb, examples in (("enter", one.entering), ("leave", one.leaving))
            for example in examples
        ),
    )
    console.print(f"Nothing was written; finding out took {found.calls_used} API calls.")
