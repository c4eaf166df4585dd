"""What proves that reading is complete: sweeps, schemas, the log of runs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sweep_row",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("object", sa.String(), nullable=False),
        sa.Column("record_id", sa.Text(collation="C"), nullable=False),
        sa.Column("version_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_deleted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "object", "record_id", name=op.f("pk_sweep_row")),
    )
    op.create_table(
        "finding",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("object", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("remedy", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_finding_source_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("source_id", "object", "code", "subject", name=op.f("pk_finding")),
    )
    op.create_table(
        "object_schema",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("object", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("fields", postgresql.JSONB(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reread", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["source_id"], ["source.id"], name=op.f("fk_object_schema_source_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("source_id", "object", name=op.f("pk_object_schema")),
    )
    op.create_table(
        "run_object",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("object", sa.String(), nullable=False),
        sa.Column("read", sa.Integer(), nullable=False),
        sa.Column("imported", sa.Integer(), nullable=False),
        sa.Column("updated", sa.Integer(), nullable=False),
        sa.Column("deleted", sa.Integer(), nullable=False),
        sa.Column("skipped", sa.Integer(), nullable=False),
        sa.Column("quarantined", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_run_object_run_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "object", name=op.f("pk_run_object")),
    )
    op.create_table(
        "sweep_healed",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("object", sa.String(), nullable=False),
        sa.Column("record_id", sa.String(), nullable=False),
        sa.Column("difference", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_sweep_healed_run_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "object", "record_id", name=op.f("pk_sweep_healed")),
    )
    op.add_column("run", sa.Column("note", sa.String(), nullable=True))
    op.add_column("run", sa.Column("api_calls", sa.Integer(), server_default="0", nullable=False))
    op.add_column("run", sa.Column("options", postgresql.JSONB(), nullable=True))
    op.add_column("run", sa.Column("checkpoint", postgresql.JSONB(), nullable=True))
    op.add_column("source", sa.Column("cursor_field", sa.String(), server_default="LastModifiedDate", nullable=False))
    op.add_column("source", sa.Column("next_sweep_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("source", "next_sweep_at")
    op.drop_column("source", "cursor_field")
    op.drop_column("run", "checkpoint")
    op.drop_column("run", "options")
    op.drop_column("run", "api_calls")
    op.drop_column("run", "note")
    op.drop_table("sweep_healed")
    op.drop_table("run_object")
    op.drop_table("object_schema")
    op.drop_table("finding")
    op.drop_table("sweep_row")
