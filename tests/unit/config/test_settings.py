from __future__ import annotations

import copy
import threading
import types
import warnings
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.config import OPTIONS, Settings
from celeriac.config.names import NEW_NAMES
from celeriac.config.settings import ENVIRONMENT
from celeriac.exceptions import ImproperlyConfigured, UnknownSettingWarning

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [*ENVIRONMENT.values(), "CELERY_CONFIG_MODULE"]:
        monkeypatch.delenv(variable, raising=False)


def loaded(source: Any, **options: Any) -> Settings:
    settings = Settings()
    settings.load(source, **options)
    return settings


# -- defaults ---------------------------------------------------------------------------------------


def test_own_defaults_lose_nothing() -> None:
    settings = Settings()
    assert settings.broker_url is None
    assert settings.result_backend is None
    assert settings.task_acks_late is True
    assert settings.task_reject_on_worker_lost is True
    assert settings.broker_confirm_publish is True
    assert settings.task_max_deliveries == 5


@pytest.mark.parametrize(
    "settings",
    [Settings(celery_defaults=True), Settings({"celery_defaults": True}), loaded({"celery_defaults": "yes"})],
    ids=["argument", "change", "source"],
)
def test_celery_defaults_select_celerys(settings: Settings) -> None:
    assert settings.broker_url == "amqp://"
    assert settings.result_backend is None
    assert settings.task_acks_late is False
    assert settings.task_reject_on_worker_lost is None
    assert settings.broker_confirm_publish is False
    assert settings.task_max_deliveries is None
    assert settings.celery_defaults is True


def test_explicit_value_beats_celery_default() -> None:
    settings = Settings({"task_acks_late": True}, celery_defaults=True)
    assert settings.task_acks_late is True


def test_celery_defaults_can_be_switched_at_any_time() -> None:
    settings = Settings()
    assert settings.get("task_acks_late") is True
    settings.celery_defaults = True
    assert settings.get("task_acks_late") is False
    settings.celery_defaults = False
    assert settings.get("task_acks_late") is True


def test_containers_of_defaults_are_not_shared() -> None:
    one, two = Settings(), Settings()
    one.beat_schedule["x"] = {}
    one.task_default_queue = "other"
    assert one.beat_schedule == {"x": {}}
    assert two.beat_schedule == {}
    assert OPTIONS["beat_schedule"].default == {}


# -- names ------------------------------------------------------------------------------------------


@given(st.sampled_from(sorted(set(NEW_NAMES) - set(ENVIRONMENT))))
def test_value_under_old_name_is_read_under_both_names(name: str) -> None:
    value = OPTIONS[name].default_for(celery=True)
    settings = loaded({NEW_NAMES[name]: value})
    assert settings[name] == settings[NEW_NAMES[name]] == getattr(settings, NEW_NAMES[name])
    assert settings.value_set_for(name)
    assert settings.value_set_for(NEW_NAMES[name])


def test_new_name_wins_over_old_name_of_one_source() -> None:
    settings = loaded({"CELERY_TASK_SERIALIZER": "a", "task_serializer": "b", "broker_url": "x"})
    assert settings.task_serializer == "b"


def test_mixed_names_are_refused_when_the_source_is_read() -> None:
    settings = Settings()
    settings.load({"CELERY_TASK_SERIALIZER": "a", "broker_url": "x", "enable_utc": True}, lazy=True)
    with pytest.raises(ImproperlyConfigured, match="CELERY_TASK_SERIALIZER -> task_serializer"):
        _ = settings.task_serializer


def test_changes_do_not_count_as_a_style() -> None:
    settings = Settings({"broker_url": "memory://", "task_acks_late": False})
    assert settings.load({"CELERY_TASK_SERIALIZER": "yaml"})
    assert settings.task_serializer == "yaml"


def test_unknown_name_is_an_attribute_or_key_error() -> None:
    settings = Settings()
    with pytest.raises(AttributeError, match="'zork'"):
        _ = settings.zork
    with pytest.raises(KeyError):
        settings["zork"]
    assert "zork" not in settings
    assert settings.get("zork", 4) == 4


def test_unknown_names_are_kept_from_every_layer() -> None:
    settings = Settings({"from_change": 1})
    settings.add_defaults({"from_defaults": 2})
    settings.load({"FROM_SOURCE": 3, "from_defaults": 0})
    assert (settings.from_change, settings.from_defaults, settings.FROM_SOURCE) == (1, 2, 3)
    assert {"from_change", "from_defaults", "FROM_SOURCE"} <= set(settings)


