"""People are found by the beginnings of their names: an index on those that are there; new ones come with theirs."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

NAMES = ("first_name", "last_name")


def upgrade() -> None:
    there = op.get_bind().exec_driver_sql("SELECT name FROM person_field WHERE type = 'text'").scalars().all()
    for name in NAMES:
        if name in there:
            op.execute(f"CREATE INDEX ix_person_{name} ON person (lower({name}) text_pattern_ops)")


def downgrade() -> None:
    for name in NAMES:
        op.execute(f"DROP INDEX IF EXISTS ix_person_{name}")
