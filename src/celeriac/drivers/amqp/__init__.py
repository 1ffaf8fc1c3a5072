"""AMQP 0-9-1 client for RabbitMQ: connections, channels, frames and confirms; knows nothing about tasks."""

from __future__ import annotations

from celeriac.drivers.amqp.channel import Channel, QueueCounts
from celeriac.drivers.amqp.confirms import OutgoingMessage
from celeriac.drivers.amqp.connection import AMQPConnection
from celeriac.drivers.amqp.declarations import Declarations
from celeriac.drivers.amqp.errors import (
    AccessRefused,
    AMQPError,
    ChannelClosed,
    ConnectionLost,
    ConnectionRefused,
    EncodeError,
    FrameError,
    OperationTimeout,
    PublishRefused,
    Refusal,
)
from celeriac.drivers.amqp.frames import Delivery

__all__ = [
    "AMQPConnection",
    "AMQPError",
    "AccessRefused",
    "Channel",
    "ChannelClosed",
    "ConnectionLost",
    "ConnectionRefused",
    "Declarations",
    "Delivery",
    "EncodeError",
    "FrameError",
    "OperationTimeout",
    "OutgoingMessage",
    "PublishRefused",
    "QueueCounts",
    "Refusal",
]
