"""What a backend is made with, and the form in which it keeps values."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from celeriac import states
from celeriac.app.backend_calls.base import Calls
from celeriac.app.connections import EMBEDDED_URL, backend_options
from celeriac.backend.codec import ResultCodec
from celeriac.exceptions import OperationalError
from celeriac.serialization.failures import decode_exception, encode_exception

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class FormCalls(Calls):
    """Serializer, expiry, URL; values to their stored form and back."""

    @property
    def supports_autoexpire(self) -> bool:
        """It drops expired results by itself; else `cleanup` does."""
        return self._backend.capabilities.expires

    @property
    def serializer(self) -> str:
        """Name of the serializer."""
        return backend_options(self._app.conf, self._app.name).serializer

    @property
    def content_type(self) -> str:
        """MIME type of the serializer."""
        return self._app.serializers.by_name(self.serializer).content_type

    @property
    def content_encoding(self) -> str:
        """Encoding of the serializer."""
        return self._app.serializers.by_name(self.serializer).content_encoding

    @property
    def accept(self) -> frozenset[str]:
        """MIME types that may be read."""
        return backend_options(self._app.conf, self._app.name).accept

    @property
    def compression(self) -> str | None:
        """Compression of what is stored (``result_compression``)."""
        return backend_options(self._app.conf, self._app.name).compression

    @property
    def expires(self) -> float | None:
        """Seconds that results are kept; None is for ever."""
        return backend_options(self._app.conf, self._app.name).expires

    def prepare_expires(self, value: float | timedelta | None, type: Callable[[float], Any] | None = None) -> Any:
        """Seconds that results are kept.

        Args:
            value: Seconds, or a timedelta; None is ``result_expires``.
            type: Called with the seconds.
        """
        seconds = value.total_seconds() if isinstance(value, timedelta) else self.expires if value is None else value
        return type(seconds) if type is not None and seconds is not None else seconds

    def as_uri(self, include_password: bool = False) -> str:
        """Its URL.

        Args:
            include_password: With the password; else it is masked.
        """
        if not include_password:
            return self._backend.url
        conf = self._app.conf
        return str(conf.result_backend or ("disabled://" if conf.celery_defaults else EMBEDDED_URL))

    def encode(self, data: Any) -> Any:
        """The stored form of a value: text, or bytes if the serializer or the compression makes such."""
        found = ResultCodec(backend_options(self._app.conf, self._app.name)).encode_value(data)
        return found.decode() if self.content_encoding == "utf-8" and self.compression is None else found

    def decode(self, payload: Any) -> Any:
        """Undo `encode`; None stays None."""
        if payload is None:
            return None
        data = payload.encode() if isinstance(payload, str) else bytes(payload)
        return ResultCodec(backend_options(self._app.conf, self._app.name)).decode_value(data)

    def encode_result(self, result: Any, state: str) -> Any:
        """A value as it is put into what is stored.

        Args:
            result: Its value, or its exception.
            state: Its state.
        """
        is_error = state in states.EXCEPTION_STATES and isinstance(result, BaseException)
        return self.prepare_exception(result) if is_error else self.prepare_value(result)

    def decode_result(self, payload: Any) -> Any:
        """What is stored, from its stored form."""
        return self.meta_from_decoded(self.decode(payload))

    def meta_from_decoded(self, meta: dict[str, Any]) -> dict[str, Any]:
        """The same mapping, with the exception of a failure made again."""
        if meta.get("status") in states.EXCEPTION_STATES:
            meta["result"] = self.exception_to_python(meta.get("result"))
        return meta

    def prepare_value(self, result: Any) -> Any:
        """A value that can be stored: of a result its tuple form, anything else as it is."""
        return result.as_tuple() if hasattr(result, "as_tuple") else result

    def prepare_exception(self, exc: BaseException, serializer: str | None = None) -> Any:
        """The stored form of an exception; ``serializer`` None is its own."""
        return encode_exception(exc, serializer or self.serializer)

    def exception_to_python(self, exc: Mapping[str, Any] | BaseException | None) -> BaseException | None:
        """Make an exception again from its stored form."""
        return decode_exception(exc)

    def exception_safe_to_retry(self, exc: BaseException) -> bool:
        """Whether the same operation may succeed later."""
        return isinstance(exc, OperationalError)
