"""How a row that could not be stored was read, so that it is tried again once it is read otherwise."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("quarantine", sa.Column("layout", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("quarantine", "layout")
