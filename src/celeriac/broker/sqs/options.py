"""What an SQS broker is told: its URL and kombu's transport options, checked and read once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from celeriac.broker.transport_options import refuse_unknown
from celeriac.broker.url import redact
from celeriac.exceptions import ImproperlyConfigured
from celeriac.utils.dataclass import dataclass, field
from celeriac.utils.url import parse_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celeriac.broker.base import BrokerOptions

DEFAULT_REGION: Final = "us-east-1"
#: Seconds for which others do not see a message that one of Celery's workers has taken; ours set their own.
DEFAULT_VISIBILITY: Final = 1800
#: The most the service keeps a request waiting.
MAX_WAIT: Final = 20

_KNOWN: Final = frozenset(
    {
        "client-config",
        "fetch_message_attributes",
        "is_secure",
        "predefined_queues",
        "queue_name_prefix",
        "queue_tags",
        "region",
        "sqs-creation-attributes",
        "sqs_base64_encoding",
        "visibility_timeout",
        "wait_time_seconds",
    }
)
_NOT_BUILT: Final = {
    "predefined_exchanges": "fanout through SNS",
    "sts_role_arn": "assuming a role; give boto3 a profile that assumes it, in ~/.aws/config and AWS_PROFILE",
    "sts_token_buffer_time": "assuming a role",
    "sts_token_timeout": "assuming a role",
    "supports_fanout": "fanout through SNS",
}
_QUEUE_OPTIONS: Final = frozenset({"access_key_id", "region", "secret_access_key", "url"})


@dataclass(frozen=True)
class PredefinedQueue:
    """A queue that is there already, and is not looked up.

    Attributes:
        url: Its URL.
        region, access_key_id, secret_access_key: Its own; None are those of the broker.
    """

    url: str
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = None


@dataclass(frozen=True)
class SQSOptions:
    """All of it.

    Attributes:
        endpoint: Base URL of the service; None is that of AWS in the region.
        region: Region.
        access_key_id, secret_access_key: Credentials; None leaves them to boto3's own configuration.
        prefix: Put before the name of every queue that is not predefined.
        predefined: Queues that are there, by name; where there are any, no other queue is used.
        creation: Attributes of queues that have to be made.
        tags: Tags of such queues.
        base64: Bodies are written in base64, as kombu does unless told otherwise.
        wait: Seconds that a request for messages waits for the first.
        client: Further settings of botocore's ``Config``.
        lease: Whole seconds for which what a session has taken is its own.
        timeout: Seconds for any other request.
        connect_timeout, publish_timeout, max_body_size: Those of the app.
    """

    endpoint: str | None
    region: str
    access_key_id: str | None
    secret_access_key: str | None
    prefix: str
    predefined: Mapping[str, PredefinedQueue]
    creation: Mapping[str, str]
    tags: Mapping[str, str]
    base64: bool
    wait: int
    lease: int
    timeout: float
    connect_timeout: float
    publish_timeout: float
    max_body_size: int
    client: Mapping[str, Any] = field(default_factory=dict)


def read_options(url: str, options: BrokerOptions) -> SQSOptions:
    """Read ``sqs://key:secret@`` or ``sqs://host:port``, and the transport options.

    Raises:
        ImproperlyConfigured: One of them cannot be used.
    """
    given = options.transport_options
    for name in _NOT_BUILT.keys() & given.keys():
        raise ImproperlyConfigured(f"broker_transport_options: {name} is not built yet: {_NOT_BUILT[name]}")
    refuse_unknown(given, _KNOWN, "SQS")
    parts = parse_url(url)
    if bool(parts.username) != bool(parts.password):
        raise ImproperlyConfigured(
            f"broker_url {redact(url)!r}: an access key and its secret go together, as in sqs://key:secret@; leave "
            f"both out to use boto3's own configuration"
        )
    endpoint = None
    if parts.host:
        port = f":{parts.port}" if parts.port else ""
        endpoint = f"{'https' if given.get('is_secure') else 'http'}://{parts.host}{port}"
    visibility = _number(given, "visibility_timeout", DEFAULT_VISIBILITY)
    return SQSOptions(
        endpoint=endpoint,
        region=str(given.get("region") or DEFAULT_REGION),
        access_key_id=parts.username,
        secret_access_key=parts.password,
        prefix=str(given.get("queue_name_prefix") or ""),
        predefined=_predefined(given.get("predefined_queues") or {}),
        creation={
            "VisibilityTimeout": str(visibility),
            **{str(name): str(value) for name, value in (given.get("sqs-creation-attributes") or {}).items()},
        },
        tags={str(name): str(value) for name, value in (given.get("queue_tags") or {}).items()},
        base64=bool(given.get("sqs_base64_encoding", True)),
        wait=min(_number(given, "wait_time_seconds", 10), MAX_WAIT),
        client=dict(given.get("client-config") or {}),
        # The service counts whole seconds, and 0 would mean that nothing is ever claimed.
        lease=max(1, -int(-options.lease // 1)),
        timeout=min(10.0, max(options.lease, 1.0)),
        connect_timeout=options.connect_timeout,
        publish_timeout=options.publish_timeout,
        max_body_size=options.max_body_size,
    )


def _number(given: Mapping[str, Any], name: str, default: int) -> int:
    value = given.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ImproperlyConfigured(f"broker_transport_options: {name} is {value!r}; it has to be a number of seconds")
    return int(value)


def _predefined(given: Any) -> dict[str, PredefinedQueue]:
    if not isinstance(given, dict):
        raise ImproperlyConfigured(
            f"broker_transport_options: predefined_queues is {given!r}; it has to be a mapping of names to {{'url': …}}"
        )
    found = {}
    for name, queue in given.items():
        if not isinstance(queue, dict) or not queue.get("url"):
            raise ImproperlyConfigured(
                f"broker_transport_options: predefined_queues[{name!r}] is {queue!r}; it needs a 'url'"
            )
        unknown = sorted(queue.keys() - _QUEUE_OPTIONS)
        if unknown:
            raise ImproperlyConfigured(
                f"broker_transport_options: predefined_queues[{name!r}] has {', '.join(unknown)}, which "
                f"{'is' if len(unknown) == 1 else 'are'} not built yet; known are {', '.join(sorted(_QUEUE_OPTIONS))}"
            )
        found[str(name)] = PredefinedQueue(**queue)
    return found
