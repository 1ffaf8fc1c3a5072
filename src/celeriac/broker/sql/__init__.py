"""Brokers in SQL databases: SQLite, PostgreSQL, MySQL and MariaDB; one session, a store for each."""
