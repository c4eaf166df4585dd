"""How many rows are stored, kept by triggers in the transaction that changes them, so that no page counts them."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

TABLES = {
    "company": "Account",
    "campaign": "Campaign",
    "campaign_member": "CampaignMember",
    "campaign_member_status": "CampaignMemberStatus",
    "opportunity": "Opportunity",
    "opportunity_history": "OpportunityHistory",
    "opportunity_role": "OpportunityContactRole",
    "opportunity_stage": "OpportunityStage",
}
ENTERED = "SELECT source_id, state, 1 AS rows FROM entered"
LEFT = "SELECT source_id, state, -1 AS rows FROM departed"
# What a statement of each kind did, and the transition tables that tell.
EVENTS = {
    "insert": (ENTERED, "NEW TABLE AS entered"),
    "update": (f"{ENTERED} UNION ALL {LEFT}", "OLD TABLE AS departed NEW TABLE AS entered"),
    "delete": (LEFT, "OLD TABLE AS departed"),
}
# In one order, so that two statements never wait for each other.
COUNT = """
    CREATE FUNCTION count_{event}() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO row_count AS c (source_id, object, state, rows)
        SELECT source_id, TG_ARGV[0], state, sum(rows) FROM ({changes}) AS changed
        GROUP BY source_id, state HAVING sum(rows) <> 0 ORDER BY source_id, state
        ON CONFLICT (source_id, object, state) DO UPDATE SET rows = c.rows + excluded.rows;
        RETURN NULL;
    END $$
"""
TRIGGER = """
    CREATE TRIGGER count_{event} AFTER {event} ON {table} REFERENCING {transitions}
    FOR EACH STATEMENT EXECUTE FUNCTION count_{event}('{object}')
"""
FILL = "INSERT INTO row_count SELECT source_id, '{object}', state, count(*) FROM {table} GROUP BY source_id, state"


def upgrade() -> None:
    op.create_table(
        "row_count",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("object", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_row_count_source_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("source_id", "object", "state", name=op.f("pk_row_count")),
    )
    for event, (changes, _) in EVENTS.items():
        op.execute(COUNT.format(event=event, changes=changes))
    for table, sobject in TABLES.items():
        for event, (_, transitions) in EVENTS.items():
            op.execute(TRIGGER.format(event=event, table=table, transitions=transitions, object=sobject))
        # From here on nobody else writes to the table until all of this is committed.
        op.execute(FILL.format(object=sobject, table=table))


def downgrade() -> None:
    for event in EVENTS:
        op.execute(f"DROP FUNCTION count_{event} CASCADE")
    op.drop_table("row_count")
