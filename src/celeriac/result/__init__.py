"""Results of tasks: `AsyncResult` for one, `ResultSet` and `GroupResult` for several, `EagerResult` for a local one.

Where results are kept, and how a waiting client is told, is the backend's job.
"""

from __future__ import annotations

from celeriac.result.async_result import AsyncResult
from celeriac.result.base import ResultBase
from celeriac.result.eager_result import EagerResult
from celeriac.result.group_result import GroupResult
from celeriac.result.joining import allow_join_result, assert_will_not_block, denied_join_result
from celeriac.result.result_set import ResultSet
from celeriac.result.stored import result_from_tuple

__all__ = [
    "AsyncResult",
    "EagerResult",
    "GroupResult",
    "ResultBase",
    "ResultSet",
    "allow_join_result",
    "assert_will_not_block",
    "denied_join_result",
    "result_from_tuple",
]
