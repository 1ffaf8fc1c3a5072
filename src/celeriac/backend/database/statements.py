"""Storing a record such that a stored SUCCESS stays, in each database's words.  It opens no connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celeriac import states
from celeriac.drivers.sql import errors, mysql_insert, postgresql_insert, sa, sqlite_insert

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Columns that a later record replaces.
_REPLACED = (
    "result", "date_done", "traceback", "children",
    "name", "args", "kwargs", "worker", "retries", "queue", "stamps",
    "status",
)  # fmt: skip


def store_rows(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert or replace rows by ``task_id``, in order, within the transaction of the connection.

    Args:
        connection: In a transaction.
        table: The table of results.
        rows: All its columns but ``id``.
    """
    # Two workers that store the same tasks must lock them in the same order; of one task, the order stays.
    ordered = sorted(rows, key=lambda row: str(row["task_id"]))
    statement = _upsert(connection.dialect.name, table)
    if statement is None:
        for row in ordered:
            _store_row(connection, table, row)
    else:
        connection.execute(statement, ordered)


def _upsert(dialect: str, table: sa.Table) -> Any | None:
    if dialect in ("mysql", "mariadb"):
        return _mysql_upsert(table)
    if dialect not in ("postgresql", "sqlite"):
        return None
    statement: Any = postgresql_insert(table) if dialect == "postgresql" else sqlite_insert(table)
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["task_id"],
        set_={name: new[name] for name in _REPLACED},
        where=(sa.func.coalesce(table.c.status, "") != states.SUCCESS) | (new.status == states.SUCCESS),
    )


def _mysql_upsert(table: sa.Table) -> Any:
    statement = mysql_insert(table)
    new = statement.inserted
    kept = (table.c.status == states.SUCCESS) & (new.status != states.SUCCESS)
    # Assignments take effect from left to right: the status, which all look at, comes last.
    return statement.on_duplicate_key_update(
        [(name, sa.case((kept, table.c[name]), else_=new[name])) for name in _REPLACED]
    )


def _store_row(connection: sa.Connection, table: sa.Table, row: dict[str, Any]) -> None:
    """The same without an upsert: insert; when the row is there, update it unless it is a success."""
    try:
        with connection.begin_nested():
            connection.execute(sa.insert(table), row)
    except errors.IntegrityError:
        replaceable = table.c.task_id == row["task_id"]
        if row["status"] != states.SUCCESS:
            replaceable &= sa.func.coalesce(table.c.status, "") != states.SUCCESS
        values = {name: row[name] for name in _REPLACED}
        connection.execute(sa.update(table).where(replaceable).values(values))
