"""Opening the Redis broker and backend: what is wrong with a URL or an installation is said at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

from celeriac.backend import open_backend
from celeriac.broker import BrokerOptions, open_broker
from celeriac.exceptions import ImproperlyConfigured


def test_url_for_logs_has_no_password() -> None:
    assert open_broker("redis://me:pw@h/1;redis://:pw@i/1").url == "redis://me:**@h/1;redis://:**@i/1"
    assert open_backend("redis://me:pw@h/1").url == "redis://me:**@h/1"


def test_sentinels_and_servers_do_not_mix() -> None:
    with pytest.raises(ImproperlyConfigured, match="sentinel://"):
        open_broker("redis://a;sentinel://b")


def test_sentinels_need_the_name_of_the_primary() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"result_backend_transport_options = .'master_name'"):
        open_backend("sentinel://a:26379/0")
    with pytest.raises(ImproperlyConfigured, match=r"broker_transport_options = .'master_name'"):
        open_broker("sentinel://a:26379/0;sentinel://b:26379/0")


@pytest.mark.parametrize("opener", ["celeriac.broker.open_broker", "celeriac.backend.open_backend"])
def test_missing_hiredis_is_named_with_its_extra(opener: str) -> None:
    module, _, name = opener.rpartition(".")
    program = f"""
import sys
sys.modules["hiredis"] = None
from {module} import {name}
try:
    {name}("redis://")
except Exception as error:
    print(type(error).__name__, error)
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.startswith("ImproperlyConfigured")
    assert "pip install celeriac[redis]" in found.stdout


@pytest.mark.parametrize(
    "options",
    [{"ack_emulation": False}, {"queue_order_strategy": "random"}, {"no_such_option": 1}],
    ids=lambda options: next(iter(options)),
)
def test_unusable_option_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ImproperlyConfigured, match=next(iter(options))):
        open_broker("redis://", BrokerOptions(transport_options=options))
