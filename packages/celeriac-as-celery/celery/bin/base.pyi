# Made by scripts/celery_stubs.py.
from celeriac.cli.state import State as _CLIContext
from celeriac.cli.options import COMMA_SEPARATED_LIST as COMMA_SEPARATED_LIST
from celeriac.cli.options import Command as _CeleryCommand
from celeriac.cli.options import Option as _CeleryOption
from celeriac.cli.options import CommaSeparated as _CommaSeparatedList
from celeriac.cli.errors import EX_UNAVAILABLE as EX_UNAVAILABLE
from celeriac.cli.options import ISO8601 as ISO8601
from celeriac.cli.options import Iso8601 as _ISO8601DateTime
from celeriac.cli.options import Iso8601OrSeconds as _ISO8601DateTimeOrFloat
from celeriac.cli.options import ISO8601_OR_FLOAT as ISO8601_OR_FLOAT
from celeriac.cli.options import JSON_ARRAY as JSON_ARRAY
from celeriac.cli.options import JSON_OBJECT as JSON_OBJECT
from celeriac.cli.options import LOG_LEVEL as LOG_LEVEL
from celeriac.cli.options import LogLevel as LogLevel
CLIContext = _CLIContext
CeleryCommand = _CeleryCommand
CeleryOption = _CeleryOption
CommaSeparatedList = _CommaSeparatedList
ISO8601DateTime = _ISO8601DateTime
ISO8601DateTimeOrFloat = _ISO8601DateTimeOrFloat
