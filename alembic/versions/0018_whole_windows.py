"""Which runs read an object from its beginning: they are not forgotten."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_read_window_whole", "read_window", ["run_id"], unique=False, postgresql_where=sa.text("lo IS NULL")
    )


def downgrade() -> None:
    op.drop_index("ix_read_window_whole", table_name="read_window")
