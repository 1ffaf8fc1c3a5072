# Made by scripts/celery_stubs.py.
from celeriac.canvas import Signature as Signature
from celeriac.canvas import StampingVisitor as StampingVisitor
from celeriac.canvas import chain as chain
from celeriac.canvas import chord as chord
from celeriac.canvas import chunks as chunks
from celeriac.app.shared import current_app as current_app
from celeriac.canvas import group as group
from celeriac.canvas import maybe_signature as maybe_signature
from celeriac.canvas import signature as signature
from celeriac.canvas import subtask as subtask
from celeriac.canvas import xmap as xmap
from celeriac.canvas import xstarmap as xstarmap
