"""Did every value arrive unchanged? Compares the export of the records with the rows of the org."""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any

from connector.transform import field_types
from tests.bench.mapping import MAPPINGS
from tests.bench.stage import Org


def differences(org: Org, export: Path) -> tuple[int, list[str]]:
    """Return how many values were compared, and what is wrong with each that differs."""
    compared, wrong = 0, []
    with export.open(encoding="utf-8") as lines:
        for sobject, records in groupby(map(json.loads, lines), key=lambda record: record["object"]):
            rows = org.control.snapshot(sobject)
            types = field_types(org.describe(sobject))
            for record in records:
                row = rows.pop(record["record_id"])
                found = list(_pairs(record, row, types))
                compared += len(found)
                wrong += [f"{sobject} {row['Id']} {name}: {a!r} became {b!r}" for name, a, b in found if a != b]
            wrong += [f"{sobject} {record_id} did not arrive" for record_id in rows]
    return compared, wrong


def _pairs(
    record: Mapping[str, Any], row: Mapping[str, Any], types: Mapping[str, str]
) -> Iterator[tuple[str, Any, Any]]:
    """Yield (name, value in the org, value that arrived), in forms that can be compared."""
    values = record["fields"]
    yield "IsDeleted", row["IsDeleted"], record["state"] == "deleted"
    yield "LastModifiedDate", _moment(row["LastModifiedDate"]), _moment(record["modified_at"])
    yield "Email", row["Email"], values.get("email")
    for name, target in MAPPINGS[record["object"]].items():
        arrived = values.get(target)
        if types[name] in ("datetime", "double") and arrived is not None:
            arrived = FORMS[types[name]](arrived)
        yield name, None if row[name] is None else FORMS.get(types[name], _same)(row[name]), arrived


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _same(value: Any) -> Any:
    return value


def _choices(value: str) -> list[str]:
    return value.split(";")


FORMS: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {"datetime": _moment, "double": float, "multipicklist": _choices}
)
