"""What the first page of the dashboard counts by: runs and merges by time, and API calls by what they were for."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("run", sa.Column("calls_by_kind", postgresql.JSONB(none_as_null=True), nullable=True))
    op.create_index(op.f("ix_run_started_at"), "run", ["started_at"], unique=False)
    op.create_index(
        "ix_person_event_merged", "person_event", ["at"], unique=False, postgresql_where=sa.text("kind = 'merged'")
    )


def downgrade() -> None:
    op.drop_index("ix_person_event_merged", table_name="person_event")
    op.drop_index(op.f("ix_run_started_at"), table_name="run")
    op.drop_column("run", "calls_by_kind")
