"""What a type checker tells users of the public names: which calls are accepted, which are not, and what comes back."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: `# type:` is what `reveal_type` shows, `# error:` the code of the error in that line; other lines have to pass.
EXAMPLE = """\
from __future__ import annotations

import celery.app.base
from celery.utils.log import get_task_logger

from celeriac import Celery, Task, shared_task

app = Celery("typed")


@app.task
def add(x: int, y: int, *, scale: float = 1.0) -> int:
    return x + y


@app.task(name="named", max_retries=3)
def named(text: str) -> list[str]:
    return [text]


@app.task(bind=True)
def bound(self: Task[[int], str], number: int) -> str:
    reveal_type(self.request.id)
    return str(number)


@shared_task
def shared(x: int) -> bytes:
    return bytes(x)


add.delay(1, 2)
add.delay(1, y=2, scale=0.5)
add.delay("x", 2)  # error: arg-type
add.delay(1)  # error: call-arg
add.delay(1, 2, 3)  # error: call-arg
add.delay(1, 2, skale=3)  # error: call-arg
reveal_type(add.delay(1, 2).get())  # type: int
reveal_type(add.apply_async((1, 2), countdown=3).get(timeout=1))  # type: int
reveal_type(add(1, 2))  # type: int
add("x", 2)  # error: arg-type
reveal_type(add.apply((1, 2)).get())  # type: int

named.delay("x")
named.delay(1)  # error: arg-type
reveal_type(named.delay("x").get())  # type: list[str]

bound.delay(1)
bound.delay("x")  # error: arg-type
reveal_type(bound.delay(1).get())  # type: str

shared.delay(1)
shared.delay("x")  # error: arg-type
reveal_type(shared.delay(1).get())  # type: bytes

reveal_type(add.s(1, 2).delay().get())  # type: Any


async def awaited() -> None:
    result = await add.adelay(1, y=2)
    reveal_type(await result)  # type: int
    reveal_type(await result.aget(timeout=1.0))  # type: int
    await add.adelay("x", 2)  # error: arg-type
    await result.aget("soon")  # error: arg-type
    reveal_type(await (await named.aapply_async(("x",))))  # type: list[str]
    reveal_type(await app.acall(app.send_task, "by.name"))  # type: celeriac.result.async_result.AsyncResult[Any]
    results = app.GroupResult("id", [result])
    reveal_type(await results)  # type: list[Any]
    async for each in results:
        reveal_type(await each)  # type: Any
    reveal_type(result.then(print).ready)  # type: bool


app.send_task("by.name", (1,), countdown=1.5)
app.send_task("by.name", (1,), countdown="soon")  # error: arg-type

reveal_type(celery.app.base.App("named by stubs"))  # type: celeriac.app.base.Celery
reveal_type(get_task_logger("named by stubs"))  # type: logging.Logger
"""

# One run of mypy serves them all.
pytestmark = pytest.mark.xdist_group("mypy")


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[str]]:
    """What mypy says, by line of the example."""
    example = tmp_path_factory.mktemp("typing") / "example.py"
    example.write_text(EXAMPLE)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--show-error-codes", str(example)],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(ROOT / "packages" / "celeriac-as-celery")},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found: dict[int, list[str]] = {}
    for line in done.stdout.splitlines():
        where = re.search(r"example\.py:(\d+): (.*)", line)
        assert where is not None, done.stdout
        found.setdefault(int(where[1]), []).append(where[2])
    return found


@pytest.mark.parametrize(
    ("number", "line"), [(at, line) for at, line in enumerate(EXAMPLE.splitlines(), 1) if "  # " in line]
)
def test_line_is_judged_as_its_comment_says(reports: dict[int, list[str]], number: int, line: str) -> None:
    kind, _, wanted = line.partition("  # ")[2].partition(": ")
    told = " ".join(reports.get(number, ["nothing"]))
    if kind == "error":
        assert f"[{wanted}]" in told
    else:
        assert re.search(rf'Revealed type is "(builtins\.)?{re.escape(wanted)}"', told.replace("[builtins.", "[")), told


def test_nothing_else_is_complained_of(reports: dict[int, list[str]]) -> None:
    lines = EXAMPLE.splitlines()
    others = {at: told for at, told in reports.items() if "  # " not in lines[at - 1]}
    assert [told for each in others.values() for told in each if "note: Revealed" not in told] == []
