"""What every schedule has: an application, a clock, and Celery's way of asking whether it is due."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from celeriac import current
from celeriac.utils.time import get_timezone, is_naive, localize, to_utc

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import tzinfo

__all__ = ["NEVER", "BaseSchedule", "schedstate"]

#: What remains until a schedule that has no further run.
NEVER: Final = timedelta(days=36500)
#: Zones in which a clock says nothing about where anybody lives.
_UTC: Final = ("UTC", "Etc/UTC", "UTC+00:00")


class schedstate(NamedTuple):  # noqa: N801 - Celery's documented name
    """Whether a schedule is due, and when to ask again.

    Attributes:
        is_due: It is.
        next: Seconds until the next run.
    """

    is_due: bool
    next: float


class BaseSchedule:
    """When something runs again and again.

    A schedule of one's own overrides `following`; one written for Celery overrides `remaining_estimate` and `is_due`.

    Args:
        nowfun: Returns the present time; None is the application's ``now``. Where its answers are in a zone other
            than UTC, that zone is the schedule's.
        app: The application, for its time zone; None is the current one.
    """

    #: Here for subclasses that do without `__init__`.
    nowfun: Callable[[], datetime] | None = None
    _app: Any = None
    _zone: tzinfo | None = None

    def __init__(self, nowfun: Callable[[], datetime] | None = None, app: Any = None) -> None:
        self.nowfun = nowfun
        self._app = app

    @property
    def app(self) -> Any:
        """The application."""
        return self._app if self._app is not None else current.get_current_app()

    @app.setter
    def app(self, app: Any) -> None:
        self._app = app

    def now(self) -> datetime:
        """The present time."""
        found: datetime = self.app.now() if self.nowfun is None else self.nowfun()
        return found

    @property
    def tz(self) -> tzinfo:
        """The zone of its wall times; may be set."""
        if self._zone is not None:
            return self._zone
        if self.nowfun is not None:
            found = self.nowfun().tzinfo
            if found is not None and str(found) not in _UTC:
                return found
        zone: tzinfo = self.app.timezone
        return zone

    @tz.setter
    def tz(self, zone: str | tzinfo) -> None:
        self._zone = get_timezone(zone)

    @property
    def utc_enabled(self) -> bool:
        """The setting ``enable_utc``."""
        return bool(self.app.conf.enable_utc)

    def to_local(self, dt: datetime) -> datetime:
        """The same moment in its zone; a naive time is taken as UTC."""
        return localize(dt, self.tz)

    def maybe_make_aware(self, dt: datetime) -> datetime:
        """A naive time is taken as UTC, and converted to its zone."""
        return localize(dt, self.tz) if is_naive(dt) else dt

    # --------------------------------------------------------------------------------------- when it runs

    def following(self, after: datetime) -> datetime | None:
        """The first run after a moment, in UTC.

        Args:
            after: The moment, aware.

        Returns:
            None when there is none.
        """
        return to_utc(self.now()) + self.remaining_estimate(after)

    def latest(self, anchor: datetime, now: datetime) -> datetime:
        """The moment, not after ``now``, from which `following` goes on as it would have from ``anchor``."""
        return max(anchor, now)

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        """How long until the run that follows the last one; not positive when it is due.

        Args:
            last_run_at: When it ran last; a naive time is taken as UTC.
        """
        if type(self).following is BaseSchedule.following:
            raise NotImplementedError(f"{type(self).__name__} has to define following(), or remaining_estimate()")
        found = self.following(to_utc(last_run_at))
        return NEVER if found is None else found - to_utc(self.now())

    def is_due(self, last_run_at: datetime) -> schedstate:
        """Whether it is due, and how many seconds it is until the next run.

        Args:
            last_run_at: When it ran last; a naive time is taken as UTC.
        """
        remaining = self.remaining_estimate(last_run_at).total_seconds()
        if remaining > 0:
            return schedstate(False, remaining)
        return schedstate(True, max(self.remaining_estimate(self.now()).total_seconds(), 0.0))

    def __eq__(self, other: object) -> bool:
        return NotImplemented if not isinstance(other, BaseSchedule) else self is other

    __hash__ = object.__hash__
