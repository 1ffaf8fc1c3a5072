"""``python -m tests.thirdparty.environment``: make the environments in which third parties run.

There are two, from one list of locked versions: with real Celery, and with `celeriac-as-celery` in its place.
Celeriac can be imported in both.
"""

from __future__ import annotations

from pathlib import Path

from tests.support.environments import ROOT, Environment

__all__ = ["ALONE", "BESIDE", "REQUIREMENTS", "ROOT"]

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
#: Real Celery, and Celeriac beside it.
BESIDE = Environment(ROOT / ".venv-thirdparty", REQUIREMENTS, celeriac=True)
#: No Celery, nor what belongs to it.
ALONE = Environment(
    ROOT / ".venv-thirdparty-alone",
    REQUIREMENTS,
    without=("amqp", "billiard", "celery", "kombu", "vine"),
    celeriac=True,
    stand_in=True,
)


if __name__ == "__main__":
    BESIDE.ensure()
    ALONE.ensure()