# -- namespace --------------------------------------------------------------------------------------


def test_upper_namespace_reads_upper_names() -> None:
    settings = loaded({"CELERY_TASK_SERIALIZER": "a", "CELERY_S3_BUCKET": "b"}, namespace="CELERY")
    assert settings.task_serializer == "a"
    assert settings.s3_bucket == "b"


def test_lower_namespace_reads_lower_names() -> None:
    assert loaded({"proj_task_serializer": "a"}, namespace="proj").task_serializer == "a"


def test_namespaced_name_wins_over_bare_and_old_names() -> None:
    source = {"task_acks_late": "no", "CELERY_TASK_ACKS_LATE": "yes", "CELERY_ACKS_LATE": "no"}
    assert loaded(source, namespace="CELERY").task_acks_late is True


def test_bare_and_old_names_are_found_under_a_namespace_without_mixing_check() -> None:
    settings = loaded({"task_serializer": "a", "CELERY_ACKS_LATE": False}, namespace="CELERY")
    assert settings.task_serializer == "a"
    assert settings.task_acks_late is False


def test_own_names_are_read_without_their_namespace() -> None:
    settings = loaded({"CELERY_FOO": 1, "BAR": 2}, namespace="CELERY")
    assert settings.foo == 1
    assert settings.CELERY_FOO == 1
    assert settings.BAR == 2


# -- order of layers --------------------------------------------------------------------------------


def test_changes_beat_added_defaults_beat_source_beats_table() -> None:
    settings = Settings()
    assert settings.task_default_queue == "celery"
    settings.load({"task_default_queue": "source"})
    assert settings.task_default_queue == "source"
    settings.add_defaults({"task_default_queue": "added first"})
    settings.add_defaults(lambda: {"CELERY_DEFAULT_QUEUE": "added last"})
    assert settings.task_default_queue == "added last"
    settings.task_default_queue = "change"
    assert settings.task_default_queue == "change"
    settings.load({"task_default_queue": "other source"})
    assert settings.task_default_queue == "change"
    del settings.task_default_queue
    assert settings.task_default_queue == "added last"


def test_callable_defaults_wait_for_the_first_read() -> None:
    called: list[str] = []

    def defaults() -> dict[str, Any]:
        called.append("defaults")
        return {"task_serializer": "yaml"}

    settings = Settings()
    settings.add_defaults(defaults)
    settings.task_default_queue = "x"
    assert called == []
    assert settings.task_serializer == "yaml"
    assert settings.task_serializer == "yaml"
    assert called == ["defaults"]


