"""What a store of a third party is made with, and the form in which it keeps values."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from celeriac import states
from celeriac.compat.kombu.serialization import dumps, loads
from celeriac.exceptions import DecodeError
from celeriac.serialization.failures import decode_exception, encode_exception
from celeriac.serialization.serializers import registry
from celeriac.utils.url import redact

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Address", "Forms"]


class Address(str):
    """A URL that shows no password where it is put into a text; as a string it is what it is."""

    __slots__ = ()

    def __str__(self) -> str:
        return redact(str.__str__(self))

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __repr__(self) -> str:
        return repr(str(self))


def _decode_error() -> type[DecodeError]:
    """The error that stores know, which is kombu's own where that is installed."""
    kombu = sys.modules.get("kombu.exceptions")
    theirs = DecodeError if kombu is None else kombu.DecodeError
    return DecodeError if issubclass(DecodeError, theirs) else type("DecodeError", (DecodeError, theirs), {})


class Forms:
    """The constructor of Celery's backends, and values to their stored form and back.

    Args:
        app: The app.
        serializer: Name of the serializer; None is ``result_serializer``.
        max_cached_results: Has no effect: nothing is kept in memory.
        accept: Names or content types that may be read; None is ``result_accept_content``, or ``accept_content``.
        expires: Seconds, or a timedelta, that results are kept; None is ``result_expires``.
        expires_type: Called with the seconds.
        url: Its URL.
        **kwargs: Of subclasses.
    """

    READY_STATES: ClassVar[Any] = states.READY_STATES
    UNREADY_STATES: ClassVar[Any] = states.UNREADY_STATES
    EXCEPTION_STATES: ClassVar[Any] = states.EXCEPTION_STATES

    url: Any = None
    persistent: bool = True

    def __init__(
        self,
        app: Any,
        serializer: str | None = None,
        max_cached_results: int | None = None,
        accept: Any = None,
        expires: Any = None,
        expires_type: Any = None,
        url: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.app = app
        conf = app.conf
        self.serializer = serializer or conf.result_serializer
        found = registry.by_name(self.serializer)
        self.content_type, self.content_encoding = found.content_type, found.content_encoding
        self.expires = self.prepare_expires(expires, expires_type)
        accepted = conf.result_accept_content if accept is None else accept
        self.accept = set(registry.accept_set(conf.accept_content if accepted is None else accepted))
        #: Where Celery keeps what was read; nothing is kept here.
        self._cache: dict[str, Any] = {}
        self.persistent = bool(self.prepare_persistent())
        self.always_retry = bool(conf.get("result_backend_always_retry", False))
        self.max_retries = conf.get("result_backend_max_retries")
        self.url = None if url is None else Address(url)

    # -- settings ----------------------------------------------------------------------------------------------------

    def prepare_expires(self, value: Any, type: Callable[[float], Any] | None = None) -> Any:
        """Seconds that results are kept.

        Args:
            value: Seconds, or a timedelta; None is ``result_expires``.
            type: Called with the seconds.
        """
        seconds = self.app.conf.result_expires if value is None else value
        if isinstance(seconds, timedelta):
            seconds = seconds.total_seconds()
        return type(seconds) if type is not None and seconds else seconds

    def prepare_persistent(self, enabled: bool | None = None) -> Any:
        """Whether results outlive the store's restart: what is given, or ``result_persistent``, or by default yes."""
        if enabled is not None:
            return enabled
        wanted = self.app.conf.result_persistent
        return getattr(type(self), "persistent", True) if wanted is None else wanted

    def as_uri(self, include_password: bool = False) -> Any:
        """Its URL; the password is masked unless it is asked for."""
        if self.url is None:
            return f"{type(self).__module__}:{type(self).__qualname__}"
        return str.__str__(self.url) if include_password else str(self.url)

    # -- values ------------------------------------------------------------------------------------------------------

    def encode(self, data: Any) -> Any:
        """The stored form of a value: text, or bytes if the serializer makes such."""
        return self._encode(data)[2]

    def _encode(self, data: Any) -> tuple[str, str, Any]:
        """Content type, content encoding and stored form of a value."""
        return dumps(data, self.serializer)

    def decode(self, payload: Any) -> Any:
        """Undo `encode`; None stays None."""
        if payload is None:
            return None
        try:
            return loads(payload, self.content_type, self.content_encoding, self.accept)
        except DecodeError as exc:
            raise _decode_error()(str(exc)) from exc

    def encode_result(self, result: Any, state: str) -> Any:
        """A value as it is put into what is stored: of an exception its form, of a result its tuple."""
        if state in self.EXCEPTION_STATES and isinstance(result, BaseException):
            return self.prepare_exception(result)
        return self.prepare_value(result)

    def decode_result(self, payload: Any) -> Any:
        """What is stored about a task, from its stored form."""
        return self.meta_from_decoded(self.decode(payload))

    def meta_from_decoded(self, meta: Any) -> Any:
        """The same mapping, with the exception of a failure made again."""
        if meta["status"] in self.EXCEPTION_STATES:
            meta["result"] = self.exception_to_python(meta["result"])
        return meta

    def prepare_value(self, result: Any) -> Any:
        """A value that can be stored: of a result its tuple form, anything else as it is."""
        as_tuple = None if self.serializer == "pickle" else getattr(result, "as_tuple", None)
        return result if as_tuple is None else as_tuple()

    def prepare_exception(self, exc: BaseException, serializer: str | None = None) -> Any:
        """The stored form of an exception.

        Args:
            exc: The exception.
            serializer: Name of a serializer; None is its own.
        """
        return encode_exception(exc, serializer or self.serializer)

    def exception_to_python(self, exc: Any) -> Any:
        """Make an exception again from its stored form."""
        return decode_exception(exc)
