"""Creates the benchmark's own PostgreSQL database, inside an environment that has psycopg."""

# mypy: disable-error-code="import-not-found,import-untyped,untyped-decorator,no-any-return"

from __future__ import annotations

from urllib.parse import urlsplit

import psycopg
from psycopg import sql


def largest_table(url: str) -> int:
    """The number of rows of the database's largest table, which is the queue when nothing consumes."""
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT schemaname, tablename FROM pg_tables").fetchall()
        own = [names for names in tables if names[0] not in ("pg_catalog", "information_schema")]
        query = sql.SQL("SELECT count(*) FROM {}")
        counts = [connection.execute(query.format(sql.Identifier(*names))).fetchone() for names in own]
    return max((row[0] for row in counts if row), default=0)


def recreate_database(url: str) -> None:
    """Drop and create the database that a URL names, connected to the server's ``postgres`` database."""
    parts = urlsplit(url)
    name = sql.Identifier(parts.path.strip("/"))
    with psycopg.connect(parts._replace(path="/postgres").geturl(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
