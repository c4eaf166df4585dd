"""What rows that changed tell of what people did: activities, each once, whatever is read how often.

A table's *effects* stand beside the statement that changes its rows: there `changed` holds the rows as they are now,
and `was` those of them that were there before, as they were. What Salesforce keeps is told from one row alone; what it
does not keep is told from the difference of two readings, under the stamp of the newer.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import LiteralString

from psycopg import sql

from cdp.db import Connection
from cdp.tables import CAMPAIGN_MEMBER, OPPORTUNITY, OPPORTUNITY_HISTORY, OPPORTUNITY_ROLE, OPPORTUNITY_STAGE, Table

# `at` is when a value changed: SystemModstamp tells it where LastModifiedDate stood still. A row that went without a
# word of Salesforce ended when it was missed at the latest. What was gone and is there again was hidden, not deleted.
_TOLD: LiteralString = """
    told AS (
        INSERT INTO activity (source_id, record_id, kind, version, occurred_at, history, holder, attributes)
        SELECT n.source_id, n.record_id, a.kind, a.version, a.occurred_at, %(history)s, a.holder, a.attributes
        FROM changed AS n LEFT JOIN was AS o USING (source_id, record_id)
        CROSS JOIN LATERAL (
            SELECT {at} AS at, concat(CASE WHEN n.state = 'gone' THEN 'gone ' END, n.version_at) AS ending,
                   n.state IN ('deleted', 'gone') AND coalesce(o.state, 'live') = 'live' AS ended,
                   CASE WHEN n.state = 'gone' AND NOT %(ended)s::jsonb ? n.record_id
                        THEN jsonb_build_object('time_known', false) ELSE '{{}}' END AS doubt
        ) AS t
        {facts} AS a(kind, version, occurred_at, holder, attributes, holds)
        WHERE a.holds AND n.state <> 'erased'
        ON CONFLICT (source_id, record_id, kind, version) DO UPDATE
            SET holder = excluded.holder, attributes = excluded.attributes
            WHERE activity.holder IS NULL AND excluded.holder IS NOT NULL
    ),
    returned AS (
        DELETE FROM activity AS a USING changed AS n JOIN was AS o USING (source_id, record_id)
        WHERE a.source_id = n.source_id AND a.record_id = n.record_id AND a.version LIKE 'gone %%'
          AND o.state = 'gone' AND n.state = 'live'
    )
"""
_AT: LiteralString = "CASE WHEN o.modified_at >= n.modified_at THEN n.version_at ELSE n.modified_at END"
# The first response is told once whether a poll saw it happen or not; its time of day only if one did. A status that
# was hidden before and shows now has not changed, so far as anybody can tell.
_MEMBER: LiteralString = """
    CROSS JOIN LATERAL (
        SELECT n.first_responded_on IS NOT NULL AND o.first_responded_on IS NULL AS first,
               o.status IS NOT NULL AND o.status IS DISTINCT FROM n.status AS moved,
               abs(t.at::date - n.first_responded_on) <= coalesce(o.version_at < n.version_at, false)::integer AS seen
    ) AS c
    CROSS JOIN LATERAL (VALUES
        ('campaign_member_added', '', n.created_at, NULL::uuid, NULL::jsonb, o.record_id IS NULL),
        ('campaign_member_status_updated',
         CASE WHEN c.first THEN 'first response' ELSE concat_ws('/', t.at, n.status) END,
         CASE WHEN NOT c.first OR c.seen THEN t.at
              ELSE greatest(n.first_responded_on::timestamptz, n.created_at) END,
         NULL,
         CASE WHEN c.first OR c.moved THEN jsonb_build_object(
             'old_status', o.status, 'new_status', n.status, 'first_responded_date', n.first_responded_on,
             'responded', c.first OR coalesce(n.has_responded, (
                 SELECT s.has_responded FROM campaign_member_status AS s
                 WHERE s.source_id = n.source_id AND s.campaign_id = n.campaign_id AND s.label = n.status LIMIT 1))
         ) END,
         c.first OR c.moved),
        ('campaign_member_removed', t.ending, n.ended_at, NULL, t.doubt, t.ended AND n.state = 'deleted'),
        ('campaign_member_deleted', t.ending, n.ended_at, NULL, t.doubt, t.ended AND n.state = 'gone'))
