"""Forgetting what erased people did: their activities go, and rows that name them keep ids and stamps alone."""

from collections.abc import Mapping, Sequence
from typing import LiteralString
from uuid import UUID

from psycopg import sql

from cdp.db import Connection
from cdp.records import Batch
from cdp.tables import OPPORTUNITY, OPPORTUNITY_ROLE

# What takes the deeds of the records `handles` out of each table that may tell of them, in this order.
DEEDS: Mapping[str, LiteralString] = {
    "activity": """
    DELETE FROM activity WHERE holder = ANY (%(handles)s) OR (source_id, record_id) IN (
        SELECT source_id, record_id FROM campaign_member WHERE lead = ANY (%(handles)s) OR contact = ANY (%(handles)s)
        UNION ALL SELECT source_id, record_id FROM opportunity_role WHERE contact = ANY (%(handles)s))
    """,
    "campaign_member": """
    UPDATE campaign_member SET state = 'erased', status = NULL, has_responded = NULL, first_responded_on = NULL
    WHERE lead = ANY (%(handles)s) OR contact = ANY (%(handles)s)
    """,
    "opportunity_role": "UPDATE opportunity_role SET state = 'erased', role = NULL WHERE contact = ANY (%(handles)s)",
    "opportunity": """
    UPDATE opportunity SET name = NULL
    WHERE (source_id, record_id) IN (SELECT source_id, opportunity_id FROM opportunity_role
                                     WHERE contact = ANY (%(handles)s))
    """,
}
# What tells of campaigns, companies and the steps of deals, and of nobody.
NAMELESS = frozenset({"campaign", "campaign_member_status", "company", "opportunity_history", "opportunity_stage"})


def forget(connection: Connection, handles: Sequence[UUID]) -> None:
    """Forget what the records with these handles did, and what deals with them are called."""
    for statement in DEEDS.values():
        connection.execute(statement, {"handles": list(handles)})


def blank(connection: Connection, batch: Batch, mark: sql.Identifier) -> None:
    """Mark the staged rows that name an erased record and forget their values; deals with it lose their name."""
    table, fixed = batch.layout.table, batch.layout.fixed
    words = {"source": batch.source_id, "org": batch.org_id}
    ids = {fixed[of]: sobject for sobject, of in table.handles.values() if of in fixed}
    if ids:
        kept = {*ids, *(fixed[name] for name in (*table.required, "is_deleted", "is_primary") if name in fixed)}
        statement = sql.SQL("UPDATE pg_temp.stage SET {} = true {} WHERE {}").format(
            mark,
            sql.SQL("").join(
                sql.SQL(", {} = NULL").format(sql.Identifier(name)) for name in batch.layout.columns if name not in kept
            ),
            sql.SQL(" OR ").join(
                sql.SQL(_NAMES_ERASED).format(sql.Literal(sobject), sql.Identifier(name))
                for name, sobject in ids.items()
            ),
        )
        connection.execute(statement, words)
    if table == OPPORTUNITY_ROLE:
        named = {"mark": mark, "opportunity": sql.Identifier(fixed["opportunity_id"])}
        connection.execute(sql.SQL(_UNNAME_STORED).format(**named), words)
    if table == OPPORTUNITY and "name" in fixed:
        named = {"name": sql.Identifier(fixed["name"]), "id": sql.Identifier(fixed["record_id"])}
        connection.execute(sql.SQL(_UNNAME_STAGED).format(**named), words)


_NAMES_ERASED: LiteralString = """
    record_handle(%(org)s, {}, {}) IN (SELECT handle FROM record WHERE source_id = %(source)s AND state = 'erased')
"""
_UNNAME_STORED: LiteralString = """
    UPDATE opportunity SET name = NULL
    WHERE source_id = %(source)s AND record_id IN (SELECT {opportunity} FROM pg_temp.stage WHERE {mark})
"""
_UNNAME_STAGED: LiteralString = """
    UPDATE pg_temp.stage SET {name} = NULL
    WHERE {id} IN (SELECT opportunity_id FROM opportunity_role WHERE source_id = %(source)s AND state = 'erased')
"""
