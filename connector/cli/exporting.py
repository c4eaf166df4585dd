"""Exports: everything, streamed, as JSON lines or CSV."""

import csv
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import IO, Annotated, Any

import typer
from sqlmodel import Session

from cdp import queries
from cdp.db import transaction
from connector.cli.app import Json, app
from connector.cli.looking import LOOK, people_known_by
from connector.cli.output import to_json
from connector.errors import BadInput
from connector.runtime import Runtime

FORMULA_START = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


class Subject(StrEnum):
    """What can be exported."""

    people = "people"
    records = "records"
    activities = "activities"


class Format(StrEnum):
    """How an export is written."""

    jsonl = "jsonl"
    csv = "csv"


@app.command(rich_help_panel=LOOK)
def export(
    what: Annotated[Subject, typer.Argument(help="What to export.")],
    format_: Annotated[Format, typer.Option("--format", help="JSON lines or CSV.")] = Format.jsonl,
    output: Annotated[Path | None, typer.Option(help="File to write; standard output otherwise.")] = None,
    person: Annotated[
        str | None,
        typer.Option(metavar="EMAIL|ID", help="With people: all that is known of one, for an access request."),
    ] = None,
    json: Json = False,  # noqa: ARG001 - every command takes it; exports are JSON lines anyway
) -> None:
    """Stream everything, or everything of one person."""
    if person and what is not Subject.people:
        raise BadInput("--person goes with people: connector export people --person ID.")
    with transaction(Runtime().database_url) as session, _opened(output) as file:
        if person:
            rows = iter([queries.dossier(session, one) for one in people_known_by(session, person)])
        else:
            rows = EXPORTS[what](session)
        if format_ is Format.jsonl:
            for row in rows:
                file.write(to_json(row) + "\n")
        else:
            _write_csv(file, rows)


EXPORTS: Mapping[Subject, Callable[[Session], Iterator[queries.Row]]] = MappingProxyType(
    {Subject.people: queries.people, Subject.records: queries.records, Subject.activities: queries.activities}
)


@contextmanager
def _opened(path: Path | None) -> Iterator[IO[str]]:
    """Write beside the file and move it into place at the end, so that a half-written export is never taken for one."""
    if path is None:
        yield sys.stdout
        return
    draft = path.with_name(path.name + ".part")
    try:
        with draft.open("w", encoding="utf-8", newline="") as file:
            yield file
        draft.replace(path)
    except OSError as error:
        raise BadInput(f"The file {path} cannot be written ({error.strerror}): choose another one.") from None
    finally:
        draft.unlink(missing_ok=True)


def _write_csv(file: IO[str], rows: Iterable[dict[str, Any]]) -> None:
    writer = None
    for row in rows:
        fixed = {name: value for name, value in row.items() if name != "fields"}
        flat = {**fixed, **{f"fields.{name}": value for name, value in row.get("fields", {}).items()}}
        if writer is None:
            writer = csv.DictWriter(file, list(flat))
            writer.writeheader()
        writer.writerow({name: _cell(value) for name, value in flat.items()})


def _cell(value: object) -> str:
    """Return a cell that a spreadsheet shows as text: what looks like a formula gets an apostrophe in front."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else to_json(value).strip('"')
    return "'" + text if isinstance(value, str) and text.startswith(FORMULA_START) else text
