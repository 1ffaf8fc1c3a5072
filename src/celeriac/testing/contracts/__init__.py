"""What every broker and every result backend must do, as test classes for drivers of third parties.

A driver's test module subclasses a contract and provides one fixture; pytest has to be installed::

    from celeriac.testing.contracts import BrokerContract, BrokerUnderTest


    class TestMyBroker(BrokerContract):
        @pytest.fixture
        def subject(self) -> BrokerUnderTest:
            return BrokerUnderTest("mybroker://localhost/test")

It holds no drivers and starts no servers.
"""

from __future__ import annotations

from celeriac.testing.contracts.backend import (
    BackendContract,
    BackendUnderTest,
    MalformedResultContract,
    ServerBackendContract,
)
from celeriac.testing.contracts.backend_chords import ChordContract
from celeriac.testing.contracts.broker import BrokerContract
from celeriac.testing.contracts.broker_lease import LeaseContract
from celeriac.testing.contracts.broker_server import MalformedContract, ServerBrokerContract
from celeriac.testing.contracts.broker_subject import BrokerUnderTest
from celeriac.testing.contracts.pool import PoolContract
from celeriac.testing.contracts.schedule_store import ScheduleStoreContract

__all__ = [
    "BackendContract",
    "BackendUnderTest",
    "BrokerContract",
    "BrokerUnderTest",
    "ChordContract",
    "LeaseContract",
    "MalformedContract",
    "MalformedResultContract",
    "PoolContract",
    "ScheduleStoreContract",
    "ServerBackendContract",
    "ServerBrokerContract",
]
