"""When an org was asked for its limits, since its answers do not say how many calls it has used."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_budget", sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("api_budget", sa.Column("refused", sa.Boolean(), server_default="false", nullable=False))


def downgrade() -> None:
    op.drop_column("api_budget", "refused")
    op.drop_column("api_budget", "asked_at")
