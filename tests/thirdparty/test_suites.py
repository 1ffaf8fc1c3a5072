"""The third parties' own test-suites pass, but for tests that are listed with a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.thirdparty.suites import PATIENCE, SUITES, Suite

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.thirdparty


@pytest.mark.timeout(2 * PATIENCE)
@pytest.mark.parametrize("suite", SUITES, ids=[suite.name for suite in SUITES])
def test_their_own_tests_pass(suite: Suite, tmp_path: Path) -> None:
    failed = suite.failed(tmp_path)
    assert {test: why for test, why in failed.items() if test not in {**suite.fails, **suite.may_fail}} == {}
    assert suite.fails.keys() <= failed.keys(), "these pass now: take them off the list"
