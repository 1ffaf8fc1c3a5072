"""The RabbitMQ broker: messages, topology and delays of AMQP 0-9-1; the wire is `celeriac.drivers.amqp`'s."""

from __future__ import annotations

from celeriac.broker.amqp.broker import AMQPBroker

__all__ = ["AMQPBroker"]
