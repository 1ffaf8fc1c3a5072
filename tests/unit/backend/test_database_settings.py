"""The settings of results in a database, each with what it does; what the store does is in the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from celeriac import Celery
from celeriac.exceptions import OperationalError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

engines: list[sa.Engine] = []


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/results.db"


@pytest.fixture
def tables_of(url: str) -> Callable[..., set[str]]:
    """Names of the tables that are there after a result was stored with some settings."""

    def tables(**settings: Any) -> set[str]:
        with Celery("p", broker="memory://", backend=f"db+{url}", changes=settings) as app:
            app.backend.mark_as_done("t", 1)
            assert app.backend.get_result("t") == 1
        return set(sa.inspect(sa.create_engine(url)).get_table_names())

    return tables


def test_names_of_the_tables(tables_of: Callable[..., set[str]]) -> None:
    found = tables_of(database_table_names={"task": "mytasks", "group": "mygroups"})
    assert {"mytasks", "mygroups"} <= found
    assert {"celery_taskmeta", "celery_tasksetmeta"}.isdisjoint(found)


def test_schemas_of_the_tables(url: str) -> None:
    # The one schema that SQLite always has.
    changes = {"database_table_schemas": {"task": "main", "group": "elsewhere"}}
    with (
        Celery("p", broker="memory://", backend=f"db+{url}", changes=changes) as app,
        pytest.raises(OperationalError, match="elsewhere"),
    ):
        app.backend.get_result("t")


def test_the_url_may_be_a_setting(url: str) -> None:
    with Celery("p", broker="memory://", backend="database://", changes={"database_url": url}) as app:
        app.backend.mark_as_done("t", 1)
    assert sa.inspect(sa.create_engine(url)).has_table("celery_taskmeta")


def test_engines_are_made_with_options_and_given_to_a_function(tables_of: Callable[..., set[str]]) -> None:
    engines.clear()
    options = {"logging_name": "mine", "pool_recycle": 77}
    tables_of(database_engine_options=options, database_engine_callback=f"{__name__}:engines.append")
    assert {(engine.logging_name, engine.pool._recycle) for engine in engines} == {("mine", 77)}


def test_sessions_may_be_short(tables_of: Callable[..., set[str]]) -> None:
    kept: list[str] = []
    for short in (False, True):
        engines.clear()
        tables_of(database_short_lived_sessions=short, database_engine_callback=f"{__name__}:engines.append")
        kept.append(type(engines[0].pool).__name__)
    assert kept[0] != kept[1] == "NullPool"


@pytest.mark.parametrize("at_setup", [False, True])
def test_missing_tables_are_made_at_the_first_use(tables_of: Callable[..., set[str]], at_setup: bool) -> None:
    assert "celery_taskmeta" in tables_of(database_create_tables_at_setup=at_setup)
