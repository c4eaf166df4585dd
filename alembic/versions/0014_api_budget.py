"""The API calls of each org, and the permits that workers hold for some of them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_budget",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("used", sa.Integer(), server_default="0", nullable=False),
        sa.Column("allowed", sa.Integer(), nullable=True),
        sa.Column("observed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("since", sa.Integer(), server_default="0", nullable=False),
        sa.Column("settled", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("grants", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("hours", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_api_budget_source_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("source_id", name=op.f("pk_api_budget")),
    )
    op.execute(
        "INSERT INTO api_budget (source_id, used, allowed, observed_at) "
        "SELECT id, api_used, api_limit, now() FROM source WHERE api_used IS NOT NULL AND api_limit IS NOT NULL"
    )


def downgrade() -> None:
    op.drop_table("api_budget")
