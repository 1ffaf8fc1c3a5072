"""The application of the pool contract, where processes that are not forked can import it."""

from __future__ import annotations

from celeriac.testing.pool_app import pool_app

app = pool_app()
