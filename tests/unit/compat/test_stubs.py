from __future__ import annotations

from scripts.celery_stubs import PACKAGES, stubs


def test_the_stubs_are_those_of_the_table() -> None:
    there = {str(path.relative_to(PACKAGES)): path.read_text() for path in PACKAGES.rglob("*.pyi")}
    assert there == stubs(), "run: python -m scripts.celery_stubs"
