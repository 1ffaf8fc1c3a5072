"""An app for tests, as users of `celeriac.contrib.testing` make it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from celeriac.contrib.testing.app import TestApp, setup_default_app

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def app() -> Iterator[TestApp]:
    made = TestApp()
    with setup_default_app(made):
        yield made
    made.close()
