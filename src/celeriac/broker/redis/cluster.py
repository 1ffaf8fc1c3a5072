"""A broker in Redis Cluster: everything of it is in one slot, whose node sessions connect to.

So a claim is one step there too, and what holds for one server holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from celeriac.broker.url import redact, split_failover
from celeriac.drivers.resp_cluster import RespCluster
from celeriac.exceptions import ImproperlyConfigured
from celeriac.utils.dataclass import replace

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac.broker.redis.layout import Layout
    from celeriac.drivers.resp_params import RespParams

#: What keys begin with where ``global_keyprefix`` says nothing.
DEFAULT_PREFIX: Final = "{celeriac}"


def in_one_slot(layout: Layout) -> Layout:
    """The layout with a prefix that puts all keys into one slot: the given one, in braces if it has none."""
    prefix = layout.prefix
    if not prefix:
        return replace(layout, prefix=DEFAULT_PREFIX)
    _, brace, rest = prefix.partition("{")
    tag, closed, _ = rest.partition("}")
    return layout if brace and closed and tag else replace(layout, prefix=f"{{{prefix}}}")


def cluster_params(url: str, read: Callable[[str], RespParams], layout: Layout) -> RespParams:
    """How to reach the node that has the slot of a layout.

    Args:
        url: ``redis+cluster://[user:password@]host:6379;host2:6379``, or ``rediss+cluster://``: some of the nodes.
        read: Reads the URL of one node.
        layout: Names of keys, all in one slot.

    Raises:
        ImproperlyConfigured: The URL names a database.
    """
    seeds = [read(each.replace("+cluster://", "://", 1)) for each in split_failover(url)]
    for seed in seeds:
        if seed.db:
            raise ImproperlyConfigured(
                f"broker_url {redact(url)!r} names the database {seed.db}, but Redis Cluster has 0 only"
            )
    cluster = RespCluster(seeds)
    return replace(seeds[0], locate=lambda deadline: cluster.locate_key(layout.prefix, deadline))
