"""Broker URLs: parsing, password masking and failover lists.

The work is done by `celeriac.utils.url`, which result backends share; no driver's own parameters are known here.
"""

from __future__ import annotations

from celeriac.utils.url import MASK, ServerURL, parse_url, redact, split_failover

__all__ = ["MASK", "ServerURL", "parse_url", "redact", "split_failover"]
