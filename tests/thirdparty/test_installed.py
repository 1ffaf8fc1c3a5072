"""What third parties find under the names of Celery."""

from __future__ import annotations

from tests.thirdparty.programs import ALONE, BESIDE, CELERY, run


def test_celery_is_the_original_without_the_door() -> None:
    assert run(CELERY, "python", "-c", "import celery; print(celery.Celery.__module__)") == "celery.app.base\n"


def test_celery_is_celeriac_through_the_door(kind: str) -> None:
    assert run(kind, "python", "-c", "import celery; print(celery.Celery.__module__)") == "celeriac.app.base\n"
    assert run(kind, "celery", "--version").startswith("celeriac ")


def test_kombu_is_the_original_where_it_is_installed() -> None:
    code = "import kombu; print(kombu.Queue.__module__)"
    assert run(BESIDE, "python", "-c", code) == "kombu.entity\n"
    assert run(ALONE, "python", "-c", code) == "celeriac.broker.topology\n"
