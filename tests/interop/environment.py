"""``python -m tests.interop.environment``: make ``.venv-interop``, the environment in which real Celery runs."""

from __future__ import annotations

from pathlib import Path

from tests.support.environments import ROOT, Environment

__all__ = ["PYTHON", "REQUIREMENTS", "ROOT", "ensure"]

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
_ENVIRONMENT = Environment(ROOT / ".venv-interop", REQUIREMENTS)
PYTHON = _ENVIRONMENT.python


def ensure() -> Path:
    """The interpreter of the environment; makes the environment where it is missing or out of date."""
    return _ENVIRONMENT.ensure()


if __name__ == "__main__":
    ensure()
