"""Fixtures for pytest: apps and workers for tests.

They are there for projects that ask for them, in their outermost ``conftest.py``::

    pytest_plugins = ("celeriac.contrib.pytest",)

Each fixture has the name that Celery gives it; those that projects use directly have one of ours too.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from celeriac.contrib.testing.app import TestApp, setup_default_app

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: Do not start workers: they run already.
NO_WORKER = os.environ.get("NO_WORKER")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers."""
    for name in ("celery", "celeriac"):
        config.addinivalue_line("markers", f"{name}(**settings): settings of the app of the fixture celery_app.")


@contextmanager
def _made_app(
    config: Mapping[str, Any], parameters: Mapping[str, Any], enable_logging: bool, use_trap: bool
) -> Iterator[TestApp]:
    given = dict(parameters)
    app = TestApp(config=dict(config), enable_logging=given.pop("enable_logging", enable_logging), **given)
    with setup_default_app(app, use_trap):
        try:
            yield app
        finally:
            app.close()


def _ours(request: pytest.FixtureRequest, name: str) -> Mapping[str, Any]:
    """What the fixture with our name says, where there is one: a ``conftest.py`` may import Celery's names alone."""
    try:
        found: Mapping[str, Any] = request.getfixturevalue(name)
    except pytest.FixtureLookupError as exc:
        if exc.argname != name:
            raise
        return {}
    return found


# -- what the fixtures below are made of, for projects to override --------------------------------------------------


@pytest.fixture(scope="session")
def celeriac_config() -> Mapping[str, Any]:
    """Settings of the apps; override it."""
    return {}


@pytest.fixture(scope="session")
def celery_config(request: pytest.FixtureRequest) -> Mapping[str, Any]:
    """Settings of the apps; override it."""
    return _ours(request, "celeriac_config")


@pytest.fixture(scope="session")
def celeriac_parameters() -> Mapping[str, Any]:
    """Arguments of ``Celery(…)``; override it."""
    return {}


@pytest.fixture(scope="session")
def celery_parameters(request: pytest.FixtureRequest) -> Mapping[str, Any]:
    """Arguments of ``Celery(…)``; override it."""
    return _ours(request, "celeriac_parameters")


@pytest.fixture(scope="session")
def celeriac_worker_parameters() -> Mapping[str, Any]:
    """Arguments of `celeriac.contrib.testing.worker.start_worker`; override it."""
    return {}


@pytest.fixture(scope="session")
def celery_worker_parameters(request: pytest.FixtureRequest) -> Mapping[str, Any]:
    """Arguments of `celeriac.contrib.testing.worker.start_worker`; override it."""
    return _ours(request, "celeriac_worker_parameters")


@pytest.fixture(scope="session")
def celery_worker_pool() -> str:
    """Pool of the workers; override it."""
    return "solo"


@pytest.fixture(scope="session")
def celery_enable_logging() -> bool:
    """Workers configure logging; override it."""
    return False


@pytest.fixture(scope="session")
def celery_includes() -> Sequence[str]:
    """Modules to import before a worker starts; override it."""
    return ()


@pytest.fixture(scope="session")
def celery_class_tasks() -> Sequence[Any]:
    """Task classes to register with the app of the session; override it."""
    return ()


@pytest.fixture(scope="session")
def use_celery_app_trap() -> bool:
    """Whoever asks for the current app gets an error; override it."""
    return False


# -- apps and workers ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def celery_session_app(
    celery_config: Mapping[str, Any],
    celery_parameters: Mapping[str, Any],
    celery_enable_logging: bool,
    use_celery_app_trap: bool,
) -> Iterator[TestApp]:
    """An app for all tests."""
    with _made_app(celery_config, celery_parameters, celery_enable_logging, use_celery_app_trap) as app:
        yield app


@pytest.fixture(scope="session")
def celery_session_worker(
    celery_session_app: TestApp,
    celery_includes: Sequence[str],
    celery_class_tasks: Sequence[Any],
    celery_worker_pool: str,
    celery_worker_parameters: Mapping[str, Any],
) -> Iterator[Any]:
    """A worker for all tests, of the app for all tests."""
    for task in celery_class_tasks:
        celery_session_app.register_task(task)
    yield from _worker(celery_session_app, celery_includes, celery_worker_pool, celery_worker_parameters)


@pytest.fixture
def celery_app(
    request: pytest.FixtureRequest,
    celery_config: Mapping[str, Any],
    celery_parameters: Mapping[str, Any],
    celery_enable_logging: bool,
    use_celery_app_trap: bool,
) -> Iterator[TestApp]:
    """An app for one test; the marker ``celery`` changes its settings."""
    config = dict(celery_config)
    for name in ("celery", "celeriac"):
        for mark in reversed(list(request.node.iter_markers(name))):
            config.update(mark.kwargs)
    with _made_app(config, celery_parameters, celery_enable_logging, use_celery_app_trap) as app:
        yield app


@pytest.fixture
def celery_worker(
    celery_app: TestApp,
    celery_includes: Sequence[str],
    celery_worker_pool: str,
    celery_worker_parameters: Mapping[str, Any],
) -> Iterator[Any]:
    """A worker for one test, of the app of that test."""
    yield from _worker(celery_app, celery_includes, celery_worker_pool, celery_worker_parameters)


@pytest.fixture
def depends_on_current_app(celery_app: TestApp) -> None:
    """The test needs the current app, trap or not."""
    celery_app.set_current()


def _worker(app: TestApp, includes: Sequence[str], pool: str, parameters: Mapping[str, Any]) -> Iterator[Any]:
    if NO_WORKER:
        yield None
        return
    # Tests without a worker do not load it.
    from celeriac.contrib.testing.worker import start_worker
    from celeriac.utils.imports import import_from_cwd

    for name in includes:
        import_from_cwd(name)
    with start_worker(app, **{"pool": pool, **parameters}) as worker:
        yield worker


# -- our names ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def celeriac_session_app(celery_session_app: TestApp) -> TestApp:
    """An app for all tests."""
    return celery_session_app


@pytest.fixture(scope="session")
def celeriac_session_worker(celery_session_worker: Any) -> Any:
    """A worker for all tests, of the app for all tests."""
    return celery_session_worker


@pytest.fixture
def celeriac_app(celery_app: TestApp) -> TestApp:
    """An app for one test; the marker ``celeriac`` changes its settings."""
    return celery_app


@pytest.fixture
def celeriac_worker(celery_worker: Any) -> Any:
    """A worker for one test, of the app of that test."""
    return celery_worker
