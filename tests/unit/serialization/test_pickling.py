"""Pickles name Celery's classes where Celery has them, and Celery's names are read as ours."""

from __future__ import annotations

import pickle
import pickletools
import subprocess
import sys
from typing import Any

import pytest

from celeriac import exceptions, states
from celeriac.canvas.signature import Signature
from celeriac.exceptions import DecodeError, EncodeError
from celeriac.serialization.codecs import PICKLE

#: Made by Celery 5.7.0 of (MaxRetriesExceededError('m'), WorkerLostError('w'), OperationalError('o'),
#: NotRegistered('n')), TimeoutError, state('SUCCESS').
FROM_CELERY = (
    b"\x80\x04\x95\x1a\x01\x00\x00\x00\x00\x00\x00(\x8c\x11celery.exceptions\x94\x8c\x17MaxRetriesExceededError\x94\x93\x94"
    b"\x8c\x01m\x94\x85\x94R\x94}\x94(\x8c\ttask_args\x94]\x94\x8c\x0btask_kwargs\x94}\x94ub\x8c\x13billiard.except"
    b"ions\x94\x8c\x0fWorkerLostError\x94\x93\x94\x8c\x01w\x94\x85\x94R\x94\x8c\x10kombu.exceptions\x94\x8c\x10Operat"
    b"ionalError\x94\x93\x94\x8c\x01o\x94\x85\x94R\x94h\x00\x8c\rNotRegistered\x94\x93\x94\x8c\x01n\x94\x85\x94R\x94t\x94h\x00\x8c\x0cTimeo"
    b"utError\x94\x93\x94\x8c\rcelery.states\x94\x8c\x05state\x94\x93\x94\x8c\x07SUCCESS\x94\x85\x94\x81\x94\x87\x94."
)
#: Made by Celery 5.7.0 of the signature proj.add.s(1).
SIGNATURE_FROM_CELERY = (
    b"\x80\x04\x95x\x00\x00\x00\x00\x00\x00\x00\x8c\rcelery.canvas\x94\x8c\tsignature\x94\x93\x94}\x94(\x8c\x04task\x94\x8c\x08proj.ad"
    b"d\x94\x8c\x04args\x94K\x01\x85\x94\x8c\x06kwargs\x94}\x94\x8c\x07options\x94}\x94\x8c\x0csubtask_type\x94N\x8c\timmuta"
    b"ble\x94\x89u\x85\x94R\x94."
)

NAMES: list[tuple[Any, str]] = [
    (exceptions.MaxRetriesExceededError("m"), "celery.exceptions:MaxRetriesExceededError"),
    (exceptions.Retry("again", ValueError("q"), 3), "celery.exceptions:Retry"),
    (exceptions.WorkerLostError("w"), "billiard.exceptions:WorkerLostError"),
    (exceptions.OperationalError("o"), "kombu.exceptions:OperationalError"),
    (exceptions.TimeoutError, "celery.exceptions:TimeoutError"),
    (states.state("SUCCESS"), "celery.states:state"),
]


def strings(data: bytes) -> list[str]:
    return [arg for op, arg, _ in pickletools.genops(data) if isinstance(arg, str)]


@pytest.mark.parametrize(("value", "name"), NAMES)
def test_our_classes_are_written_under_the_names_of_celery(value: Any, name: str) -> None:
    data = PICKLE.dumps({"value": value})
    assert name in strings(data)
    assert b"celeriac" not in data
    again = PICKLE.loads(data)["value"]
    assert type(again) is type(value)
    assert str(again) == str(value)


def test_pickles_of_celery_are_read_as_ours() -> None:
    (retries, lost, broker, missing), timeout, state = PICKLE.loads(FROM_CELERY)
    assert isinstance(retries, exceptions.MaxRetriesExceededError)
    assert isinstance(lost, exceptions.WorkerLostError)
    assert isinstance(broker, exceptions.OperationalError)
    assert isinstance(missing, exceptions.NotRegistered)
    assert missing.args == ("n",)
    assert timeout is exceptions.TimeoutError
    assert type(state) is states.state


def test_signatures_are_exchanged_with_celery() -> None:
    ours = PICKLE.loads(SIGNATURE_FROM_CELERY)
    assert type(ours) is Signature
    assert (ours["task"], ours["args"]) == ("proj.add", (1,))
    data = PICKLE.dumps([ours])
    assert "celery.canvas:signature" in strings(data)
    assert b"celeriac" not in data
    assert PICKLE.loads(data) == [ours]


def test_classes_celery_lacks_keep_their_name() -> None:
    lost = PICKLE.loads(PICKLE.dumps(exceptions.SessionLost("x")))
    assert type(lost) is exceptions.SessionLost


def test_the_protocol_is_4() -> None:
    assert PICKLE.dumps([1])[:2] == b"\x80\x04"


@pytest.mark.parametrize(("variable", "first"), [("2", "b'\\x80\\x02'"), ("5", "b'\\x80\\x05'")])
def test_the_protocol_is_taken_from_the_environment(variable: str, first: str) -> None:
    code = "from celeriac.serialization import registry; print(registry.dumps([1], 'pickle')[2][:2])"
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PICKLE_PROTOCOL": variable, "PATH": ""},
    )
    assert run.stdout.strip() == first


def test_a_wrong_protocol_in_the_environment_is_named() -> None:
    run = subprocess.run(
        [sys.executable, "-c", "import celeriac.serialization.pickling"],
        capture_output=True,
        text=True,
        check=False,
        env={"PICKLE_PROTOCOL": "x", "PATH": ""},
    )
    assert "PICKLE_PROTOCOL='x'" in run.stderr


@pytest.mark.parametrize(
    "data", [b"", b"\x80\x04garbage", b"cnope\nx\n.", b"ccelery.exceptions\nnope\n.", b"\x80\x04\x8e" + b"\xff" * 8]
)
def test_damaged_pickles_raise_a_decode_error(data: bytes) -> None:
    with pytest.raises(DecodeError, match="pickle"):
        PICKLE.loads(data)


def test_a_lambda_raises_an_encode_error() -> None:
    with pytest.raises(EncodeError, match="lambda"):
        PICKLE.dumps(lambda: 0)


def test_other_uses_of_resolve_name_are_untouched() -> None:
    class Call:
        def __reduce__(self) -> Any:
            import_ = __import__("pkgutil").resolve_name
            return import_, ("os.path:join",)

    data = pickle.dumps([Call(), "celery"])
    assert PICKLE.loads(data)[0] is __import__("os").path.join
