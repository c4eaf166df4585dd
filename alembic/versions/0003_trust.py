"""Decisions about people, erasure, and the feed of changes."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# HMAC-SHA256 by its definition; the two keys are the padded ones (64 bytes each) and never stored here.
KEYED_HASH = """
    CREATE FUNCTION keyed_hash(inner_key bytea, outer_key bytea, message text) RETURNS bytea
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN sha256(outer_key || sha256(inner_key || convert_to(message, 'UTF8')))
"""


def now(name: str) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def identity() -> sa.Column:
    return sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False)


def upgrade() -> None:
    op.execute(KEYED_HASH)
    op.add_column("touched", sa.Column("cause", sa.String(), server_default="records", nullable=False))
    op.add_column("source", sa.Column("priority", sa.Integer(), nullable=True))
    op.create_table(
        "decision",
        identity(),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        now("decided_at"),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decision")),
    )
    op.create_table(
        "decision_record",
        sa.Column("decision_id", sa.BigInteger(), nullable=False),
        sa.Column("handle", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["decision_id"], ["decision.id"], name=op.f("fk_decision_record_decision_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("decision_id", "handle", name=op.f("pk_decision_record")),
    )
    op.create_index(op.f("ix_decision_record_handle"), "decision_record", ["handle"], unique=False)
    op.create_table(
        "erased",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.LargeBinary(), nullable=False),
        now("erased_at"),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_erased")),
    )
    op.create_table(
        "person_event",
        identity(),
        now("at"),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("old_ids", sa.ARRAY(sa.Uuid()), nullable=True),
        sa.Column("new_ids", sa.ARRAY(sa.Uuid()), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person_event")),
    )


def downgrade() -> None:
    op.drop_table("person_event")
    op.drop_table("erased")
    op.drop_index(op.f("ix_decision_record_handle"), table_name="decision_record")
    op.drop_table("decision_record")
    op.drop_table("decision")
    op.drop_column("source", "priority")
    op.drop_column("touched", "cause")
    op.execute("DROP FUNCTION keyed_hash(bytea, bytea, text)")
