from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.config import OPTIONS
from celeriac.config.values import check, from_text
from celeriac.exceptions import ImproperlyConfigured


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("task_time_limit", "abc"),
        ("task_time_limit", -1),
        ("task_time_limit", float("nan")),
        ("task_time_limit", [1]),
        ("task_soft_time_limit", timedelta(seconds=-1)),
        ("worker_concurrency", -3),
        ("worker_concurrency", "-3"),
        ("worker_concurrency", []),
        ("worker_prefetch_multiplier", "many"),
        ("worker_prefetch_multiplier", b"4"),
        ("worker_max_memory_per_child", "200MB"),
        ("broker_publish_timeout", -0.1),
        ("broker_publish_timeout", None),
        ("broker_lease", None),
        ("task_max_deliveries", 0),
        ("task_acks_late", "maybe"),
        ("task_acks_late", ["yes"]),
        ("task_always_eager", {}),
        ("task_protocol", 3),
        ("worker_pool_start_method", "forkserver"),
        ("broker_heartbeat", timedelta(seconds=3)),
        ("broker_use_ssl", ["a"]),
    ],
)
def test_senseless_value_is_refused_with_name_value_and_what_is_accepted(name: str, value: Any) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        check(OPTIONS[name], value)
    assert repr(name) in str(caught.value)
    assert repr(value) in str(caught.value)
    assert "accepted is" in str(caught.value)


def test_refusal_names_the_setting_as_it_was_spelt() -> None:
    with pytest.raises(ImproperlyConfigured, match="'CELERYD_CONCURRENCY'"):
        check(OPTIONS["worker_concurrency"], -1, "CELERYD_CONCURRENCY")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("result_expires", timedelta(hours=1)),
        ("result_expires", None),
        ("result_expires", 0),
        ("broker_pool_limit", None),
        ("broker_pool_limit", False),
        ("broker_heartbeat", 2.5),
        ("broker_use_ssl", {"ca_certs": "x"}),
        ("task_time_limit", Decimal("1.5")),
        ("worker_concurrency", "auto"),
        ("worker_concurrency", "nonsense"),
        ("result_backend_max_retries", float("inf")),
        ("task_acks_late", 1),
        ("task_queues", ["anything"]),
        ("broker_url", ["amqp://a", "amqp://b"]),
        ("task_serializer", object()),
    ],
)
def test_value_that_celery_accepts_is_kept_verbatim(name: str, value: Any) -> None:
    assert check(OPTIONS[name], value) is value


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("worker_prefetch_multiplier", "4", 4),
        ("worker_concurrency", "4", 4),
        ("task_time_limit", "1.5", 1.5),
        ("task_default_priority", "9", 9),
        ("task_time_limit", timedelta(minutes=1), 60.0),
        ("task_always_eager", "False", False),
        ("task_always_eager", "on", True),
    ],
)
def test_text_and_timedelta_become_what_the_setting_is_made_of(name: str, value: Any, kept: Any) -> None:
    assert check(OPTIONS[name], value) == kept
    assert type(check(OPTIONS[name], value)) is type(kept)


@given(
    st.sampled_from(sorted(OPTIONS)),
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
)
def test_check_returns_a_value_or_raises_improperly_configured(name: str, value: Any) -> None:
    try:
        kept = check(OPTIONS[name], value)
    except ImproperlyConfigured as exc:
        assert name in str(exc)
    else:
        assert check(OPTIONS[name], kept) == kept or kept is value


@given(st.integers(min_value=0))
def test_integer_survives_the_command_line(number: int) -> None:
    assert from_text(OPTIONS["worker_prefetch_multiplier"], str(number)) == number


@given(st.floats(min_value=0, allow_nan=False))
def test_float_survives_the_command_line(number: float) -> None:
    assert from_text(OPTIONS["task_time_limit"], repr(number)) == number
