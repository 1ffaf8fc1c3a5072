"""The door, open for one test."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from celeriac.compat import importer
from tests.support.originals import hide_originals

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """``celery`` is Celeriac until the test ends."""
    if os.environ.get(importer.KOMBU_VARIABLE) is None:
        monkeypatch.setenv(importer.KOMBU_VARIABLE, "1")
    hide_originals(monkeypatch)
    importer.install()
    yield
    importer.uninstall()
