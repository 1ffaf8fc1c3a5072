from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.config import OPTIONS
from celeriac.config.names import (
    NEW_NAMES,
    OLD_NAMES,
    canonical,
    check_style,
    find_option,
    near_miss,
    prefixed,
)
from celeriac.exceptions import ImproperlyConfigured

names = st.sampled_from(sorted(OPTIONS))
namespaces = st.from_regex(re.compile(r"[A-Z][A-Z0-9_]{0,8}|[a-z][a-z0-9_]{0,8}", re.ASCII), fullmatch=True)


@given(st.sampled_from(sorted(OLD_NAMES)))
def test_old_name_leads_to_new_name_and_back(old: str) -> None:
    assert NEW_NAMES[OLD_NAMES[old]] == old
    assert canonical(old) == (2, OLD_NAMES[old])


@given(names)
def test_new_name_means_itself(name: str) -> None:
    assert canonical(name) == (1, name)


@given(names, namespaces)
def test_prefixed_name_means_its_setting(name: str, namespace: str) -> None:
    assert canonical(prefixed(name, namespace), namespace) == (0, name)


def test_name_under_celery_means_the_same_by_prefix_and_by_old_name() -> None:
    for old, new in OLD_NAMES.items():
        found = canonical(old, "CELERY")
        assert found is not None
        assert found[1] == new


def test_prefix_of_other_case_is_no_prefix() -> None:
    assert canonical("celery_task_serializer", "CELERY") is None
    assert canonical("CELERY_task_serializer", "CELERY") is None


@given(st.lists(names.filter(lambda name: OPTIONS[name].declared)))
def test_one_style_is_accepted_whole(chosen: list[str]) -> None:
    check_style(chosen)
    check_style([NEW_NAMES[name] for name in chosen])


@pytest.mark.parametrize(
    ("keys", "rename"),
    [
        (
            ["CELERY_TASK_SERIALIZER", "broker_url", "task_acks_late"],
            "CELERY_TASK_SERIALIZER -> task_serializer",
        ),
        (["CELERY_TASK_SERIALIZER", "CELERY_ACKS_LATE", "broker_url"], "broker_url -> BROKER_URL"),
        (["CELERY_TASK_SERIALIZER", "broker_url"], "CELERY_TASK_SERIALIZER -> task_serializer"),
    ],
)
def test_mixed_styles_are_refused_with_the_renames_of_the_smaller(keys: list[str], rename: str) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        check_style(keys)
    assert re.findall(r"\w+ -> \w+", str(caught.value)) == [rename]


@pytest.mark.parametrize(
    "keys",
    [
        ["CELERY_TASK_SERIALIZER", "task_serializer", "broker_url"],
        ["CELERY_TASK_SERIALIZER", "redis_client_name"],
        ["CELERY_TASK_SERIALIZER", "task_max_deliveries"],
        ["CELERY_DB_REUSE_MAX", "broker_url"],
        ["MY_OWN", "broker_url"],
    ],
)
def test_names_that_belong_to_no_style_or_to_both_do_not_mix(keys: list[str]) -> None:
    check_style(keys)


@pytest.mark.parametrize(
    ("key", "match"),
    [
        ("task_serialiser", "task_serializer"),
        ("task_ack_late", "task_acks_late"),
        ("worker_prefetch_multipler", "worker_prefetch_multiplier"),
        ("borker_url", "broker_url"),
        ("TASK_SERIALIZER", "task_serializer"),
        ("CELERY_TASK_ACKS_LATE", "task_acks_late"),
        ("CELERY_ACK_LATE", "task_acks_late"),
        ("timezon", "timezone"),
    ],
)
def test_misspelt_name_is_a_near_miss(key: str, match: str) -> None:
    assert near_miss(key) == match


@pytest.mark.parametrize(
    "key",
    [
        "TIME_ZONE",
        "DATABASES",
        "CACHES",
        "DEBUG",
        "my_broker_url",
        "redis_url",
        "app_name",
        "os",
        "crontab",
        "x",
    ],
)
def test_name_of_ones_own_is_no_near_miss(key: str) -> None:
    assert near_miss(key) is None


def test_under_a_namespace_only_its_names_are_judged() -> None:
    assert near_miss("task_serialiser", "CELERY") is None
    assert near_miss("CELERY_TASK_SERIALISER", "CELERY") == "CELERY_TASK_SERIALIZER"
    assert near_miss("app_task_serialiser", "app") == "app_task_serializer"


@given(names)
def test_find_option_finds_a_whole_name(name: str) -> None:
    found = find_option(name.upper())
    assert "_".join(filter(None, found[:2])) == name
    assert found.option is OPTIONS[name]


@pytest.mark.parametrize(
    ("name", "namespace", "expected"),
    [
        ("concurrency", "worker", ("worker", "concurrency")),
        ("concurrency", "celery", ("worker", "concurrency")),
        ("pool_limit", "celery", ("broker", "pool_limit")),
        ("enable_utc", "celery", (None, "enable_utc")),
        ("worker_concurrency", None, (None, "worker_concurrency")),
    ],
)
def test_find_option_names_where_it_found(name: str, namespace: str | None, expected: tuple[str | None, str]) -> None:
    assert find_option(name, namespace)[:2] == expected


def test_find_option_suggests_the_near_match() -> None:
    with pytest.raises(KeyError, match="did you mean 'worker_concurrency'"):
        find_option("worker_concurency")
