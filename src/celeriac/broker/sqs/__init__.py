"""Amazon SQS, and services with its interface, with the layout of kombu's transport."""

from __future__ import annotations

from celeriac.broker.sqs.broker import SQSBroker

__all__ = ["SQSBroker"]