# -- environment ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "variable"), ENVIRONMENT.items())
def test_environment_wins_on_every_read(name: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings({name: "change://"})
    assert settings[name] == "change://"
    monkeypatch.setenv(variable, "env://")
    assert settings[name] == getattr(settings, name) == settings.get(name) == "env://"
    assert settings.value_set_for(name)
    monkeypatch.setenv(variable, "")
    assert settings[name] == "change://"


def test_read_and_write_url_fall_back_to_broker_url(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings({"broker_url": "a://"})
    assert settings.broker_read_url == settings.broker_write_url == "a://"
    monkeypatch.setenv("CELERY_BROKER_URL", "env://")
    assert settings.broker_read_url == "env://"
    settings.broker_read_url = "read://"
    assert settings.broker_read_url == "read://"


def test_exchange_and_routing_key_fall_back_to_the_queue() -> None:
    settings = Settings({"task_default_queue": "q"})
    assert settings.task_default_exchange == settings.task_default_routing_key == "q"
    settings.task_default_exchange = ""
    assert settings.task_default_exchange == ""


def test_djangos_time_zone_is_consulted() -> None:
    assert Settings().timezone is None
    assert loaded({"TIME_ZONE": "Europe/Oslo"}, namespace="CELERY").timezone == "Europe/Oslo"
    settings = loaded({"TIME_ZONE": "Europe/Oslo", "CELERY_TIMEZONE": UTC}, namespace="CELERY")
    assert settings.timezone is UTC


# -- loading ----------------------------------------------------------------------------------------


def test_changes_before_the_first_read_do_not_read_the_source() -> None:
    reads: list[str] = []

    def source() -> dict[str, Any]:
        reads.append("read")
        return {"task_serializer": "yaml"}

    settings = Settings({"task_acks_late": False}, default_source=source)
    settings.task_default_queue = "a"
    settings["task_default_priority"] = 3
    settings.update(task_ignore_result=True)
    assert reads == []
    assert repr(settings).endswith("source not read yet>")
    assert settings.task_serializer == "yaml"
    assert settings.task_default_priority == 3
    assert settings.configured
    assert reads == ["read"]


def test_lazy_source_is_read_at_the_first_read_and_at_once_when_configured() -> None:
    settings = Settings()
    assert settings.load("no_such_module_at_all", lazy=True)
    with pytest.raises(ModuleNotFoundError) as caught:
        _ = settings.task_serializer
    assert "no_such_module_at_all" in caught.value.__notes__[0]
    settings.load({}, lazy=True)
    assert settings.task_serializer == "json"
    with pytest.raises(ModuleNotFoundError):
        settings.load("no_such_module_at_all", lazy=True)


def test_silent_source_may_be_missing() -> None:
    settings = Settings()
    assert settings.load("no_such_module_at_all", silent=True) is False
    assert settings.load("json:nothing", silent=True) is False
    assert settings.task_serializer == "json"
    assert settings.load({}, silent=True) is True


def test_missing_attribute_of_a_source_is_no_missing_setting() -> None:
    settings = Settings()
    settings.load("json:nothing", lazy=True)
    with pytest.raises(ImproperlyConfigured, match="json:nothing"):
        hasattr(settings, "task_serializer")


def test_config_module_of_the_environment_is_the_default_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "settings_from_env.py").write_text("task_serializer = 'yaml'")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("CELERY_CONFIG_MODULE", "settings_from_env")
    assert Settings().task_serializer == "yaml"


def test_bad_value_in_a_source_is_refused_under_its_name() -> None:
    with pytest.raises(ImproperlyConfigured, match="'CELERYD_TASK_TIME_LIMIT' has the value 'abc'"):
        loaded({"CELERYD_TASK_TIME_LIMIT": "abc"})


def test_bad_change_is_refused_whole() -> None:
    settings = Settings()
    with pytest.raises(ImproperlyConfigured, match="task_time_limit"):
        settings.update(task_serializer="yaml", task_time_limit="abc")
    assert settings.task_serializer == "json"
    with pytest.raises(ImproperlyConfigured, match="broker_publish_timeout"):
        settings.broker_publish_timeout = -1
    with pytest.raises(ImproperlyConfigured, match="worker_concurrency"):
        Settings({"worker_concurrency": -3})


def test_hooks_run_around_each_load_and_may_configure() -> None:
    events: list[str] = []
    settings = Settings()

    def before() -> None:
        events.append(f"before {settings.task_serializer}")
        settings.load({"task_serializer": "yaml"}, lazy=True)

    settings.before_load.append(before)
    settings.after_load.append(lambda loaded: events.append(f"after {loaded.task_serializer}"))
    assert events == []
    assert settings.task_serializer == "yaml"
    assert settings.task_default_queue == "celery"
    assert events == ["before json", "after yaml"]


def test_refresh_reads_the_source_again() -> None:
    source = types.SimpleNamespace(CELERY_TASK_ALWAYS_EAGER=False, CELERY_MINE=1)
    settings = loaded(source, namespace="CELERY")
    source.CELERY_TASK_ALWAYS_EAGER = True
    source.CELERY_MINE = 2
    assert settings.mine == 2
    assert settings.task_always_eager is False
    settings.refresh()
    assert settings.task_always_eager is True


def test_threads_read_a_source_once() -> None:
    reads: list[str] = []
    barrier = threading.Barrier(8)

    def source() -> dict[str, Any]:
        reads.append("read")
        return {"task_serializer": "yaml"}

    settings = Settings(default_source=source)
    seen: list[str] = []

    def read() -> None:
        barrier.wait()
        seen.append(settings.task_serializer)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reads == ["read"]
    assert seen == ["yaml"] * 8


# -- near misses and deprecations -------------------------------------------------------------------


def test_near_miss_in_a_source_warns_with_match_and_how_to_silence() -> None:
    with pytest.warns(UnknownSettingWarning) as caught:
        settings = loaded({"task_serialiser": "yaml"})
    message = str(caught[0].message)
    assert "'task_serialiser'" in message
    assert "'task_serializer'" in message
    assert "filterwarnings" in message
    assert settings.task_serialiser == "yaml"


def test_near_miss_of_a_change_warns_at_the_line_of_the_change() -> None:
    settings = Settings()
    for change in (
        lambda: setattr(settings, "task_serialiser", 1),
        lambda: settings.update(task_serialiser=1),
        lambda: Settings({"task_serialiser": 1}),
        lambda: settings.__setitem__("task_serialiser", 1),
    ):
        with pytest.warns(UnknownSettingWarning) as caught:
            change()
        assert caught[0].filename == __file__


def test_near_miss_warning_can_be_silenced_by_name() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="Setting 'task_serialiser'", category=UnknownSettingWarning)
        loaded({"task_serialiser": "yaml"})


