"""How often a source is polled, and at which hour it is swept, where that is not as the settings have it."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("source", sa.Column("poll_interval", sa.Integer(), nullable=True))
    op.add_column("source", sa.Column("sweep_hour", sa.SmallInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("source", "sweep_hour")
    op.drop_column("source", "poll_interval")
