"""Every other broker: kombu's transports behind the port of brokers, where kombu is installed.

`transports` says which there are, `link` is the one file that talks to kombu, `errands` the thread it is talked to
from, `session` the port, `held` the forms that a message has on the way.
"""

from celeriac.broker.kombu.broker import KombuBroker

__all__ = ["KombuBroker"]