def test_celery_prefix_without_namespace_is_explained() -> None:
    with pytest.warns(UnknownSettingWarning, match="namespace='CELERY'"):
        loaded({"CELERY_TASK_ACKS_LATE": True})


def test_code_in_a_module_is_neither_warned_of_nor_listed() -> None:
    module = types.ModuleType("conf")
    exec(  # noqa: S102
        "import json as result_backen\ndef task_route(name): ...\nclass beat_schedul: ...\nmine = 1",
        vars(module),
    )
    settings = loaded(module)
    assert settings.table() == {"mine": 1}
    assert callable(settings.task_route)


def test_old_names_of_the_source_are_reported() -> None:
    settings = Settings({"CELERY_ACKS_LATE": True})
    settings.load({"CELERY_TASK_SERIALIZER": "yaml", "BROKER_URL": "x"})
    messages = settings.deprecation_messages()
    assert [message for message in messages if "'CELERY_TASK_SERIALIZER'" in message and "'task_serializer'" in message]
    assert [message for message in messages if "'BROKER_URL'" in message]
    assert "upgrade settings" in messages[-1]
    assert len(messages) == 3
    assert loaded({"task_serializer": "yaml"}).deprecation_messages() == []
    assert loaded({"CELERY_TASK_SERIALIZER": "yaml"}, namespace="CELERY").deprecation_messages() == []


def test_old_names_are_welcome_in_django(monkeypatch: pytest.MonkeyPatch) -> None:
    conf = types.ModuleType("django.conf")
    conf.settings = types.SimpleNamespace(CELERY_ACKS_LATE=False)  # type: ignore[attr-defined]
    monkeypatch.setitem(__import__("sys").modules, "django", types.ModuleType("django"))
    monkeypatch.setitem(__import__("sys").modules, "django.conf", conf)
    settings = loaded("django.conf:settings")
    assert settings.task_acks_late is False
    assert settings.deprecation_messages() == []


def test_deprecated_setting_is_reported_when_set() -> None:
    assert "task_acks_on_failure" in Settings({"task_acks_on_failure_or_timeout": True}).deprecation_messages()[0]
    assert Settings().deprecation_messages() == []


# -- the mapping ------------------------------------------------------------------------------------


def test_iteration_names_every_setting_once() -> None:
    settings = Settings({"mine": 1, "broker_url": "x"})
    assert sorted(settings) == sorted([*OPTIONS, "mine"])
    assert len(settings) == len(OPTIONS) + 1
    assert dict(settings.items())["broker_url"] == "x"
    assert "task_serializer" in dir(settings)


def test_first_is_the_first_that_is_not_none() -> None:
    settings = Settings()
    assert settings.first("broker_url", "unknown", "task_serializer", "timezone") == "json"
    assert settings.first("broker_url") is None


def test_setdefault_sets_only_what_nothing_has() -> None:
    settings = Settings()
    assert settings.setdefault("task_serializer", "yaml") == "json"
    assert settings.setdefault("mine", 3) == 3
    assert settings.setdefault("mine", 4) == 3


def test_pop_takes_back_changes_only() -> None:
    settings = Settings({"task_serializer": "yaml"})
    assert settings.pop("CELERY_TASK_SERIALIZER") == "yaml"
    assert settings.task_serializer == "json"
    assert settings.pop("task_serializer", 3) == 3
    with pytest.raises(KeyError):
        settings.pop("task_serializer")
    with pytest.raises(AttributeError):
        del settings.task_serializer


