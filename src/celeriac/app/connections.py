"""Brokers and result backends from settings.  Connecting is the drivers' job."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from celeriac.app.sessions import FailoverBroker
from celeriac.backend import BackendOptions, open_backend
from celeriac.backend.named import open_class
from celeriac.broker import BrokerOptions, open_broker
from celeriac.exceptions import ImproperlyConfigured
from celeriac.serialization.serializers import registry
from celeriac.utils.dataclass import replace
from celeriac.utils.url import redact, split_failover

if TYPE_CHECKING:
    from celeriac.backend.base import ResultBackend
    from celeriac.broker.base import Broker
    from celeriac.config import Settings

__all__ = ["EMBEDDED_URL", "backend_options", "broker_options", "full_url", "make_backend", "make_broker"]

#: Broker and result backend of an app that configures none.
EMBEDDED_URL = "sqlite://"

_LEGACY_PARTS = ("broker_host", "broker_port", "broker_user", "broker_password", "broker_vhost")


def broker_options(conf: Settings, app_name: str) -> BrokerOptions:
    """What settings say about brokers.

    Args:
        conf: Settings.
        app_name: Name of the app, which names the file of the embedded broker.
    """
    return BrokerOptions(
        connect_timeout=conf.broker_connection_timeout or 4.0,
        publish_timeout=conf.broker_publish_timeout,
        lease=conf.broker_lease,
        sweep_interval=conf.broker_sweep_interval,
        heartbeat=conf.broker_heartbeat or 0,
        confirm_publish=bool(conf.broker_confirm_publish),
        use_ssl=conf.broker_use_ssl or False,
        login_method=conf.broker_login_method,
        transport_options=conf.broker_transport_options or {},
        delay_queue_type=conf.broker_native_delayed_delivery_queue_type,
        app_name=app_name,
    )


def backend_options(conf: Settings, app_name: str, app: Any = None) -> BackendOptions:
    """What settings say about result backends.

    Args:
        conf: Settings.
        app_name: Name of the app, which names the file of the embedded store.
        app: The app, for classes of others.
    """
    from_registry = conf.result_accept_content
    if from_registry is None:
        from_registry = conf.accept_content
    return BackendOptions(
        serializer=conf.result_serializer,
        accept=_accept(from_registry),
        compression=conf.result_compression,
        expires=_seconds(conf.result_expires),
        failure_expires=_seconds(conf.result_failure_expires),
        persistent=conf.result_persistent,
        transport_options=conf.result_backend_transport_options or {},
        settings=conf,
        app_name=app_name,
        app=app,
    )


def _accept(names: Any) -> frozenset[str]:
    return registry.accept_set(names)


def _seconds(value: Any) -> float | None:
    return value.total_seconds() if isinstance(value, timedelta) else value


def broker_urls(conf: Settings, url: Any) -> list[str]:
    """The failover list of a URL setting.

    Raises:
        ImproperlyConfigured: The URL is missing although its parts are given.
    """
    if not url:
        parts = [name for name in _LEGACY_PARTS if conf[name] is not None]
        if parts:
            raise ImproperlyConfigured(f"The settings {', '.join(parts)} are not supported: set broker_url instead")
        return [EMBEDDED_URL]
    urls = split_failover(url)
    if all(one.startswith("sentinel://") for one in urls):
        # Sentinels of one primary: one broker.
        return [";".join(urls)]
    transport = conf.broker_transport
    return [f"{transport}://{one}" if transport and "://" not in one else one for one in urls]


def full_url(conf: Settings, url: Any, broker: Broker) -> str | None:
    """The URL of a broker with its password; None where it has no URL.

    Args:
        conf: Settings.
        url: The setting that the broker was made from.
        broker: The broker, which shows its URL without.
    """
    return next((one for one in broker_urls(conf, url) if redact(one) == broker.url), None)


def make_broker(conf: Settings, url: Any, app_name: str, *, lease: float | None = None) -> Broker:
    """The broker of a URL setting; several URLs become one broker that falls over.

    Args:
        conf: Settings.
        url: The setting's value.
        app_name: Name of the app, which names the file of the embedded broker.
        lease: Seconds of its leases; None is ``broker_lease``.
    """
    options = broker_options(conf, app_name)
    if lease is not None:
        options = replace(options, lease=lease)
    brokers = [open_broker(one, options) for one in broker_urls(conf, url)]
    if len(brokers) == 1:
        return brokers[0]
    return FailoverBroker(brokers, conf.broker_failover_strategy)


def make_backend(conf: Settings, app_name: str, app: Any = None) -> ResultBackend:
    """The result backend of the settings.

    Args:
        conf: Settings.
        app_name: Name of the app, which names the file of the embedded store.
        app: The app, for classes of others, which its loader may name.
    """
    url = conf.result_backend
    if not url:
        url = "disabled://" if conf.celery_defaults else EMBEDDED_URL
    options = backend_options(conf, app_name, app)
    if app is not None and app.loader_cls not in ("app", "default"):
        named = app.loader.override_backends.get(url.partition("://")[0])
        if named is not None:
            return open_class(named, url if "://" in url else None, options)
    return open_backend(url, options)
