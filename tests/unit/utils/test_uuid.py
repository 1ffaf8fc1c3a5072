"""Ids are well-formed, distinct, and never repeated by a forked child or another thread."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import uuid

from celeriac.utils.uuid import uuid4

FORKING = """
import json, os
from celeriac.utils.uuid import uuid4
uuid4()  # the rest of the batch is ready
reader, writer = os.pipe()
if os.fork() == 0:
    os.write(writer, json.dumps([uuid4() for _ in range(200)]).encode())
    os._exit(0)
os.close(writer)
mine = [uuid4() for _ in range(200)]
with os.fdopen(reader) as pipe:
    print(json.dumps([mine, json.load(pipe)]))
"""


def test_an_id_is_a_canonical_random_uuid() -> None:
    for _ in range(200):
        text = uuid4()
        parsed = uuid.UUID(text)
        assert str(parsed) == text
        assert parsed.version == 4
        assert parsed.variant == uuid.RFC_4122


def test_all_random_bits_vary() -> None:
    ids = [uuid.UUID(uuid4()).int for _ in range(500)]
    ones = zeros = 0
    for number in ids:
        ones |= number
        zeros |= ~number & (2**128 - 1)
    fixed = ~(ones & zeros) & (2**128 - 1)
    assert fixed == uuid.UUID("00000000-0000-f000-c000-000000000000").int


def test_ids_are_distinct_across_batches() -> None:
    assert len({uuid4() for _ in range(5000)}) == 5000


def test_threads_share_no_id() -> None:
    taken: list[list[str]] = []

    def take() -> None:
        taken.append([uuid4() for _ in range(2000)])

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one for ids in taken for one in ids}) == 8000


def test_a_forked_child_repeats_no_id_of_its_parent() -> None:
    run = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, check=True)
    mine, childs = json.loads(run.stdout)
    assert len(set(mine) | set(childs)) == 400
