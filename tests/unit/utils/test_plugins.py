from __future__ import annotations

from celeriac.utils.plugins import find_plugin


def test_a_name_that_nobody_declares_is_none() -> None:
    assert find_plugin("no-such-name", "celeriac.no_such_group") is None


def test_the_first_group_that_has_the_name_counts() -> None:
    # Declared by pytest itself, which is installed wherever this runs.
    assert find_plugin("pytest", "celeriac.no_such_group", "console_scripts") is not None
