"""Making Celery's tables, or bringing old ones up to date.  It stores no results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celeriac.drivers.sql import errors, sa

if TYPE_CHECKING:
    from celeriac.backend.database.tables import Tables

_ATTEMPTS = 5


def make_tables(engine: sa.Engine, tables: Tables) -> None:
    """Create missing tables, and add columns that tables of older releases of Celery lack.

    Several processes may do so at once.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            tables.metadata.create_all(engine)
            for table in (tables.tasks, tables.groups):
                _add_missing_columns(engine, table)
            return
        except errors.DBAPIError as exc:
            # Another process was faster: what it made is found at the next attempt.
            if attempt == _ATTEMPTS or "exist" not in str(exc.orig):
                raise


def _add_missing_columns(engine: sa.Engine, table: sa.Table) -> None:
    present = {column["name"] for column in sa.inspect(engine).get_columns(table.name, schema=table.schema)}
    missing = [column for column in table.columns if column.name not in present and column.nullable]
    if not missing:
        return
    prepare = engine.dialect.identifier_preparer
    with engine.begin() as connection:
        for column in missing:
            type_ = column.type.compile(engine.dialect)
            name = prepare.format_column(column)
            connection.execute(sa.text(f"ALTER TABLE {prepare.format_table(table)} ADD COLUMN {name} {type_}"))
