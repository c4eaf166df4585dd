"""Sources, records, people, and the ledgers of what was read."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from cdp.normalize import sql_functions

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

FUNCTIONS = (
    # A name-based UUID (version 8, SHA-256), so that a record's handle can be told from the record alone.
    """
    CREATE FUNCTION record_handle(org_id text, object text, record_id text) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN overlay(overlay(left(encode(sha256((org_id || '/' || object || '/' || record_id)::bytea), 'hex'), 32)
                           PLACING '8' FROM 13) PLACING '8' FROM 17)::uuid
    """,
    # any_value's transition keeps the first value that is not null; PostgreSQL promises no order for any_value itself.
    "CREATE AGGREGATE first_non_null(anyelement) (SFUNC = any_value_transfn, STYPE = anyelement)",
)


def upgrade() -> None:
    connection = op.get_bind().connection.driver_connection
    for statement in (*sql_functions(), *FUNCTIONS):
        connection.execute(statement)
    op.create_table(
        "membership",
        sa.Column("handle", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("email_key", sa.Text(collation="C"), nullable=True),
        sa.Column("link", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("handle", name=op.f("pk_membership")),
    )
    op.create_index(
        "ix_membership_email_key",
        "membership",
        ["email_key"],
        unique=False,
        postgresql_where=sa.text("email_key IS NOT NULL"),
    )
    op.create_index(
        "ix_membership_link", "membership", ["link"], unique=False, postgresql_where=sa.text("link IS NOT NULL")
    )
    op.create_index(op.f("ix_membership_person_id"), "membership", ["person_id"], unique=False)
    op.create_table(
        "people_state",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("configuration", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_people_state")),
    )
    op.create_table(
        "person",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.String(), nullable=True),
        sa.Column("email_permission", sa.Boolean(), nullable=True),
        sa.Column("sms_permission", sa.Boolean(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("person_id", name=op.f("pk_person")),
    )
    op.create_table(
        "person_field",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_person_field")),
    )
    op.create_table(
        "record",
        sa.Column("handle", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("object", sa.String(), nullable=False),
        sa.Column("record_id", sa.Text(collation="C"), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("modified_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("email", sa.String(), nullable=True),
        sa.Column("rank", sa.SmallInteger(), nullable=False),
        sa.Column("converted_to", sa.String(), nullable=True),
        sa.Column("merged_into", sa.String(), nullable=True),
        sa.Column("email_permission", sa.Boolean(), nullable=True),
        sa.Column("sms_permission", sa.Boolean(), nullable=True),
        sa.PrimaryKeyConstraint("handle", name=op.f("pk_record")),
    )
    op.create_index(op.f("ix_record_source_id_object_state"), "record", ["source_id", "object", "state"], unique=False)
    op.create_table(
        "source",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("org_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("login_url", sa.String(), nullable=False),
        sa.Column("instance_url", sa.String(), nullable=False),
        sa.Column("credentials", sa.LargeBinary(), nullable=False),
        sa.Column("session", sa.LargeBinary(), nullable=True),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("polled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_poll_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attention", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("mapping", postgresql.JSONB(), nullable=False),
        sa.Column("permissions", postgresql.JSONB(), nullable=False),
        sa.Column("api_used", sa.Integer(), nullable=True),
        sa.Column("api_limit", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source")),
        sa.UniqueConstraint("name", name=op.f("uq_source_name")),
        sa.UniqueConstraint("org_id", name=op.f("uq_source_org_id")),
    )
    op.create_table(
        "touched",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("handle", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_touched")),
    )
    op.create_table(
        "cursor",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("object", sa.String(), nullable=False),
        sa.Column("closed_to", sa.DateTime(timezone=True), nullable=True),
        sa.Column("checkpoint", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("last_run", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_cursor_source_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("source_id", "object", name=op.f("pk_cursor")),
    )
    op.create_table(
        "quarantine",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("object", sa.String(), nullable=False),
        sa.Column("record_id", sa.String(), nullable=False),
        sa.Column("version_at", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_quarantine_source_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("source_id", "object", "record_id", name=op.f("pk_quarantine")),
    )
    op.create_table(
        "read_window",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("object", sa.String(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("lo", sa.DateTime(timezone=True), nullable=True),
        sa.Column("hi", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["source_id"], ["source.id"], name=op.f("fk_read_window_source_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_read_window")),
    )
    op.create_index(
        op.f("ix_read_window_source_id_object_hi"), "read_window", ["source_id", "object", "hi"], unique=False
    )
    op.create_table(
        "run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("state", sa.String(), server_default="queued", nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resume_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("owner", sa.String(), nullable=True),
        sa.Column("epoch", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expected", sa.Integer(), nullable=True),
        sa.Column("read", sa.Integer(), server_default="0", nullable=False),
        sa.Column("written", sa.Integer(), server_default="0", nullable=False),
        sa.Column("skipped", sa.Integer(), server_default="0", nullable=False),
        sa.Column("deleted", sa.Integer(), server_default="0", nullable=False),
        sa.Column("quarantined", sa.Integer(), server_default="0", nullable=False),
        sa.Column("error_code", sa.String(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_run_source_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
    )
    op.create_index(op.f("ix_run_source_id_id"), "run", ["source_id", "id"], unique=False)
    op.create_index(
        "uq_run_open",
        "run",
        ["source_id", "kind"],
        unique=True,
        postgresql_where=sa.text("state IN ('queued', 'running', 'waiting')"),
    )


def downgrade() -> None:
    op.drop_index(
        "uq_run_open", table_name="run", postgresql_where=sa.text("state IN ('queued', 'running', 'waiting')")
    )
    op.drop_index(op.f("ix_run_source_id_id"), table_name="run")
    op.drop_table("run")
    op.drop_index(op.f("ix_read_window_source_id_object_hi"), table_name="read_window")
    op.drop_table("read_window")
    op.drop_table("quarantine")
    op.drop_table("cursor")
    op.drop_table("touched")
    op.drop_table("source")
    op.drop_index(op.f("ix_record_source_id_object_state"), table_name="record")
    op.drop_table("record")
    op.drop_table("person_field")
    op.drop_table("person")
    op.drop_table("people_state")
    op.drop_index(op.f("ix_membership_person_id"), table_name="membership")
    op.drop_index("ix_membership_link", table_name="membership", postgresql_where=sa.text("link IS NOT NULL"))
    op.drop_index("ix_membership_email_key", table_name="membership", postgresql_where=sa.text("email_key IS NOT NULL"))
    op.drop_table("membership")
    op.execute("DROP AGGREGATE first_non_null(anyelement)")
    for name in ("record_handle", "is_blank", "email_key", "email_normal"):
        op.execute(f"DROP FUNCTION {name}")
