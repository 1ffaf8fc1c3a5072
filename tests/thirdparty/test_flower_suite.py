"""The tests that Flower ships: those fail that are listed with a reason, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.thirdparty.flower_suite import FLOWER, PATIENCE

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.thirdparty
@pytest.mark.timeout(2 * PATIENCE)
def test_only_listed_tests_fail(tmp_path: Path) -> None:
    found = FLOWER.failures(tmp_path)
    assert {name: text for name, text in found.items() if name not in FLOWER.failing} == {}
    assert sorted(FLOWER.failing.keys() - found.keys()) == [], "listed, but they pass"
