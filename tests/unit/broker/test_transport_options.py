"""A transport option that a broker does not know is refused by name."""

from __future__ import annotations

import re

import pytest

from celeriac.broker import BrokerOptions, open_broker
from celeriac.exceptions import ImproperlyConfigured

SQL = ["sqlite:///unused.db", "postgresql://127.0.0.1/unused", "mysql://127.0.0.1/unused"]


@pytest.mark.parametrize("url", SQL)
@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("no_such_option", "known are app_name, connect_retries_timeout"),
        ("max_retrys", "did you mean 'max_retries'?"),
        ("visibility_timeout", "use the setting broker_lease"),
    ],
)
def test_an_unknown_option_of_an_sql_broker_is_refused(url: str, name: str, hint: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=re.escape(f"no option {name!r}; {hint}")):
        open_broker(url, BrokerOptions(transport_options={name: 1}))


@pytest.mark.parametrize("url", SQL)
def test_options_of_other_layers_are_none_of_its_business(url: str) -> None:
    open_broker(url, BrokerOptions(transport_options={"retry_policy": {}, "max_retries": 3}))
