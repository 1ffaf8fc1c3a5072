"""The Redis broker: kombu's lists on the wire, claims under leases, delays in the server.

The server may be one that sentinels watch, or the node of a cluster that has the broker's slot.
"""

from __future__ import annotations

from celeriac.broker.redis.broker import RedisBroker
from celeriac.broker.redis.session import RedisSession

__all__ = ["RedisBroker", "RedisSession"]
