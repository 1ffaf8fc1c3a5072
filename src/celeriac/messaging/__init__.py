"""Messages that are no calls of tasks: consumers, by the names that code written for kombu knows."""

from __future__ import annotations

from celeriac.messaging.channel import Channel, Consuming
from celeriac.messaging.consumer import Consumer
from celeriac.messaging.message import Message
from celeriac.messaging.producer import Producer
from celeriac.messaging.simple import SimpleBuffer, SimpleQueue

__all__ = ["Channel", "Consumer", "Consuming", "Message", "Producer", "SimpleBuffer", "SimpleQueue"]
