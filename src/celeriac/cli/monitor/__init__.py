"""The monitor of ``celeriac events``: what it knows (`view`), and how it looks (`screen`, which needs Textual)."""