"""
_OPPORTUNITY: LiteralString = """
    CROSS JOIN LATERAL (VALUES
        ('opportunity_created', '', n.created_at, NULL::uuid, NULL::jsonb, o.record_id IS NULL),
        ('opportunity_deleted', t.ending, n.ended_at, NULL, t.doubt, t.ended))
"""
# A role whose contact was merged into another follows it; nobody was linked or unlinked then. A contact that was hidden
# before was linked from the beginning.
_ROLE: LiteralString = """
    CROSS JOIN LATERAL (
        SELECT o.contact <> n.contact AND NOT EXISTS (
                   SELECT FROM record AS r WHERE r.handle = o.contact AND r.merged_into IS NOT NULL) AS moved,
               jsonb_build_object('contact_id', n.contact_id) AS new,
               jsonb_build_object('contact_id', o.contact_id) AS old
    ) AS c
    CROSS JOIN LATERAL (VALUES
        ('opportunity_contact_linked', '', n.created_at, n.contact, c.new, o.contact IS NULL),
        ('opportunity_contact_linked', concat_ws('/', t.at, n.contact_id), t.at, n.contact, c.new, c.moved),
        ('opportunity_contact_unlinked', concat_ws('/', t.at, o.contact_id), t.at, o.contact, c.old, c.moved),
        ('opportunity_contact_unlinked', t.ending, n.ended_at, n.contact, c.new || t.doubt, t.ended))
"""
# Deals whose steps have to be told anew, since one came in between or a stage means something else now.
_STEPPED: LiteralString = """
    altered AS (INSERT INTO pg_temp.altered SELECT DISTINCT opportunity_id FROM changed)
"""
_RETYPED: LiteralString = """
    altered AS (
        INSERT INTO pg_temp.altered SELECT DISTINCT h.opportunity_id
        FROM changed AS n LEFT JOIN was AS o USING (source_id, record_id)
        JOIN opportunity_history AS h ON h.source_id = n.source_id AND h.stage = n.name
        WHERE (n.is_closed, n.is_won) IS DISTINCT FROM (o.is_closed, o.is_won)
    )
"""
# Of records, which say all of it themselves. ConvertedDate has no time of day; the stamp has, if it is of that day.
PEOPLE: LiteralString = """
    told AS (
        INSERT INTO activity (source_id, record_id, kind, version, occurred_at, history, holder, attributes)
        SELECT n.source_id, n.record_id, a.kind, '', a.occurred_at, %(history)s, n.handle, a.attributes
        FROM changed AS n CROSS JOIN LATERAL (VALUES
            ('lead_converted', CASE WHEN abs(n.version_at::date - n.converted_on) > 1 THEN n.converted_on::timestamptz
                                    ELSE n.version_at END,
             jsonb_build_object('contact_id', n.converted_to), n.converted_to IS NOT NULL),
            ('records_merged', n.version_at, jsonb_build_object('merged_into', n.merged_into),
             n.merged_into IS NOT NULL)
        ) AS a(kind, occurred_at, attributes, holds)
        WHERE (n.converted_to IS NOT NULL OR n.merged_into IS NOT NULL) AND a.holds
          AND n.state NOT IN ('filtered', 'erased')
        ON CONFLICT DO NOTHING
    )
"""
STEPS = (OPPORTUNITY_HISTORY, OPPORTUNITY_STAGE)


def _told(facts: LiteralString, at: LiteralString = "NULL::timestamptz") -> sql.Composed:
    return sql.SQL(_TOLD).format(at=sql.SQL(at), facts=sql.SQL(facts))


_EFFECTS: Mapping[str, sql.Composable] = MappingProxyType(
    {
        CAMPAIGN_MEMBER.name: _told(_MEMBER, _AT),
        OPPORTUNITY.name: _told(_OPPORTUNITY),
        OPPORTUNITY_ROLE.name: _told(_ROLE, _AT),
        OPPORTUNITY_HISTORY.name: sql.SQL(_STEPPED),
        OPPORTUNITY_STAGE.name: sql.SQL(_RETYPED),
    }
)


def effects(table: Table) -> sql.Composable:
    """Return what stands beside a statement that changes rows of a plain table; its parameters are also those of it.

    These are `history` (whether the rows tell of what was before the source was connected) and `ended` (record id →
    time of deletion as far as it is known, as JSON).
    """
    return _EFFECTS.get(table.name, sql.SQL("nothing AS (SELECT)"))


def prepare(connection: Connection, table: Table) -> None:
    """Get ready for a table's effects, in the transaction of the statement that has them."""
    if table in STEPS:
        connection.execute("CREATE TEMP TABLE IF NOT EXISTS altered (opportunity_id text) ON COMMIT DROP")


