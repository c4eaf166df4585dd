"""What staged text becomes in a record: one SQL expression over the stage for each column."""

from collections.abc import Iterable, Mapping

from psycopg import sql

from cdp.fields import TYPES
from cdp.records import Consent, Layout

ERASED = sql.Identifier("is erased")
LEFT_OUT = sql.Identifier("left out")  # no CSV column is called so: names have no spaces


def record_values(layout: Layout) -> dict[str, sql.Composable]:
    """Return record column → expression over the stage, for all that the batch may overwrite."""
    cell = {name: sql.Identifier(column) for name, column in layout.fixed.items()}
    values: dict[str, sql.Composable] = {} if layout.partial else _fixed_values(cell, filtering=bool(layout.admitted))
    for channel, consent in layout.consent.items():
        values[f"{channel}_permission"] = _permission(consent)
    for field, column in layout.fields.items():
        values[field.column] = _cast(field.type, column)
    return values


def _fixed_values(cell: Mapping[str, sql.Identifier], *, filtering: bool) -> dict[str, sql.Composable]:
    left = sql.SQL("WHEN {} THEN 'filtered' ").format(LEFT_OUT) if filtering else sql.SQL("")
    values: dict[str, sql.Composable] = {
        "state": sql.SQL("CASE WHEN {} THEN 'erased' WHEN {}::boolean THEN 'deleted' {}ELSE 'live' END").format(
            ERASED, cell["is_deleted"], left
        ),
        "rank": _rank(cell.get("is_converted")),
    }
    for name in ("created_at", "modified_at", "version_at"):
        values[name] = sql.SQL("{}::timestamptz").format(cell[name])
    for name in ("email", "converted_to", "merged_into"):
        if name in cell:
            values[name] = cell[name]
    return values


def _rank(is_converted: sql.Identifier | None) -> sql.Composable:
    if is_converted is None:
        return sql.SQL("%(rank)s::smallint")
    return sql.SQL("(%(rank)s + coalesce({}::boolean, false)::integer)::smallint").format(is_converted)


def _cast(kind: str, column: str) -> sql.Composable:
    cell = sql.Identifier(column)
    if kind == "text":
        return cell
    if kind == "list":
        return sql.SQL("string_to_array({}, ';')").format(cell)
    if kind == "number":  # 1.0 and 1.00 are one value, which has one form
        return sql.SQL("trim_scale({}::numeric)").format(cell)
    return sql.SQL("{}::{}").format(cell, sql.SQL(TYPES[kind]))


def _permission(consent: Consent) -> sql.Composable:
    return sql.SQL(
        "CASE WHEN {cell} IS NULL THEN NULL WHEN {cell} = ANY({no}) THEN false WHEN {cell} = ANY({yes}) THEN true"
        " ELSE {other} END"
    ).format(
        cell=sql.Identifier(consent.column),
        no=_texts(consent.no),
        yes=_texts(consent.yes),
        other=sql.Literal(not consent.yes if consent.complement else None),
    )


def _texts(values: Iterable[str]) -> sql.Literal:
    """Return a list of texts for a statement with parameters, where a percent sign must be doubled."""
    return sql.Literal([value.replace("%", "%%") for value in sorted(values)])
