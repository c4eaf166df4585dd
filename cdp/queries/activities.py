"""Activities: all of them, a person's timeline, their numbers, and the deals that belong to nobody.

Whose an activity is, is told when it is asked: from the row to the contact, or lead, that it names now, from there to
the record that took its place if it was merged or converted, and to the person which that is part of. So a merge, a
split or another primary contact moves activities without a write.
"""

from collections.abc import Iterator
from typing import LiteralString
from uuid import UUID

from psycopg import sql
from sqlmodel import Session

from cdp.db import driver, rows
from cdp.queries.stream import Row, stream

# Salesforce tells time in whole seconds. Within one, a row begins, goes through its versions, each from what was done
# to what that means (array_position is null for those, and nulls come last), and ends: that is its `place`.
_SHOWN: LiteralString = """
    heir(handle, next) AS (
        SELECT r.handle, record_handle(s.org_id, CASE WHEN r.merged_into IS NULL THEN 'Contact' ELSE r.object END,
                                       coalesce(r.merged_into, r.converted_to))
        FROM {records} JOIN source AS s ON s.id = r.source_id
        WHERE r.state <> 'live' AND coalesce(r.merged_into, r.converted_to) IS NOT NULL
        UNION
        SELECT h.handle, record_handle(s.org_id, CASE WHEN r.merged_into IS NULL THEN 'Contact' ELSE r.object END,
                                       coalesce(r.merged_into, r.converted_to))
        FROM heir AS h JOIN record AS r ON r.handle = h.next JOIN source AS s ON s.id = r.source_id
        WHERE r.state <> 'live' AND coalesce(r.merged_into, r.converted_to) IS NOT NULL
    ),
    inherited AS (SELECT h.handle, m.person_id FROM heir AS h JOIN membership AS m ON m.handle = h.next)
    SELECT record_handle(s.org_id, x.object, concat_ws('/', a.record_id, a.kind, a.version)) AS activity_id,
           a.kind, a.occurred_at, s.name AS source, s.org_id, x.object, a.record_id,
           coalesce(one.person_id, one_inherited.person_id, other.person_id, other_inherited.person_id) AS person_id,
           jsonb_strip_nulls(
               CASE WHEN m.record_id IS NOT NULL THEN jsonb_build_object(
                        'campaign_id', m.campaign_id, 'campaign_name', c.name, 'campaign_type', c.type,
                        'campaign_status', c.status, 'lead_id', m.lead_id, 'contact_id', m.contact_id,
                        'campaign_from', CASE WHEN a.kind = 'campaign_member_deleted' OR c.state <> 'live'
                                              THEN 'memory' END)
                    WHEN o.record_id IS NOT NULL THEN jsonb_build_object(
                        'opportunity_id', o.record_id, 'opportunity_name', o.name, 'opportunity_type', o.type,
                        'amount', o.amount, 'currency', o.currency, 'stage', o.stage, 'probability', o.probability,
                        'close_date', o.close_date, 'owner_id', o.owner_id, 'account_id', o.account_id,
                        'account_name', t.name, 'contact_id', p.contact_id, 'role', coalesce(q.role, p.role),
                        'is_primary', q.is_primary)
                    ELSE '{{}}' END
               || coalesce(a.attributes, '{{}}')
               || CASE WHEN a.history THEN jsonb_build_object('history', true) ELSE '{{}}' END) AS attributes{besides}
    FROM {activities} AS a JOIN source AS s ON s.id = a.source_id
    LEFT JOIN campaign_member AS m ON m.source_id = a.source_id AND m.record_id = a.record_id
    LEFT JOIN campaign AS c ON c.source_id = m.source_id AND c.record_id = m.campaign_id
    LEFT JOIN opportunity_role AS q ON q.source_id = a.source_id AND q.record_id = a.record_id
    LEFT JOIN opportunity AS o ON o.source_id = a.source_id AND o.record_id = coalesce(q.opportunity_id, a.record_id)
    LEFT JOIN company AS t ON t.source_id = o.source_id AND t.record_id = o.account_id
    LEFT JOIN LATERAL ({primary}) AS p ON q.record_id IS NULL
    LEFT JOIN record AS r ON r.handle = a.holder AND a.kind IN ('lead_converted', 'records_merged')
    CROSS JOIN LATERAL (
        SELECT CASE WHEN r.object IS NOT NULL THEN r.object WHEN m.record_id IS NOT NULL THEN 'CampaignMember'
                    WHEN q.record_id IS NOT NULL THEN 'OpportunityContactRole' ELSE 'Opportunity' END AS object,
               ARRAY[(a.kind LIKE '%%\\_removed' OR a.kind LIKE '%%\\_deleted')::integer::text, a.version,
                     array_position(ARRAY['opportunity_stage_changed', 'opportunity_amount_changed',
                                          'opportunity_reopened'], a.kind)::text] AS place
    ) AS x
    LEFT JOIN membership AS one ON one.handle = coalesce(a.holder, m.contact, p.contact)
    LEFT JOIN inherited AS one_inherited ON one_inherited.handle = coalesce(a.holder, m.contact, p.contact)
    LEFT JOIN membership AS other ON other.handle = m.lead
    LEFT JOIN inherited AS other_inherited ON other_inherited.handle = m.lead
"""
# Of a deal that has ended, a role that ended with it still counts; of several primary ones, the latest does.
_PRIMARY: LiteralString = """
    SELECT y.contact, y.contact_id, y.role FROM opportunity_role AS y
    WHERE y.source_id = o.source_id AND y.opportunity_id = o.record_id AND y.is_primary
      AND (y.state = 'live' OR (o.state <> 'live' AND y.state <> 'erased' AND y.ended_at >= o.ended_at))
    ORDER BY y.state = 'live' DESC, y.modified_at DESC, y.version_at DESC, y.record_id DESC LIMIT 1
"""
_TIMELINE: LiteralString = """
    WITH RECURSIVE mine(handle) AS (
        SELECT handle FROM membership WHERE person_id = %(person)s
        UNION
        SELECT r.handle FROM mine JOIN record AS w ON w.handle = mine.handle
        JOIN record AS r ON r.source_id = w.source_id AND coalesce(r.merged_into, r.converted_to) = w.record_id
                        AND r.state <> 'live' AND coalesce(r.merged_into, r.converted_to) IS NOT NULL
    ),
    subject AS (
        SELECT m.source_id, m.record_id FROM mine JOIN campaign_member AS m ON m.contact = mine.handle
        UNION SELECT m.source_id, m.record_id FROM mine JOIN campaign_member AS m ON m.lead = mine.handle
        UNION SELECT q.source_id, q.opportunity_id FROM mine JOIN opportunity_role AS q ON q.contact = mine.handle
    ),
    near AS (
        SELECT a.* FROM subject JOIN activity AS a USING (source_id, record_id)
        UNION SELECT a.* FROM mine JOIN activity AS a ON a.holder = mine.handle
    ),
    {shown}
"""


