"""What staged text becomes in a record: one SQL expression over the stage for each column."""

from collections.abc import Iterable, Mapping

from psycopg import sql

from cdp.fields import TYPES
from cdp.records import Consent, Layout
from cdp.tables import Table

ERASED = sql.Identifier("is erased")
LEFT_OUT = sql.Identifier("left out")  # no CSV column is called so: names have no spaces


def record_values(layout: Layout) -> dict[str, sql.Composable]:
    """Return record column → expression over the stage, for all that the batch may overwrite."""
    cell = {name: sql.Identifier(column) for name, column in layout.fixed.items()}
    if layout.table.plain:
        return _plain_values(layout.table, cell)
    values: dict[str, sql.Composable] = {} if layout.partial else _fixed_values(cell, filtering=bool(layout.admitted))
    for channel, consent in layout.consent.items():
        values[f"{channel}_permission"] = _permission(consent)
    for field, column in layout.fields.items():
        values[field.column] = _cast(field.type, column)
    return values


def _plain_values(table: Table, cell: Mapping[str, sql.Identifier]) -> dict[str, sql.Composable]:
    values: dict[str, sql.Composable] = {"state": _state(cell)}
    for name, kind in table.columns.items():
        if name in cell and name not in ("record_id", "is_deleted"):
            values[name] = sql.SQL("{}::{}").format(cell[name], sql.SQL(kind)) if kind != "text" else cell[name]
    for name, (sobject, of) in table.handles.items():
        if of in cell:
            values[name] = sql.SQL("record_handle(%(org)s, {}, {})").format(sql.Literal(sobject), cell[of])
    return values


def ended_at(layout: Layout) -> sql.Composable:
    """Return when a staged row of a plain table ceased to be live, null if it did not."""
    fixed = layout.fixed
    if "is_deleted" not in fixed:
        return sql.SQL("NULL::timestamptz")
    return sql.SQL(
        "CASE WHEN {}::boolean THEN coalesce((%(ended)s::jsonb ->> {})::timestamptz, {}::timestamptz) END"
    ).format(*(sql.Identifier(fixed[name]) for name in ("is_deleted", "record_id", "version_at")))


def _state(cell: Mapping[str, sql.Identifier], left: sql.SQL | sql.Composed = sql.SQL("")) -> sql.Composed:  # noqa: B008
    deleted = cell["is_deleted"] if "is_deleted" in cell else sql.SQL("false")
    return sql.SQL("CASE WHEN {} THEN 'erased' WHEN {}::boolean THEN 'deleted' {}ELSE 'live' END").format(
        ERASED, deleted, left
    )


def _fixed_values(cell: Mapping[str, sql.Identifier], *, filtering: bool) -> dict[str, sql.Composable]:
    left = sql.SQL("WHEN {} THEN 'filtered' ").format(LEFT_OUT) if filtering else sql.SQL("")
    values: dict[str, sql.Composable] = {
        "state": _state(cell, left),
        "rank": _rank(cell.get("is_converted")),
    }
    for name in ("created_at", "modified_at", "version_at"):
        values[name] = sql.SQL("{}::timestamptz").format(cell[name])
    for name in ("email", "converted_to", "merged_into"):
        if name in cell:
            values[name] = cell[name]
    if "converted_on" in cell:
        values["converted_on"] = sql.SQL("{}::date").format(cell["converted_on"])
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
