"""Where calls arrive: every form of ``task_routes`` and every kind of exchange, seen by real workers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import PATIENCE, servers, wait_until
from tests.support.client_app import Site

if TYPE_CHECKING:
    from collections.abc import Callable

BROKERS = ("redis", "sqlite")
ALL_BROKERS = ("redis", "sqlite", "amqp")


def by_function(name: str, args: Any, kwargs: Any, options: Any, task: Any = None, **kw: Any) -> Any:
    """A router that looks at arguments."""
    return {"queue": f"{args[0]}"} if args else None


class ByClass:
    """A router of the old kind."""

    def route_for_task(self, name: str, args: Any = None, kwargs: Any = None) -> Any:
        return {"queue": args[0]} if args else None


@pytest.fixture(scope="module", params=BROKERS)
def shared(request: pytest.FixtureRequest, settings_of: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A client, and a worker that consumes the default queue and two more, ``<default>-a`` and ``-b``."""
    conf = settings_of(request.param)
    site = Site(conf, tmp_path_factory.mktemp("routing"))
    name = conf["task_default_queue"]
    try:
        site.start("-Q", f"{name},{name}-a,{name}-b")
        yield site
    finally:
        site.close()


@pytest.fixture
def routed(shared: Site) -> Any:
    """Says in which queue a task arrives under some ``task_routes``."""
    default = shared.conf["task_default_queue"]

    def look(routes: Any, task: str, *args: Any, **options: Any) -> str:
        shared.app.conf.task_routes = routes
        found = shared.task(task).apply_async(args, **options).get(timeout=PATIENCE)
        assert found["exchange"] == ""
        return str(found["routing_key"]).removeprefix(default)

    yield look
    shared.app.conf.task_routes = None


def test_without_routes_tasks_go_to_the_default_queue(routed: Any) -> None:
    assert routed(None, "images.resize") == ""


def test_routes_by_name_glob_and_pattern(routed: Any, shared: Site) -> None:
    a, b = (f"{shared.conf['task_default_queue']}-{letter}" for letter in "ab")
    assert routed({"images.resize": {"queue": a}}, "images.resize") == "-a"
    assert routed({"images.resize": a}, "images.crop") == ""
    assert routed({"images.*": {"queue": b}}, "images.crop") == "-b"
    assert routed({re.compile(r"(images|video)\.c.*"): {"queue": a}}, "video.cut") == "-a"
    assert routed([("video.*", {"queue": a}), ("images.*", {"queue": b})], "images.crop") == "-b"


def test_routers_of_every_kind(routed: Any, shared: Site) -> None:
    a = f"{shared.conf['task_default_queue']}-a"
    here = "tests.integration.client.test_routing"
    assert routed(by_function, "where", a) == "-a"
    assert routed((by_function,), "where") == ""
    assert routed(ByClass(), "where", a) == "-a"
    assert routed([{"other": {"queue": "nowhere"}}, ByClass], "where", a) == "-a"
    assert routed(f"{here}.by_function", "where", a) == "-a"


def test_the_call_wins_over_the_routes(routed: Any, shared: Site) -> None:
    a, b = (f"{shared.conf['task_default_queue']}-{letter}" for letter in "ab")
    assert routed({"where": {"queue": a}}, "where", queue=b) == "-b"


@pytest.mark.parametrize("serializer", ["json", "pickle", "yaml", "msgpack"])
@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
def test_serializers_and_compressions(polyglot: Site, serializer: str, compression: str | None) -> None:
    value = {"text": "č漢🎈" * 100, "numbers": [1, 2.5, None, True]}
    result = polyglot.task("echo").apply_async((value,), serializer=serializer, compression=compression)
    assert result.get(timeout=PATIENCE) == value