def _shown(records: LiteralString, activities: LiteralString, besides: LiteralString = "") -> sql.Composed:
    parts = {"records": records, "activities": activities, "besides": besides, "primary": _PRIMARY}
    return sql.SQL(_SHOWN).format(**{name: sql.SQL(part) for name, part in parts.items()})


def activities(session: Session) -> Iterator[Row]:
    """Stream every activity, the oldest first: what happened when, to which record, whose it is now, attributes."""
    query = sql.SQL("WITH RECURSIVE {} ORDER BY a.occurred_at, a.source_id, a.record_id, x.place, a.kind").format(
        _shown("record AS r", "activity")
    )
    return stream(session, query, {})


def timeline(session: Session, person_id: UUID, limit: int | None = None) -> list[Row]:
    """A person's activities in the shape of the export, newest first, at most `limit`."""
    query = sql.SQL(
        """
        SELECT activity_id, kind, occurred_at, source, org_id, object, record_id, person_id, attributes
        FROM ({}) AS shown WHERE person_id = %(person)s
        ORDER BY occurred_at DESC, record_id, place DESC, kind, activity_id LIMIT %(limit)s
        """
    ).format(sql.SQL(_TIMELINE).format(shown=_shown("mine JOIN record AS r USING (handle)", "near", ", x.place")))
    return rows(driver(session), query, {"person": person_id, "limit": limit})


