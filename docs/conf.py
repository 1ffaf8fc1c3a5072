"""Configuration of the documentation build."""

from __future__ import annotations

import sys
from pathlib import Path

import celeriac

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "Celeriac"
author = "The Celeriac authors"
copyright = author
release = version = getattr(celeriac, "__version__", "")

extensions = [
    "myst_parser",
    "cli_page",
    "settings_page",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.doctest",
]
exclude_patterns = ["_build", "_ext", "adr/0000-template.md"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
autodoc_typehints = "description"
nitpicky = False

html_theme = "furo"
html_title = "Celeriac"
