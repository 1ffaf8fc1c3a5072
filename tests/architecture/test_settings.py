"""The table of settings is what the documentation shows."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from celeriac.config.options import GROUPS

EXTENSION = Path(__file__).parents[2] / "docs" / "_ext" / "settings_page.py"


def test_documentation_lists_every_setting_once_with_its_meaning() -> None:
    spec = importlib.util.spec_from_file_location("settings_page", EXTENSION)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    entries = re.findall(r"^`(\w+)`\n: (.+)$", module.page(), flags=re.M)
    assert [name for name, _ in entries] == [option.name for group in GROUPS for option in group.options]
    assert len({name for name, _ in entries}) == len(entries)
    assert [name for name, meaning in entries if not meaning.strip().endswith((".", ")"))] == []