def deeds(session: Session, record_id: str) -> list[Row]:
    """The activities told of one Salesforce record in any source, newest first."""
    query = sql.SQL(_DEEDS).format(shown=_shown("named JOIN record AS r USING (handle)", "near"))
    return rows(driver(session), query, {"id": record_id})


_DEEDS: LiteralString = """
    WITH RECURSIVE near AS (
        SELECT a.* FROM source AS s JOIN activity AS a ON a.source_id = s.id AND a.record_id = %(id)s
    ),
    named AS (
        SELECT holder AS handle FROM near
        UNION SELECT x.handle FROM source AS s
              JOIN campaign_member AS m ON m.source_id = s.id AND m.record_id = %(id)s
              CROSS JOIN LATERAL (VALUES (m.lead), (m.contact)) AS x(handle)
        UNION SELECT q.contact FROM source AS s
              JOIN opportunity_role AS q ON q.source_id = s.id AND q.opportunity_id = %(id)s
    ),
    {shown} ORDER BY a.occurred_at DESC, x.place DESC, a.kind
"""


def activities_by_kind(session: Session) -> dict[str, int]:
    """How many activities of each kind there are."""
    found = rows(driver(session), "SELECT kind, count(*) AS activities FROM activity GROUP BY kind ORDER BY kind")
    return {row["kind"]: row["activities"] for row in found}


def activities_by_day(session: Session) -> list[Row]:
    """How many activities each source has of each kind on each day (UTC), the latest day first."""
    return rows(
        driver(session),
        """
        SELECT s.name AS source, a.kind, a.occurred_at::date AS day, count(*) AS activities
        FROM activity AS a JOIN source AS s ON s.id = a.source_id
        GROUP BY s.id, s.name, a.kind, day ORDER BY day DESC, s.id, a.kind
        """,
    )


def recent_activities(session: Session, days: int = 14) -> list[Row]:
    """How many activities there were on each of the last days (UTC), today last; reads all of them."""
    return rows(
        driver(session),
        """
        WITH span AS (SELECT date_trunc('day', now()) - make_interval(days => %(days)s - 1) AS first),
        day AS (SELECT generate_series(first, date_trunc('day', now()), '1 day')::date AS day FROM span),
        happened AS (
            SELECT occurred_at::date AS day, count(*) AS activities FROM activity
            WHERE occurred_at >= (SELECT first FROM span) GROUP BY 1)
        SELECT day, coalesce(activities, 0) AS activities FROM day LEFT JOIN happened USING (day) ORDER BY day
        """,
        {"days": days},
    )


def unassociated_opportunities(session: Session, source_id: int | None = None) -> list[Row]:
    """The deals, of one source or all, that no contact has a primary role in, the newest first: their activities
    belong to nobody until one has.
    """
    return rows(
        driver(session),
        """
        SELECT s.name AS source, o.record_id, o.name, o.stage, o.amount, o.created_at
        FROM opportunity AS o JOIN source AS s ON s.id = o.source_id
        WHERE o.state = 'live' AND (%(source)s::integer IS NULL OR o.source_id = %(source)s) AND NOT EXISTS (
            SELECT FROM opportunity_role AS q WHERE q.source_id = o.source_id AND q.opportunity_id = o.record_id
                                                AND q.is_primary AND q.state IN ('live', 'erased'))
        ORDER BY o.created_at DESC, o.record_id
        """,
        {"source": source_id},
    )