def test_clear_takes_back_all_changes() -> None:
    settings = Settings({"task_serializer": "yaml", "mine": 1})
    settings.load({"task_default_queue": "q"})
    settings.clear()
    assert settings.changes == {}
    assert settings.task_serializer == "json"
    assert settings.task_default_queue == "q"


@pytest.mark.parametrize("make", [Settings.copy, copy.copy])
def test_copy_has_changes_of_its_own(make: Any) -> None:
    settings = Settings({"task_serializer": "yaml"})
    settings.load({"task_default_queue": "q", "mine": 1})
    other = make(settings)
    other.task_serializer = "pickle"
    settings.task_ignore_result = True
    assert (settings.task_serializer, other.task_serializer) == ("yaml", "pickle")
    assert (other.task_default_queue, other.mine, other.task_ignore_result) == ("q", 1, False)


def test_without_defaults_has_only_what_was_set() -> None:
    settings = Settings({"task_serializer": "yaml"})
    settings.load({"broker_url": "x", "mine": 1})
    explicit = settings.without_defaults()
    assert dict(explicit) == {"task_serializer": "yaml", "broker_url": "x", "mine": 1}
    assert not hasattr(explicit, "task_default_queue")
    assert not hasattr(explicit, "broker_read_url")
    assert explicit.broker_url == "x"


def test_value_set_for_tells_set_from_default() -> None:
    settings = Settings({"task_serializer": "json"})
    settings.load({"CELERY_DEFAULT_QUEUE": "celery", "mine": 1})
    assert settings.value_set_for("task_serializer")
    assert settings.value_set_for("task_default_queue")
    assert settings.value_set_for("mine")
    assert not settings.value_set_for("worker_prefetch_multiplier")
    assert not settings.value_set_for("zork")


def test_options_are_found_by_parts() -> None:
    settings = Settings({"worker_concurrency": 7})
    assert settings.find_option("concurrency", "worker").option.name == "worker_concurrency"
    assert settings.find_value_for_key("concurrency", "worker") == 7
    assert settings.find_value_for_key("pool_limit") == 10
    assert settings.get_by_parts("worker", "", "concurrency") == 7
    assert settings.get_by_parts(None, "task_serializer") == "json"


def test_observers_are_told_of_changes() -> None:
    seen: list[dict[str, Any]] = []
    settings = Settings()
    settings.bind_to(lambda **changes: seen.append(changes))
    settings.update({"task_routes": 1}, task_serializer="yaml")
    settings.task_routes = 2
    settings["task_routes"] = 3
    assert seen == [{"task_routes": 1, "task_serializer": "yaml"}, {"task_routes": 2}, {"task_routes": 3}]
    seen.clear()
    assert settings.task_routes == 3
    settings.pop("task_routes")
    settings.refresh()
    settings.load({})
    settings.clear()
    assert seen == [{"task_routes": None}, {}, {}, {}]


def test_observer_sees_the_new_value() -> None:
    settings = Settings()
    seen: list[str] = []
    settings.bind_to(lambda **_: seen.append(settings.task_serializer))
    settings.task_serializer = "yaml"
    assert seen == ["yaml"]


def test_table_and_humanize_are_censored_unless_asked() -> None:
    settings = Settings({"broker_url": "redis://u:pw@h/0", "redis_password": "pw", "mine": {"api_key": "pw"}})
    assert "pw" not in repr(settings.table())
    assert "'pw'" not in settings.humanize(with_defaults=True)
    assert settings.table(censored=False)["redis_password"] == "pw"
    assert "redis_password: 'pw'" in settings.humanize(censored=False).splitlines()
    assert set(settings.table()) == {"broker_url", "redis_password", "mine"}
    assert set(settings.table(with_defaults=True)) == {*OPTIONS, "mine"}


def test_timedelta_of_result_expires_is_kept() -> None:
    assert Settings().result_expires == timedelta(days=1)
    assert Settings({"result_expires": timedelta(hours=1)}).result_expires == timedelta(hours=1)
    assert Settings({"result_chord_expires": timedelta(hours=1)}).result_chord_expires == 3600.0


def test_repr_shows_no_values() -> None:
    settings = Settings({"redis_password": "pw"})
    assert repr(settings) == "<Settings: 1 changed, source not read yet>"
