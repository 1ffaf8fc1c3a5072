"""The Lua scripts of the Redis broker, each with its contract.

Every script is atomic: Redis runs nothing else meanwhile, and a crash leaves all of its effects or none.  They use the
server's clock only.  Names of sessions' hashes are computed inside; in a cluster all keys are in one slot.
"""

from __future__ import annotations

from celeriac.broker.redis.scripts.claiming import CLAIM, NOT_ALIVE, RELAY
from celeriac.broker.redis.scripts.leases import HEARTBEAT, REGISTER, RELEASE, RESTORE, SWEEP
from celeriac.broker.redis.scripts.parts import Script
from celeriac.broker.redis.scripts.queueing import DELAY, DROP, PUBLISH, PURGE, UNDELAY
from celeriac.broker.redis.scripts.settling import BURY, DEFER, REQUEUE, SETTLE

__all__ = [
    "BURY",
    "CLAIM",
    "DEFER",
    "DELAY",
    "DROP",
    "HEARTBEAT",
    "NOT_ALIVE",
    "PUBLISH",
    "PURGE",
    "REGISTER",
    "RELAY",
    "RELEASE",
    "REQUEUE",
    "RESTORE",
    "SETTLE",
    "SWEEP",
    "UNDELAY",
    "Script",
]