def tell_steps(connection: Connection, table: Table, source_id: int, *, history: bool) -> None:
    """Bring the activities of deals that were altered in this transaction into line with their whole history.

    They are a function of all stored steps in the order of their stamps and ids, so no order of arrival matters.
    """
    if table in STEPS:
        connection.execute("ANALYZE pg_temp.altered")
        connection.execute(_STEPS, {"source": source_id, "history": history})


# Where the meaning of a stage is not known, its forecast category tells: Closed is won, Omitted at 0 % is lost.
_STEPS: LiteralString = """
    WITH step AS (
        SELECT h.*, coalesce(g.is_won, h.forecast_category = 'Closed') AS won,
               coalesce(g.is_closed, h.forecast_category = 'Closed'
                                     OR (h.forecast_category = 'Omitted' AND h.probability = 0)) AS closed
        FROM (SELECT DISTINCT opportunity_id FROM pg_temp.altered) AS x
        JOIN opportunity_history AS h ON h.source_id = %(source)s AND h.opportunity_id = x.opportunity_id
        LEFT JOIN opportunity_stage AS g ON g.source_id = h.source_id AND g.name = h.stage AND g.state = 'live'
    ),
    move AS (
        SELECT *, lag(record_id) OVER w IS NULL AS first,
               lag(stage) OVER w AS old_stage, lag(amount) OVER w AS old_amount,
               coalesce(lag(won) OVER w, false) AS was_won, coalesce(lag(closed) OVER w, false) AS was_closed
        FROM step WINDOW w AS (PARTITION BY opportunity_id ORDER BY created_at, record_id)
    ),
    fresh AS (
        SELECT opportunity_id, a.kind, a.version, created_at,
               jsonb_build_object('stage', stage, 'amount', amount, 'probability', probability,
                                  'close_date', close_date)
                   || CASE WHEN currency IS NULL THEN '{}' ELSE jsonb_build_object('currency', currency) END || a.more
                   AS attributes
        FROM move CROSS JOIN LATERAL (VALUES
            ('opportunity_created', '', '{}'::jsonb, first),
            ('opportunity_stage_changed', record_id, jsonb_build_object('old_stage', old_stage, 'new_stage', stage),
             NOT first AND stage IS DISTINCT FROM old_stage),
            ('opportunity_won', record_id, '{}', won AND NOT was_won),
            ('opportunity_lost', record_id, '{}', closed AND NOT won AND (was_won OR NOT was_closed)),
            ('opportunity_reopened', record_id, jsonb_build_object('old_stage', old_stage), was_closed AND NOT closed),
            ('opportunity_amount_changed', record_id,
             jsonb_build_object('old_amount', old_amount, 'new_amount', amount),
             NOT first AND amount IS DISTINCT FROM old_amount)
        ) AS a(kind, version, more, holds) WHERE a.holds
    ),
    undone AS (
        DELETE FROM activity AS a USING (SELECT DISTINCT opportunity_id FROM pg_temp.altered) AS x
        WHERE a.source_id = %(source)s AND a.record_id = x.opportunity_id
          AND a.kind IN ('opportunity_stage_changed', 'opportunity_won', 'opportunity_lost', 'opportunity_reopened',
                         'opportunity_amount_changed')
          AND NOT EXISTS (SELECT FROM fresh AS f WHERE f.opportunity_id = a.record_id
                                                   AND f.kind = a.kind AND f.version = a.version)
    )
    INSERT INTO activity AS a (source_id, record_id, kind, version, occurred_at, history, attributes)
    SELECT %(source)s, opportunity_id, kind, version, created_at, %(history)s, attributes FROM fresh
    ON CONFLICT (source_id, record_id, kind, version) DO UPDATE SET attributes = excluded.attributes
    WHERE a.attributes IS DISTINCT FROM excluded.attributes
"""
