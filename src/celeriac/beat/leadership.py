"""Whether this scheduler leads: a lease of the store, and the fencing token that comes with it."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING, Final

from celeriac.beat.store import LeadershipLost
from celeriac.utils.nodenames import gethostname

if TYPE_CHECKING:
    from celeriac.beat.clock import Clock
    from celeriac.beat.store import ScheduleStore

__all__ = ["Leadership"]

#: Share of the lease that is asked of the store; in the rest, others notice that it ran out.
_TTL: Final = 0.85
#: Looks at the leadership within a lease, by those who stand by.
_LOOKS: Final = 15


class Leadership:
    """The lease, as one scheduler sees it.

    Args:
        store: Gives leases.
        clock: Its monotonic time is what the lease is measured with here.
        lease: ``beat_lease``, in seconds.

    Attributes:
        holder: Who asks for it: ``host:pid:id``.
        token: Fencing token while this one leads; else None.
        renew_at: Monotonic time from which it is renewed.
    """

    def __init__(self, store: ScheduleStore, clock: Clock, lease: float) -> None:
        self._store = store
        self._clock = clock
        self._ttl = lease * _TTL
        self.look_interval = lease / _LOOKS
        self.holder = f"{gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:12]}"
        self.token: int | None = None
        self.renew_at = self.until = 0.0

    def hold(self) -> int | None:
        """Take the lease, or renew it when it is time to.

        Returns:
            The token; None while another leads.
        """
        now = self._clock.monotonic()
        if self.token is not None and now < self.renew_at:
            return self.token
        token = self._store.acquire(self.holder, self._ttl)
        if token is None:
            self.drop()
            return None
        # Counted from before the request, so that it ends here before it ends there.
        self.until, self.renew_at = now + self._ttl, now + self._ttl / 3
        self.token = token
        return token

    @property
    def has_run_out(self) -> bool:
        """Another may lead by now."""
        return self._clock.monotonic() >= self.until

    def check(self) -> int:
        """The token, for something that only a leader may do.

        Raises:
            LeadershipLost: The lease ran out.
        """
        if self.token is None or self.has_run_out:
            raise LeadershipLost("the lease ran out before everything was sent")
        return self.token

    def drop(self) -> None:
        """Lead no more, without telling the store."""
        self.token = None
        self.renew_at = 0.0

    def give_back(self) -> None:
        """Let another lead at once."""
        if self.token is not None:
            self.drop()
            self._store.release(self.holder)
