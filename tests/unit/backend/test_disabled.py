"""The backend that keeps nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from celeriac.backend import ResultRecord, open_backend
from celeriac.backend.disabled import DisabledBackend

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    "ask",
    [
        lambda backend: backend.load_many(["id"]),
        lambda backend: backend.watch(["id"], timeout=1),
        lambda backend: backend.forget_many(["id"]),
        lambda backend: backend.save_group("gid", []),
        lambda backend: backend.load_group("gid"),
        lambda backend: backend.delete_group("gid"),
    ],
)
def test_reading_says_that_no_backend_is_configured(ask: Callable[[DisabledBackend], object]) -> None:
    with pytest.raises(NotImplementedError, match="No result backend is configured"):
        ask(DisabledBackend())


def test_results_are_dropped() -> None:
    backend = open_backend("disabled://")
    backend.store_many([ResultRecord("id", "SUCCESS")])
    assert backend.expect(["id"]) is None
    assert backend.sweep() == 0
    assert not backend.capabilities.enabled
    backend.close()