@pytest.fixture(scope="module")
def polyglot(settings_of: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A worker that accepts every serializer."""
    conf = settings_of("redis") | {"accept_content": ["json", "pickle", "yaml", "msgpack"]}
    site = Site(conf, tmp_path_factory.mktemp("polyglot"))
    try:
        site.start()
        yield site
    finally:
        site.close()


@pytest.mark.parametrize("scheme", ALL_BROKERS)
def test_priority_arrives_with_the_task(make_site: Callable[..., Site], scheme: str) -> None:
    site = make_site(scheme, task_queue_max_priority=9)
    waiting = [site.task("where").apply_async((priority,), priority=priority) for priority in (0, 3, 6, 9)]
    site.start("-c", "1", "--prefetch-multiplier", "1")
    for each, priority in zip(waiting, (0, 3, 6, 9), strict=True):
        assert each.get(timeout=PATIENCE)["priority"] == priority


@pytest.mark.parametrize("scheme", ALL_BROKERS)
def test_direct_topic_and_fanout_exchanges_reach_their_queues(make_site: Callable[..., Site], scheme: str) -> None:
    name = servers.unique("ex")
    site = make_site(
        scheme,
        task_queues={
            f"{name}-direct": {"exchange": f"{name}-d", "exchange_type": "direct", "routing_key": "one"},
            f"{name}-usd": {"exchange": f"{name}-t", "exchange_type": "topic", "routing_key": "stock.usd.#"},
            f"{name}-nyse": {"exchange": f"{name}-t", "exchange_type": "topic", "routing_key": "stock.*.nyse"},
            f"{name}-copy1": {"exchange": f"{name}-f", "exchange_type": "fanout"},
            f"{name}-copy2": {"exchange": f"{name}-f", "exchange_type": "fanout"},
        },
    )
    queues = ("direct", "usd", "nyse", "copy1", "copy2")
    for queue in queues:
        site.start("-Q", f"{name}-{queue}", "-c", "1", name=f"{queue}@test", wait=False)
    for worker in site.workers:
        worker.wait_ready()
    where = site.task("where")
    where.apply_async(("d",), exchange=f"{name}-d", routing_key="one", queue=f"{name}-direct")
    where.apply_async(("both",), queue=f"{name}-usd", routing_key="stock.usd.nyse")
    where.apply_async(("usd",), queue=f"{name}-usd", routing_key="stock.usd.frankfurt")
    where.apply_async(("nyse",), queue=f"{name}-nyse", routing_key="stock.eur.nyse")
    where.apply_async(("all",), queue=f"{name}-copy1")
    wanted = {
        ("d", "direct@test"), ("both", "usd@test"), ("both", "nyse@test"), ("usd", "usd@test"),
        ("nyse", "nyse@test"), ("all", "copy1@test"), ("all", "copy2@test"),
    }  # fmt: skip

    def seen() -> list[tuple[str, str]]:
        return sorted((record["key"], record["host"]) for record in site.ledger.records("where"))

    wait_until(lambda: seen() == sorted(wanted), what=f"{sorted(wanted)}")


@pytest.mark.parametrize("scheme", ALL_BROKERS)
def test_broadcast_reaches_every_worker_once(make_site: Callable[..., Site], scheme: str) -> None:
    site = make_site(scheme, broadcast=servers.unique("news"))
    for _ in range(2):
        site.start("-c", "1", wait=False)
    for worker in site.workers:
        worker.wait_ready()
    for number in range(5):
        site.task("where").apply_async((number,), queue=site.conf["broadcast"])
    wanted = sorted((number, f"w{worker}@test") for number in range(5) for worker in range(2))
    wait_until(
        lambda: sorted((each["key"], each["host"]) for each in site.ledger.records("where")) == wanted,
        what="each worker ran each task",
    )
    assert site.task("where").delay("last").get(timeout=PATIENCE)
    assert site.ledger.count("where") == 11


@pytest.mark.parametrize("scheme", ALL_BROKERS)
def test_broadcast_without_a_worker_is_no_error(make_site: Callable[..., Site], scheme: str) -> None:
    site = make_site(scheme, broadcast=servers.unique("news"))
    site.task("count").apply_async(("nobody",), queue=site.conf["broadcast"])
    site.start()
    assert site.task("echo").delay(1).get(timeout=PATIENCE) == 1
    assert site.ledger.count("count") == 0
