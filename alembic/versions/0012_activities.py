"""Activities, and the rows of campaigns and deals that they are told from."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

HEIRS = "state <> 'live' AND coalesce(merged_into, converted_to) IS NOT NULL"


def key(name: str, *, nullable: bool = True) -> sa.Column:
    return sa.Column(name, sa.Text(collation="C"), nullable=nullable)


def text(name: str, *, nullable: bool = True) -> sa.Column:
    return sa.Column(name, sa.String(), nullable=nullable)


def stamp(name: str, *, nullable: bool = False) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def flag(name: str) -> sa.Column:
    return sa.Column(name, sa.Boolean(), nullable=True)


def deal() -> tuple[sa.Column, ...]:
    return (
        text("stage"),
        sa.Column("amount", sa.Numeric(), nullable=True),
        text("currency"),
        sa.Column("probability", sa.Numeric(), nullable=True),
        sa.Column("close_date", sa.Date(), nullable=True),
    )


def rows(table: str, *columns: sa.Column) -> None:
    op.create_table(
        table,
        sa.Column("source_id", sa.Integer(), nullable=False),
        key("record_id", nullable=False),
        text("state", nullable=False),
        stamp("created_at"),
        stamp("version_at"),
        stamp("read_at"),
        stamp("ended_at", nullable=True),
        *columns,
        sa.PrimaryKeyConstraint("source_id", "record_id", name=op.f(f"pk_{table}")),
    )


def held_by(table: str, column: str) -> None:
    op.create_index(f"ix_{table}_{column}", table, [column], postgresql_where=sa.text(f"{column} IS NOT NULL"))


def upgrade() -> None:
    op.add_column("record", sa.Column("converted_on", sa.Date(), nullable=True))
    op.create_index(
        "ix_record_heir",
        "record",
        ["source_id", sa.text("coalesce(merged_into, converted_to)")],
        postgresql_where=sa.text(HEIRS),
    )
    rows("company", text("name"))
    rows("campaign", text("name"), text("type"), text("status"))
    rows("campaign_member_status", key("campaign_id", nullable=False), text("label"), flag("has_responded"))
    rows(
        "campaign_member",
        stamp("modified_at"),
        key("campaign_id", nullable=False),
        key("lead_id"),
        key("contact_id"),
        sa.Column("lead", sa.Uuid(), nullable=True),
        sa.Column("contact", sa.Uuid(), nullable=True),
        text("status"),
        flag("has_responded"),
        sa.Column("first_responded_on", sa.Date(), nullable=True),
    )
    held_by("campaign_member", "lead")
    held_by("campaign_member", "contact")
    rows("opportunity_stage", text("name", nullable=False), flag("is_closed"), flag("is_won"))
    rows("opportunity", text("name"), text("type"), *deal(), key("owner_id"), key("account_id"))
    rows(
        "opportunity_role",
        stamp("modified_at"),
        key("opportunity_id", nullable=False),
        key("contact_id"),
        sa.Column("contact", sa.Uuid(), nullable=True),
        text("role"),
        flag("is_primary"),
    )
    op.create_index(op.f("ix_opportunity_role_contact"), "opportunity_role", ["contact"])
    rows("opportunity_history", key("opportunity_id", nullable=False), *deal(), text("forecast_category"))
    for table in ("opportunity_role", "opportunity_history"):
        op.create_index(op.f(f"ix_{table}_source_id_opportunity_id"), table, ["source_id", "opportunity_id"])
    op.create_table(
        "activity",
        sa.Column("source_id", sa.Integer(), nullable=False),
        key("record_id", nullable=False),
        text("kind", nullable=False),
        text("version", nullable=False),
        stamp("occurred_at"),
        sa.Column("history", sa.Boolean(), nullable=False),
        sa.Column("holder", sa.Uuid(), nullable=True),
        sa.Column("attributes", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("source_id", "record_id", "kind", "version", name=op.f("pk_activity")),
    )
    held_by("activity", "holder")


def downgrade() -> None:
    for table in ("activity", "opportunity_history", "opportunity_role", "opportunity", "opportunity_stage"):
        op.drop_table(table)
    for table in ("campaign_member", "campaign_member_status", "campaign", "company"):
        op.drop_table(table)
    op.drop_index("ix_record_heir", table_name="record")
    op.drop_column("record", "converted_on")
