"""What is counted for good although runs are forgotten: ended runs, lost leases, and rows by object."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

ROWS = ("read", "imported", "updated", "deleted", "skipped", "quarantined")


def upgrade() -> None:
    op.add_column("run", sa.Column("lease_losses", sa.Integer(), server_default="0", nullable=False))
    op.create_table(
        "run_tally",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("runs", sa.BigInteger(), nullable=False),
        sa.Column("lease_losses", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_run_tally_source_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("source_id", "kind", "state", name=op.f("pk_run_tally")),
    )
    op.create_table(
        "row_tally",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("object", sa.String(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ROWS),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_row_tally_source_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("source_id", "object", name=op.f("pk_row_tally")),
    )
    op.execute(
        """
        INSERT INTO run_tally SELECT source_id, kind, state, count(*), 0 FROM run
        WHERE ended_at IS NOT NULL GROUP BY source_id, kind, state
        """
    )
    op.execute(
        f"""
        INSERT INTO row_tally
        SELECT r.source_id, o.object, {", ".join(f"sum(o.{name})" for name in ROWS)}
        FROM run_object AS o JOIN run AS r ON r.id = o.run_id
        WHERE r.ended_at IS NOT NULL GROUP BY r.source_id, o.object
        """
    )


def downgrade() -> None:
    op.drop_table("row_tally")
    op.drop_table("run_tally")
    op.drop_column("run", "lease_losses")
