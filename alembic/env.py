"""Run migrations on the connection that `connector.schema` hands over; the registry's columns are left alone."""

import sqlalchemy as sa
from alembic import context

from cdp.models.columns import SQLModel


def belongs_to_alembic(item: object, name: str | None, kind: str, reflected: bool, _compare_to: object) -> bool:
    if kind == "column" and reflected and isinstance(item, sa.Column):
        return item.table.name not in ("record", "person") or name in SQLModel.metadata.tables[item.table.name].columns
    return True


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    include_object=belongs_to_alembic,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
