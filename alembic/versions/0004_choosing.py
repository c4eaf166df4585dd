"""Filters, with their versions: who set them, and when."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "source_filter",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("tree", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["source_id"], ["source.id"], name=op.f("fk_source_filter_source_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("source_id", "version", name=op.f("pk_source_filter")),
    )


def downgrade() -> None:
    op.drop_table("source_filter")
