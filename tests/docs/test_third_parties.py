"""What the page says of third parties is what their tests found."""

from __future__ import annotations

import re

from scripts.third_parties import section
from tests.thirdparty.environment import REQUIREMENTS
from tests.thirdparty.suites import FLOWER


def test_the_versions_are_those_that_are_tested() -> None:
    locked = dict(re.findall(r"^(\S+)==(\d+\.\d+)", REQUIREMENTS.read_text(), re.MULTILINE))
    named = dict(re.findall(r"^### (\S+) (\d+\.\d+)$", section(), re.MULTILINE))
    assert {name: locked[name.lower()] for name in named} == named


def test_each_listed_failure_of_flower_is_told() -> None:
    assert f"{353 - len(FLOWER.fails)} of the 353 tests" in section()
