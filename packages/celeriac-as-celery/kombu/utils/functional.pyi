# Made by scripts/celery_stubs.py.
from celeriac.compat.utils.functional import LRUCache as LRUCache
from celeriac.compat.utils.functional import dictfilter as dictfilter
from celeriac.compat.utils.functional import is_list as is_list
from celeriac.compat.utils.functional import lazy as lazy
from celeriac.compat.utils.functional import maybe_evaluate as maybe_evaluate
from celeriac.compat.utils.functional import maybe_list as maybe_list
from celeriac.compat.utils.functional import memoize as memoize
