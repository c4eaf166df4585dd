"""Where old ids lead, which records decisions come down to, and how far the feed is forgotten."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "departure",
        sa.Column("handle", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("handle", "person_id", name=op.f("pk_departure")),
    )
    op.create_index(op.f("ix_departure_person_id"), "departure", ["person_id"], unique=False)
    op.create_table(
        "decided",
        sa.Column("decision_id", sa.BigInteger(), nullable=False),
        sa.Column("handle", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["decision_id"], ["decision.id"], name=op.f("fk_decided_decision_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("decision_id", "handle", name=op.f("pk_decided")),
    )
    op.create_index(op.f("ix_decided_handle"), "decided", ["handle"], unique=False)
    op.execute("""
        INSERT INTO decided SELECT d.id, r.handle FROM decision AS d JOIN decision_record AS r ON r.decision_id = d.id
        WHERE d.undone_at IS NULL
    """)
    op.add_column("people_state", sa.Column("forgotten_event", sa.BigInteger(), server_default="0", nullable=False))


def downgrade() -> None:
    op.drop_column("people_state", "forgotten_event")
    op.drop_index(op.f("ix_decided_handle"), table_name="decided")
    op.drop_table("decided")
    op.drop_index(op.f("ix_departure_person_id"), table_name="departure")
    op.drop_table("departure")
