"""Stands in for billiard on the path of a program that ``celeriac exec`` started: it makes itself Celeriac's."""

try:
    from celeriac.compat import take_place
except ModuleNotFoundError as exc:
    if exc.name != "celeriac":
        raise
    import sys

    raise ImportError(
        f"celeriac is not installed for {sys.executable}, which celeriac exec started", name="billiard"
    ) from exc

take_place(__name__)
